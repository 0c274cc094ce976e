import { setImmediate as turn } from 'node:timers/promises'
import type { Fill, Rate, Round, ServerConfig } from '../shared/messages.js'
import { eventData } from '../shared/payload.js'
import { roomName } from '../shared/population.js'
import type { PeerServer } from './peer.js'

/** Events in one turn of the event loop where none is waited for. */
const BATCH = 100

/** Broadcasts from inside the server's process, as an application's routes and timers do. */
export class Drive {
  readonly #server: PeerServer
  readonly #isLong: boolean

  constructor (server: PeerServer, { isLong }: ServerConfig) {
    this.#server = server
    this.#isLong = isLong
  }

  #broadcast (room: number): void {
    this.#server.broadcast(roomName(room), eventData(this.#isLong))
  }

  async round ({ rooms, burst }: Round): Promise<void> {
    for (const room of rooms) {
      for (let i = 0; i < burst; i++) this.#broadcast(room)
      // Two turns: what a server does at the end of this one is done before the next event, so that single events stay
      // single.
      await turn()
      await turn()
    }
  }

  /** Events that nobody waits for, into one room after another. */
  async fill ({ rooms, events }: Fill): Promise<void> {
    for (let i = 0; i < events; i++) {
      for (let room = 0; room < rooms; room++) {
        this.#broadcast(room)
        if (room % BATCH === 0) await turn()
      }
    }
    await turn()
  }

  /** Events at a fixed rate. @returns how many */
  async rate ({ room, perSecond, ms }: Rate): Promise<number> {
    const start = performance.now()
    const total = Math.floor(perSecond * ms / 1_000)
    const interval = 1_000 / perSecond
    let sent = 0
    await new Promise<void>((resolve) => {
      const tick = (): void => {
        const due = Math.min(total, Math.floor((performance.now() - start) / interval))
        for (; sent < due; sent++) this.#broadcast(room)
        if (sent === total) resolve()
        else setTimeout(tick, Math.max(1, start + (sent + 1) * interval - performance.now()))
      }
      tick()
    })
    return sent
  }
}
