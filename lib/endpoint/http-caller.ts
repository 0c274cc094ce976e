import type { Access } from '../admission/access.js'
import type { Peer } from '../admission/peer.js'
import type { Revocations } from '../auth/revocations.js'
import type { Identity } from '../connection/identity.js'
import type { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import type { Asked, Caller, UsedRoom } from '../dispatch/caller.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import { gone, reasonOf, type GiveUp } from '../dispatch/departures.js'
import type { DistantDepartures } from '../dispatch/distant-departures.js'
import type { Elsewhere } from '../dispatch/elsewhere.js'
import { Refusal } from '../errors/refusal.js'
import type { ClientAnswer, JoinCommand } from '../protocol/frames.js'
import { isLeftOut } from '../protocol/except.js'
import type { EventHead } from '../protocol/packet.js'
import type { UserRateLimiter } from './user-rate-limiter.js'

export interface HttpCallerParts {
  readonly access: Access
  readonly dispatch: Dispatch
  readonly acks: BroadcastAcks
  readonly elsewhere: Elsewhere
  readonly distant: DistantDepartures
  readonly rates: UserRateLimiter
  readonly revocations: Revocations
}

/**
 * The connection that a caller names as its own: a peer of this node, or only its id where it may live on another node.
 */
export interface Own { readonly peer?: Peer, readonly id?: string }

/** A request over HTTP as the sender of commands. It need not be in a room; `authorize` is called for each request. */
export class HttpCaller implements Caller {
  readonly isRequest = true
  readonly #identity: Identity
  readonly #own: Own
  readonly #check: (room?: string) => void
  readonly #parts: HttpCallerParts
  readonly #begun = performance.now()
  readonly #whenHungUp: (callback: () => void) => void

  /**
   * @param check throws when the caller may no longer use the server, or the room
   * @param whenHungUp calls back when the request is over, answered or not
   */
  constructor (
    identity: Identity,
    own: Own,
    check: (room?: string) => void,
    whenHungUp: (callback: () => void) => void,
    parts: HttpCallerParts
  ) {
    this.#whenHungUp = whenHungUp
    this.#identity = identity
    this.#own = own
    this.#check = check
    this.#parts = parts
  }

  get user (): unknown { return this.#identity.user }
  get userId (): string { return this.#identity.userId }
  get sender (): string | undefined { return this.#own.id }

  async use (room: string): Promise<UsedRoom> {
    // Its connection may be in the room, and the server may take it out before the handler asks for its signal.
    const membership = this.#own.peer?.rooms.get(room)
    const { declaration, params } = await this.#parts.access.allow(room, this.#identity)
    const check = (): void => { this.#check(room) }
    check()
    return {
      declaration,
      params,
      check,
      get lost () { return membership?.lost },
      isExcepted: (event) => this.#isExcepted(event)
    }
  }

  #isExcepted ({ except }: EventHead): boolean {
    return except !== undefined && isLeftOut(except, {
      userId: this.userId,
      isConnection: (id) => id === this.sender,
      isIn: (room) => this.#own.peer?.rooms.get(room) !== undefined
    })
  }

  join ({ type }: JoinCommand): never {
    throw new Refusal('invalid_message', { message: `${type} cannot be posted; it belongs to a WebSocket` })
  }

  async leave (room: string): Promise<void> {
    const { dispatch, elsewhere } = this.#parts
    const { peer, id } = this.#own
    const isDone = peer === undefined
      ? id !== undefined && (await elsewhere.ask(this.userId, id, 'leave', { room })).isDone
      : dispatch.joins.leaveByPeer(peer, room)
    if (!isDone) throw new Refusal('not_joined', { room })
  }

  async renew (ticket: string): Promise<number | undefined> {
    const { dispatch, elsewhere } = this.#parts
    const { peer, id } = this.#own
    if (id === undefined) {
      throw new Refusal('not_joined', { message: 'x-connection-id names no connection of this user' })
    }
    const { isDone, code, expires } = peer === undefined
      ? await elsewhere.ask(this.userId, id, 'auth', { ticket })
      : await dispatch.renew(peer, ticket)
    if (!isDone) throw new Refusal(code ?? 'unauthorized')
    return expires
  }

  async acked (event: string, answer: ClientAnswer): Promise<void> {
    const { acks } = this.#parts
    const { peer, id } = this.#own
    if (peer !== undefined && (acks.isOwed(event, peer.id) || !this.#mayHaveMoved)) acks.acked(event, peer.id, answer)
    else if (id !== undefined) await acks.ackedElsewhere(event, id, this.userId, answer)
  }

  async pong (ping: string): Promise<void> {
    const { elsewhere } = this.#parts
    const { peer, id } = this.#own
    if (id === undefined || elsewhere.pinged(this.userId, id, ping)) return
    peer?.pong(ping)
    if (this.#mayHaveMoved) await elsewhere.pong(this.userId, id, ping)
  }

  /** Whether its connection may have been asked on another node: it lives there, or polls and was there before. */
  get #mayHaveMoved (): boolean {
    const { peer } = this.#own
    return peer === undefined || (peer.transport === 'polling' && this.#parts.elsewhere.isPossible)
  }

  /**
   * A caller that has named its connection, and has given the message an id, may come back for the answer over another
   * request: it is gone when its connection is. Any other caller is gone when it hangs up.
   */
  whenGone (giveUp: GiveUp, { room, used, messageId }: Asked): () => void {
    const { dispatch: { departures }, distant, revocations } = this.#parts
    const { id } = this.#own
    const mayReturn = id !== undefined && messageId !== undefined
    const begun = this.#begun
    // One that polls may have moved to another node since.
    const peer = this.#own.peer !== undefined && departures.hasMoved(this.#own.peer) ? undefined : this.#own.peer
    try {
      // It may have been taken from it before the handler asked, or its connection may have ended.
      used.check()
      if (used.lost !== undefined) throw used.lost
      if (peer?.isOpen === false) throw reasonOf(peer.ending)
    } catch (error) {
      giveUp(error as Refusal)
      return () => undefined
    }
    const stops = [
      peer === undefined
        ? departures.followElsewhere(id, room, giveUp, { begun, ...(id === undefined ? {} : { user: this.userId }) })
        : departures.follow(peer.id, room, giveUp, { begun }),
      revocations.follow({ ...this.#identity, connection: id }, ({ room: taken, message, isTaken }) => {
        const isRevoked = taken === undefined || (taken === room && isTaken === true)
        if (isRevoked) giveUp(new Refusal('revoked', { room: taken, message }))
      })
    ]
    // When it ends, and whether it is in the room, only the node knows on which it lives.
    if (id !== undefined && peer === undefined) distant.follow(id, this.userId, room)
    if (!mayReturn) this.#whenHungUp(() => { giveUp(gone()) })
    return () => { for (const stop of stops) stop() }
  }

  charge (cost: number): void { this.#parts.rates.charge(this.userId, cost) }

  /** Ends the connection itself, on behalf of its peer. */
  async end (): Promise<void> {
    const { peer, id } = this.#own
    if (peer !== undefined) peer.finish()
    else if (id === undefined) throw new Refusal('not_joined')
    else await this.#parts.elsewhere.ask(this.userId, id, 'end')
  }
}
