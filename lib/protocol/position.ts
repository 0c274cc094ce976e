/**
 * A place in a room's stream. The offsets of one epoch strictly increase and are not contiguous; another epoch is
 * another stream.
 */
export interface Position {
  /** Names the stream: eight characters of base64url. */
  readonly epoch: string
  /** The place in the stream: a whole number, 0 before the first event. */
  readonly offset: number
}

/** Form of an epoch: eight characters of base64url. */
export const EPOCH = /^[A-Za-z0-9_-]{8}$/

export function isOffset (value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

export function isPosition (value: unknown): value is Position {
  return typeof value === 'object' && value !== null &&
    EPOCH.test(String((value as Position).epoch)) && typeof (value as Position).epoch === 'string' &&
    isOffset((value as Position).offset)
}
