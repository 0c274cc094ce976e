import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider, ParentBasedSampler, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node'
import { registerRealtimeInstrumentation } from 'fastify-realtime/otel'

/** Takes spans and keeps none: what an exporter sends is not measured here. */
const exporter: SpanExporter = {
  export: (_spans, done) => { done({ code: 0 }) },
  shutdown: async () => {}
}

/** @param part of the traces that are recorded */
function createProvider (part: number): NodeTracerProvider {
  return new NodeTracerProvider({
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(part) }),
    spanProcessors: [new BatchSpanProcessor(exporter)]
  })
}

/** A way to be observed: begins it, and ends all of it. */
export type Observed = () => () => void

function disable (): void {
  trace.disable()
  context.disable()
}

/**
 * OpenTelemetry as an application has it that traces something else: a provider, and contexts that are in use, for
 * which Node's own hooks follow every promise and every write from the first one on.
 */
export function createContexts (part: number): Observed {
  const provider = createProvider(part)
  return () => {
    provider.register({ propagator: null })
    context.with(ROOT_CONTEXT, () => {})
    return disable
  }
}

/**
 * The same, with the messages, broadcasts and deliveries of the plugin traced.
 *
 * @param isOurs whether the plugin takes the part, before it asks the sampler of the provider, which then takes all
 */
export function createTracing (part: number, isOurs: boolean): Observed {
  const begin = createContexts(isOurs ? 1 : part)
  return () => {
    const finish = begin()
    const end = registerRealtimeInstrumentation(isOurs ? { sampleRatio: part } : {})
    return () => {
      end()
      finish()
    }
  }
}
