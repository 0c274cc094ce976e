import { setImmediate } from 'node:timers/promises'
import type { Connections } from './connections.js'
import type { Connection } from './connection.js'
import type { Named } from './named-set.js'
import { gather, inTurns } from '../structures/slices.js'
import { after } from '../structures/timers.js'

export interface DrainOptions {
  /** Connections per second. */
  readonly rate: number
  /** Milliseconds in all. */
  readonly timeout: number
}

/** Milliseconds that a peer may take to answer its close, or to poll for the last time. */
const ANSWER = 1_000

/** Number of connections that one turn of the event loop tells of the drain, or ends where many are due. */
const SLICE = 10

/**
 * Ends all connections at a steady pace: each is told its own delay and is served until then, so that clients reconnect
 * to the other nodes one after another. A peer that does not answer is ended; one that does not read is cut at the
 * deadline. One that polls has its answer at once, with what it is owed and its delay; between two polls it still has
 * the time to come for that.
 */
export class Drain {
  readonly #connections: Connections<Named>
  readonly #options: DrainOptions
  readonly #before: () => Promise<void>
  #isDraining = false
  #deadline = 0
  /** Milliseconds of the call that has set the deadline. */
  #timeout = 0
  /** Time at which the last connection is due and its peer has had the time to answer. */
  #endsAt = 0
  #done: Promise<void> | undefined
  #hurry: (() => void) | undefined
  /** Ends the wait for the last polls. */
  #enough: (() => void) | undefined
  /** Whether no poll can come any more. */
  #isOver = false

  /** @param before what is done first, while every connection can still be told of it; it never rejects */
  constructor (connections: Connections<Named>, options: DrainOptions, before: () => Promise<void>) {
    this.#connections = connections
    this.#before = before
    this.#options = options
  }

  get isDraining (): boolean { return this.#isDraining }

  /** Milliseconds until the drain is over, when a refused client may hope for another node. */
  get remaining (): number {
    return Math.max(1_000, Math.min(Math.min(this.#deadline, this.#endsAt) - performance.now(), this.#options.timeout))
  }

  /** @param timeout milliseconds; a second call can only shorten the first */
  async run (timeout: number = this.#options.timeout): Promise<void> {
    const deadline = performance.now() + timeout
    if (this.#done !== undefined) {
      if (deadline < this.#deadline) {
        this.#deadline = deadline
        this.#timeout = timeout
        this.#hurry?.()
        if (timeout < ANSWER) this.#enough?.()
      }
      return await this.#done
    }
    this.#isDraining = true
    this.#deadline = deadline
    this.#timeout = timeout
    this.#done = this.#all(timeout)
    await this.#done
  }

  /** Tells that polls are refused from now on, so that connections between two polls need not be waited for. */
  refusePolls (): void {
    this.#isOver = true
    this.#enough?.()
  }

  async #all (timeout: number): Promise<void> {
    await this.#before()
    const all = await gather(this.#connections.values(), () => true)
    // The last peer still gets the time to answer.
    const span = Math.min(all.length / this.#options.rate * 1_000, Math.max(0, timeout - ANSWER))
    const step = all.length === 0 ? 0 : span / all.length
    const start = performance.now()
    this.#endsAt = start + span + ANSWER
    const waiting: Array<{ connection: Connection<Named>, at: number }> = []
    const polling: Array<Connection<Named>> = []
    for (const [index, connection] of all.entries()) {
      const delay = Math.round(index * step)
      if (connection.transport === 'polling') {
        connection.lastPoll(delay)
        polling.push(connection)
      } else {
        connection.retryAfter = delay
        connection.adviseRetry(delay)
        connection.sendFrame({ type: 'drain', data: { retryAfter: delay } })
        waiting.push({ connection, at: start + delay })
      }
      if (index % SLICE === SLICE - 1) await setImmediate()
    }
    const polled = this.#polled(polling)
    // The ends are counted: waiting for a promise of each would resolve them all in one turn of the event loop.
    let left = waiting.length
    let isOver: (() => void) | undefined
    for (const [index, { connection, at }] of waiting.entries()) {
      await this.#until(at)
      this.#end(connection, () => {
        left--
        if (left === 0) isOver?.()
      })
      if (index % SLICE === SLICE - 1) await setImmediate()
    }
    if (left > 0) await new Promise<void>((resolve) => { isOver = resolve })
    await polled
  }

  /** Waits until each connection that polls has had its last answer, and ends those that have not come for it. */
  async #polled (connections: ReadonlyArray<Connection<Named>>): Promise<void> {
    let left = connections.length
    if (left === 0) return
    await new Promise<void>((resolve) => {
      const timer = after(resolve, Math.max(0, Math.min(ANSWER, this.#deadline - performance.now())))
      this.#enough = () => {
        clearTimeout(timer)
        resolve()
      }
      for (const connection of connections) {
        connection.whenClosed(() => {
          left--
          if (left === 0) this.#enough?.()
        })
      }
      if (this.#isOver) this.#enough()
    })
    await inTurns(connections, SLICE, (connection) => { connection.endPolls() })
  }

  /** Waits until `at`, or until the deadline where a later call has moved it before that. */
  async #until (at: number): Promise<void> {
    for (;;) {
      const wait = Math.min(at, this.#deadline - ANSWER) - performance.now()
      if (wait <= 0) return
      await new Promise<void>((resolve) => {
        const timer = after(resolve, wait)
        this.#hurry = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  #end (connection: Connection<Named>, ended: () => void): void {
    let timer: NodeJS.Timeout | undefined
    connection.whenClosed(() => {
      clearTimeout(timer)
      ended()
    })
    const left = (): number => Math.max(0, this.#deadline - performance.now())
    const close = (): void => {
      clearTimeout(timer)
      connection.close('draining')
      if (!connection.isClosed) timer = after(() => { connection.destroy() }, Math.min(ANSWER, left()))
    }
    if (!connection.isLagging) return close()
    timer = after(() => {
      connection.cut({ limit: 'drain.timeout', value: this.#timeout })
      connection.destroy()
    }, left())
    connection.whenDrained(close)
  }
}
