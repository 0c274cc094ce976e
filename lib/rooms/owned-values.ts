import type { Adapter, Publication, Published } from '../adapters/adapter.js'
import { isUnavailable, Refusal } from '../errors/refusal.js'
import { keyOf } from '../protocol/key.js'
import type { EventHead, Packet } from '../protocol/packet.js'
import type { Awaitable } from '../structures/awaitable.js'
import { inBatches, settleInBatches, throwFirst } from '../structures/slices.js'
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

/** Milliseconds between two comparisons of values with who is there. */
const COMPARE = 5_000
/** Rooms whose presence one comparison reads besides those in doubt, and rooms that it passes to find so many. */
const AT_ONCE = 50
const LOOKED = 1_000
/** Values that are removed at a time. */
const BATCH = 50

/**
 * Lets values end with the presence of their user, on any node and in any way. Presence and values are kept apart, and
 * messages about them come in any order, so:
 *
 * - A value is set only for a user who is there, and is removed when the user is not there any more once it was set.
 * - Each node that hears that a user has left removes the values that it knows of that user.
 * - A room that is opened shows no value of a user who is not there.
 * - What all this has missed, a comparison finds: within ten seconds what is in doubt, because the broker could not be
 *   asked or a user was missing a moment ago; else, because a node has died in between, within as many times five
 *   seconds as there are fifties of rooms with such values here.
 *
 * A removal names the version of its value, so that it never meets one that was set since; a user who is back by then
 * keeps what is there. Values are always read before presence: who is not there afterwards has left since.
 */
export class OwnedValues {
  readonly #options: OwnedValuesOptions
  /** Rooms with members here that declare such values. */
  readonly #rooms = new Set<string>()
  /** The rooms in doubt, which the next comparison looks at, each with its values whose user was missing before. */
  readonly #suspects = new Map<string, ReadonlySet<string>>()
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

  unwatch (room: string): void {
    this.#rooms.delete(room)
    this.#suspects.delete(room)
  }

  /** Has a room compared soon in which a value may have been left. */
  #doubt (room: string, error: unknown): void {
    if (this.#rooms.has(room) && !this.#suspects.has(room)) this.#suspects.set(room, new Set())
    this.#options.onError(error)
  }

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
      // The value is set.
      this.#doubt(room, error)
    }
    return published
  }

  /** Removes the values of users who have left the room. */
  left (room: RoomOfValues, users: readonly string[]): void {
    const owners = ownersOf(room.latest)
    const gone = users.filter((user) => owners.has(user))
    if (gone.length === 0) return
    this.#end(room.name, room.declaration, gone).catch((error: unknown) => { this.#doubt(room.name, error) })
  }

  /** Returns what the adapter has kept without the values of users who are not there, and removes these. */
  async present (room: string, declaration: Declaration, packets: readonly Packet[]): Promise<readonly Packet[]> {
    const absent = await this.#absent(room, ownersOf(packets))
    if (absent.size === 0) return packets
    const gone = packets.filter((packet) => isOf(packet, absent))
    this.#remove(room, declaration, gone).catch((error: unknown) => { this.#doubt(room, error) })
    return packets.filter((packet) => !isOf(packet, absent))
  }

  /**
   * Compares the values of some rooms with who is there. A value is removed when its user is missing twice in a row:
   * who was cut off from the broker for a while is missing until it is announced again. A room or a value that fails
   * keeps none of the others back. Never rejects.
   */
  async compare (): Promise<void> {
    if (this.#isComparing) return
    this.#isComparing = true
    try {
      const rooms = [...this.#suspects.keys(), ...this.#next()]
      throwFirst(await settleInBatches(rooms, 1, (room) => this.#compare(room), () => false))
    } catch (error) {
      this.#options.onError(error)
    } finally {
      this.#isComparing = false
    }
  }

  /** Some more rooms with values; those in doubt are not among them. */
  #next (): string[] {
    const some: string[] = []
    let left = Math.min(LOOKED, this.#rooms.size)
    for (const room of this.#rooms) {
      if (left-- === 0 || some.length === AT_ONCE) break
      // The room goes behind the others.
      this.#rooms.delete(room)
      this.#rooms.add(room)
      if (!this.#suspects.has(room) && isAnyOwned(this.#options.find(room)?.latest ?? [])) some.push(room)
    }
    return some
  }

  async #compare (name: string): Promise<void> {
    const room = this.#options.find(name)
    if (room === undefined) return
    const packets = [...room.latest]
    const absent = await this.#absent(name, ownersOf(packets))
    const before = this.#suspects.get(name)
    const missing = packets.filter((packet) => isOf(packet, absent))
    const isAgain = ({ event }: Packet): boolean => before?.has(valueOf(event!)) === true
    await this.#remove(name, room.declaration, missing.filter(isAgain))
    const suspects = missing.filter((packet) => !isAgain(packet)).map(({ event }) => valueOf(event!))
    if (suspects.length > 0 && this.#rooms.has(name)) this.#suspects.set(name, new Set(suspects))
    else this.#suspects.delete(name)
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
    const remove = async ({ event }: Packet): Promise<void> => {
      await this.#options.send(room, declaration, removalOf(event!))
    }
    throwFirst(await settleInBatches(packets, BATCH, remove, isUnavailable))
  }
}

function ownersOf (packets: Iterable<Packet>): Set<string> {
  const owners = new Set<string>()
  for (const { event } of packets) if (event!.user !== undefined) owners.add(event!.user)
  return owners
}

function isAnyOwned (packets: Iterable<Packet>): boolean {
  for (const { event } of packets) if (event!.user !== undefined) return true
  return false
}

/** Names one value of a room: another one of the same key has another version. */
function valueOf ({ type, key = '', version = 0 }: EventHead): string { return keyOf(type, key, String(version)) }

function isOf ({ event }: Packet, users: ReadonlySet<string>): boolean {
  return event!.user !== undefined && users.has(event!.user)
}
