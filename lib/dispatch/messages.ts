import { hash } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Claim, ClaimStore } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import { MessageContext, type ContextSource } from './contexts.js'
import { Refusal, refusalOf } from '../errors/refusal.js'
import { REALTIME_ERR_EVENT } from '../errors/misuse.js'
import { parseOutcome, type Outcome } from './outcome.js'
import { keyOf } from '../protocol/key.js'
import { describe } from '../rooms/hub.js'
import { after } from '../structures/timers.js'
import { UnstoredOutcomes, type RememberedLimits } from './unstored.js'

export interface MessageCall extends ContextSource {
  readonly type: string
  readonly data: unknown
  readonly bytes: number
  /**
   * Asked right before the handler, which may have had to wait for the claim. @throws Refusal when the sender may not
   * any more
   */
  readonly check: () => void
}

export interface MessagesOptions {
  /** milliseconds that a handler may take */
  readonly timeout: number
  /** milliseconds that an outcome is kept */
  readonly window: number
  /** names this node among those that claim messages */
  readonly holder: string
  readonly validateOutput: boolean
  /** bytes of outcomes that wait for an adapter whose server is away, of one user and of all */
  readonly remembered: RememberedLimits
  readonly log: Pick<FastifyBaseLogger, 'warn'>
}

/** A holder that has not settled by then is given up, milliseconds after the handler's timeout. */
const SETTLE = 5_000

interface Running { readonly hash: string, readonly outcome: Promise<Outcome> }

/** Runs declared messages: parse, check, handler with a deadline, and once per message id. */
export class Messages {
  readonly #claims: ClaimStore | undefined
  readonly #options: MessagesOptions
  readonly #running = new Map<string, Running>()
  readonly #unstored: UnstoredOutcomes | undefined

  constructor (claims: ClaimStore | undefined, options: MessagesOptions) {
    this.#claims = claims
    this.#options = options
    if (claims !== undefined) this.#unstored = new UnstoredOutcomes(claims, options)
  }

  stop (): void { this.#unstored?.stop() }

  /** Never rejects: what goes wrong is an outcome. */
  async run (call: MessageCall): Promise<Outcome> {
    try {
      this.#check(call)
      if (call.messageId === undefined) {
        call.check()
        return await this.#handle(call).answer
      }
      return await this.#once(call, call.messageId)
    } catch (error) {
      return failed(refusalOf(error).refusal)
    }
  }

  #check ({ declaration, type, data, bytes }: MessageCall): void {
    const rule = declaration.messages.get(type)
    if (rule === undefined) {
      throw new Refusal('message_unknown', {
        message: `${declaration.pattern.source} has no message ${JSON.stringify(type)}`
      })
    }
    if (declaration.messageLimit !== undefined && bytes > declaration.messageLimit) {
      throw new Refusal('message_too_large', {
        why: { limit: 'limits.message of the room', value: declaration.messageLimit, bytes }
      })
    }
    if (!rule.data.check(data)) {
      const details = rule.data.violations(data)
      throw new Refusal('invalid_message', { message: `data does not fit: ${describe(details)}`, details })
    }
  }

  async #once (call: MessageCall, id: string): Promise<Outcome> {
    const key = keyOf(call.userId, id)
    const content = hash('sha1', `${keyOf(call.name, call.type)}\n${JSON.stringify(call.data)}`, 'base64')
    const running = this.#running.get(key)
    if (running !== undefined) {
      if (running.hash !== content) throw new Refusal('duplicate')
      return await running.outcome
    }
    const unstored = this.#unstored?.get(key)
    if (unstored?.outcome !== undefined) {
      if (unstored.hash !== content) throw new Refusal('duplicate')
      return JSON.parse(unstored.outcome) as Outcome
    }
    let settle!: (outcome: Outcome) => void
    const outcome = new Promise<Outcome>((resolve) => { settle = resolve })
    const mine = { hash: content, outcome }
    this.#running.set(key, mine)
    const forget = (): void => { if (this.#running.get(key) === mine) this.#running.delete(key) }
    try {
      const claimed = this.#claim(key, content, call.userId)
      const claim = claimed instanceof Promise ? await claimed : claimed
      this.#unstored?.drop(key)
      if (claim?.state === 'conflict') throw new Refusal('duplicate')
      if (claim?.state === 'running') {
        throw new Refusal('unavailable', {
          message: 'the message is being handled elsewhere',
          retryAfter: claim.retryAfter
        })
      }
      if (claim?.state === 'settled') {
        const known = parseOutcome(claim.outcome) ??
          failed(new Refusal('duplicate', {
            message: 'the message has taken effect; what it came to cannot be read by this node'
          }))
        forget()
        settle(known)
        return known
      }
      this.#checkAgain(call, key, content)
    } catch (error) {
      forget()
      // It may have been claimed all the same, and would wait for its own lease.
      if (error instanceof Refusal && error.outcome === 'unknown') {
        this.#unstored?.add(key, content, undefined, call.userId)
      }
      const refused = failed(refusalOf(error).refusal)
      settle(refused)
      return refused
    }
    const { answer, end } = this.#handle(call, (final) => this.#keep(call, key, content, final))
    let expiry: NodeJS.Timeout | undefined
    let isOver = false
    void end.then(() => {
      isOver = true
      clearTimeout(expiry)
      forget()
    })
    const told = await answer
    // The deadline has passed and the handler goes on: it is given up like the claim.
    if (!isOver) expiry = after(forget, SETTLE).unref()
    settle(told)
    return told
  }

  /**
   * The claim has to last for as long as the handler may take. A process that stood still reads its answer late, when
   * another may have the message by now: it is claimed again.
   *
   * @throws Refusal `unavailable` when that happens again and again
   */
  #claim (key: string, content: string, userId: string, tries = 3): Awaitable<Claim | undefined> {
    const { timeout, holder } = this.#options
    const began = performance.now()
    const claimed = this.#claims?.claim(key, content, timeout + SETTLE, userId, holder)
    if (!(claimed instanceof Promise)) return claimed
    return claimed.then((claim) => {
      if (claim.state !== 'claimed' || performance.now() - began < SETTLE) return claim
      if (tries === 1) throw new Refusal('unavailable', { retryAfter: 1_000, outcome: 'unknown' })
      return this.#claim(key, content, userId, tries - 1)
    })
  }

