import { context, trace } from '@opentelemetry/api'
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

/** Begins tracing as an application does, and ends all of it: Node's own hooks for contexts cost as well. */
export function createTracing (part: number): () => () => void {
  const provider = createProvider(part)
  return () => {
    provider.register({ propagator: null })
    const end = registerRealtimeInstrumentation()
    return () => {
      end()
      trace.disable()
      context.disable()
    }
  }
}
