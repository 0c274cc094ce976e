import { Refusal } from '../../errors/refusal.js'
import { Late } from '../broker/patience.js'
import { messageOf } from './clients.js'

/** What the client says of a command that it did not send. */
const UNSENT = /^(Stream isn't writeable|Cluster isn't ready) /
/** What the client says of a command that no shard of a cluster takes: each names another, or says to try again. */
const REDIRECTED = /^Too many Cluster redirections/

/**
 * What a script raises while it runs, so that it may have done a part. What a server says of itself (`OOM`, `READONLY`,
 * `MISCONF`) it says before the first change or not at all.
 */
const RAISED = /^(?:ERR|NOPERM|WRONGTYPE)\b.* script: [\da-f]{40}, on @user_script/s

/** The broker could not be reached, or did not answer. */
export class Unreachable extends Refusal {
  /** Whether a command was sent without an answer, or failed while it ran, so that it is not known what it did. */
  readonly isUncertain: boolean
  /** Whether the broker says that the command has not run and will not. */
  readonly isExpired: boolean
  /** Whether there was no connection, or it broke. */
  readonly isBroken: boolean
  /** Whether there was no answer in time. */
  readonly isLate: boolean
  /** Whether the broker says that it will not do it now: it is full, is loading, or is a replica. */
  readonly isDeclined: boolean
  constructor (
    isUncertain: boolean,
    { isExpired = false, isBroken = false, isLate = false, isDeclined = false } = {}
  ) {
    super('unavailable', { retryAfter: 1_000, outcome: isUncertain ? 'unknown' : undefined })
    this.isUncertain = isUncertain
    this.isExpired = isExpired
    this.isBroken = isBroken
    this.isLate = isLate
    this.isDeclined = isDeclined
  }
}

/**
 * What came of a command that failed.
 *
 * @param wasSent whether it is about the command of the caller itself
 * @param isChange whether that is a script that changes something
 */
export function unreachableFor (error: unknown, wasSent: boolean, isChange: boolean): Unreachable {
  const { name } = error as Error
  const message = messageOf(error)
  const isExpired = message.startsWith('EXPIRED')
  // The client was between two connections.
  const isUnsent = UNSENT.test(message)
  const isLost = name === 'MaxRetriesPerRequestError' || name === 'AbortError' || message === 'Connection is closed.'
  const isLate = error instanceof Late
  const isDeclined = !isExpired && (name === 'ReplyError' || REDIRECTED.test(message))
  const isRaised = isChange && name === 'ReplyError' && RAISED.test(message)
  return new Unreachable(wasSent && (isLost || isLate || isRaised), {
    isExpired,
    isBroken: isLost || isUnsent,
    isLate,
    isDeclined
  })
}

/** Whether an error says that the server did not answer: it would not answer the next question either. */
export function isAway (error: unknown): boolean {
  return error instanceof Unreachable && (error.isBroken || error.isLate)
}
