import type { Position } from '../../protocol/position.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import { Seldom } from '../../structures/seldom.js'
import { inBatches } from '../../structures/slices.js'
import type { AdapterHost } from '../adapter.js'
import { RENEWAL, type Nodes } from '../broker/nodes.js'
import type { Unread } from '../broker/unread.js'
import { newEpoch } from '../history/stream.js'
import type { Keys } from './keys.js'
import type { KnownStreams } from './known.js'
import type { RedisLink } from './link.js'
import { manySettled } from './many.js'
import type { RedisPresence } from './presence.js'
import { checkedPosition } from './reading.js'
import { POSITIONS } from './scripts/stream.js'
import { stepByShard } from './shards.js'
import type { RedisValues, Valued } from './values.js'

export interface RedisPlacesOptions {
  readonly link: RedisLink
  readonly keys: Keys
  readonly known: KnownStreams
  readonly values: Pick<RedisValues, 'isLost' | 'refresh'>
  readonly presence: Pick<RedisPresence, 'isHeld' | 'look'>
  readonly nodes: Pick<Nodes, 'holdAgain'>
  readonly unread: Unread
  /** A room with members here. */
  readonly followed: (room: string) => Valued | undefined
  readonly host: () => Pick<AdapterHost, 'log'>
  /** Milliseconds between two position checks of a quiet room. */
  readonly check: number
  /** Milliseconds after which what a server did not take is reported again: at first, and at the latest. */
  readonly again: readonly [first: number, last: number]
}

/** What names a room of which is read where it stands. */
interface Place { readonly room: string }

type Found = ReadonlyArray<readonly [room: string, position: Position]>

/** Rooms that are read together. */
const BATCH = 100
/** Values in the reply for each room. */
const VALUES = 5
/** Rooms whose presence stays incomplete that are remembered. */
const MAX_INCOMPLETE = 100_000

/**
 * Reads where rooms stand, and tells the broker by the same question what this node has seen of them, so that it finds
 * what it has lost.
 */
export class RedisPlaces {
  readonly #options: RedisPlacesOptions
  readonly #seldom = new Seldom()
  /** Run id of the server that knows what this node had seen by then. */
  #reportedTo: string | undefined
  /** Rooms of which the server may not know yet what this node had seen. */
  #untold: readonly Place[] = []
  /** When these are reported again, by `performance.now()`. */
  #due = Number.POSITIVE_INFINITY
  /** Milliseconds until then: more each time, because a room may never be readable. */
  #wait = 0
  /** How often all rooms were to be reported. */
  #reports = 0
  /**
   * Rooms whose presence is not complete, and for which this node has held anew what it holds: what is missing is not
   * this node's.
   */
  readonly #incomplete = new ExpiringMap<true>(MAX_INCOMPLETE)

  constructor (options: RedisPlacesOptions) {
    this.#options = options
  }

  /** Reads where one room stands. */
  async position (room: string): Promise<Position> {
    const place = { room }
    const { found, failed } = await this.#read([place])
    if (failed.has(place)) throw failed.get(place)
    return found[0]![1]
  }

  /**
   * Reads where very many rooms stand, those of each shard by themselves: a room that cannot be read, and a shard that
   * is away, keep none of the others from being read. What could not be read is logged.
   *
   * @param take takes the rooms that were read
   * @returns those that were not, and why
   */
  async readAll<T extends Place> (
    all: Iterable<T>,
    take: (read: readonly T[], found: Found) => void
  ): Promise<ReadonlyMap<T, unknown>> {
    const { link, keys, host } = this.#options
    const unread = await stepByShard(all, BATCH, ({ room }) => link.shardOf(keys.meta(room)), async (some) => {
      const { found, failed } = await this.#read(some)
      take(some.filter((place) => !failed.has(place)), found)
      return failed
    })
    const [first] = unread
    if (first === undefined) return unread
    const held = this.#seldom.due('places')
    if (held !== undefined) {
      host().log.warn(
        { err: first[1], room: first[0].room, rooms: unread.size },
        'rooms could not be read from Redis and may lack events until they can be; they are read again and again'
      )
    }
    return unread
  }

