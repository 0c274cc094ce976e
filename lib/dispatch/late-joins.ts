import type { Peer } from '../admission/peer.js'
import { keyOf } from '../protocol/key.js'
import { inBatches } from '../structures/slices.js'
import { after } from '../structures/timers.js'

/** A join by the server that the adapter could not take. */
export interface LateJoin {
  readonly connection: Peer
  readonly name: string
  /** The moment of the revocations at which the application asked for it. */
  readonly since: number
  /** When it is given up, by `performance.now()`. */
  readonly until: number
}

/** Milliseconds until all are tried again, and for which each is: messages of other nodes are kept for as long. */
const AGAIN = 500
const PATIENCE = 60_000
/** Joins that wait; of more the adapter would hear nothing else for long. */
const MAX_WAITING = 10_000
/** Connections that are put into a room at once. */
const AT_ONCE = 20

/**
 * Joins by the server that were refused as `unavailable`. After a blink a node reads what it was asked meanwhile before
 * it hears of rooms again, and nobody else would ask a second time. At the bound, and after a minute, one is refused.
 */
export class LateJoins {
  readonly #join: (late: LateJoin) => Promise<unknown>
  #waiting = new Map<string, LateJoin>()
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  /** @param join tries one again, and holds it again where it is refused as before; never rejects */
  constructor (join: (late: LateJoin) => Promise<unknown>) {
    this.#join = join
  }

  /** @returns false where it is not tried again */
  hold (asked: Omit<LateJoin, 'until'> & Partial<LateJoin>): boolean {
    const { connection, name, since, until = performance.now() + PATIENCE } = asked
    const key = keyOf(connection.id, name)
    const isFull = this.#waiting.size >= MAX_WAITING && !this.#waiting.has(key)
    if (this.#isStopped || isFull || performance.now() >= until) return false
    // The newer one stands behind whatever was revoked before it.
    this.#waiting.set(key, { connection, name, since, until })
    this.#timer ??= after(() => { void this.#again() }, AGAIN).unref()
    return true
  }

  stop (): void {
    this.#isStopped = true
    this.#waiting.clear()
    clearTimeout(this.#timer)
  }

  async #again (): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = new Map()
    await inBatches(waiting.values(), AT_ONCE, async (late) => { await this.#join(late) })
    this.#timer = undefined
    if (this.#waiting.size > 0 && !this.#isStopped) this.#timer = after(() => { void this.#again() }, AGAIN).unref()
  }
}
