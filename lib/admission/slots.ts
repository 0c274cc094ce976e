import type { LeaseStore } from '../adapters/adapter.js'
import { Refusal } from '../errors/refusal.js'
import { keyOfKind } from '../protocol/key.js'
import type { Awaitable } from '../structures/awaitable.js'
import { ShardedMap } from '../structures/sharded-map.js'
import { after } from '../structures/timers.js'
import { Leases, type HeldLease, type Lease } from './leases.js'
import type { WatchedLimit } from '../errors/limit-warnings.js'

export interface SlotLimits {
  /** Connections on this node. */
  readonly capacity: number
  /** Connections of one user, on all nodes where the adapter keeps leases. */
  readonly user: number
  /** Connections from one address on this node. */
  readonly address: number | undefined
  readonly whenUnavailable: 'admit' | 'refuse'
}

type OnTaken = (limit: WatchedLimit, used: number, most: number, of?: object) => void

/** A place in a room with a capacity. */
interface Place {
  readonly capacity: number
  /** Fence of its lease, 0 for none. */
  fence: number
  /** Whether it was lent and given back: only then a lease that is missing is nobody else's to take. */
  isBack?: true
}

/** The slots of one connection. `rooms` are those with a capacity; the map is made when there is one. */
interface Holder {
  readonly user: string
  readonly address: string
  isUserReleased: boolean
  rooms: Map<string, Place> | undefined
  /** Fence of the lease for its user, 0 for none. */
  userFence: number
  /** The holder that this one is to replace, which has lent its user's slot and places until then. */
  replaces: string | undefined
  /** Places that are lent to the holder that is about to replace this one. */
  lent: Map<string, Place> | undefined
  /** Asks once more for leases of what it has got back, for which the adapter could not be asked. */
  again: NodeJS.Timeout | undefined
}

/** Milliseconds until the adapter is asked once more for leases that it could not be asked for. */
const AGAIN = 1_000

/** Gives back what is no slot. */
const NOTHING = (): void => {}

/**
 * Counts slots, which are held by connection id: of the server, of an address, of a user, of a room. This node's counts
 * change in one synchronous step, so that a limit is never exceeded; across nodes the adapter's leases are taken on
 * top.
 */
export class Slots {
  readonly #limits: SlotLimits
  readonly #leases: Leases | undefined
  readonly #holders = new ShardedMap<Holder>()
  readonly #users = new ShardedMap<number>()
  readonly #addresses = new ShardedMap<number>()
  readonly #rooms = new ShardedMap<number>()
  readonly #onError: (error: unknown) => void
  readonly #onLost: (holder: string) => void
  readonly #onTaken: OnTaken
  /** That of the newest lease that was asked for. */
  #fence = 0

  /**
   * @param onLost called when another node took the slot that a holder had lent, so that the holder cannot have it
   *   back
   * @param onTaken called with what is used of a limit by now, after one more was taken
   */
  constructor (
    limits: SlotLimits,
    leases: LeaseStore | undefined,
    onError: (error: unknown) => void,
    onLost: (holder: string) => void,
    onTaken: OnTaken = () => {}
  ) {
    this.#limits = limits
    this.#onError = onError
    this.#onLost = onLost
    this.#onTaken = onTaken
    const { whenUnavailable } = limits
    if (leases !== undefined) {
      this.#leases = new Leases(leases, { whenUnavailable, held: () => this.#leased(), onError })
    }
  }

