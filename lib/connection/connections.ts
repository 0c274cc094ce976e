import type { Connection } from './connection.js'
import type { Handle } from './handles.js'
import type { Transport } from './link.js'

/** The connections of this node, by id and by user. */
export class Connections<H extends Handle> {
  readonly #byId = new Map<string, Connection<H>>()
  /** most users have one: a `Set` for it alone would cost more than the map's entry */
  readonly #byUser = new Map<string, Connection<H> | Set<Connection<H>>>()
  readonly transports: Record<Transport, number> = { websocket: 0, sse: 0, polling: 0 }

  get size (): number { return this.#byId.size }
  get users (): number { return this.#byUser.size }

  add (connection: Connection<H>, transport: Transport): void {
    this.#byId.set(connection.id, connection)
    this.transports[transport]++
    const own = this.#byUser.get(connection.userId)
    if (own instanceof Set) own.add(connection)
    else this.#byUser.set(connection.userId, own === undefined ? connection : new Set([own, connection]))
  }

  /** @returns false when it was not (or no longer) here */
  delete (connection: Connection<H>, transport: Transport): boolean {
    if (this.#byId.get(connection.id) !== connection) return false
    this.#byId.delete(connection.id)
    this.transports[transport]--
    const own = this.#byUser.get(connection.userId)
    if (own instanceof Set) own.delete(connection)
    if (own === connection || (own instanceof Set && own.size === 0)) this.#byUser.delete(connection.userId)
    return true
  }

  get (id: string): Connection<H> | undefined { return this.#byId.get(id) }

  /** in order of opening */
  ofUser (userId: string): Array<Connection<H>> {
    const own = this.#byUser.get(userId)
    return own === undefined ? [] : own instanceof Set ? [...own] : [own]
  }

  has (userId: string): boolean { return this.#byUser.has(userId) }

  values (): IterableIterator<Connection<H>> { return this.#byId.values() }

  all (): Array<Connection<H>> { return [...this.#byId.values()] }
}
