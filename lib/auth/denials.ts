import type { DenialStore } from '../adapters/adapter.js'
import type { Identity } from '../connection/identity.js'
import { REALTIME_ERR_ADAPTER } from '../errors/misuse.js'
import { isUnavailable, Refusal } from '../errors/refusal.js'
import { keyOfKind } from '../protocol/key.js'
import { Remembered } from '../retention/remembered.js'
import { Retention } from '../retention/retention.js'
import type { Awaitable } from '../structures/awaitable.js'
import { inLists, settleInBatches } from '../structures/slices.js'
import { Sweeper } from '../structures/sweeper.js'

export interface DenialsOptions {
  /** Absent where the adapter keeps none. */
  readonly store: DenialStore | undefined
  /** Bytes of the denials that this node remembers on its own. */
  readonly bytes: number
  /** Called when a denial was evicted before its time because of this bound. */
  readonly onForgotten?: () => void
  /** Whether a user is let in while the adapter cannot be asked about it. */
  readonly whenUnavailable: 'admit' | 'refuse'
}

interface Denied {
  readonly subject: string
  readonly until: number
  /** That of the newest denial that this node has heard of. */
  readonly version: number | undefined
}

/** What of a connection is denied. */
export interface Found {
  readonly isUser: boolean
  readonly isToken: boolean
  /** Whether some room was taken from the user. */
  readonly hasLost: boolean
  /** Those of the asked ones that were. */
  readonly rooms: readonly string[]
  /** Why that is not all: what came of a question that the adapter could not be asked. */
  readonly missing?: unknown
}

const NOTHING: Found = { isUser: false, isToken: false, hasLost: false, rooms: [] }
/** Denials that are checked for expiry when one is added. */
const SWEEP = 8
/** Denials that one turn of the event loop examines beside that. */
const SLICE = 1_000
/** Denials that an adapter is told at a time. */
const BATCH = 100

/** @throws Refusal `revoked` */
function checked (identity: Identity, isDenied: boolean, hasLost: boolean): Identity {
  if (isDenied) throw new Refusal('revoked')
  return hasLost ? { ...identity, hasLost } : identity
}

async function checkedLater (
  identity: Identity,
  isDenied: Awaitable<boolean>,
  hasLost: Awaitable<boolean>
): Promise<Identity> {
  // Whoever is denied is told so, whatever comes of the other question.
  Promise.resolve(hasLost).catch(() => {})
  const found = await isDenied
  return checked(identity, found, found || await hasLost)
}

/**
 * Users and tokens that are denied for a time: by the adapter on all nodes, and on this node whatever happens to the
 * adapter's server.
 */
export class Denials {
  readonly #options: DenialsOptions
  /**
   * Denials that this node has heard of, with their ends. They hold here whatever the adapter's server says, since it
   * may have lost them.
   */
  readonly #denied: Remembered<Denied>
  readonly #retention: Retention
  readonly #sweeper: Sweeper
  /** Whether this node has heard of a room that was taken from a user. */
  #hasTaken = false

  constructor (options: DenialsOptions) {
    this.#options = options
    this.#retention = new Retention(options.bytes)
    this.#denied = new Remembered(this.#retention)
    this.#sweeper = new Sweeper(() => this.#retention.sweep(Date.now(), SLICE))
  }

