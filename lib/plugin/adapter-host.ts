import type { AdapterHost } from '../adapters/adapter.js'
import type { ConnectionIds } from '../admission/connection-ids.js'
import type { Slots } from '../admission/slots.js'
import type { RemoteControl } from '../app/control.js'
import type { Recheck } from '../app/recheck.js'
import type { ToldRevocations } from '../app/told-revocations.js'
import type { Denials } from '../auth/denials.js'
import type { DistantDepartures } from '../dispatch/distant-departures.js'
import type { Roster } from '../dispatch/roster.js'
import { isNearly } from '../errors/limit-warnings.js'
import type { Hub } from '../rooms/hub.js'
import { Seldom } from '../structures/seldom.js'
import type { Foundation } from './foundation.js'
import type { WholeHooks } from './hooks.js'

export interface AdapterHostParts {
  readonly hub: Hub
  readonly hooks: WholeHooks
  readonly control: RemoteControl
  readonly connectionIds: ConnectionIds
  readonly slots: Slots
  readonly denials: Denials
  readonly told: ToldRevocations
  readonly roster: Roster
  readonly distant: DistantDepartures
  readonly recheck: Recheck
}

/** What the application has to do about messages that are gone. */
const OF_THAT_TIME = '; call join, leave and close of that time again where they matter'

/** Makes what the adapter calls: events for the hub, messages of other nodes, and the state of its broker. */
export function createAdapterHost (
  { app: { log }, settings, nodeId, adapter, failed, limitWarnings }: Foundation,
  { hub, hooks, control, connectionIds, slots, denials, told, roster, distant, recheck }: AdapterHostParts
): AdapterHost {
  const host = hub.host
  const seldom = new Seldom()
  let wasUp: boolean | undefined
  let wasDown = false
  const said = async (step: Promise<void>, what: string): Promise<void> => {
    await step.catch((error: unknown) => {
      failed(error, what)
      throw error
    })
  }
  const tell = (isUp: boolean): void => {
    wasDown ||= !isUp
    if (isUp === wasUp) return
    wasUp = isUp
    // A start without trouble is no reason for a warning.
    log[wasDown ? 'warn' : 'info'](
      { adapter: adapter.name, isUp },
      isUp ? 'the adapter is connected' : 'the adapter is disconnected'
    )
  }
  return {
    nodeId,
    remembered: {
      ...settings.limits.remembered,
      held: (owner, bytes) => {
        const { perUser } = settings.limits.remembered
        if (isNearly(bytes, perUser)) limitWarnings.look('limits.remembered.perUser', bytes, perUser, { owner })
      }
    },
    log,
    ...host,
    presence: (room, change) => { if (!room.startsWith('@') || !hooks.heard(room, change)) host.presence(room, change) },
    control: (message, from) => { control.handle(message, from).catch((error: unknown) => { failed(error, 'control') }) },
    state: (isUp, hasForgotten = false) => {
      tell(isUp)
      if (!isUp) return undefined
      void connectionIds.agree()
      roster.ask()
      distant.askAgain()
      hub.texts.touch()
      const held = said(slots.restore(hasForgotten), 'leases')
      if (!hasForgotten) {
        held.catch(() => undefined)
        return undefined
      }
      void recheck.run(true)
      return Promise.all([
        held,
        said(hub.restore(), 'presence'),
        said(denials.restore(), 'denials'),
        said(told.again(), 'control')
      ]).then(() => {
        if (seldom.due('forgotten') === undefined) return
        log.warn(
          { adapter: adapter.name },
          `the broker may lack its newest data (it was restarted, another server took its place, or this node was away); what this node held is held anew${OF_THAT_TIME}`
        )
      })
    },
    missed: () => {
      log.warn(
        { adapter: adapter.name },
        `messages of other nodes may have been missed: connections are compared with what is revoked${OF_THAT_TIME}`
      )
      void recheck.run()
    }
  }
}
