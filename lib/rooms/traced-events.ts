import type { Publication, Published } from '../adapters/adapter.js'
import { BROADCAST, DELIVER, type BroadcastStep, type DeliverStep } from '../diagnostics/channels.js'
import { traced } from '../diagnostics/traced.js'
import { TRACING, type Trace, type TracedEvent } from '../diagnostics/tracer.js'
import type { Packet } from '../protocol/packet.js'
import type { Awaitable } from '../structures/awaitable.js'

type Publish = (publication: Publication) => Awaitable<Published>

/**
 * Publishes an event, as a step that subscribers follow and with a span where somebody asks for one, and lets the trace
 * that they name travel with it.
 */
export function tracedBroadcast (place: TracedEvent, publication: Publication, publish: Publish): Awaitable<Published> {
  if (!BROADCAST.hasSubscribers) return spannedBroadcast(place, publication, publish)
  const { type, delivery } = publication
  const step: BroadcastStep = { room: place.name, definition: place.declaration.pattern.source, event: type, delivery }
  return traced(BROADCAST, step, () => spannedBroadcast(place, within(publication, step), publish))
}

function spannedBroadcast (place: TracedEvent, publication: Publication, publish: Publish): Awaitable<Published> {
  const { tracer } = TRACING
  return tracer === undefined
    ? publish(publication)
    : tracer.broadcast(place, publication, (trace) => publish(within(publication, trace)))
}

function within (publication: Publication, trace: Trace | undefined): Publication {
  return trace?.traceparent === undefined ? publication : { ...publication, traceparent: trace.traceparent }
}

/** Offers an event to the members of a room, in the same way. */
export function tracedDelivery (
  place: TracedEvent,
  { event }: Packet,
  offer: () => Awaitable<number>
): Awaitable<number> {
  const { type, traceparent } = event!
  if (!DELIVER.hasSubscribers) return spannedDelivery(place, type, traceparent, offer)
  const step: DeliverStep = { room: place.name, definition: place.declaration.pattern.source, event: type, traceparent }
  return traced(DELIVER, step, () => spannedDelivery(place, type, traceparent, offer))
}

function spannedDelivery (
  place: TracedEvent,
  type: string,
  traceparent: string | undefined,
  offer: () => Awaitable<number>
): Awaitable<number> {
  const { tracer } = TRACING
  return tracer === undefined || traceparent === undefined ? offer() : tracer.delivery(place, type, traceparent, offer)
}
