import type { Packet } from '../protocol/packet.js'

/** Rooms that are remembered; beyond them the oldest is not told again. */
const MOST = 256

/**
 * The last frame of each room that a polling peer is out of. An answer may be lost on its way, so each is sent with
 * every answer until the peer has heard one.
 */
export class LastFrames {
  readonly #frames = new Map<string, { readonly packet: Packet, isTold: boolean }>()

  get rooms (): Iterable<string> { return this.#frames.keys() }

  add (room: string, packet: Packet): void {
    this.#frames.set(room, { packet, isTold: false })
    if (this.#frames.size > MOST) this.#frames.delete(this.#frames.keys().next().value!)
  }

  /** Returns those to be sent again, and forgets rooms in which the peer is by now. */
  due (isIn: (room: string) => boolean): Packet[] {
    for (const room of this.#frames.keys()) if (isIn(room)) this.#frames.delete(room)
    return [...this.#frames.values()].map(({ packet }) => packet)
  }

  /** All are in the answer that is made now. */
  told (): void { for (const each of this.#frames.values()) each.isTold = true }

  /** The peer has heard the last answer. */
  heard (): void { for (const [room, { isTold }] of this.#frames) if (isTold) this.#frames.delete(room) }
}
