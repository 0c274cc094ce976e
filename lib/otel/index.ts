import {
  context, ROOT_CONTEXT, SpanKind, trace, type Attributes, type Context, type Link, type SpanContext, type SpanOptions,
  type TracerProvider
} from '@opentelemetry/api'
import { BROADCAST, DELIVER, MESSAGE, type MessageStep, type TracedStep } from '../diagnostics/channels.js'
import { VERSION } from '../version.js'
import { fail, followSteps, sentBy, type Begun } from './span-steps.js'

/** Options of `registerRealtimeInstrumentation`. */
export interface RealtimeInstrumentationOptions {
  /** Makes the spans. @default the provider that is registered with `@opentelemetry/api` when a span begins */
  readonly tracerProvider?: TracerProvider
}

/** Codes of messages that are a fault of the server; the others are the client's, and no errors of a server's span. */
const FAULTS: ReadonlySet<string> = new Set(['internal', 'timeout', 'unavailable'])

function attributesOf ({ room, definition }: TracedStep, more: Attributes): Attributes {
  return {
    'messaging.system': 'fastify-realtime',
    'messaging.destination.name': room,
    'messaging.destination.template': definition,
    ...more
  }
}

/**
 * Makes OpenTelemetry spans of messages, broadcasts and deliveries, so that a request, its broadcast and the delivery
 * on every node are one trace. It may be called before or after the app is made, once for the process.
 *
 * - `message chat/:id say`: of a client, below its `traceparent`, below the HTTP request that brought it, or by itself.
 *   Where the request belongs to another trace than the message names, the span is linked to it.
 * - `broadcast chat/:id said`: below whatever is active where it is called.
 * - `deliver chat/:id said`: on each node with members, below its broadcast; none for an event without a trace.
 *
 * Attributes are names of rooms, definitions, messages and events, codes and numbers: no data, no user and no id of a
 * connection, which is a secret of its client.
 *
 * @returns ends it, for what begins later
 */
export function registerRealtimeInstrumentation (options: RealtimeInstrumentationOptions = {}): () => void {
  const start = (parent: Context, name: string, more: SpanOptions): Begun => {
    const provider = options.tracerProvider ?? trace.getTracerProvider()
    const span = provider.getTracer('fastify-realtime', VERSION).startSpan(name, more, parent)
    return { span, within: trace.setSpan(parent, span) }
  }
  const ends = [
    followSteps(MESSAGE, {
      begin: (step) => start(parentOf(step), `message ${step.definition} ${step.message}`, {
        links: linksOf(step),
        kind: step.isRequest ? SpanKind.INTERNAL : SpanKind.SERVER,
        attributes: attributesOf(step, {
          'messaging.operation.name': 'message',
          'messaging.operation.type': 'process',
          'realtime.message': step.message,
          'messaging.message.envelope.size': step.bytes
        })
      }),
      end: (span, { code }) => {
        if (code === undefined) return
        span.setAttribute('realtime.code', code)
        if (FAULTS.has(code)) fail(span, code)
      }
    }),
    followSteps(BROADCAST, {
      begin: (step) => start(context.active(), `broadcast ${step.definition} ${step.event}`, {
        kind: SpanKind.PRODUCER,
        attributes: attributesOf(step, {
          'messaging.operation.name': 'broadcast',
          'messaging.operation.type': 'send',
          'realtime.event': step.event,
          'realtime.delivery': step.delivery
        })
      })
    }),
    followSteps(DELIVER, {
      begin: (step) => {
        const sender = sentBy(step)
        if (sender === undefined) return undefined
        return start(sender, `deliver ${step.definition} ${step.event}`, {
          kind: SpanKind.CONSUMER,
          attributes: attributesOf(step, {
            'messaging.operation.name': 'deliver',
            'messaging.operation.type': 'receive',
            'realtime.event': step.event
          })
        })
      },
      end: (span, { result }) => {
        if (typeof result === 'number') span.setAttribute('realtime.recipients', result)
      }
    })
  ]
  return () => { for (const end of ends) end() }
}

/** The span of the HTTP request that brings a message; what is active while a connection brings one is another's. */
function requestOf ({ isRequest }: MessageStep): SpanContext | undefined {
  return isRequest ? trace.getSpanContext(context.active()) : undefined
}

/**
 * A message belongs to the trace that its client names. The span of a request is nearer where it is of the same trace,
 * and all that is known where the client names none.
 */
function parentOf (step: MessageStep): Context {
  const request = requestOf(step)
  const sender = sentBy(step)
  if (request === undefined) return sender ?? ROOT_CONTEXT
  return sender === undefined || isOf(sender, request) ? context.active() : sender
}

/** Of two traces that meet in a message one is its parent's; the request's is found by a link. */
function linksOf (step: MessageStep): Link[] {
  const request = requestOf(step)
  return request === undefined || isOf(parentOf(step), request) ? [] : [{ context: request }]
}

function isOf (parent: Context, { traceId }: SpanContext): boolean {
  return trace.getSpanContext(parent)?.traceId === traceId
}
