import type { FastifyBaseLogger } from 'fastify'
import { whoIs, type Peer } from '../admission/peer.js'
import type { Slots } from '../admission/slots.js'
import type { Revocations } from '../auth/revocations.js'
import type { Identity } from '../connection/identity.js'
import { isUnavailable, Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { codes, isCode, isForGood, type EndReason } from '../protocol/codes.js'
import { formerOf } from '../protocol/cursor.js'
import type { JoinCommand } from '../protocol/frames.js'
import type { Hub } from '../rooms/hub.js'
import type { JoinRequest, RequestedRoom } from '../rooms/joining.js'
import { MemberLists } from '../rooms/member-lists.js'
import type { Awaitable } from '../structures/awaitable.js'
import { costOf } from '../structures/token-bucket.js'
import { LeaveContext } from './contexts.js'
import { takenOut, type Departures } from './departures.js'
import type { ErrorReplies } from './error-replies.js'
import { commit, sourceOf, type Entered, type JoinPreparation, type PreparedJoin } from './join-preparation.js'
import { LateJoins, type LateJoin } from './late-joins.js'
import type { RefusedRoom, TakenRooms } from './join-result.js'
import { Resumption, type Resumable, type ResumptionHost } from './resumption.js'
import { lookAtRooms, type RoomLimit } from './room-limit.js'
import type { RoomOrder } from './room-order.js'
import type { Untold } from './untold.js'
import type { ResolvedRoom } from '../rooms/declarations.js'
import type { Membership } from '../rooms/membership.js'

export interface JoinsOptions extends RoomLimit {
  readonly rooms: Hub
  readonly revocations: Revocations
  readonly slots: Slots
  readonly replies: ErrorReplies
  readonly order: RoomOrder
  readonly preparation: JoinPreparation
  readonly departures: Departures
  readonly untold: Untold
  readonly log: FastifyBaseLogger
  /** Bytes of the member lists of one answer. */
  readonly answer: number
}

/** What a poll is told whose room has too many frames waiting. */
const TOO_MANY = { message: 'too many frames wait for this room', retryAfter: 1_000 }

/**
 * Moves open connections into rooms and out of them: by their own commands, by the server, and from poll to poll. Only
 * the first rooms of a connection are entered another way, by `FirstRooms`.
 */
export class Joins {
  readonly #options: JoinsOptions
  readonly #late: LateJoins
  readonly #resumptions: ResumptionHost

  constructor (options: JoinsOptions) {
    this.#options = options
    this.#late = new LateJoins(async (late) => await this.#joinByServerInOrder(late))
    this.#resumptions = {
      rooms: options.rooms,
      memberLists: () => this.#memberLists(),
      enterAgain: async (resumable, entry) => await this.#enterAgain(resumable, entry)
    }
  }

  stop (): void { this.#late.stop() }

  // By the connection's own will

  async join (connection: Peer, command: JoinCommand): Promise<void> {
    const step = async (): Promise<void> => { await this.#joinInOrder(connection, command) }
    // It has waited as a frame.
    await this.#options.order.enter(connection, command.room, step, Number.POSITIVE_INFINITY)
  }

  /** Never rejects. */
  async #joinInOrder (connection: Peer, command: JoinCommand): Promise<void> {
    const { room: name, id, since, last, connection: former, known: named } = command
    const { rooms, access, revocations, replies } = this.#options
    const begun = revocations.moment
    const { identity } = connection
    try {
      // A connection that the server has put into the room needs no permission of its own.
      const found = connection.rooms.get(name)?.isByServer === true ? undefined : await access.allow(name, identity)
      if (!connection.isOpen) return
      const known = connection.rooms.get(name)
      const request = { since, last, former: formerOf(former), ...(named === undefined ? {} : { known: { named } }) }
      // A client enters a room with the ack, and hears nothing before: what came with `welcome` comes again behind it.
      const isMoved = known?.room.declaration.builtIn !== undefined &&
        (since !== undefined || last !== undefined || known.state === 'live')
      if (known !== undefined && !isMoved) {
        rooms.succeed(known, request.former)
        const data = { ...known.place, ...known.room.declaration.terms }
        connection.sendFrame({ type: 'ack', room: name, id, data })
        return
      }
      const { data, start } = known === undefined
        ? await this.#add(connection, name, found ?? rooms.resolve(name), request, begun, found && identity)
        : await this.#move(known, request)
      const lists = this.#memberLists()
      const listed = lists.fitJoin(data)
      connection.charge(costOf(lists.bytes))
      connection.sendFrame({ type: 'ack', room: name, id, data: listed })
      start()
    } catch (error) {
      const refusal = replies.of(error, name, connection)
      if (connection.isOpen) replies.refuse(connection, refusal, id, name)
    }
  }

  /**
   * Moves a member within a built-in room, in which every connection is from the start: after a reconnect it resumes
   * where it was, without a second `onJoin`. One that is refused stays where it is, and hears on.
   */
  async #move (membership: Membership, request: JoinRequest): Promise<Pick<Entered, 'data' | 'start'>> {
    membership.former = request.former
    this.#options.rooms.succeed(membership, request.former)
    return await this.#options.rooms.rejoin(membership, request, false)
  }

  /**
   * @param since the moment of the revocations at which the decision to let it in began
   * @param allowed the identity for which that was decided; absent when the server decides
   * @param begun is called when `onJoin` begins: from then on it cannot be tried again
   * @throws Refusal, also when the connection is gone meanwhile
   */
  async #add (
    connection: Peer,
    name: string,
    found: ResolvedRoom,
    request: JoinRequest,
    since: number,
    allowed?: Identity,
    begun?: () => void
  ): Promise<Entered> {
    const { slots, roomLimit, access, revocations, preparation } = this.#options
    if (connection.rooms.size + connection.entering >= roomLimit + access.builtIn(connection.userId).length) {
      throw new Refusal('room_limit', {
        message: `at most ${roomLimit} rooms on one connection`,
        why: { limit: 'limits.rooms', value: roomLimit }
      })
    }
    connection.entering++
    let ready: PreparedJoin | undefined
    // Until it fails the connection may have ended, and come back by the same id.
    let giveBack: (() => void) | undefined
    try {
      giveBack = await slots.enter(connection.id, name, found.declaration.capacity)
      ready = await preparation.enter(connection, name, found, request, begun)
      if (allowed !== undefined && allowed !== connection.identity) await this.#askAgain(connection, name, found)
      if (!connection.isOpen || connection.isParked) {
        throw new Refusal('timeout', { message: 'the connection has gone' })
      }
      revocations.checkRoom(since, whoIs(connection), name)
    } catch (error) {
      ready?.joining.cancel()
      giveBack?.()
      throw error
    } finally {
      connection.entering--
    }
    this.#late.drop(connection, name)
    const entered = commit(connection, ready)
    lookAtRooms(connection, this.#options)
    return entered
  }

  /** Authorises again when the credential was renewed, maybe with fewer rights, while the room was being entered. */
  async #askAgain (connection: Peer, name: string, found: ResolvedRoom): Promise<void> {
    for (let asked: Identity | undefined; asked !== connection.identity;) {
      asked = connection.identity
      await this.#options.access.authorize(name, found, asked)
    }
  }

  /** @returns false when it is not in the room, or cannot leave it */
  leaveByPeer (connection: Peer, name: string): boolean {
    this.#late.drop(connection, name)
    const membership = connection.rooms.get(name)
    if (membership === undefined || membership.room.declaration.builtIn !== undefined) return false
    this.#leave(connection, membership, 'left', true)
    if (connection.transport === 'polling') this.#options.untold.left(connection, name)
    return true
  }

  // By the server

  /**
   * Puts a connection into a room for the application, without authorisation, for as long as the connection lives.
   * Resolves when it is in; while its first rooms are being entered and their `onJoin` runs, already before, because
   * what waits for the join may be that `onJoin`: the connection is put into the room behind its welcome then. Where
   * the adapter is away for a moment, it is put into the room later.
   *
   * @param since the moment of the revocations at which the application asked for it, for this connection and others
   * @returns false when it is in the room, or enters it by itself, or cannot be put into it
   */
  async joinByServer (connection: Peer, name: string, since: number): Promise<boolean> {
    const { rooms, order, preparation } = this.#options
    rooms.locate(name)
    // Between two polls there is no answer for which the join could last, and none that could tell of it.
    if (connection.rooms.get(name) !== undefined || connection.isParked) return false
    const join = (): Promise<boolean> => this.#joinByServerInOrder({ connection, name, since })
    const opening = order.waitingOf(connection)
    if (preparation.isGreeting(connection.id, opening === undefined ? name : undefined)) {
      if (opening === undefined) void join()
      else opening.push(() => { void join() })
      return !preparation.isGreeting(connection.id, name)
    }
    // The connection may be entering the same room itself.
    if (opening !== undefined) await new Promise<void>((resolve) => { opening.push(resolve) })
    return await join()
  }

  /** Never rejects. */
  async #joinByServerInOrder (asked: LateJoin): Promise<boolean> {
    const { connection, name, since } = asked
    const { replies, rooms } = this.#options
    return await this.#inOrder(connection, name, async () => {
      if (!connection.isOpen || connection.isParked || connection.rooms.get(name) !== undefined) return false
      let hasBegun = false
      const begun = (): void => { hasBegun = true }
      try {
        const found = rooms.locate(name)
        const { membership, data, start } = await this.#add(connection, name, found, {}, since, undefined, begun)
        membership.isByServer = true
        this.#options.untold.joined(connection, name)
        // The poll was answered while `onJoin` ran.
        if (connection.isParked) {
          this.#leave(connection, membership, 'left', true)
          return false
        }
        connection.sendFrame({ type: 'joined', room: name, data: this.#memberLists().fitJoin(data) })
        start()
        return true
      } catch (error) {
        if (hasBegun || !isUnavailable(error) || !this.#late.hold(asked)) {
          replies.note(connection, replies.of(error, name, connection), name)
        }
        return false
      }
    }) ?? false
  }

  /**
   * Lets the server bring a connection into a room.
   *
   * @param step never rejects
   * @returns `undefined` where too much waits already
   */
  async #inOrder<T> (connection: Peer, name: string, step: () => Promise<T>): Promise<T | undefined> {
    return await this.#options.order.enter(connection, name, step, DEFAULTS.waitingFrames)
  }

  /** Removes a connection from a room for the server, with a `left` frame. */
  leaveByServer (connection: Peer, name: string, word = 'left', message?: string): boolean {
    this.#late.drop(connection, name)
    const membership = connection.rooms.get(name)
    if (membership === undefined) return false
    const why = isCode(word) ? new Refusal(word, { room: name, message }) : takenOut(name, message)
    membership.lost = why
    this.#leave(connection, membership, word, true)
    this.#options.departures.taken(connection, name, why)
    const data = { code: word, message: message ?? (isCode(word) ? codes[word].message : 'the server ended it') }
    if (connection.transport === 'polling') this.#options.untold.left(connection, name, data)
    connection.sendSurely({ type: 'left', room: name, data })
    return true
  }

  /**
   * Removes an ended connection from its rooms; its presence lasts for the grace, in which it may reconnect, unless its
   * client will not.
   */
  leaveAll (connection: Peer, reason: EndReason): void {
    const isMeant = isForGood(reason)
    for (const membership of connection.rooms.all()) this.#leave(connection, membership, reason, isMeant)
  }

  /** @param isMeant whether the peer or the server ends it on purpose: its presence then ends without grace */
  #leave (connection: Peer, membership: Membership, code: string, isMeant: boolean): void {
    const { rooms, slots, log } = this.#options
    if (!rooms.leave(membership, isMeant)) return
    connection.rooms.delete(membership.name)
    slots.leave(connection.id, membership.name)
    const { onLeave } = membership.room.declaration
    if (onLeave === undefined) return
    const failed = (error: unknown): void => {
      log.error({ err: error, room: membership.name, connectionId: connection.id }, 'onLeave failed')
    }
    const run = async (): Promise<void> => {
      // It is awaited in any case: a query of some libraries is no promise, and begins once somebody waits for it.
      await onLeave(new LeaveContext(sourceOf(rooms, connection, membership.name, membership.room), code))
    }
    run().catch(failed)
  }

  // From poll to poll

  /** Parks all memberships: the connection is offered nothing until its rooms are resumed. */
  parkAll (connection: Peer): void { for (const membership of connection.rooms.all()) membership.park() }

  /**
   * Parks the rooms of a poll that has ended. Joins by the server end with the poll, because the cursor names only the
   * rooms of the URL.
   */
  park (connection: Peer, cursorRooms: readonly string[]): void {
    for (const membership of connection.rooms.all()) {
      if (cursorRooms.includes(membership.name)) membership.park()
      else this.#leave(connection, membership, 'left', true)
    }
  }

  /**
   * Resumes the rooms of a connection for its next poll, and enters rooms again that were refused for the moment.
   *
   * @param since the moment of the revocations at which its admission began
   * @param missing rooms that were refused before, or that are named for the first time
   * @param isCurrent returns false once the poll was answered or given up; the next poll does the rest then
   */
  resume (
    connection: Peer,
    entries: readonly RequestedRoom[],
    since: number,
    missing: ReadonlySet<string> | undefined,
    isCurrent: () => boolean
  ): Awaitable<TakenRooms> {
    return new Resumption(this.#resumptions, { connection, entries, since, missing, isCurrent }).run()
  }

  /** @returns `undefined` when the server has put it into the room meanwhile, or the poll is over */
  async #enterAgain (
    { connection, since, isCurrent }: Resumable,
    { name, found, request }: RequestedRoom
  ): Promise<Entered | RefusedRoom | undefined> {
    const { replies } = this.#options
    const entered = await this.#inOrder(connection, name, async () => {
      if (connection.rooms.get(name) !== undefined || !isCurrent()) return {}
      try {
        const result = await this.#add(connection, name, found, request, since)
        this.#options.untold.joined(connection, name)
        return { result }
      } catch (error) {
        return { result: { name, refusal: replies.of(error, name, connection) } }
      }
    })
    return entered === undefined ? { name, refusal: new Refusal('rate_limited', TOO_MANY) } : entered.result
  }

  /** Gives the slots and the presence of a connection to the node that it polls now. */
  handOver (connection: Peer): void {
    const { rooms, slots, departures } = this.#options
    departures.moved(connection)
    slots.handOver(connection.id)
    for (const membership of connection.rooms.all()) rooms.handOver(membership)
  }

  /** Makes the bound for the member lists of one answer. */
  #memberLists (): MemberLists { return new MemberLists(this.#options.answer) }
}
