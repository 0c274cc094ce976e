import {
  context, SpanStatusCode, trace, TraceFlags,
  type Context, type Span, type SpanOptions, type Tracer, type TracerProvider
} from '@opentelemetry/api'
import type { Awaitable } from '../structures/awaitable.js'
import { VERSION } from '../version.js'

/** Begins spans at a provider. */
export class Spans {
  readonly #given: TracerProvider | undefined
  #provider: TracerProvider | undefined
  #tracer: Tracer | undefined

  /** @param given the provider; absent for the one that is registered when a span begins */
  constructor (given: TracerProvider | undefined) {
    this.#given = given
  }

  start (name: string, options: SpanOptions, parent: Context): Span {
    const provider = this.#given ?? trace.getTracerProvider()
    // A provider looks up its tracer by a text that it makes of name and version each time.
    if (this.#tracer === undefined || provider !== this.#provider) {
      this.#provider = provider
      this.#tracer = provider.getTracer('fastify-realtime', VERSION)
    }
    return this.#tracer.startSpan(name, options, parent)
  }
}

/** Whether what happens below a span has spans of its own: somebody records it, here or on another node. */
export function isFollowed (span: Span): boolean {
  return span.isRecording() || (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0
}

/** Runs a step within its span, and ends that with the step. */
export function recorded<T> (
  span: Span,
  within: Context,
  run: () => Awaitable<T>,
  close?: (span: Span, result: T) => void
): Awaitable<T> {
  const done = (result: T): void => {
    close?.(span, result)
    span.end()
  }
  const failed = (error: unknown): void => {
    // The text of an error may quote what it is about, so it is left out.
    fail(span, codeOf(error))
    span.end()
  }
  try {
    const result = context.with(within, run)
    if (result instanceof Promise) void result.then(done, failed)
    else done(result)
    return result
  } catch (error) {
    failed(error)
    throw error
  }
}

/** Marks a span as failed with a code. */
export function fail (span: Span, code: string): void {
  span.setAttribute('error.type', code)
  span.setStatus({ code: SpanStatusCode.ERROR })
}

function codeOf (error: unknown): string {
  if (typeof error !== 'object' || error === null) return typeof error
  const { code, name } = error as { code?: unknown, name?: unknown }
  return typeof code === 'string' ? code : typeof name === 'string' ? name : typeof error
}
