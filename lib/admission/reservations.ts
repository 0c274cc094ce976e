import type { FastifyRequest } from 'fastify'
import { Refusal } from '../errors/refusal.js'
import type { Settings } from '../options/resolve.js'
import type { RequestedRoom } from '../rooms/joining.js'
import type { Peer } from './peer.js'
import { userLimit, type Slots } from './slots.js'

export interface ReservationsOptions {
  readonly slots: Slots
  readonly limits: Settings['limits']
  /** Returns the open connections of a user, the oldest first. */
  readonly ofUser: (userId: string) => ReadonlyArray<Pick<Peer, 'id' | 'isOpen'>>
  readonly older: OlderConnections
}

/** The connections of users on all nodes, of which one gives way to a newer one of this node. */
export interface OlderConnections {
  /**
   * Ends the oldest connection of a user, of those that no other newcomer of this node is about to end, and waits until
   * its slot and its places are free. Where there is none, it waits for `opening`.
   *
   * @param rooms those that it is to say of the connection whether it is in them
   * @param asked connections that were asked before, to which it adds
   * @param ready called before it is ended, with those of the rooms in which it is; where that rejects, none is ended
   * @returns whether there was one; another newcomer may have ended it first
   * @throws Refusal `unavailable` where nobody can tell whether it has ended, `draining`
   */
  end (
    userId: string,
    rooms: readonly string[],
    asked: Set<string>,
    ready: (rooms: readonly string[]) => Promise<void>
  ): Promise<boolean>
  /** Resolves after a moment, in which a connection that was being opened may be open. @throws Refusal `draining` */
  opening (): Promise<void>
}

/** Milliseconds for which older connections may still be opening, and other newcomers be faster. */
const PATIENCE = 2_000

/** What is looked at of a request. */
type Caller = Pick<FastifyRequest, 'ip' | 'raw'>

/** Takes the slots of a request that opens a connection, and decides which older connection of its user gives way. */
export class Reservations {
  readonly #options: ReservationsOptions

  constructor (options: ReservationsOptions) {
    this.#options = options
  }

  /**
   * Checks that the user has a slot left, unless a connection is to give way, which may have to be opened first.
   * Nothing is taken.
   *
   * @throws Refusal `user_limit`
   */
  checkUser (userId: string): void {
    if (this.#options.limits.user.then === 'reject') this.#replaceable(userId)
  }

  /**
   * Checks that the rooms have a place left; nothing is taken.
   *
   * @param own who has its places already
   * @throws Refusal `room_full`
   */
  checkRooms (entries: readonly RequestedRoom[], own?: string): void {
    this.#options.slots.checkRooms(placesOf(entries), own)
  }

  /**
   * Takes all slots of this node in one synchronous step, then the adapter's leases. The result is no promise where
   * there is nothing to wait for: no leases, and no connection that is being opened and is to give way.
   *
   * @param confirm called after a wait, before a connection ends for this one; throws where this one is refused after
   *   all
   * @throws Refusal of the first slot that is missing; then none is taken
   */
  take (
    request: Caller,
    id: string,
    userId: string,
    entries: readonly RequestedRoom[],
    confirm: () => void
  ): Promise<void> | undefined {
    const newcomer = { id, userId, places: placesOf(entries), confirm }
    return this.#mayTake(userId) ? this.#take(request, newcomer) : this.#takeLater(request, newcomer)
  }

  #take (request: Caller, newcomer: Newcomer): Promise<void> | undefined {
    const { slots } = this.#options
    // The client may have gone during the admission, and then nothing would ever release the slots.
    checkAlive(request)
    const { id, userId, places } = newcomer
    slots.reserve(id, userId, request.ip ?? '', places, this.#replaceable(userId))
    return slots.isLeased ? this.#lease(request, newcomer) : undefined
  }

  async #takeLater (request: Caller, newcomer: Newcomer): Promise<void> {
    const end = performance.now() + PATIENCE
    do {
      await this.#options.older.opening()
      checkAlive(request)
    } while (!this.#mayTake(newcomer.userId) && performance.now() < end)
    newcomer.confirm()
    // Another poll of the same connection has come here meanwhile: the next one finds it.
    if (this.#options.slots.has(newcomer.id)) throw new Refusal('unavailable', { retryAfter: 1_000 })
    await this.#take(request, newcomer)
  }

  /** False where all connections of the user are of this node, and none of them is open and could give way. */
  #mayTake (userId: string): boolean {
    const { slots, limits } = this.#options
    return limits.user.then === 'reject' || slots.hasUserSlot(userId) || this.#oldest(userId) !== undefined
  }

  #oldest (userId: string): Pick<Peer, 'id'> | undefined {
    const { slots, ofUser } = this.#options
    return ofUser(userId).find((peer) => peer.isOpen && slots.hasUserSlotOf(peer.id))
  }

