import { isSpanContextValid, ROOT_CONTEXT, trace, TraceFlags, type Context, type SpanContext } from '@opentelemetry/api'
import { isTraceparent } from '../protocol/traceparent.js'

/**
 * @returns the W3C form of a span's context; `undefined` for one that is not recorded, so that what nobody will read
 *   does not travel, and where no SDK is registered
 */
export function traceparentOf (of: SpanContext): string | undefined {
  if (!isSpanContextValid(of) || (of.traceFlags & TraceFlags.SAMPLED) === 0) return undefined
  return ['00', of.traceId, of.spanId, (of.traceFlags & 0xff).toString(16).padStart(2, '0')].join('-')
}

/** Whether a text that may be a `traceparent` has the flag of a trace that is recorded, the lowest bit of its end. */
export function isSampled (traceparent: string): boolean {
  return (Number.parseInt(traceparent.slice(-1), 16) & TraceFlags.SAMPLED) !== 0
}

/** @returns a context whose active span is the remote one; `undefined` for what is no `traceparent` */
export function contextOf (traceparent: string): Context | undefined {
  if (!isTraceparent(traceparent)) return undefined
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-')
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true })
}
