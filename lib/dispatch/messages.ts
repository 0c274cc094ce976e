import type { FastifyBaseLogger } from 'fastify'
import type { ClaimStore } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import { MessageContext } from './contexts.js'
import { Refusal, refusalOf } from '../errors/refusal.js'
import type { Parsed, Validator, Violation } from '../protocol/checker.js'
import { isThenable } from '../protocol/thenable.js'
import { outgoing, parseNow, sendable, takenOf } from '../rooms/fitting.js'
import { Handling, Idempotency, type IdempotencyOptions } from './idempotency.js'
import type { MessageCall } from './message-call.js'
import { refusedBy, type Outcome } from './outcome.js'
import { after } from '../structures/timers.js'
import { within } from '../structures/within.js'
import { describe } from '../rooms/violations.js'

export interface MessagesOptions extends IdempotencyOptions {
  readonly validateOutput: boolean
}

/**
 * @param limit of the room, in bytes
 * @throws Refusal `message_too_large`
 */
export function checkSize (limit: number | undefined, bytes: number): void {
  if (limit === undefined || bytes <= limit) return
  throw new Refusal('message_too_large', { why: { limit: 'limits.message of the room', value: limit, bytes } })
}

/**
 * Checks data of a client where there is no time to wait.
 *
 * @param what is checked, for an error of the application's schema
 * @returns the data as the schema makes it
 * @throws Refusal `invalid_message`
 */
export function fittingNow (schema: Validator, data: unknown, what: string): unknown {
  if (schema.parse !== undefined) return fitting(parseNow(schema, data, what))
  if (!schema.check(data)) throw misfit(schema.violations(data))
  return data
}

/** Runs declared messages: it checks them, runs the handler with a deadline, and does so once per message id. */
export class Messages {
  readonly #options: MessagesOptions
  readonly #idempotency: Idempotency

  constructor (claims: ClaimStore | undefined, options: MessagesOptions) {
    this.#options = options
    this.#idempotency = new Idempotency(claims, options)
  }

  stop (): void { this.#idempotency.stop() }

  /** Never throws or rejects: an error is an outcome too. It is no promise where nothing has to wait. */
  run (call: MessageCall): Awaitable<Outcome> {
    const failed = (error: unknown): Outcome => thrown(call, error)
    try {
      const checked = this.#check(call)
      const outcome = checked instanceof Promise
        ? checked.then((data) => this.#once(call, data))
        : this.#once(call, checked)
      return outcome instanceof Promise ? outcome.catch(failed) : outcome
    } catch (error) {
      return failed(error)
    }
  }

  #once (call: MessageCall, data: unknown): Awaitable<Outcome> {
    if (call.messageId === undefined) {
      call.check()
      const handling = this.#handle(call, data)
      return handling instanceof Handling ? handling.answer : handling
    }
    return this.#idempotency.run(call, call.messageId, (keep) => this.#handle(call, data, keep))
  }

  /** Gives the data as the handler gets it, which a schema may have changed. */
  #check ({ declaration, type, data, bytes }: MessageCall): unknown {
    const rule = declaration.messages.get(type)
    if (rule === undefined) {
      throw new Refusal('message_unknown', {
        message: `${declaration.pattern.source} has no message ${JSON.stringify(type)}`
      })
    }
    checkSize(declaration.messageLimit, bytes)
    if (rule.data.parse !== undefined) {
      const parsed = rule.data.parse(data)
      if (!(parsed instanceof Promise)) return fitting(parsed)
      // A check of the application's own gets the time of a handler.
      return within(this.#options.timeout, parsed, () => new Refusal('timeout')).then(fitting)
    }
    if (!rule.data.check(data)) throw misfit(rule.data.violations(data))
    return data
  }

  /** @param keep stores the handler's outcome before it is sent */
  #handle (
    call: MessageCall,
    data: unknown,
    keep: (final: Outcome) => Awaitable<Outcome> = (final) => final
  ): Outcome | Handling {
    const context = new MessageContext(call, data)
    const invoked = call.declaration.messages.get(call.type)!.counted.handled.isNext()
      ? this.#measured(call, context)
      : this.#invoke(call, context)
    if (!(invoked instanceof Promise)) context.over()
    const end = invoked instanceof Promise ? invoked.then(keep) : keep(invoked)
    if (!(end instanceof Promise)) return end
    const answer = new Promise<Outcome>((resolve) => {
      const timer = after(() => {
        const late = new Refusal('timeout')
        resolve(refusedBy(late))
        context.giveUp(late)
      }, this.#options.timeout)
      void end.then((outcome) => {
        clearTimeout(timer)
        context.over()
        resolve(outcome)
      })
    })
    return new Handling(answer, end)
  }

  #measured (call: MessageCall, context: MessageContext): Outcome | Promise<Outcome> {
    const from = performance.now()
    const invoked = this.#invoke(call, context)
    if (invoked instanceof Promise) void invoked.then(() => { observe(call, from) })
    else observe(call, from)
    return invoked
  }

  #invoke (call: MessageCall, context: MessageContext): Outcome | Promise<Outcome> {
    const rule = call.declaration.messages.get(call.type)!
    try {
      const result = rule.handler(context)
      if (isThenable(result)) {
        return Promise.resolve(result)
          .then((reply) => this.#replied(call, reply))
          .catch((error: unknown) => thrown(call, error, context))
      }
      const outcome = this.#replied(call, result)
      return outcome instanceof Promise ? outcome.catch((error: unknown) => thrown(call, error, context)) : outcome
    } catch (error) {
      return thrown(call, error, context)
    }
  }

  /** Takes the reply as it is now: the handler may have returned an object that the application changes later. */
  #replied ({ type, declaration }: MessageCall, reply: unknown): Awaitable<Outcome> {
    const rule = declaration.messages.get(type)!
    if (rule.reply === undefined) return {}
    const { source } = declaration.pattern
    const what = `${rule.name} of "${source}"`
    const give = (data: unknown): Outcome => ({ data: takenOf(data, what) })
    if (rule.reply.parse === undefined) {
      return give(outgoing(rule.reply, reply, this.#options.validateOutput, rule.name, source))
    }
    const parsed = rule.reply.parse(reply)
    return parsed instanceof Promise
      ? parsed.then((made) => give(sendable(made, what)))
      : give(sendable(parsed, what))
  }
}

/** Counts a handler that has ended; what it was answered with after its time counts as well. */
function observe ({ declaration, type, trace }: MessageCall, from: number): void {
  declaration.messages.get(type)!.counted.handled.observe((performance.now() - from) / 1_000, trace?.traceparent)
}

/** @throws Refusal `invalid_message` */
function fitting (parsed: Parsed): unknown {
  if (parsed.violations !== undefined) throw misfit(parsed.violations)
  return parsed.value
}

function misfit (details: Violation[]): Refusal {
  return new Refusal('invalid_message', { message: `data does not fit: ${describe(details)}`, details })
}

function thrown (call: MessageCall, error: unknown, context?: MessageContext): Outcome {
  const given = context?.reasonOf(error)
  // What the handler has given up has had no outcome: sent again, the message is handled again.
  if (given !== undefined) {
    return refusedBy(given.word === 'timeout' ? given : new Refusal('unavailable', { message: given.message }))
  }
  const { refusal, cause } = refusalOf(error)
  if (cause !== undefined) {
    (call.declaration.log as FastifyBaseLogger).error(
      { err: cause, room: call.name, message: call.type, connectionId: call.sender },
      context === undefined ? 'the check of a message failed' : 'a message handler failed'
    )
  }
  return refusedBy(refusal.ofMessage())
}
