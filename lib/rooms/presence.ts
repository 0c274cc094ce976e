import type { PresenceChange, PresenceEntry, PresenceStore } from '../adapters/adapter.js'
import { keyOf } from '../protocol/key.js'
import { GivenUp } from '../structures/given-up.js'
import { Lately } from '../structures/lately.js'
import { OrderedMap } from '../structures/ordered-map.js'
import { Rerun } from '../structures/rerun.js'
import { ShardedMap } from '../structures/sharded-map.js'
import { inLists } from '../structures/slices.js'
import { every } from '../structures/timers.js'

export interface PresenceOptions {
  /** Milliseconds between a connection's end and its leave. */
  readonly grace: number
  /** Milliseconds that an entry outlives a node that died. */
  readonly lease: number
}

/** Longest time between two sweeps for expired entries, in milliseconds. */
const MAX_SWEEP = 5_000

/** Entries in one renewal: as many are gathered in one turn of the event loop. */
const BATCH = 500
/**
 * Leaves of which the store could not be told: how many are remembered, for how many milliseconds, and how many are
 * told at a time.
 */
const MAX_OWED = 10_000
const OWED = 1_800_000
const AT_ONCE = 500

/**
 * Milliseconds within which the node to which a connection has moved renews its entry, where the store does not know
 * that it is that node's: entries with a short lease have no node there, and each node renews those as its own; and
 * data that is older than the move has the former node.
 */
const HANDED_OVER = 10_000

/** A member whose entry is kept here. */
interface Present { readonly name: string, entry: PresenceEntry | undefined }
interface Placed { readonly room: string, readonly entry: PresenceEntry }
interface Ending extends Placed { readonly endsAt: number }

/** Keeps the presence entries of this node's members alive, and sweeps the rooms that have members here. */
export class PresenceKeeper {
  readonly #store: PresenceStore
  readonly #options: PresenceOptions
  readonly #rooms: () => Iterable<string>
  readonly #onError: (error: unknown) => void
  readonly #tell: (room: string, userId: string, former: readonly string[]) => void
  readonly #entries = new ShardedMap<Placed>()
  readonly #owed = new OrderedMap<Ending>()
  /** Leaves that were given up because too many were owed. */
  readonly #givenUp = new GivenUp()
  /** Entries that ended lately, by their names: data without the last changes still shows them. */
  readonly #ended = new Lately<Ending>()
  /** Whether entries are kept as long as their node: else one that comes back so ends on its own, soon. */
  readonly #isKeptByNode: boolean
  readonly #renewal = new Rerun(() => this.#renewAll())
  /** That of the newest entry. */
  #fence = 0
  #isSweeping = false
  #sweeper: NodeJS.Timeout | undefined
  #renewer: NodeJS.Timeout | undefined

  /** @param tell tells the other nodes, one of which holds an entry that has been succeeded */
  constructor (
    store: PresenceStore,
    options: PresenceOptions,
    rooms: () => Iterable<string>,
    onError: (error: unknown) => void,
    tell: (room: string, userId: string, former: readonly string[]) => void = () => {}
  ) {
    this.#store = store
    this.#options = options
    this.#rooms = rooms
    this.#onError = onError
    this.#tell = tell
    this.#isKeptByNode = (store.renewal?.(options.lease) ?? 0) > options.lease
  }

