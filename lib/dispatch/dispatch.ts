import type { FastifyBaseLogger } from 'fastify'
import type { Access } from '../admission/access.js'
import type { Peer } from '../admission/peer.js'
import type { BroadcastAcks } from './broadcast-acks.js'
import type { Awaitable } from '../structures/awaitable.js'
import { ExpiringMap } from '../structures/expiring-map.js'
import type { ConnectionHost, Identity } from '../connection/connection.js'
import type { Connections } from '../connection/connections.js'
import { TokenBucket, costOf, type Rate } from '../structures/token-bucket.js'
import { LeaveContext } from './contexts.js'
import { JoinPreparation, sourceOf, type PreparedJoin } from './join-preparation.js'
import { Refusal, refusalOf } from '../errors/refusal.js'
import { KeyedQueue } from '../structures/keyed-queue.js'
import type { Messages } from './messages.js'
import { DEFAULTS } from '../options/resolve.js'
import type { Outcome } from './outcome.js'
import { MemberLists } from '../rooms/member-lists.js'
import type { Packet } from '../protocol/packet.js'
import { codes, isCode, type Code } from '../protocol/codes.js'
import { formerOf } from '../protocol/cursor.js'
import type {
  AuthCommand, Command, InvalidFrame, HistoryCommand, JoinCommand, MembersCommand, MessageCommand
} from '../protocol/frames.js'
import { keyOf } from '../protocol/key.js'
import { isRoomName } from '../contract/names.js'
import type { ResolvedRoom } from '../rooms/declaration.js'
import type { RequestedRoom } from '../rooms/joining.js'
import type { JoinData, Membership } from '../rooms/room.js'
import type { Revocations, Waiting } from '../auth/revocations.js'
import type { JoinRequest, Hub } from '../rooms/hub.js'
import type { Refusals } from '../admission/refusals.js'
import type { Slots } from '../admission/slots.js'
import type { Ledger, Transport } from '../stats/ledger.js'

export interface DispatchOptions {
  readonly rooms: Hub
  readonly access: Access
  readonly revocations: Revocations
  readonly connections: Connections<Membership>
  readonly slots: Slots
  readonly messages: Messages
  readonly acks: BroadcastAcks
  readonly ledger: Ledger
  readonly refusals: Refusals
  readonly log: FastifyBaseLogger
  /** rooms of one connection */
  readonly roomLimit: number
  /** of the rate of one connection */
  readonly burst: number
  readonly presenceList: number
  /**
   * bytes of one connection's frames that may wait to be handled, those that are being handled included; one frame
   * always may
   */
  readonly waiting: number
  /** bytes of one answer of history or members */
  readonly answer: number
  readonly validateOutput: boolean
  /** what opening a connection came to cost its user, beside the request; in messages */
  readonly charge: (userId: string, cost: number) => void
  /** a fresh identity for a ticket; throws a Refusal */
  readonly redeem: (ticket: string) => Promise<Identity>
}

/** What came of entering one room. */
export type JoinResult = {
  readonly name: string
  readonly data: JoinData
} | { readonly name: string, readonly refusal: Refusal }

/** Milliseconds in which the next poll of a connection is awaited, to be told of its end. */
const UNTOLD = 30_000
const MAX_UNTOLD = 10_000
/** Frames of one connection that may wait for one room, where the rate's burst is not more. */
const WAITING = DEFAULTS.waitingFrames
/** Milliseconds after which one that found no room to wait may be sent again. */
const TOO_MANY = 1_000

type Attempt = PreparedJoin | { readonly name: string, readonly refusal: Refusal }

/** What has a place in the order of its room. */
type LaneCommand = Exclude<Command, { readonly type: 'ping' | 'pong' | 'ack' }>

/** What is answered to a query, and what it costs. */
export interface Answer { readonly data: unknown, readonly bytes: number }

/** Where connections and rooms act on each other; nothing else knows both. */
export class Dispatch {
  readonly #options: DispatchOptions
  readonly #lanes = new KeyedQueue()
  readonly #entering: JoinPreparation
  /** ends of connections between two polls, by their ids, until the next poll asks */
  readonly #untold = new ExpiringMap<Refusal>(MAX_UNTOLD)
  /** commands that arrived before the welcome, with the handshake */
  readonly #opening = new Map<Peer, Array<() => void>>()

