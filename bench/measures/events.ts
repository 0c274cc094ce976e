import { setTimeout as sleep } from 'node:timers/promises'
import { membersByLoader } from '../shared/population.js'
import type { Stage } from '../stage.js'
import type { Drive } from '../workloads/types.js'

export const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}

/** Has events published, and waits until all members of their rooms have them. */
export class Events {
  readonly #stage: Stage
  readonly #members: readonly Uint32Array[]
  #nextRoom = 0
  /** deliveries that were due */
  due = 0

  constructor (stage: Stage) {
    this.#stage = stage
    this.#members = membersByLoader(stage.workload, stage.company.loaders.length)
  }

  async drive (drive: Drive, ms: number): Promise<void> {
    const { server } = this.#stage
    if (drive.kind === 'rounds' || drive.kind === 'library') {
      const burst = drive.kind === 'rounds' ? drive.burst : 1
      const end = performance.now() + ms
      do await this.#round(burst, drive.turns); while (performance.now() < end)
    } else if (drive.kind === 'rate') {
      const events = await server.call('rate', { room: 0, perSecond: drive.perSecond, ms })
      await this.arrived((members) => members[0]! * events)
    } else if (drive.kind === 'speak') {
      const { hasIds, perSecond } = drive
      const sent = await this.#stage.all(async (loader) => await loader.call('speak', { ms, hasIds, perSecond }))
      await this.arrived((members) => sum(members.map((count, room) => count * sum(sent.map((by) => by[room]!)))))
    } else await sleep(ms)
  }

  async #round (burst: number, turns: number): Promise<void> {
    const rooms = Array.from({ length: turns }, () => this.#nextRoom++ % this.#stage.workload.rooms)
    const arrived = this.arrived((members) => burst * sum(rooms.map((room) => members[room]!)))
    this.#stage.server.post('round', { rooms, burst })
    await arrived
  }

  /** @param count deliveries to the clients of one load generator, by its members of each room */
  async arrived (count: (members: Uint32Array) => number): Promise<void> {
    await this.#stage.all(async (loader, index) => {
      const events = count(this.#members[index]!)
      this.due += events
      await loader.call('expect', events)
    })
  }
}
