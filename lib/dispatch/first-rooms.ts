import { whoIs, type Peer } from '../admission/peer.js'
import type { Slots } from '../admission/slots.js'
import type { Revocations } from '../auth/revocations.js'
import type { Packet } from '../protocol/packet.js'
import type { RequestedRoom } from '../rooms/joining.js'
import { MemberLists } from '../rooms/member-lists.js'
import type { Awaitable } from '../structures/awaitable.js'
import { costOf } from '../structures/token-bucket.js'
import type { ErrorReplies } from './error-replies.js'
import { commit, type JoinPreparation, type PreparedJoin } from './join-preparation.js'
import type { JoinResult, RefusedRoom } from './join-result.js'
import { lookAtRooms, type RoomLimit } from './room-limit.js'
import type { RoomOrder } from './room-order.js'

export interface FirstRoomsOptions extends RoomLimit {
  readonly revocations: Revocations
  readonly slots: Slots
  readonly replies: ErrorReplies
  readonly order: RoomOrder
  readonly preparation: JoinPreparation
  /** Bytes of the member lists of one answer. */
  readonly answer: number
  /** Charges a user what the opening of a connection cost beside the request, in messages. */
  readonly charge: (userId: string, cost: number) => void
}

type Attempt = PreparedJoin | RefusedRoom

/** Enters the rooms of a new connection all together; its admission has let it in and taken places for it. */
export class FirstRooms {
  readonly #options: FirstRoomsOptions

  constructor (options: FirstRoomsOptions) {
    this.#options = options
  }

  /**
   * Enters all rooms of a new stream and sends `welcome`. Commands that came with the handshake wait until then.
   *
   * @param since the moment of the revocations at which its admission began
   * @param welcome makes the frame from the result of each room; it is sent before any event, and a poll has none
   */
  open (
    connection: Peer,
    entries: readonly RequestedRoom[],
    since: number,
    welcome: (rooms: readonly JoinResult[]) => Packet | undefined
  ): Awaitable<void> {
    const attempts = entries.map((entry) => this.#attempt(connection, entry))
    if (!attempts.some((attempt) => attempt instanceof Promise)) {
      return this.#opened(connection, attempts as Attempt[], welcome)
    }
    return this.#openLater(connection, attempts, since, welcome)
  }

  async #openLater (
    connection: Peer,
    attempts: ReadonlyArray<Awaitable<Attempt>>,
    since: number,
    welcome: (rooms: readonly JoinResult[]) => Packet | undefined
  ): Promise<void> {
    const { order } = this.#options
    order.begin(connection)
    const results = await Promise.all(attempts)
    // If the connection is gone meanwhile, it no longer holds anything here.
    const waiting = order.takeWaiting(connection)
    this.#opened(connection, results.map((result) => this.#asked(connection, result, since)), welcome)
    for (const task of waiting) task()
  }

  #attempt (connection: Peer, { name, found, request }: RequestedRoom): Awaitable<Attempt> {
    const refused = (error: unknown): Attempt => ({ name, refusal: this.#options.replies.of(error, name, connection) })
    try {
      const ready = this.#options.preparation.enter(connection, name, found, request)
      return ready instanceof Promise ? ready.catch(refused) : ready
    } catch (error) {
      return refused(error)
    }
  }

  /** The server may have removed the connection from the room while it was entering. */
  #asked (connection: Peer, result: Attempt, since: number): Attempt {
    const { name } = result
    if (!('joining' in result) || !connection.isOpen) return result
    try {
      this.#options.revocations.checkRoom(since, whoIs(connection), name)
      return result
    } catch (error) {
      result.joining.cancel()
      return { name, refusal: this.#options.replies.of(error, name, connection) }
    }
  }

  #opened (
    connection: Peer,
    results: readonly Attempt[],
    welcome: (rooms: readonly JoinResult[]) => Packet | undefined
  ): void {
    if (!connection.isOpen) {
      for (const result of results) if ('joining' in result) result.joining.cancel()
      return
    }
    const { slots, replies, charge, answer } = this.#options
    const starts: Array<() => void> = []
    const lists = new MemberLists(answer)
    const entered = results.map((result): JoinResult => {
      if (!('joining' in result)) {
        // Admission took a place for it; the server may have put the connection into the room meanwhile.
        if (connection.rooms.get(result.name) === undefined) slots.leave(connection.id, result.name)
        return result
      }
      const { membership, data, start } = commit(connection, result)
      // The poll was given up meanwhile, so the next one reads the events from here on.
      if (connection.isParked) membership.park()
      else starts.push(start)
      return { name: result.name, data: lists.fitJoin(data) }
    })
    lookAtRooms(connection, this.#options)
    charge(connection.userId, costOf(lists.bytes))
    const packet = welcome(entered)
    if (packet !== undefined) connection.send(packet)
    for (const start of starts) start()
    for (const result of entered) {
      if ('refusal' in result) replies.refuseRoom(connection, result.refusal, result.name)
    }
  }
}
