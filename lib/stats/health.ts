/** What a node is asked about itself. */
export interface HealthFacts {
  readonly isAccepting: boolean
  /** Whether the adapter reaches its broker; `undefined` of one without. */
  readonly isAdapterUp: boolean | undefined
  /** Milliseconds by which the event loop was late, the slowest hundredth of the last half minute. */
  readonly loopDelay: number
  /** Slots taken, and all of them. */
  readonly slots: number
  readonly max: number
}

export interface HealthLimits {
  /** Milliseconds. */
  readonly loopDelay: number
  /** Percent of the slots. */
  readonly capacity: number
}

export interface Health {
  readonly status: 'ok' | 'unavailable'
  readonly accepting: boolean
  readonly checks: {
    readonly adapter: 'ok' | 'away'
    readonly loopDelay: 'ok' | 'late'
    readonly capacity: 'ok' | 'full'
  }
  /** What is over its limit, for people. Figures are for admins alone, because anybody may ask. */
  readonly reason?: string
}

/** Judges a node by its limits. */
export function healthOf (facts: HealthFacts, limits: HealthLimits): Health {
  const isAway = facts.isAdapterUp === false
  const isLate = facts.loopDelay > limits.loopDelay
  const isFull = facts.slots >= facts.max * limits.capacity / 100
  const reasons = [
    ...(facts.isAccepting ? [] : ['the node does not accept connections']),
    ...(isAway ? ['the adapter is away from its broker'] : []),
    ...(isLate ? [`the event loop is late by more than health.loopDelay (${limits.loopDelay} ms)`] : []),
    ...(isFull ? [`as many slots are taken as health.capacity allows (${limits.capacity} %)`] : [])
  ]
  return {
    status: reasons.length === 0 ? 'ok' : 'unavailable',
    accepting: facts.isAccepting,
    checks: { adapter: isAway ? 'away' : 'ok', loopDelay: isLate ? 'late' : 'ok', capacity: isFull ? 'full' : 'ok' },
    ...(reasons.length === 0 ? {} : { reason: reasons.join('; ') })
  }
}
