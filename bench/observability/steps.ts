/**
 * What the plugin's own part of tracing costs by itself: the steps of a message, with the tracer and without, as often
 * in turns as a difference of whole loops could not be measured. The contexts of OpenTelemetry are in use both times.
 */
import { tracedBroadcast, tracedDelivery } from '../../dist/rooms/traced-events.js'
import { runMessage } from '../../dist/dispatch/traced-message.js'
import type { Observed } from './tracing.js'

/** Microseconds of a message that tracing adds to it. */
export interface Steps { readonly broadcast: number, readonly message: number }

const RUNS = 200_000
const ROUNDS = 7

const place = { name: 'chat/0', declaration: { pattern: { source: 'chat/:id' } } }
const publication = { type: 'said', delivery: 'all', traceparent: undefined }
const outcome = { reply: { ok: true } }

type Publication = Parameters<typeof tracedBroadcast>[1]
type Packet = Parameters<typeof tracedDelivery>[1]
type Messages = Parameters<typeof runMessage>[0]
type Call = Parameters<typeof runMessage>[1]

/** Publishes an event and offers it to one member, with nothing in between. */
async function broadcast (): Promise<void> {
  await tracedBroadcast(place, publication as unknown as Publication, async (published) => {
    const packet = { event: { type: 'said', traceparent: published.traceparent } } as unknown as Packet
    await tracedDelivery(place, packet, () => 1)
    return {} as never
  })
}

const messages = { run: async () => { await broadcast(); return outcome } } as unknown as Messages

/** A message without a trace of its sender. */
const call = {
  ...place,
  type: 'say',
  bytes: 120,
  isRequest: false,
  traceparent: undefined,
  traced () { return this }
} as unknown as Call

async function timeOf (run: () => PromiseLike<unknown>): Promise<number> {
  const { user, system } = process.cpuUsage()
  for (let each = 0; each < RUNS; each++) await run()
  const used = process.cpuUsage({ user, system })
  return (used.user + used.system) / RUNS
}

/** The least of some rounds in turns: what is above it is of others. */
async function difference (
  ways: readonly [bare: Observed, traced: Observed], run: () => PromiseLike<unknown>
): Promise<number> {
  const least = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, begin] of ways.entries()) {
      const end = begin()
      try {
        least[index] = Math.min(least[index]!, await timeOf(run))
      } finally {
        end()
      }
    }
  }
  return least[1]! - least[0]!
}

/** @param contexts in use alone @param tracing with the plugin's spans as well */
export async function measureSteps (contexts: Observed, tracing: Observed): Promise<Steps> {
  return {
    broadcast: await difference([contexts, tracing], broadcast),
    message: await difference([contexts, tracing], async () => { await runMessage(messages, call) })
  }
}
