import { Refusal } from '../errors/refusal.js'
import type { Packet } from '../protocol/packet.js'
import type { Hub } from '../rooms/hub.js'
import type { Cluster, SilentNode } from './cluster.js'
import {
  afterOf, CONNECTION_SORTS, isFields, isListQuery, isSelection, ROOM_SORTS, type ConnectionSort, type ListQuery,
  type RoomSort
} from './list-query.js'
import type { ConnectionDetail, ConnectionRow, Lists, RoomRow } from './lists.js'
import { merge, type Selection } from './selection.js'
import type { StatsSnapshot } from './snapshot.js'

/** One node in the view of all nodes. */
export type NodeView =
  | { readonly node: string, readonly isAnswering: true, readonly stats: StatsSnapshot }
  | (SilentNode & { readonly isAnswering: false })

/** One page of a list of all nodes. */
export interface SortedPage<V> {
  /** Items that match, on the nodes that answered. */
  readonly total: number
  readonly items: readonly V[]
  /** `after` of the next page; absent on the last page. */
  readonly next?: string
  readonly silent: readonly SilentNode[]
}

/** One event of a room's history; its data is there when it was asked for. */
export interface EventView {
  readonly type: string
  readonly offset: number | undefined
  readonly timestamp: number
  /** Bytes of its frame. */
  readonly bytes: number
  readonly data?: unknown
}

/** All that is shown of one room. */
export interface RoomDetail {
  readonly name: string
  readonly definition: string
  readonly nodes: ReadonlyArray<{ readonly node: string, readonly members: number }>
  readonly silent: readonly SilentNode[]
  /** Who is in it, where it has presence and the adapter keeps it; the list is absent for very many. */
  readonly presence?: { readonly total: number, readonly users?: readonly string[] }
  /** Its last events, newest first; absent where it keeps none. */
  readonly events?: readonly EventView[]
  readonly epoch?: string
  readonly offset?: number
}

export interface OverviewOptions {
  readonly cluster: Cluster
  readonly lists: Lists
  readonly hub: Pick<Hub, 'declarations' | 'get' | 'history' | 'listsMembers' | 'members'>
  readonly read: () => StatsSnapshot
  /** Begins to drain this node; absent where admins may only look. */
  readonly drain: (() => void) | undefined
}

/** Users of a room that are listed. */
const SHOWN_USERS = 200
/** Events of a room that are shown, and their bytes. */
const MAX_EVENTS = 100
const EVENT_BYTES = 262_144
const KEY = /^([\w-]{1,64})\.(\d{1,15})$/
/** What a client reads whose connection an admin has ended. */
const ENDED = 'an administrator has ended this connection; it may come back'

function eventView ({ event, position, payload }: Packet, withData: boolean): EventView {
  return {
    type: event?.type ?? '',
    offset: position?.offset,
    timestamp: event?.timestamp ?? 0,
    bytes: payload.length,
    ...(withData ? { data: (JSON.parse(payload.toString()) as { data?: unknown }).data } : {})
  }
}

/** What all nodes hold, for the pages of admins: it asks this node and the others, and puts the answers together. */
export class Overview {
  readonly #options: OverviewOptions

  constructor (options: OverviewOptions) {
    this.#options = options
    options.cluster.answers = async (question) => await this.#answer(question)
  }

  /** Whether admins may act, too. */
  get isActing (): boolean { return this.#options.drain !== undefined }

  /** The figures of all nodes, in the order of their names. */
  async nodes (): Promise<{ readonly here: string, readonly items: readonly NodeView[] }> {
    const { cluster, read } = this.#options
    const { answers, silent } = await cluster.ask({ what: 'figures' })
    const items: NodeView[] = [{ node: cluster.node, isAnswering: true, stats: read() }]
    for (const [node, answer] of answers) {
      // A node of another version may lack figures that this one has; the page shows those that are there.
      const stats = isFields(answer) && isFields(answer.stats) ? answer.stats as unknown as StatsSnapshot : undefined
      if (stats !== undefined) items.push({ node, isAnswering: true, stats })
    }
    for (const each of silent) items.push({ ...each, isAnswering: false })
    return { here: cluster.node, items: items.sort((a, b) => a.node < b.node ? -1 : 1) }
  }

  /** One page of the connections of all nodes, or of one. */
  async connections (query: ListQuery<ConnectionSort>, node?: string): Promise<SortedPage<ConnectionRow>> {
    const { lists } = this.#options
    return await this.#page('connections', query, node, async () => await lists.connections(query), CONNECTION_SORTS[query.sort])
  }

  /** One page of the rooms of all nodes, or of one: a room stands there once for each node with members. */
  async rooms (query: ListQuery<RoomSort>, node?: string): Promise<SortedPage<RoomRow>> {
    const { lists } = this.#options
    return await this.#page('rooms', query, node, async () => await lists.rooms(query), ROOM_SORTS[query.sort])
  }

  async #page<V> (
    what: 'connections' | 'rooms',
    query: ListQuery<string>,
    node: string | undefined,
    own: () => Promise<Selection<V>>,
    type: 'string' | 'number'
  ): Promise<SortedPage<V>> {
    const { cluster } = this.#options
    const isHere = node === undefined || node === cluster.node
    const [mine, { answers, silent }] = await Promise.all([
      isHere ? own() : undefined,
      cluster.ask({ what, query }, node)
    ])
    const others = [...answers.values()].filter((answer) => isSelection(answer, type)) as Array<Selection<V>>
    const { total, rest, rows } = merge(mine === undefined ? others : [mine, ...others], query)
    const last = rows.at(-1)
    return {
      total,
      items: rows.map(({ view }) => view),
      ...(last !== undefined && rest > rows.length ? { next: afterOf(last.place) } : {}),
      silent
    }
  }

