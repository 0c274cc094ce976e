/** Milliseconds: the shortest lease of what lives by the heartbeats of its node, as all does by default. */
export const LEASE = 30_000

/**
 * Milliseconds after which what a node held that is killed is over: its lease, the heartbeats around it, a sweep, and
 * what a machine that is busy adds to that.
 */
export const GONE = LEASE + 2 * 10_000 + 5_000 + 20_000
