import { encodeKept } from '../../protocol/part-frames.js'
import { Rerun } from '../../structures/rerun.js'
import { inBatches, inTurns } from '../../structures/slices.js'
import type { AdapterHost } from '../adapter.js'
import type { Followed } from '../broker/followed-rooms.js'
import type { Packet } from '../../protocol/packet.js'
import { decodePayload } from '../broker/payload.js'
import type { Unread } from '../broker/unread.js'
import type { NatsLatest } from './latest.js'
import type { NatsLostValues } from './lost-values.js'
import type { NatsTexts } from './texts.js'
import { tokenOf } from './tokens.js'

type Room = Pick<Followed, 'room' | 'settings'>

export interface NatsRereadingOptions {
  readonly latest: NatsLatest
  readonly lost: Pick<NatsLostValues, 'begins' | 'restore' | 'restored'>
  readonly texts: NatsTexts
  readonly rooms: {
    values (): Iterable<Room>
    get (room: string): Room | undefined
    has (room: string): boolean
  }
  readonly unread: Unread
  readonly host: () => AdapterHost
  readonly isClustered: () => boolean
  /** Called when whatever a subscription carries may have been missed although the link stands. */
  readonly onMissed: () => void
}

/** Rooms whose subjects are made in one turn of the event loop. */
const TOKENS = 500
/** Rooms whose values are put back at a time, or whose values or texts are read. */
const AT_ONCE = 50

/**
 * Reads `latest` values and texts again that may have been missed: they have no positions by which a room could see
 * that. Members that have what is read drop it by its version.
 */
export class NatsRereading {
  readonly #options: NatsRereadingOptions
  /**
   * Rooms that show `latest` values which the broker does not have, and those whose values could not be read or put
   * back.
   */
  readonly #local = new Set<string>()
  /** Whether the next look reads those rooms, because something of one has failed. */
  #isLocalDue = false
  /** Rooms whose texts could not be read. */
  readonly #unreadTexts = new Set<string>()
  /** Whether what may have been missed of all rooms still has to be read. */
  #isMissing = false
  /** Whether the servers may have been parted from each other, so that not all was forwarded to this node. */
  #isParted = false
  readonly #reading = new Rerun(() => this.#all())
  readonly #readingTexts = new Rerun(() => this.#readEach(this.#unreadTexts, (followed) => this.#texts(followed)))

  constructor (options: NatsRereadingOptions) {
    this.#options = options
  }

  /** Notes that a room shows a value which the broker does not have. */
  shows (room: string): void { this.#local.add(room) }

  /** Notes that a room is not followed any more. */
  left (room: string): void {
    this.#local.delete(room)
    this.#unreadTexts.delete(room)
  }

  /**
   * Runs every few seconds: reads what could not be read, else looks where the stream of values stands. A server that
   * led it until now may have forwarded less than was accepted. One that cannot be asked has forwarded nothing, nor has
   * any other that is where it is.
   */
  look (): void {
    if (this.#isMissing) {
      if (!this.#reading.isRunning) this.all()
      return
    }
    const { latest, isClustered } = this.#options
    if (this.#isLocalDue) void this.#readLocal()
    if (this.#unreadTexts.size > 0) void this.#readingTexts.run()
    latest.look().then((isMoved) => {
      if (this.#isParted) this.#missed()
      else if (isMoved) this.all()
      // A single server that did not answer has forwarded all the same.
    }, () => { if (isClustered()) this.#isParted = true })
  }

  /**
   * Called when servers of the cluster have lost or found each other. What they forward again a moment later may still
   * leave something out, so the next look reads once more.
   */
  parted (): void {
    this.#missed()
    this.#isParted = true
  }

  #missed (): void {
    this.#isParted = false
    this.all()
    this.#options.onMissed()
  }

  /** Called when the link is back, and all else that was missed is read as well. */
  up (): void {
    this.#isParted = false
    this.all()
  }

  /** Reads all values that may have been set while the link was broken, and all texts; later where that fails. */
  all (): void {
    this.#options.latest.lost()
    this.#reading.run().catch(() => { this.#isMissing = true })
  }

  async #all (): Promise<void> {
    const { latest, lost, rooms, unread, host } = this.#options
    const byToken = new Map<string, string>()
    await inTurns(rooms.values(), TOKENS, ({ room, settings }) => {
      if (settings.latest) byToken.set(tokenOf(room), room)
    })
    const begun = await lost.begins()
    const found = new Map<string, Packet[]>()
    if (begun !== undefined) for (const room of byToken.values()) found.set(room, [])
    const missed = await latest.missed((token) => byToken.has(token), begun !== undefined)
    for (const { token, text, ...at } of missed) {
      const room = byToken.get(token)
      if (room === undefined || !rooms.has(room)) continue
      try {
        const packet = decodePayload(room, text, at)
        if (begun === undefined) void host().event(room, packet)
        else found.get(room)!.push(packet)
      } catch (error) {
        unread.failed(error, 'latest', text.length)
      }
    }
    await inBatches(found, AT_ONCE, async ([room, packets]) => { await this.#restore(room, packets) })
    if (begun !== undefined) lost.restored(begun)
    this.#isMissing = false
    for (const { room, settings } of rooms.values()) if (settings.append !== undefined) this.#unreadTexts.add(room)
    void this.#readingTexts.run()
    await latest.look()
    await this.#readLocal()
  }

  async #readLocal (): Promise<void> {
    this.#isLocalDue = false
    await this.#readEach(this.#local, (followed) => this.#values(followed))
  }

  /** Reads something of the rooms that are named, and that are still followed. The names are taken out. */
  async #readEach (names: Set<string>, read: (followed: Room) => Promise<void>): Promise<void> {
    const taken = [...names]
    names.clear()
    await inBatches(taken, AT_ONCE, async (room) => {
      const followed = this.#options.rooms.get(room)
      if (followed !== undefined) await read(followed)
    })
  }

  /** Reads the values of one room. */
  values (followed: Room): void { void this.#values(followed) }

  async #values ({ room, settings }: Room): Promise<void> {
    await this.#options.latest.read(room, settings).then(
      (packets) => this.#restore(room, packets),
      () => { this.#failed(room) }
    )
  }

  /** Puts back what a room has lost, and gives it what was read. */
  async #restore (room: string, packets: readonly Packet[]): Promise<void> {
    const { lost, rooms, host } = this.#options
    const { given, isWhole } = await lost.restore(room, packets)
    for (const packet of given) if (rooms.has(room)) void host().event(room, packet)
    if (!isWhole) this.#failed(room)
  }

  #failed (room: string): void {
    if (!this.#options.rooms.has(room)) return
    this.#local.add(room)
    this.#isLocalDue = true
  }

  /** Reads the texts of one room. */
  texts (followed: Room): void { void this.#texts(followed) }

  async #texts ({ room, settings }: Room): Promise<void> {
    const { texts, rooms, host } = this.#options
    await texts.read(room, settings).then((found) => {
      for (const text of found) if (rooms.has(room)) void host().event(room, encodeKept(room, text))
    }, () => { if (rooms.has(room)) this.#unreadTexts.add(room) })
  }
}
