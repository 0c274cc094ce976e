import { keyOf } from '../protocol/key.js'
import type { Position } from '../protocol/position.js'
import { OrderedMap } from '../structures/ordered-map.js'

/** Stretches that are remembered; beyond them the oldest is forgotten. */
const MOST = 10_000

/** All events of a room behind `from`, up to `to`, leave out the same connection of a user. */
export interface Stretch {
  readonly userId: string
  epoch: string
  from: number
  to: number
}

/**
 * The last stretch of events in each room that left a connection out, such as its own messages. A client knows no
 * position of an event that it was not sent, so it names the one before when it comes back. Once the history no longer
 * has what is behind that, this is all that tells whether the client has lost anything.
 */
export class PassedOver {
  readonly #stretches = new OrderedMap<Stretch>()

  get size (): number { return this.#stretches.size }

  /** @param stretch may be moved later, without another call */
  add (room: string, connection: string, stretch: Stretch): void {
    const key = keyOf(connection, room)
    // The one that was added last goes last.
    this.#stretches.delete(key)
    this.#stretches.set(key, stretch)
    if (this.#stretches.size > MOST) this.#stretches.shift()
  }

  /**
   * Returns the position up to which a user has lost nothing who stands at `since`.
   *
   * @param former ids of the connections that he had before, joined by commas, the last one first
   */
  behind (room: string, userId: string, former: string | undefined, since: Position): Position {
    let { epoch, offset } = since
    for (const connection of former?.split(',').reverse() ?? []) {
      const known = this.#stretches.get(keyOf(connection, room))
      if (known?.userId !== userId || known.epoch !== epoch) continue
      if (known.from <= offset && offset < known.to) offset = known.to
    }
    return { epoch, offset }
  }
}
