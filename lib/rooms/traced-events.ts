import type { Publication, Published } from '../adapters/adapter.js'
import { BROADCAST, DELIVER, type BroadcastStep, type DeliverStep } from '../diagnostics/channels.js'
import { traced } from '../diagnostics/traced.js'
import type { Packet } from '../protocol/packet.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Declaration } from './declaration.js'

/** Publishes an event as a step that subscribers follow, and lets the trace that they name travel with it. */
export function tracedBroadcast (
  room: string,
  { pattern: { source } }: Declaration,
  publication: Publication,
  publish: (publication: Publication) => Awaitable<Published>
): Awaitable<Published> {
  const { type, delivery } = publication
  const step: BroadcastStep = { room, definition: source, event: type, delivery }
  return traced(BROADCAST, step, () => publish(
    step.traceparent === undefined ? publication : { ...publication, traceparent: step.traceparent }
  ))
}

/** Offers an event to the members of a room as a step that subscribers follow. */
export function tracedDelivery (
  { name, declaration }: { readonly name: string, readonly declaration: Declaration },
  { event }: Packet,
  offer: () => Awaitable<number>
): Awaitable<number> {
  const { type, traceparent } = event!
  const step: DeliverStep = { room: name, definition: declaration.pattern.source, event: type, traceparent }
  return traced(DELIVER, step, offer)
}
