import type { Peer } from '../admission/peer.js'
import { Refusal } from '../errors/refusal.js'
import { isCode, type EndReason } from '../protocol/codes.js'
import { inTurns } from '../structures/slices.js'

/** Called once when nobody waits for a handler's outcome any more, with the reason. */
export type GiveUp = (why: Refusal) => void

interface Follower { readonly giveUp: GiveUp, readonly room: string, among: Set<Follower> }

/** Handlers that one turn of the event loop tells of the server's end. */
const AT_ONCE = 100

/**
 * Tells handlers under way that nobody waits for them any more: their connection has ended for good, the server has
 * taken it out of their room, or the server closes. Only handlers that have asked for it are known here, and each
 * until it ends.
 */
export class Departures {
  readonly #ofConnection = new Map<string, Set<Follower>>()
  readonly #others = new Set<Follower>()
  #closed: Refusal | undefined

  /**
   * @param connection id of the connection that waits; absent where it is none of this node
   * @param room in which the handler runs
   * @returns ends the following
   */
  follow (connection: string | undefined, room: string, giveUp: GiveUp): () => void {
    if (this.#closed !== undefined) {
      giveUp(this.#closed)
      return () => undefined
    }
    const follower: Follower = { giveUp, room, among: this.#others }
    if (connection !== undefined) {
      const known = this.#ofConnection.get(connection)
      follower.among = known ?? new Set()
      if (known === undefined) this.#ofConnection.set(connection, follower.among)
    }
    follower.among.add(follower)
    return () => {
      const { among } = follower
      among.delete(follower)
      if (connection !== undefined && among.size === 0 && this.#ofConnection.get(connection) === among) {
        this.#ofConnection.delete(connection)
      }
    }
  }

  /** @param why called where somebody follows the connection */
  ended (connection: string, why: () => Refusal): void {
    const waiting = this.#ofConnection.get(connection)
    if (waiting === undefined) return
    this.#ofConnection.delete(connection)
    const reason = why()
    for (const { giveUp } of waiting) giveUp(reason)
  }

  /** The server has taken a connection out of a room. */
  taken (connection: string, name: string, why: Refusal): void {
    for (const { giveUp, room } of [...this.#ofConnection.get(connection) ?? []]) if (room === name) giveUp(why)
  }

  /** A connection that polls lives on another node from here on: its end is not known here any more. */
  moved (connection: string): void {
    const waiting = this.#ofConnection.get(connection)
    if (waiting === undefined) return
    this.#ofConnection.delete(connection)
    for (const follower of waiting) {
      follower.among = this.#others
      this.#others.add(follower)
    }
  }

  /** Tells all of them, and whoever follows later. */
  async close (why: Refusal): Promise<void> {
    this.#closed = why
    const all = [...this.#others, ...[...this.#ofConnection.values()].flatMap((waiting) => [...waiting])]
    this.#others.clear()
    this.#ofConnection.clear()
    await inTurns(all, AT_ONCE, ({ giveUp }) => { giveUp(why) })
  }
}

/** Says why a connection that has ended waits for nothing any more. */
export function reasonOf ({ ending }: Peer, reason: EndReason = 'gone'): Refusal {
  return ending ?? (isCode(reason) ? new Refusal(reason) : gone())
}

export function gone (): Refusal { return new Refusal('unavailable', { message: 'the sender has gone' }) }

/** The server has taken the connection out of the room. */
export function takenOut (room: string, message = 'the server has taken you out of this room'): Refusal {
  return new Refusal('not_joined', { room, message })
}
