/** Milliseconds of the first pause at most, and of any. */
const FIRST = 100
const LONGEST = 10_000

/** What a broadcast may be refused with that is true for a time only. */
const FOR_A_TIME: ReadonlySet<unknown> = new Set(['unavailable', 'rate_limited', 'draining', 'timeout'])

interface Failed {
  readonly code?: unknown
  readonly outcome?: unknown
  readonly data?: { readonly retryAfter?: unknown } | undefined
}

/** The error as something that may have these properties: whoever broadcasts may have classes of its own. */
function failed (error: unknown): Failed {
  return typeof error === 'object' && error !== null ? error : {}
}

/**
 * What is to become of a record whose broadcast has failed: it is tried `again` under its key, the record is
 * `refused`, or the bridge has to `stop` because nothing can be broadcast any more and no record is at fault.
 */
export function verdict (error: unknown): 'again' | 'refused' | 'stop' {
  const { code, outcome } = failed(error)
  if (outcome === 'unknown' || FOR_A_TIME.has(code)) return 'again'
  return code === 'REALTIME_ERR_NOT_READY' ? 'stop' : 'refused'
}

/** Milliseconds for which the error asks to be left alone; 0 where it does not. */
export function retryAfterOf (error: unknown): number {
  const retryAfter = failed(error).data?.retryAfter
  return typeof retryAfter === 'number' && retryAfter > 0 ? retryAfter : 0
}

/** Milliseconds until the next attempt, by the number of those that failed before this one. */
export function pauseAfter (attempt: number, random: () => number = Math.random): number {
  return Math.min(LONGEST, FIRST * 2 ** attempt) * (1 + random()) / 2
}
