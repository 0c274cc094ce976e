import type { FastifyBaseLogger } from 'fastify'
import { after } from '../../structures/timers.js'
import { VERSION } from '../../version.js'
import type { HooksSettings } from '../config/resolve.js'
import type { HookName } from '../config/schema.js'
import { Circuit } from './circuit.js'
import type { HookCounts, HookOutcome } from './counts.js'
import { HookFailure, failureOf, missing } from './failure.js'
import { RequestError, Requests, type Answer } from './request.js'
import { signedHeaders } from './signature.js'
import { FairTurns } from './fair-turns.js'
import { Warnings } from './warnings.js'

/** For each request that may be under way, how many questions may be asked. */
const WAITING = 16
/** Notices that are under way at a time, each of another user. */
const NOTICES = 8

/** Data of a question, which is asked for a user. */
interface Asker { readonly userId: string }

/** Times of a backend that tests shorten. */
export interface BackendTimes {
  /** Milliseconds before the first further try, three times as long before each later one. */
  readonly again: number
  /**
   * Failures in a row, and users among whom they are, after which it is spared for `pause` milliseconds, twice as long
   * each time up to `longest`.
   */
  readonly failures: number
  readonly users: number
  readonly pause: number
  readonly longest: number
}

export const TIMES: BackendTimes = { again: 100, failures: 5, users: 3, pause: 1_000, longest: 30_000 }

/** One backend: asks it with signed requests, and spares it while it is away. */
export class Backend {
  readonly settings: HooksSettings
  readonly times: BackendTimes
  readonly counts: HookCounts
  readonly warnings: Warnings
  readonly #requests: Requests
  readonly #circuit: Circuit
  readonly #turns: FairTurns
  readonly #host: string
  /** Notices that may be under way at a time: questions keep a place. */
  readonly notices: number
  #asked = 0
  /** Questions by user. */
  readonly #askedOf = new Map<string, number>()

  constructor (settings: HooksSettings, log: FastifyBaseLogger, counts: HookCounts, times: BackendTimes = TIMES) {
    this.settings = settings
    this.times = times
    this.counts = counts
    this.warnings = new Warnings(log)
    this.#host = new URL(settings.url).host
    const { concurrency, perUser } = settings
    this.notices = Math.min(NOTICES, Math.ceil(concurrency / 2))
    this.#requests = new Requests(settings.url, concurrency)
    this.#turns = new FairTurns({ most: concurrency, perUser, notices: this.notices })
    this.#circuit = new Circuit({
      ...times,
      onChange: (isOpen) => {
        counts.circuit(isOpen)
        const backend = this.#host
        if (isOpen) log.error({ backend }, 'a backend is away and is spared; one request after another tries it')
        else log.info({ backend }, 'a backend answers again')
      }
    })
  }

  close (): void { this.#requests.close() }

  /**
   * Asks a question, within `timeout` and with further tries where they may help, all under one id.
   *
   * @param read makes something of an answer, which is a success or a refusal with 4xx; throws HookFailure for nonsense
   * @throws HookFailure
   */
  async ask<T> (hook: HookName, id: string, data: Asker, read: (answer: Answer) => T): Promise<T> {
    const { timeout, retries } = this.settings
    const start = performance.now()
    try {
      this.#begin(data.userId)
      try {
        const body = bodyOf(hook, data)
        for (let tries = 0; ; tries++) {
          const left = timeout - (performance.now() - start)
          const answer = await this.send(id, data.userId, body, left).catch(async (error: unknown) => {
            await this.#again(error, tries < retries, tries, timeout - (performance.now() - start))
          })
          if (answer === undefined) continue
          const result = read(answer)
          this.counts.ended(hook, answer.status < 300 ? 'ok' : 'refused', (performance.now() - start) / 1_000)
          return result
        }
      } finally {
        this.#end(data.userId)
      }
    } catch (error) {
      throw this.failed(hook, error, (performance.now() - start) / 1_000)
    }
  }

  /** @throws HookFailure where there are too many questions, or too many of one user */
  #begin (userId: string): void {
    const { concurrency, perUser } = this.settings
    if (this.#asked >= concurrency * WAITING) throw new HookFailure('busy', 'too many questions wait for it')
    const asked = this.#askedOf.get(userId) ?? 0
    if (asked >= perUser * WAITING) throw new HookFailure('user_busy', 'too many questions of one user wait for it')
    this.#asked++
    this.#askedOf.set(userId, asked + 1)
  }

  #end (userId: string): void {
    this.#asked--
    const asked = this.#askedOf.get(userId)! - 1
    if (asked === 0) this.#askedOf.delete(userId)
    else this.#askedOf.set(userId, asked)
  }

  /** Waits before the next try, or throws where that cannot help. */
  async #again (error: unknown, isAllowed: boolean, tries: number, left: number): Promise<void> {
    if (!(error instanceof HookFailure) || !error.isPassing || !isAllowed) throw error
    const wait = Math.max(error.retryAfter ?? 0, this.times.again * 3 ** tries * (0.5 + Math.random()))
    if (wait >= left) throw error
    await new Promise<void>((resolve) => { after(resolve, wait) })
  }

  /**
   * Sends one request, when its turn comes.
   *
   * @param userId whom it concerns
   * @param timeout milliseconds for both
   * @throws HookFailure
   */
  async send (id: string, userId: string, body: string, timeout: number, isNotice = false): Promise<Answer> {
    this.#checkOpen(this.#circuit.left(userId))
    const start = performance.now()
    const end = await this.#turns.take(isNotice ? undefined : userId, timeout)
    try {
      // It may have opened while others were waited for.
      this.#checkOpen(this.#circuit.enter(userId))
      return await this.#post(id, userId, body, timeout - (performance.now() - start))
    } finally {
      end()
    }
  }

  #checkOpen (wait: number): void {
    if (wait > 0) throw new HookFailure('open', 'it was away too often', { retryAfter: wait })
  }

  async #post (id: string, userId: string, body: string, timeout: number): Promise<Answer> {
    try {
      const headers = {
        ...signedHeaders(id, Math.floor(Date.now() / 1_000), body, this.settings.keys),
        'user-agent': `fastify-realtime/${VERSION}`
      }
      const answer = await this.#requests.post(headers, body, timeout)
      const failure = failureOf(answer)
      if (failure !== undefined) throw failure
      this.#circuit.answered()
      return answer
    } catch (error) {
      const failure = error instanceof RequestError ? missing(error) : error
      if (failure instanceof HookFailure && !failure.isAway) this.#circuit.answered()
      // The rest was spent on waiting for others.
      else if (failure instanceof HookFailure && failure.reason === 'timeout' && timeout < this.settings.timeout / 2) {
        this.#circuit.undecided(userId)
      } else this.#circuit.failed(userId)
      throw failure
    }
  }

  /** Counts and tells of a failure. @returns the failure */
  failed (hook: HookName, error: unknown, seconds = 0): HookFailure {
    if (!(error instanceof HookFailure)) throw error
    this.counts.ended(hook, error.reason, seconds)
    const { reason, message: said } = error
    this.warnings.warn(keyOf(hook, reason), { backend: this.#host, hook, reason, said }, 'a backend gave no answer')
    return error
  }
}

/** What lines of the log are told apart by. */
export function keyOf (hook: HookName, outcome: HookOutcome): string { return `${hook} ${outcome}` }

export function bodyOf (hook: HookName, data: object): string {
  return JSON.stringify({ type: hook, timestamp: new Date().toISOString(), data })
}