  /** Who may not go on leaves the message to whoever sends it again. */
  #checkAgain (call: MessageCall, key: string, content: string): void {
    try {
      call.check()
    } catch (error) {
      void this.#release(key, content)
      throw error
    }
  }

  async #release (key: string, content: string): Promise<void> {
    try {
      await this.#claims?.settle(key, content, undefined, this.#options.window)
    } catch { /* the claim runs out by itself */ }
  }

  /**
   * Stored before it is told: a sender that has its answer gets the same one from any node, not that it is still being
   * worked on.
   */
  #keep ({ declaration, userId }: MessageCall, key: string, content: string, final: Outcome): Awaitable<Outcome> {
    const isStored = !('error' in final) || (final.error.retry !== 'now' && final.error.retry !== 'backoff')
    let text: string | undefined
    const failed = (error: unknown): Outcome => {
      (declaration.log as FastifyBaseLogger).warn(
        { err: error },
        'the outcome of a message could not be stored; it is kept here and stored as soon as the adapter takes it'
      )
      this.#unstored?.add(key, content, text, userId)
      return final
    }
    try {
      text = isStored ? JSON.stringify(final) : undefined
      const stored = this.#claims?.settle(key, content, text, this.#options.window, userId, this.#options.holder)
      return stored instanceof Promise ? stored.then(() => final, failed) : final
    } catch (error) {
      return failed(error)
    }
  }

  /** `answer` is there by the deadline; `end` is what the handler came to in the end. */
  #handle (
    call: MessageCall,
    keep: (final: Outcome) => Awaitable<Outcome> = (final) => final
  ): { answer: Promise<Outcome>, end: Promise<Outcome> } {
    const invoked = this.#invoke(call)
    const end = invoked instanceof Promise ? invoked.then(keep) : keep(invoked)
    if (!(end instanceof Promise)) {
      const done = Promise.resolve(end)
      return { answer: done, end: done }
    }
    const answer = new Promise<Outcome>((resolve) => {
      const timer = after(() => { resolve(failed(new Refusal('timeout'))) }, this.#options.timeout)
      void end.then((outcome) => {
        clearTimeout(timer)
        resolve(outcome)
      })
    })
    return { answer, end }
  }

  #invoke (call: MessageCall): Outcome | Promise<Outcome> {
    const rule = call.declaration.messages.get(call.type)!
    try {
      const result = rule.handler(new MessageContext(call, call.data))
      if (isThenable(result)) {
        return Promise.resolve(result)
          .then((reply) => this.#replied(call, reply))
          .catch((error: unknown) => thrown(call, error))
      }
      return this.#replied(call, result)
    } catch (error) {
      return thrown(call, error)
    }
  }

  #replied (call: MessageCall, reply: unknown): Outcome {
    const rule = call.declaration.messages.get(call.type)!
    if (rule.reply === undefined) return {}
    if (this.#options.validateOutput && !rule.reply.check(reply)) {
      throw new REALTIME_ERR_EVENT(
        `the reply to "${call.type}" of "${call.declaration.pattern.source}" does not fit its schema: ${describe(rule.reply.violations(reply))}`
      )
    }
    return { data: reply }
  }
}

function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

function failed (refusal: Refusal): Outcome {
  return { error: refusal.data, status: refusal.statusCode }
}

function thrown (call: MessageCall, error: unknown): Outcome {
  const { refusal, cause } = refusalOf(error)
  if (cause !== undefined) {
    (call.declaration.log as FastifyBaseLogger).error(
      { err: cause, room: call.name, message: call.type, connectionId: call.sender },
      'a message handler failed'
    )
  }
  return failed(refusal)
}
