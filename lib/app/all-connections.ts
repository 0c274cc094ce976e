import type { Control } from '../adapters/adapter.js'
import { LISTED, LISTED_BYTES } from '../adapters/broker/decode-list.js'
import type { Gathering } from '../dispatch/gathering.js'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { Refusal } from '../errors/refusal.js'
import { callOptions, checkCount, checkTime, stringOption } from '../options/call-values.js'
import { DEFAULTS } from '../options/defaults.js'
import { roomOfUser } from '../rooms/built-in.js'
import type { Hub } from '../rooms/hub.js'
import { nameOf } from '../rooms/room-name.js'
import type { ConnectionEntry, ConnectionPage } from '../types/connections.js'
import { decodePlace, encodePlace, type ConnectionPlace } from './connection-cursor.js'
import type { ListAnswer, ListQuestion, OwnConnections } from './own-connections.js'

export interface AllConnectionsOptions {
  readonly node: string
  readonly own: OwnConnections
  readonly gathering: Gathering<ListAnswer>
  readonly control: Control | undefined
  readonly hub: Pick<Hub, 'locate'>
}

/** What a list may be asked for. */
const ASKED = ['user', 'room', 'cursor', 'limit', 'timeout']

/** Bytes of one page, and of the answers that are awaited for it. */
const PAGE = 1_048_576
/** Bytes that every node may answer with, however many nodes there are. */
const SHARE = 32_768

/** Lists connections of all nodes, page by page: by the ids of the nodes, then as they were opened there. */
export class AllConnections {
  readonly #options: AllConnectionsOptions

  constructor (options: AllConnectionsOptions) {
    this.#options = options
  }

  /**
   * @throws REALTIME_ERR_OPTIONS, REALTIME_ERR_TARGET, REALTIME_ERR_ROOM, REALTIME_ERR_ROOM_UNKNOWN; Refusal
   *   `unavailable`
   */
  async page (query: unknown): Promise<ConnectionPage> {
    const { node, own, gathering, control } = this.#options
    const { timeout, ...given } = this.#asked(query)
    const [mine, { answers, missing, isKnown }] = await Promise.all([
      own.page({ ...given, bytes: LISTED_BYTES }),
      gathering.gather(async (id, nodes) => {
        const bytes = Math.min(LISTED_BYTES, Math.max(SHARE, Math.floor(PAGE / nodes)))
        await control?.send({ type: 'list', id, ...given, bytes })
      }, timeout)
    ])
    if (mine === undefined) {
      throw new Refusal('unavailable', { message: 'too many lists of connections are being made', retryAfter: 1_000 })
    }
    const all = new Map(answers).set(node, mine)
    const { connections, last } = merged(all, given.limit, given.after)
    let total = 0
    for (const each of all.values()) total += each.total
    return {
      connections,
      ...(last === undefined ? {} : { cursor: encodePlace(last) }),
      total,
      incomplete: missing.length > 0 || !isKnown,
      missing
    }
  }

  #asked (query: unknown): Omit<ListQuestion, 'bytes'> & { readonly timeout: number } {
    const { user, room, cursor, limit, timeout } = callOptions(query, 'connections', ASKED)
    const userId = stringOption(user, 'user of connections')
    const name = room === undefined ? undefined : nameOf(room)
    if (userId !== undefined) roomOfUser(userId)
    if (name !== undefined) this.#options.hub.locate(name)
    const most = limit === undefined ? DEFAULTS.connections : checkCount(limit, 'limit of connections')
    if (most === 0) throw new REALTIME_ERR_OPTIONS('limit of connections is 1 or more')
    return {
      limit: Math.min(most, LISTED),
      timeout: timeout === undefined ? DEFAULTS.listTimeout : checkTime(timeout, 'timeout of connections'),
      ...(userId === undefined ? {} : { user: userId }),
      ...(name === undefined ? {} : { room: name }),
      ...(cursor === undefined ? {} : { after: decodePlace(cursor) })
    }
  }
}

/**
 * Makes one page of the answers. It ends where a node has more than it could answer: those of the nodes behind it would
 * come before the rest.
 *
 * @returns `last` where another page follows: the place behind which it begins
 */
function merged (
  answers: ReadonlyMap<string, ListAnswer>,
  limit: number,
  after: ConnectionPlace | undefined
): { readonly connections: ConnectionEntry[], readonly last?: ConnectionPlace } {
  const connections: ConnectionEntry[] = []
  let last: ConnectionPlace | undefined
  let bytes = 0
  for (const [node, answer] of [...answers].sort(([one], [other]) => one < other ? -1 : 1)) {
    if (after !== undefined && node < after.node) continue
    for (const { number, ...connection } of answer.connections) {
      if (after?.node === node && number <= after.number) continue
      if (last !== undefined && (connections.length === limit || bytes > PAGE)) return { connections, last }
      connections.push({ ...connection, node })
      last = { node, number }
      for (const { length } of connection.rooms) bytes += length
      bytes += ROW
    }
    if (answer.more === true && last !== undefined) return { connections, last }
  }
  return { connections }
}

/** Bytes of a connection without the names of its rooms, about. */
const ROW = 256
