import {
  context, ROOT_CONTEXT, SpanKind, trace, TraceFlags, type Attributes, type Context, type Link, type Span
} from '@opentelemetry/api'
import type { Trace, TracedEvent, TracedMessage, Tracer } from '../diagnostics/tracer.js'
import type { Awaitable } from '../structures/awaitable.js'
import { fail, isFollowed, type Begun, type Spans } from './spans.js'
import { contextOf, isSampled } from './traceparent.js'

/** Codes of messages that are a fault of the server; the others are the client's, and no errors of a server's span. */
const FAULTS: ReadonlySet<string> = new Set(['internal', 'timeout', 'unavailable'])

/** Name of all messages that nobody has declared, so that clients cannot add names without end. */
const OTHER = '_OTHER'

/**
 * The span above all that `sampleRatio` has left out, so that nothing below it begins a trace of its own. A sampler
 * that does not ask for the parent, and takes a part of the traces by their ids, takes none with this one.
 */
const LEFT_OUT = trace.wrapSpanContext({
  traceId: 'ffffffff000000000000000000000000',
  spanId: 'ffffffffffffffff',
  traceFlags: TraceFlags.NONE
})
/** Shared, so that a message that is left out makes nothing. */
const UNSAMPLED = trace.setSpan(ROOT_CONTEXT, LEFT_OUT)

/**
 * Decides where a trace begins whether it is recorded, before a name, an attribute or a span is made. Below a span it
 * decides nothing: what is sampled has spans, what is not has none, and runs in a context that says so.
 */
export class RealtimeTracer implements Tracer {
  readonly #spans: Spans
  readonly #ratio: number

  /** @param ratio part of the traces that begin here and are offered to the provider's sampler */
  constructor (spans: Spans, ratio: number) {
    this.#spans = spans
    this.#ratio = ratio
  }

  message<T> (
    message: TracedMessage,
    run: (trace?: Trace) => Awaitable<T>,
    codeOf: (outcome: T) => string | undefined
  ): Awaitable<T> {
    const { active, parent, link } = originOf(message)
    const above = trace.getSpan(parent)
    if (above === undefined ? this.#isLeftOut() : !isFollowed(above)) return unfollowed(active, parent, above, run)
    const { declaration: { pattern: { source }, messages }, isRequest, bytes } = message
    const type = messages.has(message.type) ? message.type : OTHER
    const begun = this.#spans.start(`message ${source} ${type}`, {
      links: link === undefined ? [] : [link],
      kind: isRequest ? SpanKind.INTERNAL : SpanKind.SERVER,
      attributes: attributesOf(message, {
        'messaging.operation.name': 'message',
        'messaging.operation.type': 'process',
        'realtime.message': type,
        'messaging.message.envelope.size': bytes
      })
    }, parent)
    return this.#within(begun, parent, run, (ended, outcome) => {
      const code = codeOf(outcome)
      if (code === undefined) return
      ended.setAttribute('realtime.code', code)
      if (FAULTS.has(code)) fail(ended, code)
    })
  }

  broadcast<T> (
    place: TracedEvent,
    { type, delivery }: { readonly type: string, readonly delivery: string },
    run: (trace?: Trace) => Awaitable<T>
  ): Awaitable<T> {
    const active = context.active()
    const above = trace.getSpan(active)
    if (above === undefined ? this.#isLeftOut() : !isFollowed(above)) return unfollowed(active, active, above, run)
    const begun = this.#spans.start(`broadcast ${place.declaration.pattern.source} ${type}`, {
      kind: SpanKind.PRODUCER,
      attributes: attributesOf(place, {
        'messaging.operation.name': 'broadcast',
        'messaging.operation.type': 'send',
        'realtime.event': type,
        'realtime.delivery': delivery
      })
    }, active)
    return this.#within(begun, active, run)
  }

  delivery (place: TracedEvent, type: string, traceparent: string, run: () => Awaitable<number>): Awaitable<number> {
    const parent = isSampled(traceparent) ? contextOf(traceparent) : undefined
    if (parent === undefined) return run()
    const begun = this.#spans.start(`deliver ${place.declaration.pattern.source} ${type}`, {
      kind: SpanKind.CONSUMER,
      attributes: attributesOf(place, {
        'messaging.operation.name': 'deliver',
        'messaging.operation.type': 'receive',
        'realtime.event': type
      })
    }, parent)
    return this.#within(begun, parent, run, (ended, members) => { ended.setAttribute('realtime.recipients', members) })
  }

  /** Runs a step within the span that the provider has begun, which may have decided not to record it. */
  #within<T> (
    begun: Begun | undefined,
    parent: Context,
    run: (trace?: Trace) => Awaitable<T>,
    close: (span: Span, result: T) => void = () => {}
  ): Awaitable<T> {
    if (begun === undefined) return context.with(parent, () => run())
    const { span, traceparent } = begun
    const inside = trace.setSpan(parent, span)
    return begun.isFollowed
      ? this.#spans.recorded(span, inside, () => run({ traceparent }), close)
      : context.with(inside, () => run())
  }

  #isLeftOut (): boolean { return this.#ratio < 1 && Math.random() >= this.#ratio }
}

function attributesOf ({ name, declaration }: TracedEvent, more: Attributes): Attributes {
  return {
    'messaging.system': 'fastify-realtime',
    'messaging.destination.name': name,
    'messaging.destination.template': declaration.pattern.source,
    ...more
  }
}

/** Runs a step that is not recorded, where that is not plain already from what is active. */
function unfollowed<T> (
  active: Context,
  parent: Context,
  above: Span | undefined,
  run: () => Awaitable<T>
): Awaitable<T> {
  if (above !== undefined) return parent === active ? run() : context.with(parent, run)
  const isShared = parent === ROOT_CONTEXT
  if (isShared && active === UNSAMPLED) return run()
  return context.with(isShared ? UNSAMPLED : trace.setSpan(parent, LEFT_OUT), run)
}

/** Where a message comes from: what is active, its parent, and the span of a request that belongs to another trace. */
interface Origin { readonly active: Context, readonly parent: Context, readonly link?: Link }

/**
 * A message belongs to the trace that its client names. The span of a request that brings it is nearer where it is of
 * the same trace, and all that is known where the client names none; of two traces the request's is found by a link.
 * What is active while a connection brings a message is another's.
 */
function originOf ({ isRequest, traceparent }: TracedMessage): Origin {
  const active = context.active()
  const sender = traceparent === undefined ? undefined : contextOf(traceparent)
  const request = isRequest ? trace.getSpanContext(active) : undefined
  if (request === undefined) return { active, parent: sender ?? ROOT_CONTEXT }
  return sender === undefined || trace.getSpanContext(sender)?.traceId === request.traceId
    ? { active, parent: active }
    : { active, parent: sender, link: { context: request } }
}
