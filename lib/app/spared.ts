import type { Peer } from '../admission/peer.js'

/**
 * Milliseconds by which the clocks of two nodes may differ: each counts as right up to a second off the broker's, which
 * is not known exactly.
 */
const SKEW = 5_000

/**
 * Whether a connection was opened after a revocation was over, which a node may hear of late: its user has logged in
 * again. In doubt it was not.
 *
 * @param until Unix milliseconds by the clock of this node; absent for a revocation that keeps nobody out
 */
export function isSpared ({ openedAt, startedAt }: Peer, until: number | undefined): boolean {
  if (until === undefined) return false
  // Where the clock was set since, the earlier of both counts.
  const opened = Math.min(openedAt, Date.now() - (performance.now() - startedAt))
  return opened > until + SKEW
}

/** Whether a revocation keeps nobody out any more. */
export function isOver (until: number | undefined): boolean { return until !== undefined && until <= Date.now() }
