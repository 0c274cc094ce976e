import { Refusal } from '../errors/refusal.js'
import { keyOfKind } from '../protocol/key.js'

/** The rooms of a connection, as far as a decision about it has to know them. */
interface InRooms { get (name: string): object | undefined }

/** What the server revokes: for a user, a token, a connection or the members of a room all access, or one room. */
export interface Revocation {
  readonly user?: string | undefined
  readonly tokenId?: string | undefined
  readonly connection?: string | undefined
  /** The room whose members are meant, and those who are entering it. */
  readonly of?: string | undefined
  /** Absent for all rooms. */
  readonly room?: string | undefined
  /** Whether the room was taken from its user, who is refused there as well without being a member. */
  readonly isTaken?: boolean
  /** Sent to the peers concerned. */
  readonly message?: string | undefined
}

/** A caller that waits to be let in; `connection` as far as it has an id. */
export interface Waiting {
  readonly userId: string
  readonly tokenId?: string | undefined
  readonly connection?: string | undefined
  /** Rooms that it is in. */
  readonly rooms?: InRooms | undefined
}

type Follow = (revocation: Revocation) => void

/**
 * Revocations that are remembered. A decision that began before the oldest of them is refused, because it could not be
 * checked.
 */
const MAX_REMEMBERED = 4_096

/**
 * The latest revocations on this node, in order. Code that has to wait during a decision keeps the `moment` at which it
 * began, and checks right before the effect what was revoked since then. A revocation itself reaches only what exists;
 * this check finds what was about to.
 */
export class Revocations {
  /** Who wants to be told, by the key of the user, token or connection. */
  readonly #following = new Map<string, Set<Follow>>()
  #latest: Revocation[] = []
  #moment = 0

  /** Number of revocations so far. */
  get moment (): number { return this.#moment }

  add (revocation: Revocation): void {
    this.#moment++
    this.#latest.push(revocation)
    if (this.#latest.length >= 2 * MAX_REMEMBERED) this.#latest = this.#latest.slice(-MAX_REMEMBERED)
    for (const key of keysOf({ ...revocation, userId: revocation.user })) {
      for (const told of this.#following.get(key) ?? []) told(revocation)
    }
  }

  /**
   * Calls back at each revocation that concerns `who`, also of one room.
   *
   * @returns ends it
   */
  follow (who: Waiting, told: Follow): () => void {
    const keys = keysOf(who)
    for (const key of keys) {
      const known = this.#following.get(key)
      if (known === undefined) this.#following.set(key, new Set([told]))
      else known.add(told)
    }
    return () => {
      for (const key of keys) {
        const known = this.#following.get(key)
        known?.delete(told)
        if (known?.size === 0) this.#following.delete(key)
      }
    }
  }

  /**
   * @param since the moment at which the decision began
   * @param name the room in which the caller acts
   * @throws Refusal `revoked`; `unavailable` when the decision took so long that it cannot be checked
   */
  check (since: number, who: Waiting, name?: string): void {
    for (const { room, message, isTaken } of this.#of(since, who, name)) {
      if (room === undefined) throw new Refusal('revoked', { message })
      if (isTaken === true && room === name) throw new Refusal('revoked', { room, message })
    }
  }

  /**
   * Checks one room too, from which the server may have removed the connection while it was entering.
   *
   * @throws Refusal `forbidden` too
   */
  checkRoom (since: number, who: Waiting, name: string): void {
    this.check(since, who, name)
    for (const { room } of this.#of(since, who, name)) {
      if (room === name) {
        throw new Refusal('forbidden', { room: name, message: 'the server has taken you out of this room' })
      }
    }
  }

  #of (since: number, { userId, tokenId, connection, rooms }: Waiting, name?: string): Revocation[] {
    if (since === this.#moment) return []
    const first = this.#moment - this.#latest.length
    if (since < first) {
      throw new Refusal('unavailable', { message: 'too much was revoked in the meantime', retryAfter: 1_000 })
    }
    return this.#latest.slice(since - first).filter((revocation) => {
      const { of } = revocation
      if (of !== undefined) return of === name || rooms?.get(of) !== undefined
      if (revocation.user !== undefined) return revocation.user === userId
      if (revocation.tokenId !== undefined) return revocation.tokenId === tokenId
      return revocation.connection !== undefined && revocation.connection === connection
    })
  }
}

function keysOf (
  { userId, tokenId, connection }: Omit<Waiting, 'userId'> & { readonly userId: string | undefined }
): string[] {
  return [
    ...(userId === undefined ? [] : [keyOfKind('user', userId)]),
    ...(tokenId === undefined ? [] : [keyOfKind('token', tokenId)]),
    ...(connection === undefined ? [] : [keyOfKind('connection', connection)])
  ]
}
