import type { Peer } from '../admission/peer.js'
import { keyOf } from '../protocol/key.js'
import { every } from '../structures/timers.js'

/** A join by the server that the adapter could not take. */
export interface LateJoin {
  readonly connection: Peer
  readonly name: string
  /** The moment of the revocations at which the application asked for it. */
  readonly since: number
  /** When it is given up, by `performance.now()`; absent where it was not held yet. */
  readonly until?: number
}

/** Milliseconds until all are tried again, and for which each is: messages of other nodes are kept for as long. */
const AGAIN = 500
const PATIENCE = 60_000
/** Joins that wait; of more the adapter would hear nothing else for long. */
const MAX_WAITING = 10_000
/** Joins that are tried at once. */
const AT_ONCE = 20

interface Waiting extends LateJoin {
  since: number
  until: number
  /** The last round in which it was tried, or that was under way when it came. */
  round: number
  isRunning: boolean
  /** Whether it was refused again, or asked for again, since it was last tried. */
  isHeld: boolean
}

/**
 * Joins by the server that were refused as `unavailable`. After a blink a node reads what it was asked meanwhile before
 * it hears of rooms again, and nobody else would ask a second time. At the bound, and after a minute, one is refused.
 */
export class LateJoins {
  readonly #join: (late: LateJoin) => Promise<unknown>
  /** What was tried longest ago comes first. */
  readonly #waiting = new Map<string, Waiting>()
  #timer: NodeJS.Timeout | undefined
  #round = 0
  #running = 0
  #isStopped = false

  /** @param join tries one again, and holds it again where it is refused as before; never rejects */
  constructor (join: (late: LateJoin) => Promise<unknown>) {
    this.#join = join
  }

  /** @returns false where it is not tried again, and has to be refused */
  hold (asked: LateJoin): boolean {
    const { connection, name, since, until = performance.now() + PATIENCE } = asked
    const key = keyOf(connection.id, name)
    const known = this.#waiting.get(key)
    if (performance.now() >= until) return false
    if (known !== undefined) {
      // The newest stands behind whatever was revoked before it.
      known.since = Math.max(known.since, since)
      known.until = Math.max(known.until, until)
      known.isHeld = true
      return true
    }
    // It was dropped while it was tried.
    if (asked.until !== undefined) return true
    if (this.#isStopped || this.#waiting.size >= MAX_WAITING) return false
    this.#waiting.set(key, { connection, name, since, until, round: this.#round, isRunning: false, isHeld: true })
    this.#timer ??= every(() => { this.#again() }, AGAIN).unref()
    return true
  }

  /** Forgets one whose connection is in the room, or has left it or was taken out since. */
  drop (connection: Peer, name: string): void {
    if (this.#waiting.size > 0) this.#waiting.delete(keyOf(connection.id, name))
  }

  stop (): void {
    this.#isStopped = true
    this.#waiting.clear()
    this.#rest()
  }

  #rest (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #again (): void {
    if (this.#waiting.size === 0) return this.#rest()
    this.#round++
    this.#next()
  }

  /** Tries those that were not tried in this round; one whose hook takes long keeps back none of the others. */
  #next (): void {
    for (const [key, late] of this.#waiting) {
      if (this.#running >= AT_ONCE) return
      if (late.isRunning) continue
      if (late.round === this.#round) return
      void this.#try(key, late)
    }
  }

  async #try (key: string, late: Waiting): Promise<void> {
    late.round = this.#round
    late.isRunning = true
    late.isHeld = false
    this.#running++
    this.#waiting.delete(key)
    this.#waiting.set(key, late)
    const { connection, name, since, until } = late
    // As it is now: another one may be asked for meanwhile.
    await this.#join({ connection, name, since, until })
    this.#running--
    late.isRunning = false
    if (!late.isHeld && this.#waiting.get(key) === late) this.#waiting.delete(key)
    this.#next()
  }
}
