import type { FastifyBaseLogger } from 'fastify'
import type { PresenceChange } from '../adapters/adapter.js'
import { REALTIME_ERR_ADAPTER } from '../errors/misuse.js'
import { Census, type CensusOptions } from '../rooms/census.js'
import type { Hub } from '../rooms/hub.js'
import type { Foundation } from './foundation.js'

/**
 * The hooks for whole users and rooms: `onOnline`, `onOffline`, `onOccupied` and `onVacated`. A census is made and
 * started only where the application has one of its hooks.
 */
export class WholeHooks {
  readonly #foundation: Foundation
  readonly #hub: Hub
  /** Counts the connections of users. */
  readonly online: Census | undefined
  #occupied: Census | undefined

  constructor (foundation: Foundation, hub: Hub) {
    this.#foundation = foundation
    this.#hub = hub
    const { options: { onOnline, onOffline }, adapter } = foundation
    if (onOnline === undefined && onOffline === undefined) return
    if (adapter.presence === undefined || adapter.claims === undefined) {
      throw new REALTIME_ERR_ADAPTER(`onOnline and onOffline need presence and claims, which the ${adapter.name} adapter lacks`)
    }
    this.online = this.#census('@online', async (userId, isThere) => {
      await (isThere ? onOnline : onOffline)?.({ userId })
    }, foundation.app.log)
  }

  /** Begins to count and to hear, after the adapter has started and all rooms are declared. */
  async start (): Promise<void> {
    const { declarations } = this.#hub
    if (this.#isAnyWatched()) {
      this.#occupied = this.#hub.occupancy = this.#census('@occupied', async (name, isThere) => {
        const found = declarations.find(name)
        const hook = isThere ? found?.declaration.onOccupied : found?.declaration.onVacated
        await hook?.({ room: { name }, params: found!.params })
      }, this.#foundation.app.log)
    }
    for (const census of this.#all) {
      this.#hub.hide(census.rooms)
      await census.start()
    }
  }

  stop (): void { for (const census of this.#all) census.stop() }

  /** @returns whether the change is none of a room of the application */
  heard (room: string, change: PresenceChange): boolean {
    return this.#all.some((census) => census.heard(room, change))
  }

  get #all (): Census[] { return [this.online, this.#occupied].filter((census) => census !== undefined) }

  #isAnyWatched (): boolean {
    for (const { isWatched } of this.#hub.declarations.values()) if (isWatched) return true
    return false
  }

  #census (kind: CensusOptions['kind'], run: CensusOptions['run'], log: FastifyBaseLogger): Census {
    const { adapter, nodeId, settings } = this.#foundation
    const hook = kind === '@online' ? ['onOnline', 'onOffline'] : ['onOccupied', 'onVacated']
    return new Census({
      kind,
      nodeId,
      keeper: this.#hub.presence!,
      store: adapter.presence!,
      claims: adapter.claims!,
      subscribe: (room, roomSettings) => adapter.subscribe(room, roomSettings),
      isShared: adapter.control !== undefined,
      grace: settings.presence.grace,
      timeout: settings.timeouts.handler,
      run,
      onError: (error, subject, isThere) => {
        log.error({ err: error, subject, hook: hook[isThere ? 0 : 1] }, 'a hook failed')
      }
    })
  }
}