  /** Begins to drop what has expired; `stop` ends it. */
  start (): void { this.#sweeper.start() }

  stop (): void { this.#sweeper.stop() }

  /** Bytes of the denials that this node remembers on its own. */
  get bytes (): number { return this.#retention.bytes }

  /**
   * @returns the identity, which says where rooms were taken from the user
   * @throws Refusal `revoked`
   */
  check (identity: Identity): Awaitable<Identity> {
    const { store } = this.#options
    const { userId, tokenId } = identity
    if (store === undefined) return identity
    const subjects = tokenId === undefined
      ? [keyOfKind('user', userId)]
      : [keyOfKind('user', userId), keyOfKind('token', tokenId)]
    const now = Date.now()
    if (subjects.some((subject) => this.#denied.get(subject, now) !== undefined)) throw new Refusal('revoked')
    const found = this.#asked(store, subjects)
    const hasLost = this.#asked(store, [keyOfKind('member', userId)])
    if (found instanceof Promise || hasLost instanceof Promise) return checkedLater(identity, found, hasLost)
    return checked(identity, found, hasLost)
  }

  /**
   * Checks whether a room was taken from a user. The adapter is asked only where its answer to `check` was that some
   * room was; what has been taken since, this node has heard.
   *
   * @throws Refusal `revoked`
   */
  checkRoom ({ userId, hasLost }: Identity, room: string): Awaitable<void> {
    const { store } = this.#options
    if (store === undefined || (!this.#hasTaken && hasLost !== true)) return
    const subject = keyOfKind('member', userId, room)
    if (this.#denied.get(subject, Date.now()) !== undefined) throw new Refusal('revoked', { room })
    if (hasLost !== true) return
    const found = this.#asked(store, [subject])
    const refuse = (isDenied: boolean): void => { if (isDenied) throw new Refusal('revoked', { room }) }
    return found instanceof Promise ? found.then(refuse) : refuse(found)
  }

  /**
   * Says what of a connection is denied by now, by what this node remembers and by the adapter. An adapter that can
   * answer some of the questions only keeps nothing back that it has answered. Rejects where it can answer none.
   *
   * @param rooms that it is in
   */
  async find ({ userId, tokenId }: Identity, rooms: readonly string[]): Promise<Found> {
    const { store } = this.#options
    if (store === undefined) return NOTHING
    const now = Date.now()
    const isAny = async (subjects: readonly string[]): Promise<boolean> => {
      return subjects.some((subject) => this.#denied.get(subject, now) !== undefined) || await store.isDenied(subjects)
    }
    const user = keyOfKind('user', userId)
    const token = tokenId === undefined ? [] : [keyOfKind('token', tokenId)]
    const member = keyOfKind('member', userId)
    // One question for nearly everybody; of the few others it is asked which.
    if (!await isAny([user, ...token, member])) return NOTHING
    const missing: unknown[] = []
    const isSaid = async (subjects: readonly string[]): Promise<boolean> => {
      return await isAny(subjects).catch((error: unknown) => { missing.push(error) }) === true
    }
    const [isUser, isToken, hasLost] = await Promise.all([
      isSaid([user]), token.length > 0 && isSaid(token), isSaid([member])
    ])
    const lost: string[] = []
    const failed = await settleInBatches(hasLost ? rooms : [], BATCH, async (room) => {
      if (await isAny([keyOfKind('member', userId, room)])) lost.push(room)
    }, isUnavailable)
    missing.push(...failed.values())
    return { isUser, isToken, hasLost, rooms: lost, ...(missing.length === 0 ? {} : { missing: missing[0] }) }
  }

  /** Which revocation of a room the adapter keeps as the newest; 0 where it does not tell one from another. */
  async newest (userId: string, room: string): Promise<number> {
    return await this.#options.store?.version?.(keyOfKind('member', userId, room)) ?? 0
  }

  /** The newest revocation of a room of which this node has heard; `undefined` where it remembers none. */
  heardOf (userId: string, room: string): number | undefined {
    const heard = this.#denied.get(keyOfKind('member', userId, room), Date.now())
    return heard === undefined ? undefined : heard.version ?? 0
  }

  #asked (store: DenialStore, subjects: readonly string[]): Awaitable<boolean> {
    const found = store.isDenied(subjects)
    return found instanceof Promise ? found.catch((error: unknown) => this.#unasked(error)) : found
  }

  #unasked (error: unknown): boolean {
    if (this.#options.whenUnavailable === 'refuse') throw error
    return false
  }

  /**
   * Denies a user or a token from now on.
   *
   * @param until Unix milliseconds
   * @param version higher than that of each denial of it before
   * @throws REALTIME_ERR_ADAPTER where the adapter keeps no denials
   */
  async deny (subject: string, until: number, version?: number): Promise<void> {
    const { store } = this.#options
    if (store === undefined) {
      throw new REALTIME_ERR_ADAPTER(
        'this adapter keeps no denials: revoke cannot keep anybody out; use redis(), or nats() with JetStream'
      )
    }
    // A denial that is over already need not be kept.
    if (until <= Date.now()) return
    await store.deny(subject, until, version)
    this.remember(subject, until, version)
  }

  /**
   * Takes a room from a user from now on.
   *
   * @param until Unix milliseconds
   * @returns which revocation of the room it is, as far as the adapter can tell one from another
   * @throws REALTIME_ERR_ADAPTER where the adapter keeps no denials
   */
  async take (userId: string, room: string, until: number): Promise<number | undefined> {
    const subject = keyOfKind('member', userId, room)
    // Those before may have been made by a node whose clock is ahead.
    const last = Math.max(await this.newest(userId, room), this.heardOf(userId, room) ?? 0)
    const version = this.#options.store?.version === undefined ? undefined : Math.max(Date.now(), last + 1)
    // Whoever connects asks for single rooms only where this says that there are such.
    await this.deny(keyOfKind('member', userId), until)
    await this.deny(subject, until, version)
    this.#hasTaken = true
    return version
  }

  /**
   * Remembers that a room was taken from a user, as the adapter keeps it.
   *
   * @param until Unix milliseconds
   * @param version which revocation of the room it is
   */
  rememberTaken (userId: string, room: string, until: number, version?: number): void {
    this.remember(keyOfKind('member', userId), until)
    this.remember(keyOfKind('member', userId, room), until, version)
    this.#hasTaken = true
  }

  /**
   * Remembers a denial that the adapter keeps.
   *
   * @param until Unix milliseconds
   */
  remember (subject: string, until: number, version = 0): void {
    const now = Date.now()
    this.#retention.sweep(now, SWEEP)
    const known = this.#denied.get(subject, now)
    const end = Math.max(until, known?.until ?? now)
    const newest = Math.max(version, known?.version ?? 0)
    if (end === now || (end === known?.until && newest === (known.version ?? 0))) return
    const { evicted } = this.#retention
    // Each denial is its own owner, because they end at different times.
    this.#denied.set(subject, subject, { subject, until: end, version: newest || undefined }, 0, end, now)
    if (this.#retention.evicted > evicted) this.#options.onForgotten?.()
  }

  /**
   * Tells an adapter whose server has lost its data which denials this node remembers. One that it does not take keeps
   * none of the others from it.
   *
   * @throws what came of the first that it did not take, when it was told all others
   */
  async restore (): Promise<void> {
    const { store } = this.#options
    if (store === undefined) return
    await inLists(this.#denied.values(Date.now()), BATCH, async (batch) => {
      const told = batch.map(async ({ subject, until, version }) => { await store.deny(subject, until, version) })
      for (const result of await Promise.allSettled(told)) if (result.status === 'rejected') throw result.reason
    })
  }
}