  /**
   * Reports what this node has seen of rooms without members here, because no other node may know it. It is known to
   * the server to which it was reported last; in a cluster, where no single one is, it is reported each time. The rooms
   * that a server does not take, because it refuses to write for now or is away, are reported again by `look`.
   */
  report (): void {
    const { link, known, again } = this.#options
    const { run } = link
    const report = ++this.#reports
    this.#due = Number.POSITIVE_INFINITY
    if (run !== '' && run === this.#reportedTo) return
    this.#wait = again[0]
    void known.others().then((rooms) => this.#tell(rooms.map((room) => ({ room })), report))
  }

  /** Runs every few seconds: reports again what a server did not take, once it is due. */
  look (): void {
    if (this.#due > performance.now() || !this.#options.link.isUp) return
    this.#due = Number.POSITIVE_INFINITY
    void this.#tell(this.#untold, this.#reports)
  }

  /** Never rejects. */
  async #tell (rooms: readonly Place[], report: number): Promise<void> {
    const { link: { run }, again } = this.#options
    const untold = await this.readAll(rooms, () => {})
    // All are reported anew.
    if (report !== this.#reports) return
    this.#untold = [...untold.keys()]
    if (untold.size === 0) {
      this.#reportedTo = run
      return
    }
    this.#due = performance.now() + this.#wait
    this.#wait = Math.min(2 * this.#wait, again[1])
  }

  /**
   * Reads where rooms stand whose stream is kept. Presence that is not complete is repaired.
   *
   * @returns the positions, and the rooms of which that failed, and why
   */
  async #read<T extends Place> (
    places: readonly T[]
  ): Promise<{ readonly found: Found, readonly failed: ReadonlyMap<T, unknown> }> {
    const { link, keys, known, values, presence, nodes, unread, followed, check } = this.#options
    const items = places.map((place) => {
      const { room } = place
      const isKept = followed(room)?.settings.history !== false
      const args = [isKept ? newEpoch() : '', known.seen(room), presence.isHeld(room) ? '1' : '']
      return { place, isKept, keys: keys.place(room), args }
    })
    const found: Array<readonly [string, Position]> = []
    const failed = new Map<T, unknown>()
    const lost: string[] = []
    let isLost = false
    const args = [link.run, Math.ceil(check)]
    for (const [{ place, isKept }, result] of await manySettled(link, POSITIONS, args, items, VALUES)) {
      if (result.status === 'rejected') {
        failed.set(place, result.reason)
        continue
      }
      const { room } = place
      const [epoch = '', top, at, state, version = ''] = result.value
      if (values.isLost(room, Number(version))) lost.push(room)
      if (state !== '' && presence.isHeld(room)) presence.look(room, 0)
      if (this.#isLost(room, state === 'm' && presence.isHeld(room))) isLost = true
      if (!isKept) continue
      try {
        const position = checkedPosition(unread, epoch, Number(top))
        known.learn(room, position, Number(at))
        found.push([room, position])
      } catch (error) {
        failed.set(place, error)
      }
    }
    // Keys have been removed, so everything that this node holds is taken again.
    if (isLost) nodes.holdAgain()
    // What fails is found by the next check.
    void inBatches(lost, BATCH, async (room) => { await values.refresh(followed(room), true).catch(() => {}) })
    return { found, failed }
  }

  /**
   * Whether this node may hold what is missing in a room: not where it was missing already when this node held all
   * anew. A dead node's entries may stay without a mark for long. With a renewal it is held anew all the same.
   */
  #isLost (room: string, isMissing: boolean): boolean {
    const now = performance.now()
    if (!isMissing) this.#incomplete.delete(room)
    if (!isMissing || this.#incomplete.get(room, now) !== undefined) return false
    this.#incomplete.set(room, true, now + RENEWAL, now)
    return true
  }
}
