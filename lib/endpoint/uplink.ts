import type { FastifyRequest } from 'fastify'
import type { Access } from '../admission/access.js'
import type { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import type { Admitted } from '../admission/admission.js'
import type { Identity } from '../connection/connection.js'
import { costOf } from '../structures/token-bucket.js'
import type { Peer } from '../admission/peer.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import type { Elsewhere } from '../dispatch/elsewhere.js'
import { Refusal } from '../errors/refusal.js'
import type { ConnectionIds } from '../admission/connection-ids.js'
import type { Packet } from '../protocol/packet.js'
import { parseCommand, type AuthCommand, type Command, type MessageCommand } from '../protocol/frames.js'
import type { Revocations } from '../auth/revocations.js'
import type { Ledger } from '../stats/ledger.js'
import type { UserRateLimiter } from './user-rate-limiter.js'

export interface UplinkOptions {
  readonly access: Access
  readonly dispatch: Dispatch
  readonly acks: BroadcastAcks
  readonly revocations: Revocations
  readonly elsewhere: Elsewhere
  readonly ids: ConnectionIds
  readonly rates: UserRateLimiter
  readonly ledger: Ledger
  readonly find: (id: string) => Peer | undefined
}

/** A body as the content type parser leaves it. */
export interface ParsedBody { readonly json?: unknown, readonly bytes?: number }

interface FrameLike { readonly type?: unknown, readonly room?: unknown }

/** The connection that a caller names as its own: a peer of this node, or only its id where it may live on another. */
interface Own { readonly peer?: Peer, readonly id?: string }

function withId (id: string | undefined): { id?: string } {
  return id === undefined ? {} : { id }
}

/**
 * Frames by POST: for clients on streams and polls, and for any HTTP caller. One frame, one answer: its ack or its
 * error.
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
    const { json, bytes = 0 } = (request.body ?? {}) as ParsedBody
    const own = this.#own(request, identity.userId)
    const check = (): void => { this.#options.revocations.check(since, { ...identity, connection: own?.id }) }
    check()
    const { type, room } = (typeof json === 'object' && json !== null ? json : {}) as FrameLike
    if (type === 'leave' && room === undefined) {
      // Without a room it is the connection itself that leaves: a poll has no other way to say so.
      await this.#end(own, identity.userId)
      return { type: 'ack' }
    }
    if (path !== '' && room !== undefined && room !== path) {
      throw new Refusal('invalid_message', { message: 'the room of the body is not the room of the URL' })
    }
    const command = parseCommand(
      path === '' || typeof json !== 'object' || json === null ? json : { ...json, room: path }
    )
    if ('fault' in command) throw new Refusal('invalid_message', { message: command.fault, room: command.room })
    const answer = await this.#answer(command, identity, own, bytes, check)
    // What was found or done by then is not for somebody who was sent away meanwhile.
    check()
    return answer
  }

  /**
   * Before anything is asked of the application. An ack that its connection owes is not refused: there are no more of
   * them than events. @throws Refusal
   */
  spend ({ body, headers }: FastifyRequest, userId: string): void {
    const { rates, acks } = this.#options
    const { type, id } = ((body as ParsedBody | null | undefined)?.json ?? {}) as { type?: unknown, id?: unknown }
    const own = headers['x-connection-id']
    if (type === 'ack' && typeof id === 'string' && typeof own === 'string' && acks.isOwed(id, own)) {
      rates.charge(userId, 1)
    } else rates.spend(userId)
  }

  async #answer (command: Command, identity: Identity, own: Own, bytes: number, check: () => void): Promise<unknown> {
    const { access, dispatch, acks, elsewhere, rates } = this.#options
    const { peer, id } = own
    switch (command.type) {
      case 'message': return await this.#message(command, identity, own, bytes, check)
      case 'ack':
        if (peer !== undefined) acks.acked(command.id, peer.id)
        else if (id !== undefined) await acks.ackedElsewhere(command.id, id, identity.userId)
        return { type: 'ack', id: command.id }
      case 'pong':
        if (command.id !== undefined && peer !== undefined) peer.pong(command.id)
        else if (command.id !== undefined && id !== undefined) await elsewhere.pong(identity.userId, id, command.id)
        return { type: 'ack' }
      case 'ping': return { type: 'pong', ...withId(command.id) }
      case 'auth': return await this.#auth(command, own, identity.userId)
      case 'leave':
        if (!await this.#leave(own, identity.userId, command.room)) {
          throw new Refusal('not_joined', { room: command.room })
        }
        return { type: 'ack', room: command.room, ...withId(command.id) }
      case 'members': {
        await access.allow(command.room, identity)
        check()
        const { data, bytes } = await dispatch.presence(command.room)
        rates.charge(identity.userId, costOf(bytes))
        return { type: 'ack', room: command.room, ...withId(command.id), data }
      }
      case 'history': {
        await access.allow(command.room, identity)
        check()
        const { data, bytes } = await dispatch.past(
          command.room,
          command.since,
          command.limit,
          (packet) => isExcepted(packet, id, identity.userId)
        )
        rates.charge(identity.userId, costOf(bytes))
        return { type: 'ack', room: command.room, ...withId(command.id), data }
      }
      default: throw new Refusal('invalid_message', {
        message: `${command.type} cannot be posted; it belongs to a WebSocket`
      })
    }
  }

  async #message (
    command: MessageCommand,
    identity: Identity,
    { peer, id: sender }: Own,
    bytes: number,
    check: () => void
  ): Promise<unknown> {
    const { dispatch, ledger } = this.#options
    ledger.messagesIn++
    ledger.bytesIn += bytes
    if (peer !== undefined) peer.bytesIn += bytes
    const { room, id } = command
    const outcome = await dispatch.post(identity, sender, command, bytes, check)
    if ('error' in outcome) throw Refusal.from(outcome.error, outcome.status, room)
    return { type: 'ack', room, ...withId(id), ...(outcome.data === undefined ? {} : { data: outcome.data }) }
  }

  async #end ({ peer, id }: Own, userId: string): Promise<void> {
    if (peer !== undefined) peer.finish()
    else if (id === undefined) throw new Refusal('not_joined')
    else await this.#options.elsewhere.ask(userId, id, 'end')
  }

  async #leave ({ peer, id }: Own, userId: string, room: string): Promise<boolean> {
    const { dispatch, elsewhere } = this.#options
    if (peer !== undefined) return dispatch.leaveByPeer(peer, room)
    return id !== undefined && (await elsewhere.ask(userId, id, 'leave', { room })).isDone
  }

  /** Renews the credential of a connection of the caller's, which goes on without a break. */
  async #auth ({ ticket, id: answered }: AuthCommand, { peer, id }: Own, userId: string): Promise<unknown> {
    const { dispatch, elsewhere } = this.#options
    if (id === undefined) {
      throw new Refusal('not_joined', { message: 'x-connection-id names no connection of this user' })
    }
    const { isDone, code, expires } = peer === undefined
      ? await elsewhere.ask(userId, id, 'auth', { ticket })
      : await dispatch.renew(peer, ticket)
    if (!isDone) throw new Refusal(code ?? 'unauthorized')
    return { type: 'ack', ...withId(answered), data: expires === undefined ? {} : { expires } }
  }

  /**
   * Named by `x-connection-id`: one of this node is believed when it is the caller's own, one of another node when its
   * id proves that.
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

function isExcepted ({ event }: Packet, id: string | undefined, userId: string): boolean {
  const except = event?.except
  return except !== undefined && except.connection === id && (except.user === undefined || except.user === userId)
}
