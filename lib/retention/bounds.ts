/**
 * Defaults of what is kept, for how long and how much of it, where neither the application nor an option of the adapter
 * says otherwise. The rooms, the adapters and the plugin's options all use these values, in milliseconds and bytes.
 */

/**
 * Milliseconds that a room's metadata, and the `latest` values of a room without history, are kept after their last
 * use.
 */
export const DAY = 86_400_000

/** Number of `latest` values that one room keeps; the oldest is evicted for a new one. */
export const MAX_LATEST = 1_000

/** Number of texts that one room keeps: those of `append` events. */
export const MAX_TEXTS = 1_000

/** Bytes of one text, and milliseconds for which it is kept after its end. */
export const APPEND = { size: 1_048_576, ttl: 600_000 } as const

/** Number of events that one room keeps for resumes, and for how many milliseconds. */
export const HISTORY = { size: 100, ttl: 300_000 } as const

/** Bytes of the events and `latest` values of all rooms together. */
export const HISTORY_BYTES = 67_108_864

/** Milliseconds for which an idempotency key and the outcome of its message are remembered. */
export const IDEMPOTENCY = 120_000

/** Bytes of idempotency keys and outcomes: of all users together, and of one user. */
export const REMEMBERED = { bytes: 67_108_864, perUser: 4_194_304 } as const
