/**
 * What stands in the way of a message while nobody listens: how often each part of it runs, counted, and how long one
 * run takes, measured by itself. A difference of whole loops would be smaller than their noise.
 */
import { BROADCAST, CONNECTION_CLOSE, CONNECTION_OPEN, DELIVER, MESSAGE } from '../../dist/diagnostics/channels.js'
import { CALLS, Histogram } from '../../dist/structures/histogram.js'

/** One part: how often it runs for a message, and nanoseconds of a run. */
export interface Guard { readonly what: string, readonly perMessage: number, readonly nanoseconds: number }

const CHANNELS = {
  message: MESSAGE,
  broadcast: BROADCAST,
  deliver: DELIVER,
  'connection.open': CONNECTION_OPEN,
  'connection.close': CONNECTION_CLOSE
} as const

type Counts = Record<'checks' | 'observations' | 'draws', number>

/** Counts what runs meanwhile. */
async function count (work: () => Promise<void>): Promise<Counts> {
  const counts = { checks: 0, observations: 0, draws: 0 }
  for (const channel of Object.values(CHANNELS)) {
    Object.defineProperty(channel, 'hasSubscribers', {
      configurable: true,
      get: () => {
        counts.checks++
        return false
      }
    })
  }
  const { observe, isNext } = Histogram.prototype
  Histogram.prototype.observe = function (...given) {
    counts.observations++
    observe.apply(this, given)
  }
  Histogram.prototype.isNext = function () {
    counts.draws++
    return isNext.call(this)
  }
  try {
    await work()
  } finally {
    for (const channel of Object.values(CHANNELS)) delete (channel as { hasSubscribers?: boolean }).hasSubscribers
    Object.assign(Histogram.prototype, { observe, isNext })
  }
  return counts
}

const RUNS = 5_000_000
const ROUNDS = 5

/** Nanoseconds of one run, the least of some rounds: what is above it is of others. */
function timeOf (run: (index: number) => number): number {
  let least = Number.POSITIVE_INFINITY
  let sum = 0
  for (let round = 0; round < ROUNDS; round++) {
    const from = performance.now()
    for (let index = 0; index < RUNS; index++) sum += run(index)
    least = Math.min(least, (performance.now() - from) * 1e6 / RUNS)
  }
  // Without a use of the result the compiler would leave the loop out.
  if (Number.isNaN(sum)) throw new Error('no number')
  return least
}

/** @param work does so many messages */
export async function measureGuards (messages: number, work: (messages: number) => Promise<void>): Promise<Guard[]> {
  const { checks, observations, draws } = await count(async () => { await work(messages) })
  const histogram = new Histogram(CALLS)
  const channels = [MESSAGE, BROADCAST, DELIVER]
  return [
    {
      what: 'asking whether somebody listens to a channel',
      perMessage: checks / messages,
      nanoseconds: timeOf((index) => channels[index % 3]!.hasSubscribers ? 1 : 0)
    },
    {
      what: 'counting a duration in a histogram, with the two looks at the clock',
      perMessage: observations / messages,
      nanoseconds: timeOf((index) => {
        const from = performance.now()
        histogram.observe((performance.now() - from) / 1_000 + index % 7 / 1_000)
        return from
      })
    },
    {
      what: 'deciding whether this one is measured',
      perMessage: draws / messages,
      nanoseconds: timeOf(() => histogram.isNext() ? 1 : 0)
    }
  ]
}
