import type { FastifyBaseLogger } from 'fastify'
import type { Access } from '../admission/access.js'
import type { Peer } from '../admission/peer.js'
import type { Refusals } from '../admission/refusals.js'
import type { Slots } from '../admission/slots.js'
import type { Revocations } from '../auth/revocations.js'
import type { ConnectionHost } from '../connection/connection.js'
import type { Connections } from '../connection/connections.js'
import type { Identity } from '../connection/identity.js'
import { CONNECTION_CLOSE, type ConnectionClosed } from '../diagnostics/channels.js'
import { KeptRefusal } from '../errors/kept-refusal.js'
import { isNearly, type LimitWarnings } from '../errors/limit-warnings.js'
import { Refusal, refusalOf } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { isCode, type EndReason } from '../protocol/codes.js'
import type { Command, InvalidFrame, MessageCommand, PresenceCommand } from '../protocol/frames.js'
import { keyOf } from '../protocol/key.js'
import type { Hub } from '../rooms/hub.js'
import type { Ledger } from '../stats/ledger.js'
import type { Awaitable } from '../structures/awaitable.js'
import { Buckets } from '../structures/buckets.js'
import type { Rate, TokenBucket } from '../structures/token-bucket.js'
import type { BroadcastAcks } from './broadcast-acks.js'
import { Commands, type Answer } from './commands.js'
import { ConnectionCaller, type CallerParts } from './connection-caller.js'
import type { Answer as Renewed } from './elsewhere.js'
import { Departures, reasonOf } from './departures.js'
import { ErrorReplies } from './error-replies.js'
import { FirstRooms } from './first-rooms.js'
import { JoinPreparation } from './join-preparation.js'
import { Joins } from './joins.js'
import type { Messages } from './messages.js'
import { Renewals } from './renewals.js'
import { RoomOrder } from './room-order.js'
import type { Untold } from './untold.js'
import type { Membership } from '../rooms/membership.js'

export interface DispatchOptions {
  readonly rooms: Hub
  readonly access: Access
  readonly revocations: Revocations
  readonly connections: Connections<Membership>
  readonly slots: Slots
  readonly messages: Messages
  readonly acks: BroadcastAcks
  readonly untold: Untold
  readonly ledger: Ledger
  readonly refusals: Refusals
  readonly limitWarnings: LimitWarnings
  readonly log: FastifyBaseLogger
  /** Rooms of one connection. */
  readonly roomLimit: number
  /** Bytes of one message. */
  readonly message: number
  /** Burst of the rate of one connection. */
  readonly burst: number
  readonly presenceList: number
  /**
   * Bytes of one connection's frames that may wait to be handled, those being handled included; a single frame always
   * may.
   */
  readonly waiting: number
  /** Bytes of one answer of history or members. */
  readonly answer: number
  readonly validateOutput: boolean
  /** Milliseconds that a hook of a room may take. */
  readonly timeout: number
  /** Charges a user what the opening of a connection cost beside the request, in messages. */
  readonly charge: (userId: string, cost: number) => void
  /** Returns a fresh identity for a ticket; throws a Refusal. */
  readonly redeem: (ticket: string) => Promise<Identity>
  /** Called with a connection that is over, while its transport may still have to be closed. */
  readonly onClosing?: ((connection: Peer) => void) | undefined
  /** Called with a connection that was cut because it read too slowly, or sent a message above the limit. */
  readonly onCut?: (connection: Peer) => void
}

/** Frames of one connection that may wait for one room, unless the burst of the rate is larger. */
const WAITING = DEFAULTS.waitingFrames
/** Buckets of rooms with a rate of their own. */
const MAX_ROOM_RATES = 10_000
/** Milliseconds after which a frame that found no place to wait may be sent again. */
const TOO_MANY = 1_000
const BEHIND = 'the handlers of this room take longer than its frames come: answer before the work is done, or declare what need not wait with concurrent: true'

