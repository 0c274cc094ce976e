import {
  context, SpanStatusCode, trace, TraceFlags,
  type Context, type Span, type SpanOptions, type Tracer, type TracerProvider
} from '@opentelemetry/api'
import type { Awaitable } from '../structures/awaitable.js'
import { VERSION } from '../version.js'
import { traceparentOf } from './traceparent.js'

/** A span that was begun, and what of it is asked for once. */
export interface Begun {
  readonly span: Span
  /** Whether what happens below it has spans of its own: somebody records it, here or on another node. */
  readonly isFollowed: boolean
  readonly traceparent: string | undefined
}

/**
 * Begins spans at a provider, and ends them. Its sampler and its processors are code of the application, and what they
 * throw concerns the trace alone: the step goes on without its span.
 */
export class Spans {
  readonly #given: TracerProvider | undefined
  #provider: TracerProvider | undefined
  #tracer: Tracer | undefined
  #isWarned = false

  /** @param given the provider; absent for the one that is registered when a span begins */
  constructor (given: TracerProvider | undefined) {
    this.#given = given
  }

  /** @returns `undefined` where the provider has failed */
  start (name: string, options: SpanOptions, parent: Context): Begun | undefined {
    try {
      const provider = this.#given ?? trace.getTracerProvider()
      // A provider looks up its tracer by a text that it makes of name and version each time.
      if (this.#tracer === undefined || provider !== this.#provider) {
        this.#provider = provider
        this.#tracer = provider.getTracer('fastify-realtime', VERSION)
      }
      const span = this.#tracer.startSpan(name, options, parent)
      return { span, isFollowed: isFollowed(span), traceparent: traceparentOf(span.spanContext()) }
    } catch (error) {
      this.#failed(error)
      return undefined
    }
  }

  /** Runs a step within its span, and ends that with the step. */
  recorded<T> (
    span: Span,
    within: Context,
    run: () => Awaitable<T>,
    close: (span: Span, result: T) => void
  ): Awaitable<T> {
    const done = (result: T): void => { this.#end(span, () => { close(span, result) }) }
    // The text of an error may quote what it is about, so it is left out.
    const failed = (error: unknown): void => { this.#end(span, () => { fail(span, codeOf(error)) }) }
    let result: Awaitable<T>
    try {
      result = context.with(within, run)
    } catch (error) {
      failed(error)
      throw error
    }
    if (result instanceof Promise) void result.then(done, failed)
    else done(result)
    return result
  }

  #end (span: Span, mark: () => void): void {
    try {
      try {
        mark()
      } finally {
        span.end()
      }
    } catch (error) {
      this.#failed(error)
    }
  }

  /** Tells it once, since what fails for one step fails for each. */
  #failed (error: unknown): void {
    if (this.#isWarned) return
    this.#isWarned = true
    process.emitWarning(
      `a provider of spans throws, so that steps have no span, or one that is incomplete: ${String(error)}`,
      'RealtimeWarning'
    )
  }
}

/** Whether what happens below a span has spans of its own: somebody records it, here or on another node. */
export function isFollowed (span: Span): boolean {
  return span.isRecording() || (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0
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
