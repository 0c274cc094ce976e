/** Version, trace, span and flags, as the W3C writes them; a trace and a span of zeros only are none. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/
const LENGTH = 55

/**
 * Whether a value is a W3C `traceparent` of the length that version 00 has. What is none is passed over wherever it
 * comes from, as its standard asks: a wrong trace is no reason to lose a message.
 */
export function isTraceparent (value: unknown): value is string {
  return typeof value === 'string' && value.length === LENGTH && TRACEPARENT.test(value)
}
