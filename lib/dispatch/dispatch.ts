import type { FastifyBaseLogger } from 'fastify'
import type { Access } from '../admission/access.js'
import type { Peer } from '../admission/peer.js'
import type { Refusals } from '../admission/refusals.js'
import type { Slots } from '../admission/slots.js'
import type { Revocations } from '../auth/revocations.js'
import type { ConnectionHost } from '../connection/connection.js'
import type { Connections } from '../connection/connections.js'
import type { Identity } from '../connection/identity.js'
import { Refusal, refusalOf } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import { isCode, type EndReason } from '../protocol/codes.js'
import type { Command, InvalidFrame } from '../protocol/frames.js'
import type { Hub } from '../rooms/hub.js'
import type { Ledger } from '../stats/ledger.js'
import type { Awaitable } from '../structures/awaitable.js'
import { ExpiringMap } from '../structures/expiring-map.js'
import { TokenBucket, type Rate } from '../structures/token-bucket.js'
import type { BroadcastAcks } from './broadcast-acks.js'
import { Commands, type Answer } from './commands.js'
import { ConnectionCaller, type CallerParts } from './connection-caller.js'
import type { Answer as Renewed } from './elsewhere.js'
import { ErrorReplies } from './error-replies.js'
import { Joins } from './joins.js'
import type { Messages } from './messages.js'
import { Renewals } from './renewals.js'
import { RoomOrder } from './room-order.js'
import type { Membership } from '../rooms/membership.js'

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

/** Milliseconds in which the next poll of a connection is awaited, to be told of its end. */
const UNTOLD = 30_000
const MAX_UNTOLD = 10_000
/** Frames of one connection that may wait for one room, where the rate's burst is not more. */
const WAITING = DEFAULTS.waitingFrames
/** Milliseconds after which one that found no room to wait may be sent again. */
const TOO_MANY = 1_000

/** The frames of connections: which may be handled, in which order, and what is answered. */
export class Dispatch {
  /** the way into rooms and out of them */
  readonly joins: Joins
  /** what is done for a command, whoever sends it */
  readonly commands: Commands
  readonly #options: DispatchOptions
  readonly #order = new RoomOrder()
  readonly #replies: ErrorReplies
  readonly #parts: CallerParts
  /** ends of connections between two polls, by their ids, until the next poll asks */
  readonly #untold = new ExpiringMap<Refusal>(MAX_UNTOLD)

  constructor (options: DispatchOptions) {
    this.#options = options
    this.#replies = new ErrorReplies(options)
    this.joins = new Joins({ ...options, order: this.#order, replies: this.#replies })
    this.commands = new Commands(options)
    const renewals = new Renewals({ ...options, joins: this.joins, replies: this.#replies })
    this.#parts = { joins: this.joins, renewals, acks: options.acks }
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

  #closed (connection: Peer, reason: EndReason): void {
    const { connections, ledger, acks, log } = this.#options
    const { transport } = connection
    this.joins.leaveAll(connection, reason)
    acks.gone(connection.id)
    // The application may never settle what lets it in.
    for (const task of this.#order.takeWaiting(connection)) task()
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

  /** A ticket that came by another way than the connection, maybe to another node. Never rejects. */
  async renew (connection: Peer, ticket: string): Promise<Renewed> {
    try {
      const expires = await this.#parts.renewals.renew(connection, ticket)
      return expires === undefined ? { isDone: true } : { isDone: true, expires }
    } catch (error) {
      const { code } = refusalOf(error).refusal
      return { isDone: false, ...(isCode(code) ? { code } : {}) }
    }
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
    this.#replies.refuse(connection, refusal, command.id, roomOf(command))
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
      const bucket = (membership.bucket ??= new TokenBucket(rate, now))
      wait = bucket.take(now)
      if (wait > 0 && bucket.isFlooded) connection.close('rate_limited')
    }
    if (wait === 0) return true
    if (connection.isOpen) this.#replies.refuse(connection, rateLimited(wait, rate), command.id, roomOf(command))
    return false
  }

  #run (connection: Peer, command: Command, bytes: number): void {
    if (!connection.isOpen) return
    if (isUnordered(command)) return void this.#handle(connection, command, bytes)
    // Renewals are a lane of their own, so that the last one sent is the one that holds.
    const room = roomOf(command) ?? ''
    if (!this.#hold(connection, bytes)) return this.#tooMany(connection, command)
    const isTaken = this.#order.run(connection, room, () => {
      const done = this.#handle(connection, command, bytes)
      if (done instanceof Promise) return done.finally(() => { connection.waiting -= bytes })
      connection.waiting -= bytes
      return undefined
    }, this.#mayWait(connection, room))
    if (isTaken) return
    connection.waiting -= bytes
    this.#tooMany(connection, command)
  }

  /** A burst that the rate allows finds room to wait. */
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
    // Signs of life are not answered, and a sender that has named no id cannot tell what its ack belongs to.
    const isSilent = type === 'pong' || type === 'ack' || (id === undefined && (type === 'message' || type === 'leave'))
    if (answer !== undefined && !isSilent) connection.sendFrame(answer)
  }

  #refused (connection: Peer, command: Command, error: unknown): void {
    const { type, id } = command
    // A ticket of another user has ended the connection, which was told so.
    if (type === 'auth' && !connection.isOpen) return
    const room = roomOf(command)
    const refusal = this.#replies.of(error, room, connection)
    this.#replies.refuse(connection, refusal, id, room, type === 'message' ? refusal.code : refusal.word)
  }

  #fault (connection: Peer, { fault, id, room }: InvalidFrame): void {
    const wait = connection.spend(performance.now())
    if (!connection.isOpen) return
    this.#replies.refuse(
      connection,
      wait > 0 ? rateLimited(wait, undefined) : new Refusal('invalid_message', { message: fault }),
      id,
      room
    )
  }
}

function roomOf (command: Command): string | undefined { return 'room' in command ? command.room : undefined }

/** It has no place in the order of a room, and is handled at once. */
function isUnordered ({ type }: Command): boolean { return type === 'ping' || type === 'pong' || type === 'ack' }

function rateLimited (wait: number, own: Rate | undefined): Refusal {
  return new Refusal('rate_limited', {
    retryAfter: wait,
    why: { limit: own === undefined ? 'limits.rate' : 'limits.rate of the room' }
  })
}
