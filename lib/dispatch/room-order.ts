import type { Peer } from '../admission/peer.js'
import { keyOf } from '../protocol/key.js'
import { KeyedQueue } from '../structures/keyed-queue.js'

/**
 * The order in which things are done for a connection: in one room one after another as they came, in different rooms
 * beside each other, and nothing at all before its first rooms are entered.
 */
export class RoomOrder {
  readonly #lanes = new KeyedQueue()
  /** what came before the welcome, with the handshake */
  readonly #opening = new Map<Peer, Array<() => void>>()

  /** From here on what comes waits, until it is taken by `takeWaiting`. */
  begin (connection: Peer): void { this.#opening.set(connection, []) }

  /** What waits for the first rooms of a connection; `undefined` when they are entered. */
  waitingOf (connection: Peer): Array<() => void> | undefined { return this.#opening.get(connection) }

  /** The first rooms are entered, or the connection has gone: nothing waits for them from here on. */
  takeWaiting (connection: Peer): ReadonlyArray<() => void> {
    const waiting = this.#opening.get(connection)
    if (waiting === undefined) return NONE
    this.#opening.delete(connection)
    return waiting
  }

  /**
   * @param room its name; empty for what belongs to the connection itself
   * @returns false when as many as `most` wait already
   */
  run (connection: Peer, room: string, task: () => unknown, most: number): boolean {
    return this.#lanes.run(keyOf(connection.id, room), task, most)
  }
}

const NONE: ReadonlyArray<() => void> = []
