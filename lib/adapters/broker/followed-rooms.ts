import type { Packet } from '../../protocol/packet.js'
import type { Position } from '../../protocol/position.js'
import { ShardedMap } from '../../structures/sharded-map.js'
import { gather, inTurns } from '../../structures/slices.js'
import type { AdapterHost, RoomSettings } from '../adapter.js'
import { Streams } from '../history/stream.js'
import type { Repeats } from './repeats.js'
import { FollowedStream, type Range } from './tail.js'
import type { Unread } from './unread.js'

/** A room with members on this node. */
export interface Followed {
  readonly room: string
  readonly settings: RoomSettings
  /** Absent where the broker keeps no stream of it. */
  readonly tail: FollowedStream | undefined
  /** Time of its next position check, by `performance.now()`. */
  due: number
  /** How often all rooms had become due when it was compared last. */
  round: number
}

/** The part of a room's stream that repairs a hole. */
export interface Hole {
  /** Where this node stands. */
  readonly since: Position
  /** Most events, and most bytes of them. */
  readonly limit: number
  readonly bytes: number
}

export interface FollowedRoomsOptions<T extends Followed> {
  /** Milliseconds between two position checks of a quiet room, varied by 20 %. */
  readonly check: number
  /** Bytes of retained events of all rooms. */
  readonly historyBytes: number
  readonly repeats: Repeats
  readonly unread: Unread
  /** Whether the broker can be asked. */
  readonly isUp: () => boolean
  readonly deliver: (room: string, settings: RoomSettings, packet: Packet, origin: string) => void
  /** Reads a part of a room's stream from the broker; absent where it keeps none. */
  readonly read: ((room: string, settings: RoomSettings, hole: Hole) => Promise<Range>) | undefined
  /**
   * Compares rooms with the broker.
   *
   * @param done takes each room that has been compared; the others stay due
   */
  readonly compare: (due: readonly T[], done: (followed: T) => void) => Promise<void>
  /**
   * Whether more than its position is compared, so that a room is checked though it is not quiet, and at least every
   * 48 s: a broker that has evicted who is there waits a minute for what nodes hold, and then has them leave.
   */
  readonly isHeld?: (room: string) => boolean
}

/** Events in one read while a hole is repaired. */
const PAGE = 500
/** The same in bytes, so that a room of large events is repaired in more steps. */
const PAGE_BYTES = 1_048_576
/** Rooms that one turn of the event loop ends when all end. */
const ENDED_AT_ONCE = 500
/** Part of the period after which a room in which nothing arrived counts as quiet: the shortest time between two. */
const QUIET = 0.8
/** Longest period in milliseconds of rooms of which more than the position is compared. */
const HELD = 40_000

/**
 * The rooms that have members on this node, with their streams, and when the position of each is to be compared with
 * the broker's: after a while in which nothing arrived, since a subscription may lose messages without a sign, and
 * whenever the link was broken.
 *
 * @typeParam More what an adapter keeps of each room besides
 */
export class FollowedRooms<More extends object = object> {
  readonly #options: FollowedRoomsOptions<Followed & More>
  readonly #rooms = new ShardedMap<Followed & More>()
  readonly #streams: Streams
  #host: AdapterHost | undefined
  #isChecking = false
  /** How often all rooms have become due. */
  #round = 0
  #repairs = 0

  constructor (options: FollowedRoomsOptions<Followed & More>) {
    this.#options = options
    this.#streams = new Streams(options.historyBytes, Number.POSITIVE_INFINITY)
  }

  start (host: AdapterHost): void {
    this.#host = host
    this.#streams.start()
  }

