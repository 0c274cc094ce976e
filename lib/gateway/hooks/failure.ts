import type { Answer, Missing, RequestError } from './request.js'

/**
 * Why a backend gave no answer that counts: no answer at all, a status that is none, a text that is none, its circuit
 * is open, too many wait for it, or too many of one user.
 */
export type FailureReason = Missing | 'status' | 'nonsense' | 'open' | 'busy' | 'user_busy'

/** A backend that has not answered. */
export class HookFailure extends Error {
  readonly reason: FailureReason
  /** Milliseconds after which it may be asked again, where that is known. */
  readonly retryAfter: number | undefined
  /** Whether the same request may be answered in a moment. */
  readonly isPassing: boolean
  /** Whether it says that the backend is away, and not only what it makes of this request. */
  readonly isAway: boolean

  constructor (
    reason: FailureReason,
    message: string,
    { retryAfter, isPassing = false, isAway = false }: {
      retryAfter?: number | undefined
      isPassing?: boolean
      isAway?: boolean
    } = {}
  ) {
    super(message)
    this.reason = reason
    this.retryAfter = retryAfter
    this.isPassing = isPassing
    this.isAway = isAway
  }
}

/** Makes a failure of no usable answer. */
export function missing ({ reason, message }: RequestError): HookFailure {
  return new HookFailure(reason, message, { isPassing: reason === 'unreachable', isAway: reason !== 'too_large' })
}

/** Whether a proxy says that it does not reach the backend, or the backend that it takes no requests. */
function isAway (status: number): boolean { return (status >= 502 && status <= 504) || (status >= 520 && status < 600) }

/** 4xx of servers that are overloaded. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429])
/** 4xx that say nothing about what was asked, but of a wrong URL, secret or server, and what to look at. */
const MISDIRECTED: ReadonlyMap<number, string> = new Map([
  [401, 'is its secret the same, and its clock right?'],
  [404, 'is the url right?'],
  [405, 'does it take POST?'],
  [407, 'is there a proxy?'],
  [408, 'is it overloaded?'],
  [411, 'is it a server for JSON?'],
  [415, 'does it take application/json?'],
  [421, 'is the url right?'],
  [425, 'is it overloaded?'],
  [426, 'does it take HTTP/1.1?'],
  [429, 'is it overloaded?'],
  [431, 'is it a server for JSON?']
])

/** What an answer is, besides one of success or a refusal; `undefined` for these two. */
export function failureOf ({ status, retryAfter }: Answer): HookFailure | undefined {
  if (status >= 200 && status < 300) return undefined
  if (status >= 400 && status < 500 && !MISDIRECTED.has(status)) return undefined
  const fix = MISDIRECTED.get(status) ?? (status < 400 ? 'write the url that it leads to' : undefined)
  return new HookFailure('status', `it answered ${status}${fix === undefined ? '' : `: ${fix}`}`, {
    // Servers that fail or restart, and proxies that do not reach them, of which each has numbers of its own.
    isPassing: status >= 500 || PASSING.has(status),
    isAway: isAway(status),
    retryAfter
  })
}