  constructor (options: DispatchOptions) {
    this.#options = options
    this.#entering = new JoinPreparation(options.rooms, options.validateOutput)
  }

  /** What connections call. */
  get host (): Pick<ConnectionHost<Membership>,
    | 'onSaying'
    | 'onCommand'
    | 'onFault'
    | 'onClosed'
    | 'onReleased'
    | 'onReplayed'> {
    return {
      onSaying: (connection) => {
        if (this.#options.rooms.isWalking) for (const membership of connection.rooms.all()) membership.catchUp()
      },
      onReplayed: ({ userId }, cost) => { this.#options.charge(userId, cost) },
      onCommand: (connection, command, bytes) => { this.#command(connection, command, bytes) },
      onFault: (connection, fault) => { this.#fault(connection, fault) },
      onClosed: (connection, reason) => { this.#closed(connection, reason) },
      onReleased: (connection) => { this.#options.slots.release(connection.id) }
    }
  }

  // Entering and leaving

  /**
   * Enters all rooms of a new stream and says `welcome`. Commands that came with the handshake wait until then.
   *
   * @param since the moment of the revocations at which its admission began
   * @param welcome makes the frame from what came of each room, sent before any event; a poll has none
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
    const waiting: Array<() => void> = []
    this.#opening.set(connection, waiting)
    const results = await Promise.all(attempts)
    // Gone meanwhile, it holds nothing here any more.
    this.#opening.delete(connection)
    this.#opened(connection, results.map((result) => this.#asked(connection, result, since)), welcome)
    for (const task of waiting.splice(0)) task()
  }

  /** The server may have taken the connection out of the room while it was being entered. */
  #asked (connection: Peer, result: Attempt, since: number): Attempt {
    const { name } = result
    if (!('joining' in result) || !connection.isOpen) return result
    try {
      this.#options.revocations.checkRoom(since, whoIs(connection), name)
      return result
    } catch (error) {
      result.joining.cancel()
      return { name, refusal: this.#refusal(error, name, connection) }
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
    const starts: Array<() => void> = []
    const lists = this.memberLists()
    const entered = results.map((result): JoinResult => {
      if (!('joining' in result)) {
        // Admission took a place for it; the server may have put the connection there meanwhile.
        if (connection.rooms.get(result.name) === undefined) this.#options.slots.leave(connection.id, result.name)
        return result
      }
      const { membership, data, start } = this.#commit(connection, result)
      // Of a poll that was given up meanwhile: the next one reads what comes from now on.
      if (connection.isParked) membership.park()
      else starts.push(start)
      return { name: result.name, data: lists.fitJoin(data) }
    })
    this.#options.charge(connection.userId, costOf(lists.bytes))
    const packet = welcome(entered)
    if (packet !== undefined) connection.send(packet)
    for (const start of starts) start()
    for (const result of entered) {
      if ('refusal' in result) this.#refuse(connection, result.refusal, undefined, result.name)
    }
  }

  /** A room of a poll that refused the connection before. `start` lets its events in. */
  async enterAgain (
    connection: Peer,
    { name, found, request }: RequestedRoom,
    since: number
  ): Promise<{ entered: JoinResult, start?: () => void }> {
    try {
      const { data, start } = await this.#add(connection, name, found, request, since)
      return { entered: { name, data }, start }
    } catch (error) {
      return { entered: { name, refusal: this.#refusal(error, name, connection) } }
    }
  }

  #attempt (connection: Peer, { name, found, request }: RequestedRoom): Awaitable<Attempt> {
    const refused = (error: unknown): Attempt => ({ name, refusal: this.#refusal(error, name, connection) })
    try {
      const ready = this.#entering.enter(connection, name, found, request)
      return ready instanceof Promise ? ready.catch(refused) : ready
    } catch (error) {
      return refused(error)
    }
  }

  #commit (
    connection: Peer,
    { joining, held }: PreparedJoin
  ): { membership: Membership, data: JoinData, start: () => void } {
    const { membership, data, start } = joining.commit(connection)
    membership.held = held
    connection.rooms.add(membership)
    return { membership, data, start }
  }

  async #join (connection: Peer, { room: name, id, since, last, connection: former }: JoinCommand): Promise<void> {
    const begun = this.#options.revocations.moment
    const { identity } = connection
    try {
      // Where the server has put it, it need not be allowed to go.
      const found = connection.rooms.get(name)?.isByServer === true
        ? undefined
        : await this.#options.access.allow(name, identity)
      if (!connection.isOpen) return
      const known = connection.rooms.get(name)
      const request = { since, last, former: formerOf(former) }
      const isMoved = known?.room.declaration.builtIn !== undefined && (since !== undefined || last !== undefined)
      if (known !== undefined && !isMoved) {
        connection.sendFrame({ type: 'ack', room: name, id, data: known.room.hasHistory ? known.room.position : {} })
        return
      }
      const { data, start } = known === undefined
        ? await this.#add(
          connection,
          name,
          found ?? this.#options.rooms.resolve(name),
          request,
          begun,
          found === undefined ? undefined : identity
        )
        : await this.#move(known, request)
      connection.sendFrame({ type: 'ack', room: name, id, data: this.#listed(connection, data) })
      start()
    } catch (error) {
      const refusal = this.#refusal(error, name, connection)
      if (connection.isOpen) this.#refuse(connection, refusal, id, name)
    }
  }

  /**
   * Every connection is in its built-in rooms from the start: one that comes back goes on where it was, without a
   * second `onJoin`.
   */
  async #move (membership: Membership, request: JoinRequest): Promise<{ data: JoinData, start: () => void }> {
    membership.park()
    membership.former = request.former
    return await this.#options.rooms.rejoin(membership, request, false)
  }

  /**
   * @param since the moment of the revocations at which the decision to let it in began
   * @param allowed for whom that was decided; absent when the server decides
   * @throws Refusal; when the connection has gone meanwhile, too
   */
  async #add (
    connection: Peer,
    name: string,
    found: ResolvedRoom,
    request: JoinRequest,
    since: number,
    allowed?: Identity
  ): Promise<{ membership: Membership, data: JoinData, start: () => void }> {
    const { slots, roomLimit } = this.#options
    if (connection.rooms.size +
      connection.entering >= roomLimit + this.#options.access.builtIn(connection.userId).length) {
      throw new Refusal('room_limit', {
        message: `at most ${roomLimit} rooms on one connection`,
        why: { limit: 'limits.rooms', value: roomLimit }
      })
    }
    connection.entering++
    let ready: PreparedJoin | undefined
    try {
      await slots.enter(connection.id, name, found.declaration.capacity)
      ready = await this.#entering.enter(connection, name, found, request)
      if (allowed !== undefined && allowed !== connection.identity) await this.#askAgain(connection, name, found)
      if (!connection.isOpen || connection.isParked) {
        throw new Refusal('timeout', { message: 'the connection has gone' })
      }
      this.#options.revocations.checkRoom(since, whoIs(connection), name)
    } catch (error) {
      ready?.joining.cancel()
      slots.leave(connection.id, name)
      throw error
    } finally {
      connection.entering--
    }
    return this.#commit(connection, ready)
  }

  /**
   * Its credential may have been renewed, with fewer rights, while the room was being entered with those that it had.
   */
  async #askAgain (connection: Peer, name: string, found: ResolvedRoom): Promise<void> {
    for (let asked: Identity | undefined; asked !== connection.identity;) {
      asked = connection.identity
      await this.#options.access.authorize(name, found, asked)
    }
  }

  /** @param isMeant the peer or the server ends it on purpose: presence without grace */
  #leave (connection: Peer, membership: Membership, code: string, isMeant: boolean): void {
    if (!this.#options.rooms.leave(membership, isMeant)) return
    connection.rooms.delete(membership.name)
    this.#options.slots.leave(connection.id, membership.name)
    const { onLeave } = membership.room.declaration
    if (onLeave === undefined) return
    const failed = (error: unknown): void => {
      this.#options.log.error({ err: error, room: membership.name, connectionId: connection.id }, 'onLeave failed')
    }
    try {
      const left = onLeave(new LeaveContext(
        sourceOf(this.#options.rooms, connection, membership.name, membership.room),
        code
      ))
      if (left instanceof Promise) left.catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  /** The server puts a connection into a room: no authorisation, for as long as the connection lives. */
  async joinByServer (connection: Peer, name: string): Promise<boolean> {
    const found = this.#options.rooms.locate(name)
    // Between two polls there is no answer that the join could last for, and none that could tell of it.
    if (connection.rooms.get(name) !== undefined || connection.isParked) return false
    const since = this.#options.revocations.moment
    const opening = this.#opening.get(connection)
    // Its own way into the same room may be under way.
    if (opening !== undefined) await new Promise<void>((resolve) => { opening.push(resolve) })
    return await new Promise<boolean>((resolve) => {
      const isTaken = this.#lanes.run(laneOf(connection, name), async () => {
        if (!connection.isOpen || connection.isParked || connection.rooms.get(name) !== undefined) return resolve(false)
        try {
          const { membership, data, start } = await this.#add(connection, name, found, {}, since)
          membership.isByServer = true
          // The poll was answered while `onJoin` ran.
          if (connection.isParked) {
            this.#leave(connection, membership, 'left', true)
            return resolve(false)
          }
          connection.sendFrame({ type: 'joined', room: name, data: this.memberLists().fitJoin(data) })
          start()
          resolve(true)
        } catch (error) {
          this.#note(connection, this.#refusal(error, name, connection), name)
          resolve(false)
        }
      }, WAITING)
      if (!isTaken) resolve(false)
    })
  }

  /** What the server has joined ends with the answer of a poll: its cursor cannot name it. */
  leaveAfterAnswer (
    connection: Peer,
    membership: Membership
  ): void { this.#leave(connection, membership, 'left', true) }

  /** The server takes a connection out of a room, with a `left` frame. */
  leaveByServer (connection: Peer, name: string, word = 'left'): boolean {
    const membership = connection.rooms.get(name)
    if (membership === undefined) return false
    this.#leave(connection, membership, word, true)
    connection.sendSurely({
      type: 'left',
      room: name,
      data: { code: word, message: isCode(word) ? codes[word].message : 'the server ended it' }
    })
    return true
  }

  #closed (connection: Peer, reason: string): void {
    const { connections, ledger, acks, log } = this.#options
    const transport: Transport = connection.transport
    for (const membership of connection.rooms.all()) this.#leave(connection, membership, reason, false)
    acks.gone(connection.id)
    // The application may never settle what lets it in.
    const opening = this.#opening.get(connection)
    this.#opening.delete(connection)
    if (opening !== undefined) for (const task of opening.splice(0)) task()
    const { ending } = connection
    if (connection.isParked && ending?.data.retry === 'never') {
      this.#untold.set(connection.id, ending, performance.now() + UNTOLD, performance.now())
    }
    if (!connections.delete(connection, transport)) return
    ledger.closed(reason)
    const { id, userId, startedAt, bytesIn, bytesOut, lag } = connection
    log.info(
      {
        connectionId: id,
        userId,
        transport,
        reason,
        duration: Math.round(performance.now() - startedAt),
        bytes: { in: bytesIn, out: bytesOut },
        lag
      },
      'connection closed'
    )
  }

  /** Why a connection that polled was ended for good between two polls, told once; `undefined`: it was not. */
  takeEnding (id: string): Refusal | undefined {
    const ending = this.#untold.get(id, performance.now())
    if (ending !== undefined) this.#untold.delete(id)
    return ending
  }

  // Commands

  #command (connection: Peer, command: Command, bytes: number): void {
    const opening = this.#opening.get(connection)
    if (!this.#isAffordable(connection, command)) return
    if (opening === undefined) this.#run(connection, command, bytes)
    else if (opening.length >= Math.max(WAITING, this.#options.burst) || !this.#hold(connection, bytes)) {
      this.#tooMany(connection, command)
    } else {
      opening.push(() => {
        connection.waiting -= bytes
        this.#run(connection, command, bytes)
      })
    }
  }

  /**
   * Frames that wait, or are being worked on, are bounded in bytes for all rooms of a connection. @returns whether
   * these fit
   */
  #hold (connection: Peer, bytes: number): boolean {
    if (connection.waiting > 0 && connection.waiting + bytes > this.#options.waiting) return false
    connection.waiting += bytes
    return true
  }

  #tooMany (connection: Peer, command: Command): void {
    const refusal = new Refusal('rate_limited', { message: 'too many frames wait for this room', retryAfter: TOO_MANY })
    this.#refuse(connection, refusal, command.id, 'room' in command ? command.room : undefined)
  }

  /**
   * Spends a token of the room's own bucket for a message where it declares one, of the connection's for everything
   * else.
   */
  #isAffordable (connection: Peer, command: Command): boolean {
    if (command.type === 'ack' && this.#options.acks.isOwed(command.id, connection.id)) return true
    const now = performance.now()
    let wait: number
    const membership = command.type === 'message' ? connection.rooms.get(command.room) : undefined
    const rate = membership?.room.declaration.rate
    if (membership === undefined || rate === undefined) wait = connection.spend(now)
    else {
      const bucket = (membership.bucket ??= new TokenBucket(rate, now)) as TokenBucket
      wait = bucket.take(now)
      if (wait > 0 && bucket.isFlooded) connection.close('rate_limited')
    }
    if (wait === 0) return true
    if (connection.isOpen) {
      this.#refuse(connection, rateLimited(wait, rate), command.id, 'room' in command ? command.room : undefined)
    }
    return false
  }

  #run (connection: Peer, command: Command, bytes: number): void {
    if (!connection.isOpen) return
    const { acks } = this.#options
    switch (command.type) {
      case 'ping': return connection.sendFrame({ type: 'pong', id: command.id })
      case 'pong': return command.id === undefined ? undefined : connection.pong(command.id)
      case 'ack': return void acks.acked(command.id, connection.id)
    }
    const room = command.type === 'auth' ? undefined : command.room
    // Renewals are a lane of their own, so that the last one sent is the one that holds.
    if (!this.#hold(connection, bytes)) return this.#tooMany(connection, command)
    const isTaken = this.#lanes.run(laneOf(connection, room ?? ''), () => {
      const done = this.#handle(connection, command, bytes)
      if (done instanceof Promise) return done.finally(() => { connection.waiting -= bytes })
      connection.waiting -= bytes
      return undefined
    }, this.#mayWait(connection, room ?? ''))
    if (isTaken) return
    connection.waiting -= bytes
    this.#tooMany(connection, command)
  }

  #handle (connection: Peer, command: LaneCommand, bytes: number): Awaitable<void> {
    if (!connection.isOpen) return undefined
    switch (command.type) {
      case 'auth': return this.#auth(connection, command)
      case 'join': return this.#join(connection, command)
      case 'leave': return this.#left(connection, command.room, command.id)
      case 'members': return this.#members(connection, command)
      case 'history': return this.#history(connection, command)
      case 'message': return this.#message(connection, command, bytes)
    }
  }

  /** A burst that the rate allows finds room to wait. */
  #mayWait (connection: Peer, room: string): number {
    const { rate } = connection.rooms.get(room)?.room.declaration ?? {}
    return Math.max(WAITING, this.#options.burst, rate?.burst ?? 0)
  }

  /** @returns false when it is not in the room, or cannot leave it */
  leaveByPeer (connection: Peer, name: string): boolean {
    const membership = connection.rooms.get(name)
    if (membership === undefined || membership.room.declaration.builtIn !== undefined) return false
    this.#leave(connection, membership, 'left', true)
    return true
  }

  #left (connection: Peer, name: string, id: string | undefined): void {
    if (!this.leaveByPeer(connection, name)) return this.#notJoined(connection, name, id)
    if (id !== undefined) connection.sendFrame({ type: 'ack', room: name, id })
  }

  #notJoined (connection: Peer, name: string, id: string | undefined): void {
    this.#refuse(connection, new Refusal(isRoomName(name) ? 'not_joined' : 'room_invalid'), id, name)
  }

  async #message (
    connection: Peer,
    { name: type, room: name, id, data }: MessageCommand,
    bytes: number
  ): Promise<void> {
    const membership = connection.rooms.get(name)
    if (membership === undefined) return this.#notJoined(connection, name, id)
    const { declaration, params } = membership.room
    const { rooms } = this.#options
    const check = (): void => {
      if (connection.ending?.word === 'revoked') throw connection.ending
      if (connection.isOpen && connection.rooms.get(name) !== membership) throw new Refusal('not_joined')
    }
    const outcome = await this.#options.messages.run({
      rooms,
      declaration,
      params,
      name,
      type,
      data,
      bytes,
      user:
        connection.user,
      userId: connection.userId,
      sender: connection.id,
      messageId: id,
      check
    })
    if ('error' in outcome) {
      this.#options.ledger.errored(outcome.error.code)
      this.#note(connection, Refusal.from(outcome.error, outcome.status), name)
      connection.sendError(outcome.error, id, name)
      return
    }
    if (id === undefined) return
    try {
      connection.sendFrame({ type: 'ack', room: name, id, data: outcome.data })
    } catch (error) {
      // A reply that is no JSON: a cycle, or a BigInt.
      this.#refuse(connection, this.#refusal(error, name, connection), id, name)
    }
  }