  start (): void {
    const { grace, lease } = this.#options
    const sweep = Math.max(20, Math.min(MAX_SWEEP, grace / 3))
    this.#sweeper = every(() => {
      this.#endOwed()
      this.#run(() => this.#sweep())
    }, sweep).unref()
    if (this.#store.renew === undefined) return
    this.#renewer = every(() => { this.#run(() => this.renew()) }, this.#store.renewal?.(lease) ?? lease / 3).unref()
  }

  /**
   * Renews the entries of this node's members, and makes them again where the store has lost them. Resolves when that
   * is done for all present members; rejects when it failed for some.
   */
  async renew (): Promise<void> {
    await this.#renewal.run()
  }

  /**
   * Renews, and ends what has ended lately once more, since the data may lack the last changes. The data may not know
   * either which node holds an entry by now, so that node gets the time to renew it.
   */
  async restore (): Promise<void> {
    const renewed = performance.now() + HANDED_OVER
    this.#ended.again((placed) => { this.#end(placed, Math.max(placed.endsAt, renewed)) })
    await this.renew()
  }

  stop (): void {
    clearInterval(this.#sweeper)
    clearInterval(this.#renewer)
  }

  /** Only one sweep runs at a time: with very many rooms it may take longer than the time between two. */
  async #sweep (): Promise<void> {
    if (this.#isSweeping) return
    this.#isSweeping = true
    try {
      await this.#store.sweep(this.#rooms())
    } finally {
      this.#isSweeping = false
    }
  }

  async #renewAll (): Promise<void> {
    await inLists(this.#entries.values(), BATCH, (batch) => this.#renewSome(batch))
  }

  /**
   * Renews some entries. An entry that ended meanwhile may have been made again by the renewal, and nothing else would
   * end it.
   */
  async #renewSome (batch: readonly Placed[]): Promise<void> {
    try {
      await this.#store.renew?.(batch, this.#options.lease)
    } finally {
      const endsAt = performance.now() + this.#options.grace
      for (const placed of batch) {
        const name = nameOf(placed.room, placed.entry)
        if (!this.#entries.has(name)) this.#end(placed, endsAt)
      }
    }
  }

  /** Makes an entry that is told from all others under the same names, for the time when it ends. */
  fenced (entry: PresenceEntry): PresenceEntry { return { ...entry, fence: ++this.#fence } }

  /** @returns the entry as it is kept: with the data by which its user is shown, where that was changed */
  async join (room: string, given: PresenceEntry): Promise<PresenceEntry> {
    const entry = given.fence === undefined ? this.fenced(given) : given
    this.#entries.set(nameOf(room, entry), { room, entry })
    this.#owed.delete(nameOf(room, entry))
    this.#ended.forget(nameOf(room, entry))
    const joined = this.#store.join(room, entry, this.#options.lease)
    const shown = joined instanceof Promise ? await joined : joined
    if (typeof shown !== 'object') return entry
    const kept = { ...entry, ...shown }
    this.replace(room, kept)
    return kept
  }

  /**
   * Ends the entries of the connections that a client had before its present one, which has joined: so the user is not
   * shown for longer than that is, and never as gone in between. Where the store does not get it, they end with their
   * grace or lease.
   *
   * @param former ids, joined by commas
   */
  succeed (room: string, { userId, connection }: PresenceEntry, former: string): void {
    // A connection that polls comes back as itself.
    const ids = former.split(',').filter((id) => id !== connection)
    if (ids.length === 0) return
    this.#letGo(room, userId, ids)
    const fence = this.#fence
    this.#run(async () => {
      const isElsewhere = await this.#store.succeed?.(room, userId, ids)
      // Until the store has ended them, a leave that is owed is all that would.
      if (isElsewhere !== undefined) this.#settle(room, userId, ids, fence)
      if (isElsewhere === true) this.#tell(room, userId, ids)
    })
  }

  /** Lets go of entries that a client has left behind, which the store has no more. */
  release (room: string, userId: string, former: readonly string[]): void {
    this.#letGo(room, userId, former)
    this.#settle(room, userId, former, this.#fence)
  }

  #letGo (room: string, userId: string, former: readonly string[]): void {
    for (const id of former) {
      const name = keyOf(id, room)
      const held = this.#entries.get(name)
      if (held?.entry.userId === userId) {
        this.#entries.delete(name)
        this.#remember({ ...held, endsAt: performance.now() })
      }
    }
  }

  /** Owes no leave any more of what a client has left behind. One that came later may have joined later as well. */
  #settle (room: string, userId: string, former: readonly string[], fence: number): void {
    for (const id of former) {
      const name = keyOf(id, room)
      const owed = this.#owed.get(name)?.entry
      if (owed?.userId === userId && (owed.fence ?? 0) <= fence) this.#owed.delete(name)
    }
  }

  /** Whether this node keeps the connection of a user present in the room. */
  isHeld (room: string, userId: string, connection: string): boolean {
    return this.#entries.get(keyOf(connection, room))?.entry.userId === userId
  }

  /** Keeps an entry with other data from now on, for the time when it has to be made again. */
  replace (room: string, entry: PresenceEntry): void {
    const name = nameOf(room, entry)
    const fence = this.#entries.get(name)?.entry.fence
    if (fence !== undefined && fence === (entry.fence ?? fence)) {
      this.#entries.set(name, { room, entry: { ...entry, fence } })
    }
  }

  /** Keeps the entries of members as they are shown, because a store that has lost them is given them again. */
  changed (members: Iterable<Present>, { sequence, changed }: PresenceChange): void {
    if (changed === undefined) return
    const shown = new Map(changed.map((user) => [user.userId, user.data]))
    for (const member of members) {
      const { name, entry } = member
      if (entry === undefined || !shown.has(entry.userId) || sequence <= (entry.changed ?? 0)) continue
      member.entry = { ...entry, data: shown.get(entry.userId), changed: sequence }
      this.replace(name, member.entry)
    }
  }

  /**
   * Ends an entry; one without a fence is the newest under its names.
   *
   * @param isMeant whether the peer said that it leaves: then without grace
   */
  leave (room: string, entry: PresenceEntry, isMeant: boolean): void {
    this.#drop(room, entry, isMeant ? 0 : this.#options.grace)
  }

  /** Ends an entry `grace` ms from now, unless the same connection has joined again since. */
  #drop (room: string, entry: PresenceEntry, grace: number): void {
    const name = nameOf(room, entry)
    const fence = this.#entries.get(name)?.entry.fence
    if (fence !== undefined && fence > (entry.fence ?? fence)) return
    this.#entries.delete(name)
    this.#end({ room, entry: { ...entry, fence: entry.fence ?? fence } }, performance.now() + grace)
  }

  /**
   * Ends an entry at the store. Nothing else ends it while its node lives, so a leave that the store did not get is
   * sent again later.
   */
  #end (placed: Placed, endsAt: number): void {
    const { room, entry } = placed
    const owe = (error: unknown): void => {
      this.#onError(error)
      const name = nameOf(room, entry)
      // The member has joined again meanwhile, or the entry has expired on its own by now.
      if (this.#entries.has(name) || performance.now() - endsAt > OWED) return
      // What is owed of a later joining ends this entry as well.
      if ((this.#owed.get(name)?.entry.fence ?? 0) > (entry.fence ?? 0)) return
      this.#owed.set(name, { ...placed, endsAt })
      if (this.#owed.size <= MAX_OWED) return
      this.#owed.shift()
      this.#givenUp.note()
    }
    try {
      const left = this.#store.leave(room, entry, Math.max(0, endsAt - performance.now()))
      if (left instanceof Promise) left.then(() => { this.#remember({ ...placed, endsAt }) }, owe)
    } catch (error) {
      owe(error)
    }
  }

  #remember (placed: Ending): void {
    const name = nameOf(placed.room, placed.entry)
    if (this.#isKeptByNode && !this.#entries.has(name)) this.#ended.remember(name, placed, placed.endsAt)
  }

  #endOwed (): void {
    this.#givenUp.report((count) => { this.#onError(new Error(givenUp(count))) })
    let count = 0
    for (const [name, placed] of this.#owed) {
      if (++count > AT_ONCE) break
      this.#owed.delete(name)
      this.#end(placed, placed.endsAt)
    }
  }

  /**
   * Hands an entry over to another node, which keeps it alive from now on, and to which the store leaves it. Where that
   * node has not taken it, because the message is older than the last move, nothing else would ever end it.
   */
  handOver (room: string, entry: PresenceEntry): void {
    this.#drop(room, entry, Math.max(this.#options.grace, HANDED_OVER))
  }

  #run (step: () => unknown): void {
    try {
      const result = step()
      if (result instanceof Promise) result.catch(this.#onError)
    } catch (error) {
      this.#onError(error)
    }
  }
}

function givenUp (count: number): string {
  return `${count} users who have left are shown until their entries run out, since the adapter could not be told of more than ${MAX_OWED}`
}

function nameOf (room: string, { connection }: PresenceEntry): string {
  return keyOf(connection, room)
}
