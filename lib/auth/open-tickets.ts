import { Link, LinkedList } from '../structures/linked-list.js'

interface Open {
  readonly userId: string
  readonly ticket: string
  /** By `performance.now()`. */ readonly until: number
}

export interface OpenTicketsOptions {
  readonly perUser: number
  /** Tickets of all users together. */
  readonly total: number
}

/**
 * Counts the tickets of this node that may still be open, by user. All have the same time to live, so the first issued
 * is the first to expire.
 */
export class OpenTickets {
  readonly #options: OpenTicketsOptions
  readonly #byTicket = new Map<string, Link<Open>>()
  /** The tickets of each user, oldest first. */
  readonly #users = new Map<string, Array<Link<Open>>>()
  readonly #order = new LinkedList<Open>()

  constructor (options: OpenTicketsOptions) {
    this.#options = options
  }

  get size (): number { return this.#byTicket.size }

  /** @returns milliseconds until one more ticket may be issued, 0 when it may be now */
  wait (userId: string, now: number): number {
    for (let { first } = this.#order; first !== undefined && first.item.until <= now; first = this.#order.first) {
      this.#drop(first)
    }
    const { perUser, total } = this.#options
    const own = this.#users.get(userId) ?? []
    const blocking = own.length >= perUser ? own[0] : this.#order.size >= total ? this.#order.first : undefined
    return blocking === undefined ? 0 : Math.max(1, Math.ceil(blocking.item.until - now))
  }

  add (userId: string, ticket: string, until: number): void {
    const link = new Link<Open>({ userId, ticket, until })
    this.#byTicket.set(ticket, link)
    this.#order.push(link)
    const own = this.#users.get(userId)
    if (own === undefined) this.#users.set(userId, [link])
    else own.push(link)
  }

  /** Drops a ticket that was used or could not be stored. */
  spend (ticket: string): void {
    const link = this.#byTicket.get(ticket)
    if (link !== undefined) this.#drop(link)
  }

  #drop (link: Link<Open>): void {
    const { userId, ticket } = link.item
    link.remove()
    this.#byTicket.delete(ticket)
    const own = this.#users.get(userId)!
    own.splice(own.indexOf(link), 1)
    if (own.length === 0) this.#users.delete(userId)
  }
}
