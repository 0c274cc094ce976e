import type { IncomingMessage } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { Admitted } from '../admission/admission.js'
import type { ConnectionIds } from '../admission/connection-ids.js'
import type { Peer } from '../admission/peer.js'
import { Refusal } from '../errors/refusal.js'
import { noJson, parseCommand, type InvalidFrame } from '../protocol/frames.js'
import { parseJson } from '../protocol/json.js'
import type { Ledger } from '../stats/ledger.js'
import { HttpCaller, type HttpCallerParts, type Own } from './http-caller.js'

export interface UplinkOptions extends HttpCallerParts {
  readonly ids: ConnectionIds
  readonly ledger: Ledger
  readonly find: (id: string) => Peer | undefined
  /** Calls back when a request is over, answered or not. */
  readonly whenOver: (request: IncomingMessage, callback: () => void) => void
}

/** A body as the content type parser leaves it. */
export interface ParsedBody {
  readonly json?: unknown
  readonly bytes?: number
  /** Why it is no JSON: that is said once it is known who has sent it. */
  readonly fault?: InvalidFrame
}

/** Reads a body. Never throws. */
export function bodyOf (text: string): ParsedBody {
  try {
    return { json: parseJson(text), bytes: Buffer.byteLength(text) }
  } catch (error) {
    return { fault: noJson(error) }
  }
}

/** @throws Refusal `invalid_message` for a body that is no JSON */
export function checkBody ({ body }: Pick<FastifyRequest, 'body'>): void {
  const { fault } = (body ?? {}) as ParsedBody
  if (fault !== undefined) throw refusalOf(fault)
}

function refusalOf ({ fault, room }: InvalidFrame): Refusal {
  return new Refusal('invalid_message', { message: fault, room })
}

interface FrameLike { readonly type?: unknown, readonly room?: unknown }

/**
 * Takes frames by POST, from clients on streams and polls and from any HTTP caller. Each frame gets one answer: its ack
 * or its error.
 */
export class Uplink {
  readonly #options: UplinkOptions

  constructor (options: UplinkOptions) {
    this.#options = options
  }

  /**
   * @param path the room of the URL, empty for the bare prefix
   * @throws Refusal
   */
  async post (request: FastifyRequest, { identity, since }: Admitted, path: string): Promise<unknown> {
    const { json, bytes = 0, fault } = (request.body ?? {}) as ParsedBody
    const own = this.#own(request, identity.userId)
    const check = (room?: string): void => {
      this.#options.revocations.check(since, { ...identity, connection: own.id }, room)
    }
    check()
    if (fault !== undefined) throw this.#garbled(own, identity.userId, fault)
    const whenHungUp = (callback: () => void): void => { this.#options.whenOver(request.raw, callback) }
    const caller = new HttpCaller(identity, own, check, whenHungUp, this.#options)
    const { type, room } = (typeof json === 'object' && json !== null ? json : {}) as FrameLike
    if (type === 'leave' && room === undefined) {
      // Without a room the connection itself leaves: a poll has no other way to say so.
      await caller.end()
      return { type: 'ack' }
    }
    if (path !== '' && room !== undefined && room !== path) {
      throw new Refusal('invalid_message', { message: 'the room of the body is not the room of the URL' })
    }
    const command = parseCommand(
      path === '' || typeof json !== 'object' || json === null ? json : { ...json, room: path }
    )
    if ('fault' in command) throw this.#garbled(own, identity.userId, command)
    if (command.type === 'message') this.#count(own, bytes)
    this.#options.dispatch.spendOfRoom(command, identity.userId, own.id)
    const answer = await this.#options.dispatch.commands.answer(command, caller, bytes)
    // A caller whose access was revoked meanwhile does not get the result.
    check('room' in command ? command.room : undefined)
    return answer
  }

  /** Refuses what cannot be read; a question that it may have been meant to answer is over with it. */
  #garbled ({ peer, id }: Own, user: string, invalid: InvalidFrame): Refusal {
    const { acks } = this.#options
    // One that polls may have been asked on another node.
    const isOnlyHere = peer !== undefined && peer.transport !== 'polling'
    if (invalid.isAnswer === true && isOnlyHere) acks.garbled(peer.id, invalid.fault, invalid.id)
    else if (invalid.isAnswer === true && id !== undefined) {
      // Where the broker is away, the question ends with its time.
      acks.garbledElsewhere(id, user, invalid.fault, invalid.id).catch(() => {})
    }
    return refusalOf(invalid)
  }

  /**
   * Charges the caller's rate before the application is called. An ack that its connection owes is not refused, because
   * there are no more such acks than events.
   *
   * @throws Refusal when the rate is exceeded
   */
  spend ({ body, headers }: FastifyRequest, userId: string): void {
    const { rates, acks } = this.#options
    const { type, id } = ((body as ParsedBody | null | undefined)?.json ?? {}) as { type?: unknown, id?: unknown }
    const own = headers['x-connection-id']
    if (type === 'ack' && typeof id === 'string' && typeof own === 'string' && acks.isOwed(id, own)) {
      rates.charge(userId, 1)
    } else if (this.#isConcurrent(body as ParsedBody | null | undefined)) {
      try {
        rates.spend(userId)
      } catch {
        rates.spendSpare(userId)
      }
    } else rates.spend(userId)
  }

  /** Whether it is a message that its room has declared so, and that names its room itself. */
  #isConcurrent (body: ParsedBody | null | undefined): boolean {
    const { type, room } = (body?.json ?? {}) as FrameLike
    return typeof type === 'string' && typeof room === 'string' && this.#options.dispatch.isConcurrent(room, type)
  }

  #count ({ peer }: Own, bytes: number): void {
    const { ledger } = this.#options
    ledger.messagesIn++
    ledger.bytesIn += bytes
    if (peer !== undefined) peer.bytesIn += bytes
  }

  /**
   * Finds the connection that `x-connection-id` names. One of this node counts when it is the caller's own, one of
   * another node when its id proves that.
   */
  #own (request: FastifyRequest, userId: string): Own {
    const { find, elsewhere, ids } = this.#options
    const id = request.headers['x-connection-id']
    if (typeof id !== 'string') return {}
    const peer = find(id)
    if (peer !== undefined) return peer.userId === userId ? { peer, id } : {}
    return elsewhere.isPossible && ids.isOwn(id, userId) ? { id } : {}
  }
}
