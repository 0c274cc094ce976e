import type { Adapter, Publication, Published } from '../adapters/adapter.js'
import { Refusal } from '../errors/refusal.js'
import { keyOf } from '../protocol/key.js'
import type { EventHead, Packet } from '../protocol/packet.js'
import type { Awaitable } from '../structures/awaitable.js'
import { inBatches } from '../structures/slices.js'
import { every } from '../structures/timers.js'
import type { Declaration } from './declaration.js'
import { removalOf } from './publications.js'

/** What is needed of a room with members here. */
export interface RoomOfValues {
  readonly name: string
  readonly declaration: Declaration
  /** The current values here. */
  readonly latest: Iterable<Packet>
}

export interface OwnedValuesOptions {
  readonly adapter: Adapter
  /** Whether this node keeps a connection of the user present in the room. */
  readonly isHeld: (room: string, userId: string, connection: string) => boolean
  readonly send: (room: string, declaration: Declaration, publication: Publication) => Awaitable<Published>
  /** The room, where it has members here. */
  readonly find: (room: string) => RoomOfValues | undefined
  readonly onError: (error: unknown) => void
}

/** Milliseconds between two comparisons of values with who is there, and rooms that each of them looks at. */
const COMPARE = 5_000
const AT_ONCE = 20
/** Values that are removed at a time. */
const BATCH = 50
/** Values that may be remembered between two comparisons. */
const MAX_SUSPECTS = 10_000

/**
 * Lets values end with the presence of their user, on any node and in any way. Presence and values are kept apart, and
 * messages about them come in any order, so:
 *
 * - A value is set only for a user who is there, and is removed when the user is not there any more once it was set.
 * - Each node that hears that a user has left removes the values that it knows of that user.
 * - A room that is opened shows no value of a user who is not there.
 * - What all this has missed, because a node has died in between, a comparison finds a few seconds later.
 *
 * A removal names the version of its value, so that it never meets one that was set since; a user who is back by then
 * keeps what is there. Values are always read before presence: who is not there afterwards has left since.
 */
export class OwnedValues {
  readonly #options: OwnedValuesOptions
  /** Rooms with members here that declare such values. */
  readonly #rooms = new Set<string>()
  /** Values whose user was not there at the last comparison. */
  readonly #suspects = new Set<string>()
  #comparer: NodeJS.Timeout | undefined
  #isComparing = false

  constructor (options: OwnedValuesOptions) {
    this.#options = options
  }

  start (): void {
    this.#comparer = every(() => { if (this.#rooms.size > 0) void this.compare() }, COMPARE).unref()
  }

  stop (): void { clearInterval(this.#comparer) }

  /** Tells of a room that is open from now on. */
  watch (room: string): void { this.#rooms.add(room) }

  unwatch (room: string): void { this.#rooms.delete(room) }

  /**
   * Sets a value.
   *
   * @param sender connection whose message causes it
   * @throws Refusal `not_joined` when its user is not in the room
   */
  async publish (
    room: string,
    declaration: Declaration,
    publication: Publication,
    sender: string
  ): Promise<Published> {
    const user = publication.user!
    if (!await this.#isThere(room, user, sender)) throw new Refusal('not_joined', { room })
    const published = await this.#options.send(room, declaration, publication)
    try {
      if (!await this.#isThere(room, user, sender)) await this.#end(room, declaration, [user])
    } catch (error) {
      // The value is set, and is compared later.
      this.#options.onError(error)
    }
    return published
  }

  /** Removes the values of users who have left the room. */
  left (room: RoomOfValues, users: readonly string[]): void {
    const owners = ownersOf(room.latest)
    const gone = users.filter((user) => owners.has(user))
    if (gone.length > 0) this.#end(room.name, room.declaration, gone).catch(this.#options.onError)
  }

  /** Returns what the adapter has kept without the values of users who are not there, and removes these. */
  async present (room: string, declaration: Declaration, packets: readonly Packet[]): Promise<readonly Packet[]> {
    const absent = await this.#absent(room, ownersOf(packets))
    if (absent.size === 0) return packets
    const gone = packets.filter((packet) => isOf(packet, absent))
    this.#remove(room, declaration, gone).catch(this.#options.onError)
    return packets.filter((packet) => !gone.includes(packet))
  }

  /**
   * Compares the values of some rooms with who is there. A value is removed when its user is missing twice in a row:
   * who was cut off from the broker for a while is missing until it is announced again. Never rejects.
   */
  async compare (): Promise<void> {
    if (this.#isComparing) return
    this.#isComparing = true
    try {
      for (const room of [...this.#rooms].slice(0, AT_ONCE)) {
        // The room goes behind the others.
        if (this.#rooms.delete(room)) this.#rooms.add(room)
        await this.#compare(room)
      }
    } catch (error) {
      this.#options.onError(error)
    } finally {
      this.#isComparing = false
    }
  }

  async #compare (name: string): Promise<void> {
    const room = this.#options.find(name)
    if (room === undefined) return
    const packets = [...room.latest]
    const absent = await this.#absent(name, ownersOf(packets))
    const gone = packets.filter((packet) => isOf(packet, absent) && this.#isSuspect(packet.event!))
    await this.#remove(name, room.declaration, gone)
  }

  /** Whether it was missing at the last comparison as well. */
  #isSuspect ({ room, type, key = '', version = 0 }: EventHead): boolean {
    const name = keyOf(room, type, key, String(version))
    if (this.#suspects.delete(name)) return true
    if (this.#suspects.size >= MAX_SUSPECTS) this.#suspects.clear()
    this.#suspects.add(name)
    return false
  }

  #isThere (room: string, user: string, sender: string): Awaitable<boolean> {
    const { adapter, isHeld } = this.#options
    return isHeld(room, user, sender) || adapter.presence!.isPresent!(room, user)
  }

  async #absent (room: string, owners: Set<string>): Promise<ReadonlySet<string>> {
    if (owners.size === 0) return owners
    const { list = [] } = await this.#options.adapter.presence!.snapshot(room, Number.POSITIVE_INFINITY)
    for (const { userId } of list) owners.delete(userId)
    return owners
  }

  /** Removes the values of users who may have left. */
  async #end (room: string, declaration: Declaration, users: readonly string[]): Promise<void> {
    const { adapter, find } = this.#options
    const packets = [...find(room)?.latest ?? await adapter.latest!(room, declaration.settings)]
    const absent = new Set<string>()
    await inBatches(users, BATCH, async (user) => {
      if (!await adapter.presence!.isPresent!(room, user)) absent.add(user)
    })
    await this.#remove(room, declaration, packets.filter((packet) => isOf(packet, absent)))
  }

  async #remove (room: string, declaration: Declaration, packets: readonly Packet[]): Promise<void> {
    await inBatches(packets, BATCH, async ({ event }) => {
      await this.#options.send(room, declaration, removalOf(event!))
    })
  }
}

function ownersOf (packets: Iterable<Packet>): Set<string> {
  const owners = new Set<string>()
  for (const { event } of packets) if (event!.user !== undefined) owners.add(event!.user)
  return owners
}

function isOf ({ event }: Packet, users: ReadonlySet<string>): boolean {
  return event!.user !== undefined && users.has(event!.user)
}