/** Decides which frames of connections may be handled and in which order, and sends the answers. */
export class Dispatch {
  /** Enters the rooms of a new connection. */
  readonly firstRooms: FirstRooms
  /** Moves open connections into rooms and out of them. */
  readonly joins: Joins
  /** Executes a command for any sender. */
  readonly commands: Commands
  /** Tells handlers that nobody waits for them any more. */
  readonly departures = new Departures()
  readonly #options: DispatchOptions
  readonly #order = new RoomOrder()
  /** The own rates of rooms, by connection and room. */
  readonly #roomRates = new Buckets(MAX_ROOM_RATES)
  readonly #replies: ErrorReplies
  readonly #preparation: JoinPreparation
  readonly #parts: CallerParts

  constructor (options: DispatchOptions) {
    this.#options = options
    this.#replies = new ErrorReplies(options)
    this.#preparation = new JoinPreparation(options.rooms, options, (error, room, entrant) => {
      this.#replies.of(error, room, entrant)
    })
    const { departures } = this
    const entering = {
      ...options,
      departures,
      order: this.#order,
      replies: this.#replies,
      preparation: this.#preparation
    }
    this.firstRooms = new FirstRooms(entering)
    this.joins = new Joins(entering)
    this.commands = new Commands(options)
    const renewals = new Renewals({ ...options, joins: this.joins, replies: this.#replies })
    this.#parts = { joins: this.joins, renewals, acks: options.acks, departures }
  }

  /** The part of the connections' host that this class implements. */
  get host (): Pick<ConnectionHost<Membership>,
    | 'onSaying'
    | 'onCommand'
    | 'onFault'
    | 'onClosed'
    | 'onReleased'
    | 'onReplayed'
    | 'onSpent'> {
    return {
      onSaying: (connection) => {
        if (this.#options.rooms.isWalking) for (const membership of connection.rooms.all()) membership.catchUp()
      },
      onSpent: ({ id, userId }, used) => {
        const { limitWarnings, burst } = this.#options
        limitWarnings.look('limits.rate', used, burst, { connectionId: id, userId })
      },
      onReplayed: ({ userId }, cost) => { this.#options.charge(userId, cost) },
      onCommand: (connection, command, bytes) => { this.#command(connection, command, bytes) },
      onFault: (connection, fault) => { this.#fault(connection, fault) },
      onClosed: (connection, reason) => { this.#closed(connection, reason) },
      onReleased: (connection) => { this.#options.slots.release(connection.id) }
    }
  }

  #closed (connection: Peer, reason: EndReason): void {
    const { connections, ledger, acks, untold, log } = this.#options
    const { transport, ending } = connection
    // The peer of one that has moved to another node goes on, and its answers come from there.
    const hasMoved = this.departures.hasMoved(connection)
    if (!hasMoved) connection.endPings()
    this.joins.leaveAll(connection, reason)
    if (hasMoved) acks.moved(connection.id)
    else acks.gone(connection.id)
    const kept = ending === undefined ? undefined : new KeptRefusal(ending)
    this.departures.ended(connection, () => reasonOf(kept?.again(), reason))
    // The application may never settle what would end the wait.
    for (const task of this.#order.takeWaiting(connection)) task()
    this.#preparation.gone(connection)
    if (connection.isParked && ending?.data.retry === 'never') untold.ended(connection, ending)
    if (!connections.delete(connection, transport)) return
    if (!hasMoved) this.#options.onClosing?.(connection)
    ledger.closed(reason)
    const { id, userId, startedAt, bytesIn, bytesOut, lag } = connection
    const closed: ConnectionClosed = {
      connectionId: id,
      userId,
      transport,
      reason,
      duration: Math.round(performance.now() - startedAt),
      bytes: { in: bytesIn, out: bytesOut },
      lag
    }
    log.info({ ...closed, ...connection.passed }, 'connection closed')
    if (reason === 'slow_consumer' || reason === 'message_too_large') this.#options.onCut?.(connection)
    if (CONNECTION_CLOSE.hasSubscribers) CONNECTION_CLOSE.publish(closed)
  }

  /**
   * Renews a credential with a ticket that came by another way than the connection, maybe to another node. Never
   * rejects.
   */
  async renew (connection: Peer, ticket: string): Promise<Renewed> {
    try {
      const expires = await this.#parts.renewals.renew(connection, ticket)
      return expires === undefined ? { isDone: true } : { isDone: true, expires }
    } catch (error) {
      const { code } = refusalOf(error).refusal
      return { isDone: false, ...(isCode(code) ? { code } : {}) }
    }
  }

  /** Whether a room has declared that a message runs beside the others of its connection. */
  isConcurrent (room: string, type: string): boolean {
    return this.#options.rooms.declarations.find(room)?.declaration.messages.get(type)?.isConcurrent === true
  }

  // Which frames may be handled, and when

  #command (connection: Peer, command: Command, bytes: number): void {
    const opening = this.#order.waitingOf(connection)
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
   * Reserves bytes for a frame that waits or is being handled; they are bounded for all rooms of a connection together.
   *
   * @returns whether the frame fits
   */
  #hold (connection: Peer, bytes: number): boolean {
    if (connection.waiting > 0 && connection.waiting + bytes > this.#options.waiting) return false
    connection.waiting += bytes
    return true
  }

  #tooMany (connection: Peer, command: Command): void {
    const refusal = new Refusal('rate_limited', {
      message: 'too many frames wait for this room',
      retryAfter: TOO_MANY,
      why: { fix: BEHIND }
    })
    this.#replies.refuse(connection, refusal, command.id, roomOf(command))
  }

  /**
   * Spends a token of the room's own bucket for a message, and a change of member data, where the room declares one; of
   * the connection's for everything else. A room that it is in may be left in debt, too: there are no more of them than
   * joins, and what is left costs the server nothing any more. A concurrent message, such as one that stops what
   * another has begun, has a second bucket of the same rate once the first is empty.
   */
  #isAffordable (connection: Peer, command: Command): boolean {
    if (command.type === 'ack' && this.#options.acks.isOwed(command.id, connection.id)) return true
    const now = performance.now()
    let wait: number
    const membership = isSaid(command) ? connection.rooms.get(command.room) : undefined
    const rate = membership?.room.declaration.rate
    if (membership === undefined || rate === undefined) {
      wait = connection.spend(now)
      if (wait > 0 && connection.isOpen && isConcurrent(connection, command)) wait = connection.spendSpare(now)
    } else {
      // Whoever leaves and joins again has no more than he had.
      const key = keyOf(connection.id, membership.name)
      let bucket = membership.bucket = this.#roomRates.of(key, rate, now, membership.bucket)
      wait = bucket.take(now)
      if (wait > 0 && isConcurrent(connection, command)) {
        bucket = bucket.spare(now)
        wait = bucket.take(now)
      }
      if (wait > 0 && bucket.isFlooded) connection.close('rate_limited')
      else if (wait === 0) this.#look(bucket, rate, membership.name, connection.userId, connection.id)
    }
    if (wait === 0) return true
    if (!connection.isOpen) return false
    if (command.type === 'leave') {
      const left = connection.rooms.get(command.room)
      if (left !== undefined && left.room.declaration.builtIn === undefined) return true
    }
    this.#replies.refuse(connection, rateLimited(wait, rate), command.id, roomOf(command))
    return false
  }

  /**
   * Spends the room's own rate for what is said by POST.
   *
   * @param connectionId the connection that says it, where it is one
   * @throws Refusal `rate_limited`
   */
  spendOfRoom (command: Command, userId: string, connectionId?: string): void {
    if (!isSaid(command)) return
    const rate = this.#options.rooms.declarations.find(command.room)?.declaration.rate
    if (rate === undefined) return
    const now = performance.now()
    // A user may be named as a connection is.
    const key = connectionId === undefined ? keyOf('', userId, command.room) : keyOf(connectionId, command.room)
    let bucket = this.#roomRates.of(key, rate, now)
    let wait = bucket.take(now)
    if (wait > 0 && command.type === 'message' && this.isConcurrent(command.room, command.name)) {
      bucket = bucket.spare(now)
      wait = bucket.take(now)
    }
    if (wait > 0) throw rateLimited(wait, rate)
    this.#look(bucket, rate, command.room, userId, connectionId)
  }

  /** Warns before the rate of a room refuses somebody. */
  #look ({ used }: TokenBucket, { burst }: Rate, room: string, userId: string, connectionId?: string): void {
    if (!isNearly(used, burst)) return
    this.#options.limitWarnings.look('limits.rate of the room', used, burst, { connectionId, userId, room })
  }

  #run (connection: Peer, command: Command, bytes: number): void {
    if (!connection.isOpen) return
    if (isUnordered(command)) return void this.#handle(connection, command, bytes)
    // Renewals have a queue of their own, so that the last one sent is the one that holds.
    const room = roomOf(command) ?? ''
    if (!this.#hold(connection, bytes)) return this.#tooMany(connection, command)
    const task = (): unknown => {
      const done = this.#handle(connection, command, bytes)
      if (done instanceof Promise) return done.finally(() => { connection.waiting -= bytes })
      connection.waiting -= bytes
      return undefined
    }
    const most = this.#mayWait(connection, room)
    const isTaken = isConcurrent(connection, command)
      ? this.#order.runBeside(connection, room, task, most)
      : this.#order.run(connection, room, task, most)
    if (isTaken) return
    connection.waiting -= bytes
    this.#tooMany(connection, command)
  }

  /** Lets as many frames wait as the burst of the rate allows. */
  #mayWait (connection: Peer, room: string): number {
    const { rate } = connection.rooms.get(room)?.room.declaration ?? {}
    return Math.max(WAITING, this.#options.burst, rate?.burst ?? 0)
  }

  // What is done, and answered

  #handle (connection: Peer, command: Command, bytes: number): Awaitable<void> {
    if (!connection.isOpen) return undefined
    try {
      const answer = this.commands.answer(command, new ConnectionCaller(connection, this.#parts), bytes)
      if (answer instanceof Promise) return this.#tellLater(connection, command, answer)
      this.#tell(connection, command, answer)
    } catch (error) {
      this.#refused(connection, command, error)
    }
  }

  async #tellLater (connection: Peer, command: Command, answered: Promise<Answer | void>): Promise<void> {
    try {
      this.#tell(connection, command, await answered)
    } catch (error) {
      this.#refused(connection, command, error)
    }
  }

  /** @throws TypeError for a reply that is no JSON: a cycle, or a BigInt */
  #tell (connection: Peer, { type, id }: Command, answer: Answer | void): void {
    // Answers to pings and broadcasts get no answer, and a sender without an id cannot match an ack.
    const isSilent = type === 'pong' || type === 'ack' ||
      (id === undefined && (type === 'message' || type === 'presence' || type === 'leave'))
    if (answer !== undefined && !isSilent) connection.sendFrame(answer)
  }

  #refused (connection: Peer, command: Command, error: unknown): void {
    const { type, id } = command
    // A ticket of another user has ended the connection, which was told of it then.
    if (type === 'auth' && !connection.isOpen) return
    const room = roomOf(command)
    const refusal = this.#replies.of(error, room, connection)
    this.#replies.refuse(connection, refusal, id, room, type === 'message' ? refusal.code : refusal.word)
  }

  #fault (connection: Peer, { fault, id, room, isAnswer }: InvalidFrame): void {
    const wait = connection.spend(performance.now())
    if (!connection.isOpen) return
    if (isAnswer === true) this.#parts.acks.garbled(connection.id, fault, id)
    this.#replies.refuse(
      connection,
      wait > 0 ? rateLimited(wait, undefined) : new Refusal('invalid_message', { message: fault }),
      id,
      room
    )
  }
}

/** Whether the command says something in a room. */
function isSaid (command: Command): command is MessageCommand | PresenceCommand {
  return command.type === 'message' || command.type === 'presence'
}

function roomOf (command: Command): string | undefined { return 'room' in command ? command.room : undefined }

/**
 * Whether the command has no place in the order of a room, so that it is handled at once. A text is read while a
 * message of the reader is being handled that writes it.
 */
function isUnordered ({ type }: Command): boolean { return type === 'ping' || type === 'pong' || type === 'ack' || type === 'read' }

/** Whether the contract lets the message run beside the others of its connection. */
function isConcurrent ({ rooms }: Peer, command: Command): boolean {
  return command.type === 'message' &&
    rooms.get(command.room)?.room.declaration.messages.get(command.name)?.isConcurrent === true
}

function rateLimited (wait: number, own: Rate | undefined): Refusal {
  return new Refusal('rate_limited', {
    retryAfter: wait,
    why: { limit: own === undefined ? 'limits.rate' : 'limits.rate of the room' }
  })
}
