import type { Peer } from '../admission/peer.js'
import { isRoomName } from '../contract/names.js'
import { Refusal } from '../errors/refusal.js'
import type { ClientAnswer, JoinCommand } from '../protocol/frames.js'
import type { EventHead } from '../protocol/packet.js'
import type { Declaration } from '../rooms/declaration.js'
import type { BroadcastAcks } from './broadcast-acks.js'
import type { Asked, Caller, UsedRoom } from './caller.js'
import { reasonOf, type Departures, type GiveUp } from './departures.js'
import type { Joins } from './joins.js'
import type { Renewals } from './renewals.js'
import type { Membership } from '../rooms/membership.js'

export interface CallerParts {
  readonly joins: Joins
  readonly renewals: Renewals
  readonly acks: BroadcastAcks
  readonly departures: Departures
}

/** A connection as the sender of commands: it uses the rooms that it is in. */
export class ConnectionCaller implements Caller {
  readonly isRequest = false
  readonly #connection: Peer
  readonly #parts: CallerParts

  constructor (connection: Peer, parts: CallerParts) {
    this.#connection = connection
    this.#parts = parts
  }

  get user (): unknown { return this.#connection.user }
  get userId (): string { return this.#connection.userId }
  get sender (): string { return this.#connection.id }

  use (room: string): UsedRoom {
    const membership = this.#connection.rooms.get(room)
    if (membership === undefined) throw notJoined(room)
    return new RoomOfMember(this.#connection, membership)
  }

  async join (command: JoinCommand): Promise<void> { await this.#parts.joins.join(this.#connection, command) }

  leave (room: string): void {
    if (!this.#parts.joins.leaveByPeer(this.#connection, room)) throw notJoined(room)
  }

  async renew (ticket: string): Promise<number | undefined> {
    return await this.#parts.renewals.renew(this.#connection, ticket)
  }

  acked (id: string, answer: ClientAnswer): void { this.#parts.acks.acked(id, this.#connection.id, answer) }

  pong (id: string): void { this.#connection.pong(id) }

  whenGone (giveUp: GiveUp, { room, used }: Asked): () => void {
    const { id, isOpen, ending } = this.#connection
    const why = isOpen ? used.lost : reasonOf(ending)
    if (why === undefined) return this.#parts.departures.follow(id, room, giveUp)
    giveUp(why)
    return () => undefined
  }

  charge (cost: number): void { this.#connection.charge(cost) }
}

class RoomOfMember implements UsedRoom {
  readonly #connection: Peer
  readonly #membership: Membership

  constructor (connection: Peer, membership: Membership) {
    this.#connection = connection
    this.#membership = membership
  }

  get declaration (): Declaration { return this.#membership.room.declaration }
  get params (): Readonly<Record<string, string>> { return this.#membership.room.params }

  get lost (): Refusal | undefined { return this.#membership.lost }

  check (): void {
    const { ending, isOpen, rooms } = this.#connection
    if (ending?.word === 'revoked') throw ending
    if (isOpen && rooms.get(this.#membership.name) !== this.#membership) throw new Refusal('not_joined')
  }

  isExcepted (event: EventHead): boolean { return this.#membership.isExcepted(event) }
}

function notJoined (room: string): Refusal { return new Refusal(isRoomName(room) ? 'not_joined' : 'room_invalid') }
