/**
 * What is kept, for how long and how much of it, where neither the application nor an adapter's option says otherwise.
 * The rooms, the adapters and the plugin's options all mean these. Milliseconds and bytes.
 */

/** Milliseconds that a room's metadata, and `latest` values of a room without history, outlive their last use. */
export const DAY = 86_400_000

/** Values of `latest` keys in one room: the oldest gives way. */
export const MAX_LATEST = 1_000

/** Events of one room that are kept for resumes. */
export const HISTORY = { size: 100, ttl: 300_000 } as const

/** Bytes of the events and `latest` values of all rooms. */
export const HISTORY_BYTES = 67_108_864

/** Milliseconds that an idempotency key, and the outcome of a message, is remembered. */
export const IDEMPOTENCY = 120_000

/** Bytes of idempotency keys and outcomes, in all and of one user. */
export const REMEMBERED = { bytes: 67_108_864, perUser: 4_194_304 } as const
