import type { ListedConnection } from '../adapters/adapter.js'
import type { AnyAddress } from '../contract/types.js'

/** Which connections are listed. Without `user` and `room`: all. */
export interface ConnectionQuery {
  /** Those of this user. @default of all users */
  user?: string | undefined
  /** Those in this room, by its name or address. @default in any room, or in none */
  room?: string | AnyAddress | undefined
  /** The `cursor` of the page before. @default the first page */
  cursor?: string | undefined
  /** Connections of the page at most: 1 to 1 000, more counts as 1 000. @default 100 */
  limit?: number | undefined
  /** Milliseconds that other nodes have to answer; those that have not by then are `missing`. @default 1_000 */
  timeout?: number | undefined
}

/** An open connection, as the node on which it lives sees it. */
export interface ConnectionEntry extends Omit<ListedConnection, 'number'> {
  /** The node on which it lives: the `node` of that node's stats. */
  readonly node: string
}

/** One page of connections. */
export interface ConnectionPage {
  /**
   * The connections, by node, and on each node in the order in which they were opened. Whoever is connected while all
   * pages are read is on one of them.
   */
  connections: ConnectionEntry[]
  /** The `cursor` of the next page; absent on the last one. */
  cursor?: string
  /** Connections that fit the query, on all nodes that have answered. */
  total: number
  /** Whether connections of other nodes may be missing, because a node has not answered or nodes cannot be known. */
  incomplete: boolean
  /** Nodes that are known and have not answered. */
  missing: string[]
}
