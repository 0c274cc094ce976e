import type { Peer } from '../admission/peer.js'
import { keyOf } from '../protocol/key.js'
import { KeyedQueue } from '../structures/keyed-queue.js'

/**
 * Orders the tasks of a connection: in one room they run one after another as they came, in different rooms
 * concurrently, and none runs before the first rooms are entered.
 */
export class RoomOrder {
  readonly #queue = new KeyedQueue()
  /** Entries of a connection into a room, by its own command or by the server. */
  readonly #entries = new KeyedQueue()
  /** Number of tasks that run beside the queue, by connection and room. */
  readonly #beside = new Map<string, number>()
  /** Tasks that came before the welcome, with the handshake. */
  readonly #opening = new Map<Peer, Array<() => void>>()

  /** Begins to queue the tasks of a connection, until `takeWaiting` takes them. */
  begin (connection: Peer): void { this.#opening.set(connection, []) }

  /** Tasks that wait for the first rooms of a connection; `undefined` once these are entered. */
  waitingOf (connection: Peer): Array<() => void> | undefined { return this.#opening.get(connection) }

  /** Takes the tasks that wait, when the first rooms are entered or the connection is gone, and ends the queueing. */
  takeWaiting (connection: Peer): ReadonlyArray<() => void> {
    const waiting = this.#opening.get(connection)
    if (waiting === undefined) return NONE
    this.#opening.delete(connection)
    return waiting
  }

  /**
   * @param room its name; empty for tasks of the connection itself
   * @returns false when `most` tasks wait already
   */
  run (connection: Peer, room: string, task: () => unknown, most: number): boolean {
    return this.#queue.run(keyOf(connection.id, room), task, most)
  }

  /**
   * Runs an entry of a connection into a room behind other such entries, so that what it finds there still holds when
   * it acts. It waits for no task, since the handler of one may wait for it; tasks that come later wait for it.
   *
   * @param step never rejects
   * @returns `undefined` when `most` entries wait already
   */
  async enter<T> (connection: Peer, room: string, step: () => Promise<T>, most: number): Promise<T | undefined> {
    const key = keyOf(connection.id, room)
    const entered = new Promise<T | undefined>((resolve) => {
      if (!this.#entries.run(key, async () => { resolve(await step()) }, most)) resolve(undefined)
    })
    this.#queue.hold(key, entered)
    return await entered
  }

  /**
   * Runs a task at once, whatever waits.
   *
   * @returns false when `most` such tasks of the connection run in this room already
   */
  runBeside (connection: Peer, room: string, task: () => unknown, most: number): boolean {
    const key = keyOf(connection.id, room)
    const running = this.#beside.get(key) ?? 0
    if (running >= most) return false
    const result = task()
    if (!(result instanceof Promise)) return true
    this.#beside.set(key, (this.#beside.get(key) ?? 0) + 1)
    void result.then(() => {
      const left = this.#beside.get(key)! - 1
      if (left === 0) this.#beside.delete(key)
      else this.#beside.set(key, left)
    })
    return true
  }
}

const NONE: ReadonlyArray<() => void> = []
