import { codes, isCode, type Code } from '../protocol/codes.js'
import type { ErrorData } from '../protocol/frames.js'

export interface RefusalOptions {
  message?: string | undefined
  /** milliseconds */
  retryAfter?: number | undefined
  details?: ReadonlyArray<{ readonly path: string, readonly message: string }> | undefined
  room?: string | undefined
  /** it may have happened: nobody can know */
  outcome?: 'unknown' | undefined
  /** under which to ask again where the outcome is not known */
  idempotencyKey?: string | undefined
  /** code and status of an application's own error, shown to the peer in place of the word's */
  as?: { readonly code: string, readonly statusCode: number } | undefined
  /** for the log alone: what was compared */
  why?: Why | undefined
  /** for the log alone, at debug level: the error behind it */
  cause?: unknown
}

/** What was compared, never a credential; `fix` says what helps against it, where that is not always the same. */
export type Why = Readonly<Record<string, unknown>> & { readonly fix?: string }

/** Refusal of a peer: becomes an `error` frame or an HTTP answer. */
export class Refusal extends Error {
  readonly word: Code
  readonly statusCode: number
  readonly room: string | undefined
  readonly data: ErrorData
  readonly why: Why | undefined
  /** who was refused, once that is known */
  userId: string | undefined
  /**
   * `unknown`: what was asked may have happened, nobody can tell; asked again under `idempotencyKey` it happens once
   */
  readonly outcome: 'unknown' | undefined
  readonly idempotencyKey: string | undefined

  constructor (word: Code, options: RefusalOptions = {}) {
    const { status, retry, message } = codes[word]
    super(options.message ?? message, options.cause === undefined ? undefined : { cause: options.cause })
    this.word = word
    this.why = options.why
    this.statusCode = options.as?.statusCode ?? status
    this.room = options.room
    this.outcome = options.outcome
    this.idempotencyKey = options.idempotencyKey
    this.data = {
      code: options.as?.code ?? word,
      message: this.message,
      retry,
      ...(options.retryAfter === undefined ? {} : { retryAfter: Math.ceil(options.retryAfter) }),
      ...(options.details === undefined ? {} : { details: options.details })
    }
  }

  get code (): string { return this.data.code }

  /** A refusal that was made into data before, made whole again. */
  static from ({ code, message, retryAfter, details }: ErrorData, statusCode: number, room?: string): Refusal {
    return new Refusal(isCode(code) ? code : wordOfStatus(statusCode), {
      message,
      retryAfter,
      details,
      room,
      as: { code, statusCode }
    })
  }

  /** the same refusal, said of one room of several */
  in (room: string): Refusal {
    const { message, retryAfter, details } = this.data
    const { code, statusCode, why, cause } = this
    return new Refusal(this.word, { message, retryAfter, details, room, as: { code, statusCode }, why, cause })
  }
}

interface Coded { statusCode?: unknown, code?: unknown, message?: unknown }

/**
 * What a peer is told of something thrown by the application: its own code and message when it says so with a 4xx
 * `statusCode`, `internal` without any text otherwise. `undefined` cause: nothing to log.
 */
export function refusalOf (error: unknown): { refusal: Refusal, cause?: unknown } {
  if (error instanceof Refusal) return { refusal: error }
  const { statusCode, code, message } = (typeof error === 'object' && error !== null ? error : {}) as Coded
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    const word = isCode(code) ? code : wordOfStatus(statusCode)
    const own = typeof code === 'string' && code !== '' ? code : word
    return {
      refusal: new Refusal(word, {
        message: typeof message === 'string' ? message : undefined,
        as: { code: own, statusCode }
      })
    }
  }
  // `throw undefined` is a fault like any other.
  return { refusal: new Refusal('internal'), cause: error ?? new Error(`${String(error)} was thrown`) }
}

function wordOfStatus (status: number): Code {
  if (status === 401) return 'unauthorized'
  if (status === 403) return 'forbidden'
  if (status === 429) return 'rate_limited'
  return 'invalid_message'
}

/** The same error; a refusal names its user from here on. */
export function ofUser<E> (error: E, userId: string): E {
  if (error instanceof Refusal) error.userId ??= userId
  return error
}
