import { codes, isCode, type Code } from '../protocol/codes.js'
import type { ErrorData } from '../protocol/frames.js'

/** What a refusal says besides its word. */
export interface RefusalOptions {
  /** What the peer reads. @default the message of the table of codes */
  message?: string | undefined
  /** Milliseconds after which the same may be tried again. */
  retryAfter?: number | undefined
  /** What does not fit a schema. */
  details?: ReadonlyArray<{
    /** Where in the data, as a JSON pointer. */
    readonly path: string
    /** What is wrong there. */
    readonly message: string
  }> | undefined
  /** The room that is refused, where it is about one of several. */
  room?: string | undefined
  /** `unknown` when what was asked may have happened, and nobody can tell. */
  outcome?: 'unknown' | undefined
  /** The key under which to ask again, where the outcome is not known. */
  idempotencyKey?: string | undefined
  /** What the peer is shown in place of the word's own code and status, for an error of the application. */
  as?: {
    /** The application's code. */
    readonly code: string
    /** The HTTP status. */
    readonly statusCode: number
    /** How the peer may come back, in place of the word's own. */
    readonly retry?: ErrorData['retry'] | undefined
  } | undefined
  /** What was compared, for the log alone. */
  why?: Why | undefined
  /** The error behind it, for the log alone, at debug level. */
  cause?: unknown
}

/** What was compared, never a credential; `fix` says what helps against it, where that is not always the same. */
export type Why = Readonly<Record<string, unknown>> & {
  /** What helps against it. */
  readonly fix?: string
  /** What the application called to end the connection itself: there is nothing to mend then. */
  readonly closedBy?: string
}

/** The refusal of a peer, which becomes an `error` frame or an HTTP answer. */
export class Refusal extends Error {
  /** A word of the table of codes. */
  readonly word: Code
  /** The HTTP status. */
  readonly statusCode: number
  /** The room that is refused, where it is about one of several. */
  readonly room: string | undefined
  /** What the peer is sent. */
  readonly data: ErrorData
  /** What was compared, for the log alone. */
  readonly why: Why | undefined
  /** Whether it is an error of the application, of which this package knows no remedy. */
  readonly isOfApp: boolean
  /** The user who was refused, once that is known. */
  userId: string | undefined
  /**
   * `unknown` when what was asked may have happened, and nobody can tell. Asked again under `idempotencyKey`, it
   * happens once.
   */
  readonly outcome: 'unknown' | undefined
  /** The key under which to ask again. */
  readonly idempotencyKey: string | undefined

  constructor (word: Code, options: RefusalOptions = {}) {
    const { status, retry, message } = codes[word]
    super(options.message ?? message, options.cause === undefined ? undefined : { cause: options.cause })
    this.word = word
    this.why = options.why
    this.isOfApp = options.as !== undefined
    this.statusCode = options.as?.statusCode ?? status
    this.room = options.room
    this.outcome = options.outcome
    this.idempotencyKey = options.idempotencyKey
    this.data = {
      code: options.as?.code ?? word,
      message: this.message,
      retry: options.as?.retry ?? retry,
      ...(options.retryAfter === undefined ? {} : { retryAfter: Math.ceil(options.retryAfter) }),
      ...(options.details === undefined ? {} : { details: options.details })
    }
  }

  /** The code that the peer is sent. */
  get code (): string { return this.data.code }

  /** Makes a refusal again of the data that it was sent as. */
  static from ({ code, message, retry, retryAfter, details }: ErrorData, statusCode: number, room?: string): Refusal {
    return new Refusal(isCode(code) ? code : wordOfStatus(statusCode), {
      message,
      retryAfter,
      details,
      room,
      as: { code, statusCode, retry }
    })
  }

  /** Returns the same refusal, told of one room of several. */
  in (room: string): Refusal {
    const { message, retry, retryAfter, details } = this.data
    const { code, statusCode, isOfApp, why, cause } = this
    const as = isOfApp ? { code, statusCode, retry } : undefined
    return new Refusal(this.word, { message, retryAfter, details, room, as, why, cause })
  }

  /**
   * Returns the same refusal, told of one message. What an application answers to a message, a 401 for example, says
   * nothing of the credential of its connection, which a client would renew or give up for it.
   */
  ofMessage (): Refusal {
    if (!this.isOfApp || this.data.retry !== 'refresh') return this
    const { word, code, statusCode, data: { message, details }, cause } = this
    return new Refusal(word, { message, details, as: { code, statusCode, retry: 'never' }, cause })
  }
}

interface Coded { statusCode?: unknown, code?: unknown, message?: unknown }

/**
 * Returns what a peer is told of an error that the application threw. An error with a 4xx `statusCode` keeps its code
 * and message; any other becomes `internal` without its text, because that may hold secrets. `cause` is the fault to
 * log; it is absent where there is nothing to log.
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

/** Returns the same error. From here on a refusal names its user. */
export function ofUser<E> (error: E, userId: string): E {
  if (error instanceof Refusal) error.userId ??= userId
  return error
}

/**
 * Returns the refusal of a call that has had part of its effect, or may have it later. It needs no key: asked for again
 * it has all of it.
 */
export function inPart<E> (error: E, message?: string): E | Refusal {
  if (!isUnavailable(error)) return error
  return new Refusal('unavailable', { message, retryAfter: error.data.retryAfter, outcome: 'unknown', cause: error.cause })
}

/** Whether something was refused because what it needs cannot be reached, or not be used for now. */
export function isUnavailable (error: unknown): error is Refusal {
  return error instanceof Refusal && error.word === 'unavailable'
}

/** Whether what was asked for may be done all the same. */
export function isUncertain (error: unknown): error is Refusal {
  return error instanceof Refusal && error.outcome === 'unknown'
}

/** Whether the same request may succeed later. */
export function isForNow ({ data: { retry } }: Refusal): boolean { return retry === 'backoff' || retry === 'now' }
