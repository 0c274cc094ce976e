import type { Peer, Peers } from '../admission/peer.js'
import type { ControlMessage, ListedConnection } from '../adapters/adapter.js'
import { LISTED_ROOMS } from '../adapters/broker/decode-list.js'
import type { Hub } from '../rooms/hub.js'
import { Turns } from '../structures/turns.js'

export type ListQuestion = Omit<Extract<ControlMessage, { readonly type: 'list' }>, 'type' | 'id'>
export type ListAnswer = Pick<Extract<ControlMessage, { readonly type: 'listed' }>, 'total' | 'connections' | 'more'>

/** Connections that are looked at before the turn is asked again whether there is time left. */
const LOOKED = 20
/** Connections that are added to the nearest ones before these are chosen again. */
const MORE = 250
/** Lists that are made at a time; who asks for another one finds this node missing. */
const MAX_LISTS = 32

/** Lists the connections of this node, all lists together in a small part of each turn of the event loop. */
export class OwnConnections {
  readonly #node: string
  readonly #connections: Peers
  readonly #hub: Pick<Hub, 'get'>
  readonly #turns = new Turns()
  #lists = 0

  constructor (node: string, connections: Peers, hub: Pick<Hub, 'get'>) {
    this.#node = node
    this.#connections = connections
    this.#hub = hub
  }

  /** @returns nothing where too many lists are being made */
  async page (question: ListQuestion): Promise<ListAnswer | undefined> {
    if (this.#lists >= MAX_LISTS) return undefined
    this.#lists++
    try {
      return await this.#page(question)
    } finally {
      this.#lists--
    }
  }

  async #page ({ user, room, after, limit, bytes }: ListQuestion): Promise<ListAnswer> {
    const begin = after === undefined || after.node < this.#node
      ? 0
      : after.node === this.#node ? after.number : Number.POSITIVE_INFINITY
    const nearest = new Nearest(limit)
    let total = 0
    let looked = 0
    for (const peer of this.#among(user, room)) {
      const rest = looked++ % LOOKED === 0 ? this.#turns.step() : undefined
      if (rest !== undefined) await rest
      if (peer?.isOpen !== true || (room !== undefined && peer.rooms.get(room) === undefined)) continue
      total++
      if (peer.number > begin) nearest.add(peer)
    }
    const peers = nearest.take()
    const connections: ListedConnection[] = []
    let left = bytes
    for (const peer of peers) {
      const rest = this.#turns.step()
      if (rest !== undefined) await rest
      const connection = shown(peer)
      left -= JSON.stringify(connection).length
      if (left < 0 && connections.length > 0) break
      connections.push(connection)
    }
    const isCut = connections.length < nearest.offered
    return { total, connections, ...(isCut ? { more: true } : {}) }
  }

  #among (user: string | undefined, room: string | undefined): Iterable<Peer | undefined> {
    if (user !== undefined) return this.#connections.ofUser(user)
    return room === undefined ? this.#connections.values() : this.#members(room)
  }

  * #members (name: string): Generator<Peer | undefined> {
    // The list changes its order when a member leaves, and a copy of it is made in no time.
    for (const { member } of this.#hub.get(name)?.members.slice() ?? []) yield this.#connections.get(member.id)
  }
}

/** The connections that were opened first of all that are added, without keeping all of them. */
class Nearest {
  readonly #limit: number
  #kept: Peer[] = []
  #most = Number.POSITIVE_INFINITY
  /** Number of those that were added. */
  offered = 0

  constructor (limit: number) {
    this.#limit = limit
  }

  add (peer: Peer): void {
    this.offered++
    if (peer.number > this.#most) return
    this.#kept.push(peer)
    // Those that are sorted already make the next sort a short one.
    if (this.#kept.length >= this.#limit + MORE) this.take()
  }

  take (): readonly Peer[] {
    this.#kept = this.#kept.sort((one, other) => one.number - other.number).slice(0, this.#limit)
    if (this.#kept.length === this.#limit) this.#most = this.#kept.at(-1)!.number
    return this.#kept
  }
}

function shown (peer: Peer): ListedConnection {
  const { number, id, userId, transport, address, openedAt, latency, outbox, bytesIn, bytesOut, rooms } = peer
  const names = rooms.all().slice(0, LISTED_ROOMS).map(({ name }) => name)
  return {
    number,
    id,
    user: userId,
    transport,
    address,
    since: openedAt,
    ...(latency === undefined ? {} : { latency: Math.round(latency * 10) / 10 }),
    lag: outbox?.bytes ?? 0,
    bytesIn,
    bytesOut,
    rooms: names,
    roomCount: rooms.size
  }
}