  start (): void { this.#leases?.start() }

  stop (): void { this.#leases?.stop() }

  /**
   * Makes the adapter's leases those of this node's holders: while its server was away, some slots were taken without a
   * lease and others were released. Resolves when all leases are right.
   *
   * @param mayBeOlder whether its data may lack the last changes
   */
  async restore (mayBeOlder = false): Promise<void> { await this.#leases?.restore(mayBeOlder) }

  * #leased (): Generator<HeldLease> {
    for (const [holder, { user, userFence, rooms }] of this.#holders) {
      if (userFence > 0) yield this.#userLease(holder, user, userFence)
      for (const [room, { fence }] of rooms ?? []) if (fence > 0) yield this.#roomLease(holder, room, fence)
    }
  }

  #userLease (holder: string, user: string, fence = ++this.#fence): HeldLease {
    return { key: userKey(user), holder, fence, isHeld: () => this.#holders.get(holder)?.userFence === fence }
  }

  #roomLease (holder: string, room: string, fence = ++this.#fence): HeldLease {
    return { key: roomKey(room), holder, fence, isHeld: () => this.#placeOf(holder, room)?.fence === fence }
  }

  #placeOf (holder: string, room: string): Place | undefined { return this.#holders.get(holder)?.rooms?.get(room) }

  /** Slots taken, those of upgrades under way included. */
  get taken (): number { return this.#holders.size }
  has (holder: string): boolean { return this.#holders.has(holder) }
  holders (): Iterable<string> { return this.#holders.keys() }

  /**
   * Checks the limits of the server and of an address without taking a slot.
   *
   * @throws Refusal `server_full` or `address_limit`
   */
  checkServer (address: string): void {
    if (this.#holders.size >= this.#limits.capacity) {
      throw new Refusal('server_full', {
        retryAfter: 1_000 + Math.random() * 4_000,
        why: { limit: 'capacity', value: this.#limits.capacity }
      })
    }
    this.checkAddress(address)
  }

  /**
   * Checks the limit of an address without taking a slot.
   *
   * @throws Refusal `address_limit`
   */
  checkAddress (address: string): void {
    if (this.#limits.address !== undefined && (this.#addresses.get(address) ?? 0) >= this.#limits.address) {
      throw new Refusal('address_limit', {
        retryAfter: 1_000 + Math.random() * 4_000,
        why: { limit: 'limits.address', value: this.#limits.address }
      })
    }
  }

  /** Whether it still has the slot of its user and has not lent it. */
  hasUserSlotOf (holder: string): boolean { return this.#holders.get(holder)?.isUserReleased === false }

  /** Whether the user has a slot left on this node; none is taken. */
  hasUserSlot (user: string): boolean {
    return (this.#users.get(user) ?? 0) < this.#limits.user
  }

  /**
   * Checks the capacities of rooms without taking a place.
   *
   * @param own a holder whose own places count as left
   * @throws Refusal `room_full`
   */
  checkRooms (rooms: ReadonlyArray<{ name: string, capacity: number | undefined }>, own?: string): void {
    const places = own === undefined ? undefined : this.#holders.get(own)?.rooms
    for (const { name, capacity } of rooms) {
      if (!this.#hasRoomSlot(name, capacity) && places?.has(name) !== true) throw roomFull(name, capacity)
    }
  }

  /**
   * Takes all slots of this node at once, or none.
   *
   * @param replaces a holder that lends its user's slot and its places in these rooms until `replace`; it gets them
   *   back when the new holder is released before that
   * @throws Refusal of the first that is missing
   */
  reserve (
    holder: string,
    user: string,
    address: string,
    rooms: ReadonlyArray<{ name: string, capacity: number | undefined }>,
    replaces?: string
  ): void {
    this.checkServer(address)
    if (replaces === undefined && !this.hasUserSlot(user)) throw userLimit(this.#limits.user)
    this.checkRooms(rooms, replaces)
    if (replaces !== undefined) this.#lend(replaces, rooms)
    const held: Holder = {
      user,
      address,
      isUserReleased: false,
      rooms: undefined,
      userFence: 0,
      replaces,
      lent: undefined,
      again: undefined
    }
    this.#holders.set(holder, held)
    bump(this.#users, user, 1)
    this.#bumpAddress(address, 1)
    for (const { name, capacity } of rooms) this.#takeRoom(held, name, capacity)
    const limits = this.#limits
    this.#onTaken('capacity', this.#holders.size, limits.capacity)
    this.#onTaken('limits.user.connections', this.#users.get(user) ?? 0, limits.user, { userId: user })
    if (limits.address !== undefined) {
      this.#onTaken('limits.address', this.#addresses.get(address) ?? 0, limits.address, { address })
    }
  }

  /** Whether leases have to be taken on top of this node's slots. */
  get isLeased (): boolean { return this.#leases !== undefined }

  /**
   * Takes the leases that hold across nodes, that of the user and then those of rooms. After a refusal the caller
   * releases the holder.
   */
  async lease (holder: string, rooms: ReadonlyArray<{ name: string, capacity: number | undefined }>): Promise<void> {
    await this.leaseUser(holder)
    await this.leaseRooms(holder, rooms)
  }

  /** Takes the lease of the user as `lease` does. */
  async leaseUser (holder: string): Promise<void> {
    const held = this.#holders.get(holder)
    if (held !== undefined) await this.#leaseUser(holder, held)
  }

  /** Takes the leases of rooms as `lease` does, of those that are missing. */
  async leaseRooms (
    holder: string,
    rooms: ReadonlyArray<{ name: string, capacity: number | undefined }>
  ): Promise<void> {
    const held = this.#holders.get(holder)
    if (held === undefined) return
    for (const { name, capacity } of rooms) {
      if (held.rooms?.get(name)?.fence === 0) await this.#leaseRoom(held, holder, name, capacity)
    }
  }

  async #leaseUser (holder: string, held: Holder): Promise<void> {
    if (this.#leases === undefined) return
    const lease = this.#userLease(holder, held.user)
    if (!await this.#leases.acquire(lease, this.#limits.user)) throw userLimit(this.#limits.user)
    // The slot may have been released, or lent, while its lease was being taken.
    if (this.#holders.get(holder) === held && !held.isUserReleased) {
      // It may have been lent and taken back meanwhile.
      held.userFence = Math.max(held.userFence, lease.fence)
    } else void this.#leases.giveBack(lease)
  }

  async #leaseRoom (held: Holder, holder: string, name: string, capacity: number | undefined): Promise<void> {
    if (capacity === undefined || this.#leases === undefined) return
    const lease = this.#roomLease(holder, name)
    if (!await this.#leases.acquire(lease, capacity)) throw roomFull(name, capacity)
    const place = held.rooms?.get(name)
    if (place === undefined) void this.#leases.giveBack(lease)
    // It may have left and entered again meanwhile.
    else place.fence = Math.max(place.fence, lease.fence)
  }

  /**
   * Takes a place in one more room for an open connection.
   *
   * @returns gives that place back, and none that the holder, or a later one of the same id, has taken since
   * @throws Refusal `room_full`
   */
  async enter (holder: string, name: string, capacity: number | undefined): Promise<() => void> {
    const held = this.#holders.get(holder)
    if (held === undefined || capacity === undefined) return NOTHING
    const isThere = held.rooms?.has(name) === true
    if (!isThere) {
      if (!this.#hasRoomSlot(name, capacity)) throw roomFull(name, capacity)
      this.#takeRoom(held, name, capacity)
    }
    const place = held.rooms?.get(name)
    const giveBack = (): void => {
      const isMeant = held.rooms?.get(name) === place || held.lent?.get(name) === place
      if (isMeant && this.#holders.get(holder) === held) this.leave(holder, name)
    }
    if (isThere || this.#leases === undefined) return giveBack
    try {
      await this.#leaseRoom(held, holder, name, capacity)
      return giveBack
    } catch (error) {
      giveBack()
      throw error
    }
  }

  leave (holder: string, name: string): void {
    const held = this.#holders.get(holder)
    if (held !== undefined) void this.#leave(holder, held, name)
  }

  /** @returns whether the adapter knows it */
  #leave (holder: string, held: Holder, name: string): Awaitable<boolean> {
    held.lent?.delete(name)
    const place = held.rooms?.get(name)
    if (place === undefined) return true
    held.rooms!.delete(name)
    bump(this.#rooms, name, -1)
    return this.#givePlaceBack(holder, name, place)
  }

  /**
   * Hands over a holder whose connection another node holds by now under the same name: only this node's counts are
   * left to release. Its leases are given back all the same, and the store leaves those alone that the other node has
   * taken. Where they are still this node's, because the message is older than the last move, no other node would
   * release them.
   */
  handOver (holder: string): void {
    const held = this.#holders.get(holder)
    if (held === undefined) return
    clearTimeout(held.again)
    void this.#giveUserBack(holder, held, true)
    for (const [name, place] of held.rooms ?? []) void this.#givePlaceBack(holder, name, place, true)
  }

  /**
   * Tells that the newer connection is open.
   *
   * @returns the holder that has to end for it
   */
  replace (holder: string): string | undefined {
    const held = this.#holders.get(holder)
    const replaced = held?.replaces
    if (held === undefined || replaced === undefined) return undefined
    held.replaces = undefined
    return replaced
  }

  /**
   * Takes the slot of its user and its places from a holder whose connection ends for a newer one. It counts for the
   * server and its address until the connection has gone.
   *
   * @returns whether it had the slot, and the adapter knows that it has nothing any more
   */
  async giveWay (holder: string): Promise<boolean> {
    const held = this.#holders.get(holder)
    if (held === undefined || held.isUserReleased) return false
    clearTimeout(held.again)
    const places = [...held.rooms?.keys() ?? []]
    const told = [this.#releaseUser(holder, held), ...places.map((name) => this.#leave(holder, held, name))]
    return (await Promise.all(told)).every(Boolean)
  }

  #lend (holder: string, rooms: ReadonlyArray<{ name: string, capacity: number | undefined }>): void {
    const held = this.#holders.get(holder)
    if (held === undefined) return
    const lent = new Map<string, Place>()
    for (const { name } of rooms) {
      const place = held.rooms?.get(name)
      if (place === undefined) continue
      this.leave(holder, name)
      lent.set(name, place)
    }
    held.lent = lent
    clearTimeout(held.again)
    void this.#releaseUser(holder, held)
  }

  /** Returns what a holder has lent, because the connection that was to replace it is refused after all. */
  #giveBackTo (holder: string): void {
    const held = this.#holders.get(holder)
    const lent = held?.lent
    if (held === undefined || lent === undefined) return
    held.lent = undefined
    held.isUserReleased = false
    bump(this.#users, held.user, 1)
    for (const [name, place] of lent) {
      place.isBack = true
      this.#takeRoom(held, name, place.capacity, place)
    }
    if (this.#leases !== undefined) this.#leaseBack(holder, held).catch(this.#onError)
  }

  /**
   * Takes the leases of what a holder has got back. It stays where the adapter cannot be asked, which is asked again:
   * without a lease others would be given what it has.
   *
   * @throws what came of the first that failed, after which those that are missing are asked for again
   */
  async #leaseBack (holder: string, held: Holder): Promise<void> {
    // One lease that cannot be taken keeps none of the others back, since only those that are taken are renewed.
    const results = await Promise.allSettled([
      held.userFence === 0 ? this.#leaseUser(holder, held) : undefined,
      ...[...held.rooms ?? []].map(async ([name, { isBack, fence, capacity }]) => {
        if (isBack === true && fence === 0) await this.#leaseRoom(held, holder, name, capacity)
      })
    ])
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []))
    // It may have ended meanwhile, and another one have its id; what it has lent again is asked for when that is over.
    if (errors.length === 0 || this.#holders.get(holder) !== held || held.lent !== undefined) return
    if (errors.some(isTaken)) return this.#onLost(holder)
    clearTimeout(held.again)
    held.again = after(() => { this.#leaseBack(holder, held).catch(() => {}) }, AGAIN).unref()
    throw errors[0]
  }

  /** @returns whether the adapter knows it */
  #releaseUser (holder: string, held: Holder): Awaitable<boolean> {
    if (held.isUserReleased) return true
    held.isUserReleased = true
    bump(this.#users, held.user, -1)
    return this.#giveUserBack(holder, held)
  }

  #giveUserBack (holder: string, held: Holder, isMoved = false): Awaitable<boolean> {
    const fence = held.userFence
    held.userFence = 0
    return this.#giveLeaseBack({ key: userKey(held.user), holder, fence, isMoved })
  }

  #givePlaceBack (holder: string, name: string, place: Place, isMoved = false): Awaitable<boolean> {
    const { fence } = place
    place.fence = 0
    return this.#giveLeaseBack({ key: roomKey(name), holder, fence, isMoved })
  }

  /** @returns whether nothing of it is left at the adapter */
  #giveLeaseBack (lease: Lease): Awaitable<boolean> {
    return lease.fence === 0 || this.#leases === undefined || this.#leases.giveBack(lease)
  }

  release (holder: string): void {
    const held = this.#holders.get(holder)
    if (held === undefined) return
    clearTimeout(held.again)
    void this.#releaseUser(holder, held)
    for (const name of [...held.rooms?.keys() ?? []]) this.leave(holder, name)
    this.#holders.delete(holder)
    this.#bumpAddress(held.address, -1)
    if (held.replaces !== undefined) this.#giveBackTo(held.replaces)
  }

  /** Returns what releases the slots that a holder has now, and none that a later one of the same id has taken. */
  releasing (holder: string): () => void {
    const held = this.#holders.get(holder)
    return () => { if (held !== undefined && this.#holders.get(holder) === held) this.release(holder) }
  }

  /** Connections of a user on all nodes, as far as the adapter tells. */
  async countUser (user: string): Promise<number> {
    const here = this.#users.get(user) ?? 0
    if (here > 0 || this.#leases === undefined) return here
    return await this.#leases.count(userKey(user))
  }

  /** Number of the user's connections on all nodes, as far as the adapter keeps leases. */
  async countUserEverywhere (user: string): Promise<number> {
    const here = this.#users.get(user) ?? 0
    // A connection that was let in while the broker was away may have no lease yet.
    return this.#leases === undefined ? here : Math.max(here, await this.#leases.count(userKey(user)))
  }

  #bumpAddress (address: string, by: 1 | -1): void {
    if (this.#limits.address !== undefined) bump(this.#addresses, address, by)
  }

  #hasRoomSlot (name: string, capacity: number | undefined): boolean {
    return capacity === undefined || (this.#rooms.get(name) ?? 0) < capacity
  }

  #takeRoom (held: Holder, name: string, capacity: number | undefined, lent?: Place): void {
    // Only rooms with a capacity are counted; the others would cost an entry for nothing.
    if (capacity === undefined || held.rooms?.has(name) === true) return
    held.rooms ??= new Map()
    held.rooms.set(name, lent ?? { capacity, fence: 0 })
    bump(this.#rooms, name, 1)
    this.#onTaken('capacity of the room', this.#rooms.get(name)!, capacity, { room: name })
  }
}

function roomFull (room: string, capacity: number | undefined): Refusal {
  return new Refusal('room_full', {
    room,
    retryAfter: 1_000 + Math.random() * 4_000,
    why: { limit: 'capacity of the room', value: capacity }
  })
}

/** Whether the adapter has answered that others have what there is of a limit. */
function isTaken (error: unknown): boolean { return error instanceof Refusal && error.word !== 'unavailable' }

/** @param most connections of one user */
export function userLimit (most: number): Refusal {
  return new Refusal('user_limit', { why: { limit: 'limits.user.connections', value: most } })
}

function userKey (user: string): string { return keyOfKind('user', user) }
function roomKey (name: string): string { return keyOfKind('room', name) }

function bump (counts: ShardedMap<number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by
  if (count <= 0) counts.delete(key)
  else counts.set(key, count)
}