  /**
   * Ends to follow all rooms, a bounded number in each turn: the process may have more to do than to close.
   *
   * @param end what an adapter ends for each room besides
   */
  async close (end: (followed: Followed & More) => void = () => {}): Promise<void> {
    this.#streams.stop()
    await inTurns(this.#rooms.values(), ENDED_AT_ONCE, (followed) => {
      followed.tail?.close()
      end(followed)
    })
    this.#rooms.clear()
  }

  get (room: string): (Followed & More) | undefined { return this.#rooms.get(room) }

  has (room: string): boolean { return this.#rooms.has(room) }

  get size (): number { return this.#rooms.size }

  values (): Iterable<Followed & More> { return this.#rooms.values() }

  stats (): Record<'rooms' | 'historyBytes' | 'historyEvicted' | 'repairs', number> {
    return {
      rooms: this.#rooms.size,
      historyBytes: this.#streams.bytes,
      historyEvicted: this.#streams.evicted,
      repairs: this.#repairs
    }
  }

  /** Begins to follow a room; its stream is opened by the caller when the subscription stands. */
  add (room: string, settings: RoomSettings, more: More): Followed & More {
    const tail = this.#follow(room, settings)
    const followed = Object.assign({ room, settings, tail, due: this.#nextCheck(), round: this.#round }, more)
    this.#rooms.set(room, followed)
    return followed
  }

  /**
   * Ends what `add` began.
   *
   * @returns whether the room is not followed any more; false where it has been added again meanwhile
   */
  remove (followed: Followed & More): boolean {
    const isLast = this.#rooms.get(followed.room) === followed
    if (isLast) this.#rooms.delete(followed.room)
    followed.tail?.close()
    return isLast
  }

  #follow (room: string, settings: RoomSettings): FollowedStream | undefined {
    const { repeats, unread, deliver, read } = this.#options
    const { history } = settings
    if (history === false || read === undefined) return undefined
    return new FollowedStream({
      room,
      limits: history,
      streams: this.#streams,
      host: this.#host!,
      isNew: (name, identity) => repeats.isNew(name, identity),
      deliver: (name, packet, origin) => { deliver(name, settings, packet, origin) },
      read: (offset, epoch) => read(room, settings, { since: { epoch, offset }, limit: PAGE, bytes: PAGE_BYTES }),
      onRepair: () => { this.#repairs++ },
      onUndecodable: () => { unread.note('history', 0) }
    })
  }

  #nextCheck (): number {
    const { check, isHeld } = this.#options
    const period = isHeld === undefined ? check : Math.min(check, HELD)
    return performance.now() + period * (QUIET + Math.random() * 0.4)
  }

  /** Compares the rooms that are due. It does nothing while a comparison is under way. */
  check (): void { if (!this.#isChecking) this.#check() }

  /** Compares all rooms, because the link was broken. What fails is tried again by the next `check`. */
  checkAll (): void {
    this.#round++
    this.#check()
  }

  /** Compares the rooms that `isMeant` accepts. What fails is tried again by the next `check`. */
  async doubt (isMeant: (followed: Followed & More) => boolean): Promise<void> {
    const doubted = await gather(this.#rooms.values(), (followed) => {
      if (!isMeant(followed)) return false
      followed.round = -1
      return true
    })
    await this.#compare(doubted)
  }

  #check (): void {
    if (!this.#options.isUp()) return
    this.#isChecking = true
    void gather(this.#rooms.values(), (followed) => this.#isDue(followed))
      .then((due) => this.#compare(due))
      .finally(() => { this.#isChecking = false })
  }

  #isDue (followed: Followed & More): boolean {
    const { check, isHeld } = this.#options
    const { room, tail, due, round } = followed
    const now = performance.now()
    const isOwed = round !== this.#round
    if (!isOwed && due > now) return false
    if (isHeld?.(room) === true) return true
    if (tail !== undefined && (isOwed || now - tail.heard >= check * QUIET)) return true
    this.#checked(followed, this.#round)
    return false
  }

  /** Never rejects. */
  async #compare (due: ReadonlyArray<Followed & More>): Promise<void> {
    const round = this.#round
    try {
      await this.#options.compare(due, (followed) => { this.#checked(followed, round) })
    } catch {
      // Either the link is away again, and everything is checked when it comes back, or a request failed, and its rooms
      // are still due.
    }
  }

  #checked (followed: Followed & More, round: number): void {
    followed.due = this.#nextCheck()
    followed.round = round
  }
}
