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
}

/** What is looked at of a request. */
type Caller = Pick<FastifyRequest, 'ip' | 'raw'>

/** Takes the slots of a request that opens a connection, and decides which older connection of its user gives way. */
export class Reservations {
  readonly #options: ReservationsOptions

  constructor (options: ReservationsOptions) {
    this.#options = options
  }

  /**
   * Checks that the user has a slot left, or a connection that gives way; nothing is taken.
   *
   * @throws Refusal `user_limit`
   */
  checkUser (userId: string): void { this.#replaceable(userId) }

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
   * there are no leases to take.
   *
   * @throws Refusal of the first slot that is missing; then none is taken
   */
  take (
    request: Caller,
    id: string,
    userId: string,
    entries: readonly RequestedRoom[]
  ): Promise<void> | undefined {
    const { slots } = this.#options
    // The client may have gone during the admission, and then nothing would ever release the slots.
    checkAlive(request)
    const places = placesOf(entries)
    slots.reserve(id, userId, request.ip ?? '', places, this.#replaceable(userId))
    return slots.isLeased ? this.#lease(request, id, places) : undefined
  }

  /**
   * Finds the user's oldest connection where the limit says that it is replaced. It is only ended once the newer one is
   * open, so that a refused connection ends none.
   *
   * @returns its id, where no slot is left
   * @throws Refusal `user_limit`
   */
  #replaceable (userId: string): string | undefined {
    const { slots, limits, ofUser } = this.#options
    if (slots.hasUserSlot(userId)) return undefined
    const oldest = limits.user.then === 'reject'
      ? undefined
      : ofUser(userId).find((peer) => peer.isOpen && slots.hasUserSlotOf(peer.id))
    if (oldest === undefined) throw userLimit(limits.user.connections)
    return oldest.id
  }

  async #lease (request: Caller, id: string, places: Places): Promise<void> {
    const { slots } = this.#options
    const release = slots.releasing(id)
    try {
      await slots.lease(id, places)
      checkAlive(request)
    } catch (error) {
      release()
      throw error
    }
  }
}

type Places = ReadonlyArray<{ readonly name: string, readonly capacity: number | undefined }>

function placesOf (entries: readonly RequestedRoom[]): Places {
  return entries.map(({ name, found }) => ({ name, capacity: found.declaration.capacity }))
}

/** Under `injectWS` there is no socket. */
function checkAlive ({ raw }: Caller): void {
  const { socket } = raw as { socket?: { destroyed: boolean } }
  if (socket?.destroyed === true) throw new Refusal('timeout', { message: 'the connection has gone' })
}