  /**
   * All that is shown of a room.
   *
   * @param name as it stands in URLs
   * @param limit number of its last events
   * @param withData whether the data of the events is given
   * @throws Refusal `room_unknown`, `room_invalid`
   */
  async room (name: string, limit: number, withData: boolean): Promise<RoomDetail> {
    const { cluster, hub } = this.#options
    const { declaration } = hub.declarations.resolve(name)
    const [{ answers, silent }, kept, presence] = await Promise.all([
      cluster.ask({ what: 'room', room: name }),
      declaration.settings.history === false
        ? undefined
        : hub.history(name, undefined, Math.min(limit, MAX_EVENTS), EVENT_BYTES),
      hub.listsMembers(declaration) ? this.#presence(name) : undefined
    ])
    const nodes = [{ node: cluster.node, members: hub.get(name)?.size ?? 0 }]
    for (const [node, answer] of answers) {
      if (isFields(answer) && typeof answer.members === 'number') nodes.push({ node, members: answer.members })
    }
    return {
      name,
      definition: declaration.pattern.source,
      nodes: nodes.sort((a, b) => a.node < b.node ? -1 : 1),
      silent,
      ...(presence === undefined ? {} : { presence }),
      ...(kept === undefined
        ? {}
        : {
            ...kept.top,
            events: kept.events.map((packet) => eventView(packet, withData)).reverse()
          })
    }
  }

  async #presence (name: string): Promise<RoomDetail['presence']> {
    const { total, list } = await this.#options.hub.members(name, SHOWN_USERS)
    return { total, ...(list === undefined ? {} : { users: list.map(({ userId }) => userId) }) }
  }

  /**
   * All that is shown of a connection.
   *
   * @throws Refusal `room_unknown` when there is no such connection, `unavailable` when its node does not answer
   */
  async connection (key: string): Promise<ConnectionDetail> {
    const answer = await this.#of(key, 'connection')
    return answer.connection as ConnectionDetail
  }

  /** Ends a connection, which may come back. @throws as `connection` */
  async disconnect (key: string): Promise<void> { await this.#of(key, 'disconnect') }

  async #of (key: string, what: 'connection' | 'disconnect'): Promise<Readonly<Record<string, unknown>>> {
    const [, node, number] = KEY.exec(key) ?? []
    if (node === undefined) throw new Refusal('invalid_message', { message: 'a connection is named by its key' })
    const answer = await this.#askOne(node, { what, number: Number(number) })
    if (answer.isFound !== true) {
      throw new Refusal('room_unknown', {
        message: 'this connection has ended',
        why: { fix: 'ask for the list of connections again' }
      })
    }
    return answer
  }

  /** Begins to drain a node. @throws Refusal `unavailable` when it does not answer */
  async drain (node: string): Promise<void> { await this.#askOne(node, { what: 'drain' }) }

  /** @throws Refusal `unavailable` when the node does not answer, `forbidden` when it lets nobody act */
  async #askOne (node: string, question: object): Promise<Readonly<Record<string, unknown>>> {
    const { cluster } = this.#options
    const answer = node === cluster.node
      ? await this.#answer(question)
      : (await cluster.ask(question, node)).answers.get(node)
    if (!isFields(answer)) {
      throw new Refusal('unavailable', { message: `the node ${node} does not answer`, retryAfter: 1_000 })
    }
    if (answer.isRefused === true) {
      throw new Refusal('forbidden', { message: `stats.actions is off on the node ${node}` })
    }
    return answer
  }

  /** What this node answers; nothing to what it does not know, which a newer node may have asked. */
  async #answer (question: unknown): Promise<object | undefined> {
    const { lists, hub, read, drain } = this.#options
    if (!isFields(question)) return undefined
    const { what, query, room, number } = question
    switch (what) {
      case 'figures': return { stats: read() }
      case 'connections': return isListQuery(query, CONNECTION_SORTS) ? await lists.connections(query) : undefined
      case 'rooms': return isListQuery(query, ROOM_SORTS) ? await lists.rooms(query) : undefined
      case 'room': return typeof room === 'string' ? { members: hub.get(room)?.size ?? 0 } : undefined
      case 'connection':
      case 'disconnect': {
        const found = typeof number === 'number' ? await lists.connection(number) : undefined
        if (found === undefined) return { isFound: false }
        if (what === 'connection') return { isFound: true, connection: lists.detail(found) }
        if (drain === undefined) return { isFound: true, isRefused: true }
        found.close('unavailable', ENDED)
        return { isFound: true }
      }
      case 'drain':
        drain?.()
        return { isRefused: drain === undefined }
      default: return undefined
    }
  }
}
