import type { Peer } from '../admission/peer.js'
import type { Refusal } from '../errors/refusal.js'
import { keyOf } from '../protocol/key.js'
import { ExpiringMap } from '../structures/expiring-map.js'

/** Departures that are remembered: above it the oldest are forgotten, and who asks for them is told of nothing. */
const MAX_REMEMBERED = 10_000

interface Past {
  readonly userId: string
  readonly why: () => Refusal
  /** When it was, by `performance.now()`. */
  readonly at: number
}

/** Departures of connections of this node, for handlers of other nodes that ask for them too late to be told. */
export class PastDepartures {
  readonly #all = new ExpiringMap<Past>(MAX_REMEMBERED)
  readonly #timeout: number

  /** @param timeout milliseconds for which each is remembered */
  constructor (timeout: number) {
    this.#timeout = timeout
  }

  /** @param room out of which the connection was taken; absent where the connection has ended */
  add ({ id, userId }: Peer, why: () => Refusal, room?: string): void {
    const at = performance.now()
    this.#all.set(room === undefined ? keyOf(id) : keyOf(id, room), { userId, why, at }, at + this.#timeout, at)
  }

  /** @returns why a connection of the user has departed last, and milliseconds since then */
  find (connection: string, user: string, room: string): { readonly why: Refusal, readonly ago: number } | undefined {
    const now = performance.now()
    const past = this.#all.get(keyOf(connection), now) ?? this.#all.get(keyOf(connection, room), now)
    return past?.userId === user ? { why: past.why(), ago: Math.floor(now - past.at) } : undefined
  }
}
