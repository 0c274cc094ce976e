import { ShardedMap } from '../structures/sharded-map.js'
import type { Connection } from './connection.js'
import type { Identity } from './identity.js'
import type { Named } from './named-set.js'
import type { Transport } from './link.js'

/** Is told of the connections of users. */
export interface UserWatch {
  enter (userId: string): void
  leave (userId: string): void
}

/** Holds the connections of this node, by id and by user. */
export class Connections<H extends Named> {
  readonly #byId = new ShardedMap<Connection<H>>()
  /** Most users have one connection, for which a `Set` would cost more than the entry of the map. */
  readonly #byUser = new ShardedMap<Connection<H> | Set<Connection<H>>>()
  readonly #byToken = new ShardedMap<Connection<H> | Set<Connection<H>>>()
  readonly transports: Record<Transport, number> = { websocket: 0, sse: 0, polling: 0 }

  readonly #watch: UserWatch | undefined
  #opened = 0

  constructor (watch?: UserWatch) {
    this.#watch = watch
  }

  get size (): number { return this.#byId.size }
  get users (): number { return this.#byUser.size }

  add (connection: Connection<H>, transport: Transport): void {
    connection.number = ++this.#opened
    this.#byId.set(connection.id, connection)
    this.transports[transport]++
    insert(this.#byUser, connection.userId, connection)
    this.#watch?.enter(connection.userId)
    if (connection.identity.tokenId !== undefined) insert(this.#byToken, connection.identity.tokenId, connection)
  }

  /** Replaces the connection's credential by a newer one of the same user. */
  renew (connection: Connection<H>, identity: Identity): void {
    const isHere = this.#byId.get(connection.id) === connection
    if (isHere && connection.identity.tokenId !== undefined) {
      remove(this.#byToken, connection.identity.tokenId, connection)
    }
    connection.renew(identity)
    if (isHere && identity.tokenId !== undefined) insert(this.#byToken, identity.tokenId, connection)
  }

  /** @returns false when the connection was not, or no longer, on this node */
  delete (connection: Connection<H>, transport: Transport): boolean {
    if (this.#byId.get(connection.id) !== connection) return false
    this.#byId.delete(connection.id)
    this.transports[transport]--
    remove(this.#byUser, connection.userId, connection)
    this.#watch?.leave(connection.userId)
    if (connection.identity.tokenId !== undefined) remove(this.#byToken, connection.identity.tokenId, connection)
    return true
  }

  get (id: string): Connection<H> | undefined { return this.#byId.get(id) }

  /** Connections of a user, in order of opening. */
  ofUser (userId: string): Array<Connection<H>> {
    return listed(this.#byUser.get(userId))
  }

  /** Connections of a token, in order of their opening or of their refresh. */
  ofToken (tokenId: string): Array<Connection<H>> { return listed(this.#byToken.get(tokenId)) }

  has (userId: string): boolean { return this.#byUser.has(userId) }

  ids (): Iterable<string> { return this.#byId.keys() }

  /** @param skipped number of connections to pass over */
  values (skipped = 0): IterableIterator<Connection<H>> { return this.#byId.values(skipped) }
}

function insert<T extends object> (index: ShardedMap<T | Set<T>>, key: string, item: T): void {
  const own = index.get(key)
  if (own instanceof Set) own.add(item)
  else index.set(key, own === undefined ? item : new Set([own, item]))
}

function remove<T extends object> (index: ShardedMap<T | Set<T>>, key: string, item: T): void {
  const own = index.get(key)
  if (own instanceof Set) own.delete(item)
  if (own === item || (own instanceof Set && own.size === 0)) index.delete(key)
}

function listed<T extends object> (own: T | Set<T> | undefined): T[] {
  return own === undefined ? [] : own instanceof Set ? [...own] : [own]
}
