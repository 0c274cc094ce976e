import type { Packet } from '../../protocol/packet.js'
import type { Publication } from '../adapter.js'
import { keyOf } from '../../protocol/key.js'

/** What is put back in one step: so many values, and bytes of frames after which the next step begins. */
const AT_ONCE = { values: 100, bytes: 262_144 }

/** The place of a value among those of its room. */
export function placeOf ({ event }: Packet): string { return keyOf(event!.type, event!.key ?? '') }

/** Makes what a value is published by once more, when a broker has lost it. */
export function publicationOf ({ event, payload }: Packet): Publication {
  const { type, delivery, key, timestamp, except, user, traceparent, isRemoval } = event!
  const beside = { type, delivery, key, timestamp, except, user, traceparent }
  return isRemoval === true
    ? { ...beside, data: '{}', removes: {} }
    : { ...beside, data: JSON.stringify((JSON.parse(payload.toString()) as { data: unknown }).data) }
}

/** Parts a list of values that are put back, so that no step is too large for a broker. */
export function * inSteps (packets: readonly Packet[]): Generator<readonly Packet[]> {
  let some: Packet[] = []
  let bytes = 0
  for (const packet of packets) {
    some.push(packet)
    bytes += packet.bytes.length
    if (some.length < AT_ONCE.values && bytes < AT_ONCE.bytes) continue
    yield some
    some = []
    bytes = 0
  }
  if (some.length > 0) yield some
}
