import type { Sample } from '../sample.js'
import type { Stage } from '../stage.js'
import type { Drive } from '../workloads/types.js'
import { Events, sum } from './events.js'

/** CPU of a client for one event, by the library of the peer. */
export async function measureLibrary (stage: Stage, drive: Extract<Drive, { kind: 'library' }>): Promise<Sample> {
  const events = new Events(stage)
  await stage.connect(0, stage.workload.clients)
  await stage.quiet()
  await events.drive(drive, stage.times.warmup)
  await stage.quiet()
  await stage.reset()
  const start = performance.now()
  await events.drive(drive, stage.measure)
  const ms = performance.now() - start
  const reports = await stage.reports()
  const count = sum(reports.map((report) => report.events))
  return { cpu: sum(reports.map((report) => report.cpu)) / count, perSecond: count / ms * 1_000 }
}
