import type { Peer } from '../admission/peer.js'
import { Refusal } from '../errors/refusal.js'
import { isCode, type EndReason } from '../protocol/codes.js'
import { inTurns } from '../structures/slices.js'

/** Called once when nobody waits for a handler's outcome any more, with the reason. */
export type GiveUp = (why: Refusal) => void

interface Follower {
  readonly giveUp: GiveUp
  readonly room: string
  readonly whenMoved: (() => void) | undefined
  among: Followers
}

/** Handlers that one turn of the event loop tells of the server's end. */
const AT_ONCE = 100

/**
 * Tells handlers under way that nobody waits for them any more: their connection has ended for good, the server has
 * taken it out of their room, or the server closes. Only handlers that have asked for it are known here, and each
 * until it ends.
 */
export class Departures {
  readonly #ofConnection = new Followers()
  /** Those without a connection, and those whose connection lives on another node. */
  readonly #others = new Followers()
  #closed: Refusal | undefined
  /** Called for a connection that has moved to another node, with each room in which somebody follows it. */
  onMoved: ((connection: Peer, room: string) => void) | undefined

  /**
   * @param connection id of the connection that waits
   * @param room in which the handler runs
   * @param whenMoved ends the following in a way of its own when the connection moves to another node
   * @returns ends the following
   */
  follow (connection: string, room: string, giveUp: GiveUp, whenMoved?: () => void): () => void {
    return this.#follow(this.#ofConnection, connection, room, giveUp, whenMoved)
  }

  /** @param connection id of the connection that waits on another node; absent where there is none */
  followElsewhere (connection: string | undefined, room: string, giveUp: GiveUp): () => void {
    return this.#follow(this.#others, connection, room, giveUp)
  }

  #follow (among: Followers, connection = '', room: string, giveUp: GiveUp, whenMoved?: () => void): () => void {
    if (this.#closed !== undefined) {
      giveUp(this.#closed)
      return () => undefined
    }
    const follower: Follower = { giveUp, room, whenMoved, among }
    among.add(connection, follower)
    return () => { follower.among.delete(connection, follower) }
  }

  /** @param why called where somebody follows the connection */
  ended (connection: string, why: () => Refusal): void {
    const waiting = this.#ofConnection.take(connection)
    if (waiting.length === 0) return
    const reason = why()
    for (const { giveUp } of waiting) giveUp(reason)
  }

  /** The server has taken a connection out of a room. */
  taken (connection: string, name: string, why: Refusal): void { this.#ofConnection.tell(connection, name, why) }

  /** Another node says that a connection of it has ended, or was taken out of a room. */
  departed (connection: string, name: string, why: Refusal): void { this.#others.tell(connection, name, why) }

  /** A connection that polls lives on another node from here on, which knows its end. */
  moved (connection: Peer): void {
    const waiting = this.#ofConnection.take(connection.id)
    for (const follower of waiting) {
      if (follower.whenMoved !== undefined) {
        follower.whenMoved()
        continue
      }
      follower.among = this.#others
      this.#others.add(connection.id, follower)
    }
    for (const room of new Set(waiting.map((follower) => follower.room))) this.onMoved?.(connection, room)
  }

  /** Tells all of them, and whoever follows later. */
  async close (why: Refusal): Promise<void> {
    this.#closed = why
    const all = [...this.#others.takeAll(), ...this.#ofConnection.takeAll()]
    await inTurns(all, AT_ONCE, ({ giveUp }) => { giveUp(why) })
  }
}

/** Followers by the ids of their connections. */
class Followers {
  readonly #of = new Map<string, Set<Follower>>()

  add (connection: string, follower: Follower): void {
    const known = this.#of.get(connection)
    if (known === undefined) this.#of.set(connection, new Set([follower]))
    else known.add(follower)
  }

  delete (connection: string, follower: Follower): void {
    const known = this.#of.get(connection)
    known?.delete(follower)
    if (known?.size === 0) this.#of.delete(connection)
  }

  take (connection: string): Follower[] {
    const known = this.#of.get(connection) ?? []
    this.#of.delete(connection)
    return [...known]
  }

  takeAll (): Follower[] {
    const all = [...this.#of.values()].flatMap((known) => [...known])
    this.#of.clear()
    return all
  }

  /** Tells those in a room. */
  tell (connection: string, name: string, why: Refusal): void {
    for (const { giveUp, room } of [...this.#of.get(connection) ?? []]) if (room === name) giveUp(why)
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
