import { CALLS, Histogram } from '../structures/histogram.js'
import { Slices } from '../structures/slices.js'
import { every } from '../structures/timers.js'
import type { Connection } from './connection.js'
import { PROGRESS } from './link.js'
import type { Named } from './named-set.js'
import type { Passed } from './outbox.js'

export interface HeartbeatOptions {
  /** Milliseconds between two heartbeats of a WebSocket. */
  readonly interval: number
  /** Milliseconds that an answer may take. */
  readonly timeout: number
  /** Milliseconds between two comments on an SSE stream. */
  readonly comment: number
  /** Milliseconds for which a credential is still accepted after its `exp`. */
  readonly tolerance: number
  /** Milliseconds for which a link may accept less than 16 KiB of what waits for it. */
  readonly write: number
  /** Called at each sweep with a connection whose link accepts nothing now. */
  readonly onLagging?: (connection: Connection) => void
}

/** Longest time between two sweeps in milliseconds: an expiry is found within it. */
const MAX_SWEEP = 1_000

/** Number of connections that one turn of the event loop examines. */
const SLICE = 500

/** Checks all connections for liveness in one sweep; a timer for each would cost memory and order. */
export class Heartbeat<H extends Named> {
  readonly #connections: Iterable<Connection<H>>
  readonly #options: HeartbeatOptions
  readonly #period: number
  /** Seconds from a beat to its answer. */
  readonly roundTrips = new Histogram(CALLS)
  #timer: NodeJS.Timeout | undefined
  #last = 0
  readonly #slices: Slices
  /** State of the sweep under way: the connections left, its times, and how long the process stood still before it. */
  #rest: Iterator<Connection<H>> | undefined
  #now = 0
  #wall = 0
  #stalled = 0

  constructor (connections: { values (): Iterable<Connection<H>> }, options: HeartbeatOptions) {
    this.#connections = { [Symbol.iterator]: () => connections.values()[Symbol.iterator]() }
    this.#options = options
    const shortest = Math.min(options.interval, options.timeout, options.comment)
    this.#slices = new Slices(() => this.#sweepSome())
    this.#period = Math.max(10, Math.min(MAX_SWEEP, Math.floor(shortest / 5)))
  }

  start (): void {
    this.#last = performance.now()
    this.#timer = every(() => { this.sweep(performance.now(), Date.now()) }, this.#period).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#slices.stop()
  }

  /**
   * @param now monotonic milliseconds
   * @param wall Unix milliseconds
   */
  sweep (now: number, wall: number): void {
    // While this process was busy a pong may have waited in the kernel, so that time does not count against the peer.
    const stalled = Math.max(0, now - this.#last - 2 * this.#period)
    this.#last = now
    this.#stalled = Math.max(stalled, this.#rest === undefined ? 0 : this.#stalled)
    this.#now = now
    this.#wall = wall
    this.#rest ??= this.#connections[Symbol.iterator]()
    this.#slices.run()
  }

  #sweepSome (): boolean {
    const rest = this.#rest!
    const { interval, timeout, comment, tolerance, write } = this.#options
    const patience = Math.min(interval + timeout, write)
    const passed: Passed = patience === write
      ? { limit: 'timeouts.write', value: write }
      : { limit: 'heartbeat', value: interval }
    const now = this.#now
    const wall = this.#wall
    const stalled = this.#stalled
    for (let looked = 0; looked < SLICE; looked++) {
      const { done, value: connection } = rest.next()
      if (done === true) {
        this.#rest = undefined
        return false
      }
      const { beat, identity: { exp } } = connection
      if (exp !== undefined && wall >= exp * 1_000 + tolerance) connection.close('token_expired')
      // No peer has said goodbye: a stream has reached its age, or no poll has come.
      else if (now >= beat.endsAt) connection.finish('gone')
      else if (connection.isLagging) {
        // No heartbeat fits into a full link. A link that accepts nothing for as long as a silent one may be silent
        // counts as dead.
        const { taken } = connection
        if (beat.lagsSince === 0 || taken - beat.taken >= PROGRESS) {
          beat.lagsSince = now
          beat.taken = taken
        } else {
          beat.lagsSince += stalled
          if (now - beat.lagsSince > patience) connection.cut(passed)
        }
        connection.look(now)
        this.#options.onLagging?.(connection)
      } else if (connection.transport === 'sse') {
        beat.lagsSince = 0
        if (now - beat.sentAt >= comment) {
          beat.sentAt = now
          connection.sendBeat()
        }
      } else if (connection.transport === 'websocket') {
        beat.lagsSince = 0
        if (beat.owed !== 'nothing') beat.sentAt += stalled
        if (beat.owed === 'life') {
          if (now - beat.sentAt > timeout) connection.close('heartbeat_timeout')
        } else if (now - Math.max(beat.sentAt, beat.sentAt === 0 ? beat.seenAt : 0) >= interval) {
          // The answer to the beat before is known by now, or comes too late to be told from that to the next one.
          if (beat.owed === 'nothing' && beat.latency !== undefined) this.roundTrips.observe(beat.latency / 1_000)
          beat.sentAt = now
          beat.owed = connection.sendBeat() ? 'life' : 'nothing'
        }
      }
    }
    return true
  }
}