  /**
   * A message of an HTTP caller: no membership is needed, `authorize` is asked each time.
   *
   * @param check throws when the caller may not go on, asked right before the handler
   */
  async post (
    identity: Identity,
    sender: string | undefined,
    command: MessageCommand,
    bytes: number,
    check: () => void
  ): Promise<Outcome> {
    const { rooms } = this.#options
    const { declaration, params } = await this.#options.access.allow(command.room, identity)
    return await this.#options.messages.run({
      rooms,
      declaration,
      params,
      name:
        command.room,
      type:
          command.name,
      data:
            command.data,
      bytes,
      user: identity.user,
      userId: identity.userId,
      sender,
      messageId: command.id,
      check
    })
  }

  async #members (connection: Peer, { room, id }: MembersCommand): Promise<void> {
    try {
      if (connection.rooms.get(room) === undefined) return this.#notJoined(connection, room, id)
      connection.sendFrame({ type: 'ack', room, id, data: this.#charged(connection, await this.presence(room)) })
    } catch (error) {
      this.#refuse(connection, this.#refusal(error, room, connection), id, room)
    }
  }

  /** The list is left out where it does not fit into one answer, as that of too many users is. */
  async presence (room: string): Promise<Answer> {
    try {
      const snapshot = await this.#options.rooms.members(room, this.#options.presenceList)
      const lists = this.memberLists()
      return { data: lists.fit(snapshot), bytes: lists.bytes }
    } catch (error) {
      if ((error as { code?: unknown }).code === 'REALTIME_ERR_PRESENCE_OFF') {
        throw new Refusal('invalid_message', { message: 'the room has no presence' })
      }
      throw error
    }
  }

  async #history (connection: Peer, { room, id, since, limit }: HistoryCommand): Promise<void> {
    try {
      const membership = connection.rooms.get(room)
      if (membership === undefined) return this.#notJoined(connection, room, id)
      connection.sendFrame({
        type: 'ack',
        room,
        id,
        data: this.#charged(
          connection,
          await this.past(room, since, limit, (packet) => membership.isExcepted(packet.event!))
        )
      })
    } catch (error) {
      this.#refuse(connection, this.#refusal(error, room, connection), id, room)
    }
  }

  /**
   * As many events as fit into one answer, at least one. Behind them stands where the next one goes on: `more` says
   * that there is more.
   */
  async past (
    room: string,
    since: HistoryCommand['since'],
    limit: number | undefined,
    isExcepted: (packet: Packet) => boolean
  ): Promise<Answer> {
    let page = await this.#options.rooms.history(room, since, limit, this.#options.answer)
    const { resumed } = page
    // Of a page of nothing but what this caller is left out of nothing would be told.
    while (page.isPart === true && page.events.every(isExcepted)) {
      page = await this.#options.rooms.history(room, page.events.at(-1)!.position, limit, this.#options.answer)
    }
    const { events, top, isPart } = page
    const taken: unknown[] = []
    let bytes = 0
    let read = 0
    for (const packet of events) {
      if (!isExcepted(packet)) {
        if (taken.length > 0 && bytes + packet.bytes.length > this.#options.answer) break
        bytes += packet.bytes.length
        taken.push(JSON.parse(packet.payload.toString()))
      }
      read++
    }
    const hasMore = read < events.length || isPart === true
    return {
      data: {
        position: hasMore ? events[read - 1]!.position : top,
        ...(since === undefined ? {} : { resumed }),
        ...(hasMore ? { more: true } : {}),
        events: taken
      },
      bytes
    }
  }

  /** For the lists of one answer. */
  memberLists (): MemberLists { return new MemberLists(this.#options.answer) }

  #listed (connection: Peer, data: JoinData): JoinData {
    const lists = this.memberLists()
    const listed = lists.fitJoin(data)
    connection.charge(costOf(lists.bytes))
    return listed
  }

  #charged (connection: Peer, { data, bytes }: Answer): unknown {
    connection.charge(costOf(bytes))
    return data
  }

  async #auth (connection: Peer, { ticket, id }: AuthCommand): Promise<void> {
    const { isDone, expires, refusal } = await this.#renew(connection, ticket)
    if (!connection.isOpen) return
    if (isDone) connection.sendFrame({ type: 'ack', id, data: expires === undefined ? {} : { expires } })
    else this.#refuse(connection, refusal!, id)
  }

  /** The same for a ticket that came by another way than the connection, maybe of another node. Never rejects. */
  async renew (connection: Peer, ticket: string): Promise<{ isDone: boolean, code?: Code, expires?: number }> {
    const { isDone, expires, refusal } = await this.#renew(connection, ticket)
    if (refusal !== undefined) return { isDone, ...(isCode(refusal.data.code) ? { code: refusal.data.code } : {}) }
    return expires === undefined ? { isDone } : { isDone, expires }
  }

  /** In-band refresh: the same user with a newer credential; rooms that it no longer allows are left. */
  async #renew (
    connection: Peer,
    ticket: string
  ): Promise<{ readonly isDone: boolean, readonly expires?: number, readonly refusal?: Refusal }> {
    const { revocations } = this.#options
    const since = revocations.moment
    let identity: Identity
    try {
      identity = await this.#options.redeem(ticket)
      revocations.check(since, { ...identity, connection: connection.id })
    } catch (error) {
      return { isDone: false, refusal: this.#refusal(error, undefined, connection) }
    }
    if (!connection.isOpen) return { isDone: false, refusal: new Refusal('not_joined') }
    if (identity.userId !== connection.userId) {
      connection.close('forbidden', 'the ticket is another user\'s')
      return { isDone: false, refusal: new Refusal('forbidden') }
    }
    this.#options.connections.renew(connection, identity)
    for (const membership of connection.rooms.all()) {
      if (membership.isByServer || membership.room.declaration.builtIn !== undefined) continue
      try {
        await this.#options.access.authorize(membership.name, membership.room, identity)
      } catch (error) {
        // It may have left by itself, and come back as somebody who was asked about already.
        if (connection.rooms.get(membership.name) === membership) {
          this.leaveByServer(connection, membership.name, this.#refusal(error, membership.name, connection).code)
        }
      }
    }
    return identity.exp === undefined ? { isDone: true } : { isDone: true, expires: Math.floor(identity.exp * 1_000) }
  }

  #fault (connection: Peer, { fault, id, room }: InvalidFrame): void {
    const wait = connection.spend(performance.now())
    if (!connection.isOpen) return
    this.#refuse(
      connection,
      wait > 0 ? rateLimited(wait, undefined) : new Refusal('invalid_message', { message: fault }),
      id,
      room
    )
  }

  #refuse (connection: Peer, refusal: Refusal, id?: string, room?: string): void {
    this.#options.ledger.errored(refusal.word)
    this.#note(connection, refusal, room)
    connection.sendError(refusal.data, id, room)
  }

  #note ({ address, userId }: Peer, refusal: Refusal, room: string | undefined): void {
    this.#options.refusals.note(room === undefined || refusal.room !== undefined ? refusal : refusal.in(room), {
      address,
      userId
    })
  }

  #refusal (error: unknown, room: string | undefined, connection: Peer): Refusal {
    const { refusal, cause } = refusalOf(error)
    if (cause !== undefined) {
      this.#options.log.error({ err: cause, room, connectionId: connection.id }, 'entering a room failed')
    }
    return refusal
  }
}

function whoIs ({ userId, id, identity: { tokenId } }: Peer): Waiting {
  return { userId, tokenId, connection: id }
}

function rateLimited (wait: number, own: Rate | undefined): Refusal {
  return new Refusal('rate_limited', {
    retryAfter: wait,
    why: { limit: own === undefined ? 'limits.rate' : 'limits.rate of the room' }
  })
}

function laneOf (connection: Peer, room: string): string {
  return keyOf(connection.id, room)
}
