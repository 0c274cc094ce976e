import type { Connection } from './connection.js'
import type { Handle } from './handles.js'
import type { Transport } from './link.js'

/** The connections of this node, by id and by user. */
export class Connections<H extends Handle> {
  readonly #byId = new Map<string, Connection<H>>()
  readonly #byUser = new Map<string, Set<Connection<H>>>()
  readonly transports: Record<Transport, number> = { websocket: 0, sse: 0, polling: 0 }

  get size (): number { return this.#byId.size }
  get users (): number { return this.#byUser.size }

  add (connection: Connection<H>, transport: Transport): void {
    this.#byId.set(connection.id, connection)
    this.transports[transport]++
    let own = this.#byUser.get(connection.userId)
    if (own === undefined) this.#byUser.set(connection.userId, own = new Set())
    own.add(connection)
  }

  /** @returns false when it was not (or no longer) here */
  delete (connection: Connection<H>, transport: Transport): boolean {
    if (this.#byId.get(connection.id) !== connection) return false
    this.#byId.delete(connection.id)
    this.transports[transport]--
    const own = this.#byUser.get(connection.userId)
    own?.delete(connection)
    if (own?.size === 0) this.#byUser.delete(connection.userId)
    return true
  }

  get (id: string): Connection<H> | undefined { return this.#byId.get(id) }

  /** in order of opening */
  ofUser (userId: string): Array<Connection<H>> { return [...this.#byUser.get(userId) ?? []] }

  has (userId: string): boolean { return this.#byUser.has(userId) }

  values (): IterableIterator<Connection<H>> { return this.#byId.values() }

  all (): Array<Connection<H>> { return [...this.#byId.values()] }
}
