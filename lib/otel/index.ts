import type { TracerProvider } from '@opentelemetry/api'
import { TRACING } from '../diagnostics/tracer.js'
import { RealtimeTracer } from './realtime-tracer.js'
import { Spans } from './spans.js'

/** Options of `registerRealtimeInstrumentation`. */
export interface RealtimeInstrumentationOptions {
  /** Makes the spans. @default the provider that is registered with `@opentelemetry/api` when a span begins */
  readonly tracerProvider?: TracerProvider
  /**
   * Part of the messages and broadcasts without a parent that the provider is asked for a span of, from 0 to 1. The
   * others are left out before anything is made for them, which is cheaper than the refusal of a sampler; the
   * provider's decides on those that remain. What has a parent, of a request or by a `traceparent`, follows its flag.
   *
   * @default 1: the provider's sampler decides on all
   */
  readonly sampleRatio?: number
}

/**
 * Makes OpenTelemetry spans of messages, broadcasts and deliveries, so that a request, its broadcast and the delivery
 * on every node are one trace. It may be called before or after the app is made, once for the process: another call
 * takes the place of the one before.
 *
 * - `message chat/:id say`: of a client, below its `traceparent`, below the HTTP request that brought it, or by itself.
 *   Where the request belongs to another trace than the message names, the span is linked to it.
 * - `broadcast chat/:id said`: below whatever is active where it is called.
 * - `deliver chat/:id said`: on each node with members, below its broadcast; none for an event without a trace.
 *
 * Below what is not sampled none of them is made, and what an application does there is in a context that says so.
 *
 * Attributes are names of rooms, definitions, messages and events, codes and numbers: no data, no user and no id of a
 * connection, which is a secret of its client.
 *
 * @returns ends it, for what begins later
 * @throws RangeError for a `sampleRatio` that is no number from 0 to 1
 */
export function registerRealtimeInstrumentation (options: RealtimeInstrumentationOptions = {}): () => void {
  const { tracerProvider, sampleRatio = 1 } = options
  if (typeof sampleRatio !== 'number' || !(sampleRatio >= 0 && sampleRatio <= 1)) {
    throw new RangeError('sampleRatio is a number from 0 to 1, such as 0.01 for one trace of a hundred')
  }
  const tracer = new RealtimeTracer(new Spans(tracerProvider), sampleRatio)
  TRACING.tracer = tracer
  return () => { if (TRACING.tracer === tracer) TRACING.tracer = undefined }
}
