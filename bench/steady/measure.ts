import { Events } from '../measures/events.js'
import { latenciesOf } from '../measures/latencies.js'
import { busiest, cost, type Stage } from '../stage.js'
import type { Drive } from '../workloads/types.js'

/** What one stretch of a long run came to. */
export interface Stretch {
  /** when it ended, in seconds since the first one began */
  readonly at: number
  readonly perSecond: number
  /** share of a core that the server used */
  readonly core: number
  /** share of the server's core that processes of others used */
  readonly others: number | undefined
  /** share of its core that the load generator used */
  readonly busy: number
  /** milliseconds */
  readonly p50: number | undefined
  readonly p99: number | undefined
  readonly p999: number | undefined
  /** bytes of JavaScript heap and buffers after garbage collection */
  readonly heap: number
  /** bytes of resident memory at the end of the stretch, before that */
  readonly rss: number
}

/** Milliseconds that the load generators are asked for at a time: less than they may take to answer. */
const SLICE = 10_000

async function drive (events: Events, how: Drive, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= SLICE) await events.drive(how, Math.min(SLICE, left))
}

/**
 * Drives a workload for a long time, and says after each stretch what it came to. Between two stretches the load rests
 * for the collection of garbage.
 *
 * @param seconds of all stretches
 * @param every seconds of one
 */
export async function measureStretches (
  stage: Stage,
  seconds: number,
  every: number,
  tell: (stretch: Stretch) => void
): Promise<Stretch[]> {
  const { drive: how, clients, fill } = stage.workload
  const events = new Events(stage)
  if (fill !== undefined) await stage.server.call('fill', fill)
  await stage.connect(0, clients)
  await stage.quiet()
  await stage.reset()
  await drive(events, how, stage.times.warmup)
  await stage.quiet()
  await stage.server.call('collect')
  const stretches: Stretch[] = []
  for (let done = 0; done < seconds; done += every) {
    await stage.reset()
    events.due = 0
    const start = await stage.reading()
    await drive(events, how, Math.min(every, seconds - done) * 1_000)
    const end = await stage.reading()
    await stage.quiet()
    const reports = await stage.reports()
    const count = reports.reduce((sum, report) => sum + report.events, 0)
    if (count !== events.due) throw new Error(`${events.due} events were due, ${count} arrived`)
    const ms = end.at - start.at
    const used = end.user + end.system - start.user - start.system
    const { heap } = await stage.settled()
    const stretch: Stretch = {
      at: Math.min(done + every, seconds),
      perSecond: count / ms * 1_000,
      core: used / 1_000 / ms,
      others: cost(start, end, count).others,
      busy: busiest(reports),
      ...latenciesOf(reports),
      heap,
      rss: end.rss
    }
    stretches.push(stretch)
    tell(stretch)
  }
  return stretches
}
