import type { TracingChannel } from 'node:diagnostics_channel'
import { context, SpanStatusCode, type Context, type Span } from '@opentelemetry/api'
import type { TracedStep } from '../diagnostics/channels.js'
import { contextOf, traceparentOf } from './traceparent.js'

/** A span of a step, with the context that the step runs in. */
export interface Begun { readonly span: Span, readonly within: Context }

/** How the spans of one channel are made. */
export interface Spans<S extends TracedStep> {
  /** Begins the span of a step; `undefined` where it has none. */
  begin (step: S): Begun | undefined
  /** Says of the span how the step has ended. */
  end? (span: Span, step: S): void
}

/** @returns the context of what has sent the step over the network; `undefined` where it said none */
export function sentBy ({ traceparent }: TracedStep): Context | undefined {
  return traceparent === undefined ? undefined : contextOf(traceparent)
}

/**
 * Gives each step of a channel a span, and runs the step within it.
 *
 * @returns ends that, for steps that begin later
 */
export function followSteps<S extends TracedStep> (
  on: TracingChannel<unknown, S>,
  { begin, end }: Spans<S>
): () => void {
  const spans = new WeakMap<S, Span>()
  const finish = (step: S): void => {
    const span = spans.get(step)
    if (span === undefined) return
    spans.delete(step)
    end?.(span, step)
    // The text of an error may quote what it is about, so it is left out.
    if (step.error !== undefined) fail(span, codeOf(step.error))
    span.end()
  }
  const subscribers = {
    start (step: S): void {
      const begun = begin(step)
      if (begun === undefined) return
      spans.set(step, begun.span)
      step.traceparent = traceparentOf(begun.span.spanContext())
      step.within = (task) => context.with(begun.within, task)
    },
    // A step that ends later has neither yet.
    end (step: S): void { if ('result' in step || 'error' in step) finish(step) },
    asyncEnd: finish
  }
  // All five are required by the type, and none by the function.
  on.subscribe(subscribers as Parameters<typeof on.subscribe>[0])
  return () => { on.unsubscribe(subscribers as Parameters<typeof on.subscribe>[0]) }
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
