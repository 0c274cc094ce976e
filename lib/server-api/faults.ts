import type { Refusal } from '../errors/refusal.js'

/** What is told of a refusal besides its data: whether it may have happened all the same, and how to ask again. */
export function outcomeOf ({ outcome, idempotencyKey }: Refusal): object {
  return outcome === undefined
    ? {}
    : { outcome, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) }
}
