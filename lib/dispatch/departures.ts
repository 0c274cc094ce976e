import type { Peer } from '../admission/peer.js'
import { KeptRefusal } from '../errors/kept-refusal.js'
import { Refusal } from '../errors/refusal.js'
import { isCode, type EndReason } from '../protocol/codes.js'
import { inTurns } from '../structures/slices.js'

/** Called once when nobody waits for a handler's outcome any more, with the reason. */
export type GiveUp = (why: Refusal) => void

/** What a follower may say of itself. */
export interface Following {
  /** Moment, by `performance.now()`, since which it concerns the follower; absent: now. */
  readonly begun?: number
  /** Whose connection on another node it is, so that it can be asked for again. */
  readonly user?: string
  /** Ends the following in a way of its own when the connection moves to another node. */
  readonly whenMoved?: () => void
}

/** A connection of another node. */
export interface Followed {
  readonly connection: string
  readonly user: string
  /** The room in which somebody follows it. */
  readonly room: string
}

interface Follower {
  readonly giveUp: GiveUp
  readonly room: string
  readonly begun: number
  user: string | undefined
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
  readonly #moved = new WeakSet<Peer>()
  #closed: Refusal | undefined
  /** Called for each connection that has ended for good, or was taken out of the room, which is given then. */
  onDeparted: ((connection: Peer, why: () => Refusal, room?: string) => void) | undefined
  /** Called for a connection that has moved to another node, with each room in which somebody follows it. */
  onMoved: ((connection: Peer, room: string) => void) | undefined

  /**
   * @param connection id of the connection that waits
   * @param room in which the handler runs
   * @returns ends the following
   */
  follow (connection: string, room: string, giveUp: GiveUp, following?: Following): () => void {
    return this.#follow(this.#ofConnection, connection, room, giveUp, following)
  }

  /** @param connection id of the connection that waits on another node; absent where there is none */
  followElsewhere (
    connection: string | undefined,
    room: string,
    giveUp: GiveUp,
    following?: Following
  ): () => void {
    return this.#follow(this.#others, connection, room, giveUp, following)
  }

  #follow (
    among: Followers,
    connection = '',
    room: string,
    giveUp: GiveUp,
    { begun = performance.now(), user, whenMoved }: Following = {}
  ): () => void {
    if (this.#closed !== undefined) {
      giveUp(this.#closed)
      return () => undefined
    }
    const follower: Follower = { giveUp, room, begun, user, whenMoved, among }
    among.add(connection, follower)
    return () => { follower.among.delete(connection, follower) }
  }

  /** @param why called where somebody asks for it */
  ended (connection: Peer, why: () => Refusal): void {
    if (!this.#moved.has(connection)) this.onDeparted?.(connection, why)
    const waiting = this.#ofConnection.take(connection.id)
    if (waiting.length === 0) return
    const reason = why()
    for (const { giveUp } of waiting) giveUp(reason)
  }

  /** The server has taken a connection out of a room. */
  taken (connection: Peer, name: string, why: Refusal): void {
    const kept = new KeptRefusal(why)
    this.onDeparted?.(connection, () => kept.again(), name)
    this.#ofConnection.tell(connection.id, name, why)
  }

  /**
   * Another node says that a connection of it has ended, or was taken out of a room.
   *
   * @param at when that was, by `performance.now()`: whoever has begun later is not meant
   */
  departed (connection: string, name: string, why: Refusal, at = performance.now()): void {
    this.#others.tell(connection, name, why, at)
  }

  /** Whether a connection of this node lives on another one now. */
  hasMoved (connection: Peer): boolean { return this.#moved.has(connection) }

  /** A connection that polls lives on another node from here on, which knows its end. */
  moved (connection: Peer): void {
    this.#moved.add(connection)
    const waiting = this.#ofConnection.take(connection.id)
    for (const follower of waiting) {
      if (follower.whenMoved !== undefined) {
        follower.whenMoved()
        continue
      }
      follower.among = this.#others
      follower.user = connection.userId
      this.#others.add(connection.id, follower)
    }
    for (const room of new Set(waiting.map((follower) => follower.room))) this.onMoved?.(connection, room)
  }

  /** Connections of other nodes that somebody here follows, each with each room in which somebody does. */
  * elsewhere (): Generator<Followed> {
    for (const [connection, followers] of this.#others.all()) {
      const rooms = new Set<string>()
      for (const { room, user } of followers) {
        if (user === undefined || rooms.has(room)) continue
        rooms.add(room)
        yield { connection, user, room }
      }
    }
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

  all (): Iterable<readonly [connection: string, followers: Iterable<Follower>]> { return this.#of }

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

  /** Tells those in a room who had begun by then. */
  tell (connection: string, name: string, why: Refusal, at = Infinity): void {
    for (const { giveUp, room, begun } of [...this.#of.get(connection) ?? []]) {
      if (room === name && begun <= at) giveUp(why)
    }
  }
}

/** Says why a connection that has ended waits for nothing any more. */
export function reasonOf (ending: Refusal | undefined, reason: EndReason = 'gone'): Refusal {
  return ending ?? (isCode(reason) ? new Refusal(reason) : gone())
}

export function gone (): Refusal { return new Refusal('unavailable', { message: 'the sender has gone' }) }

/** The server has taken the connection out of the room. */
export function takenOut (room: string, message = 'the server has taken you out of this room'): Refusal {
  return new Refusal('not_joined', { room, message })
}