  /**
   * Finds the user's oldest connection where the limit says that it is replaced. It is only ended once the newer one is
   * open, so that a refused connection ends none.
   *
   * @returns its id, where no slot is left
   * @throws Refusal `user_limit`
   */
  #replaceable (userId: string): string | undefined {
    const { slots, limits } = this.#options
    if (slots.hasUserSlot(userId)) return undefined
    const oldest = limits.user.then === 'reject' ? undefined : this.#oldest(userId)
    if (oldest === undefined) throw userLimit(limits.user.connections)
    return oldest.id
  }

  async #lease (request: Caller, newcomer: Newcomer): Promise<void> {
    const { slots, limits } = this.#options
    const { id, places } = newcomer
    const release = slots.releasing(id)
    try {
      await slots.lease(id, places).catch(async (error: unknown) => {
        if (limits.user.then === 'reject' || !isUserLimit(error)) throw error
        await this.#leaseOfOlder(request, newcomer)
      })
      checkAlive(request)
    } catch (error) {
      release()
      throw error
    }
  }

  /**
   * Takes the leases after the oldest connection of the user has ended for this one, wherever it was. All that may
   * still refuse this one is looked at before, so that a newcomer that is refused ends none.
   */
  async #leaseOfOlder (request: Caller, { id, userId, places, confirm }: Newcomer): Promise<void> {
    const { slots, older, limits } = this.#options
    const limited = places.flatMap(({ name, capacity }) => capacity === undefined ? [] : [name])
    const asked = new Set([id])
    const end = performance.now() + PATIENCE
    // What was lent here for this one may be given back just now.
    for (let isFound = true; !await this.#hasLease(id);) {
      if (performance.now() > end) {
        if (!isFound) throw userLimit(limits.user.connections)
        throw new Refusal('unavailable', { message: 'other connections of this user were faster', retryAfter: 1_000 })
      }
      checkAlive(request)
      isFound = await older.end(userId, limited, asked, async (rooms) => {
        await slots.leaseRooms(id, places.filter(({ name }) => !rooms.includes(name)))
        checkAlive(request)
        confirm()
      })
    }
    await slots.leaseRooms(id, places)
  }

  /** Whether its user's lease could be taken. */
  async #hasLease (id: string): Promise<boolean> {
    try {
      await this.#options.slots.leaseUser(id)
      return true
    } catch (error) {
      if (isUserLimit(error)) return false
      throw error
    }
  }
}

/** Who has slots of this node, and still needs leases. */
interface Newcomer {
  readonly id: string
  readonly userId: string
  readonly places: Places
  readonly confirm: () => void
}

function isUserLimit (error: unknown): boolean { return error instanceof Refusal && error.word === 'user_limit' }

type Places = ReadonlyArray<{ readonly name: string, readonly capacity: number | undefined }>

function placesOf (entries: readonly RequestedRoom[]): Places {
  return entries.map(({ name, found }) => ({ name, capacity: found.declaration.capacity }))
}

/** Under `injectWS` there is no socket. */
function checkAlive ({ raw }: Caller): void {
  const { socket } = raw as { socket?: { destroyed: boolean } }
  if (socket?.destroyed === true) throw new Refusal('timeout', { message: 'the connection has gone' })
}
