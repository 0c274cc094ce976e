import type { Sample } from '../sample.js'
import { busiest, cost, type Stage } from '../stage.js'
import type { Drive } from '../workloads/types.js'
import { Events, sum } from './events.js'
import { latenciesOf } from './latencies.js'

/** What a server is warmed up with whose events come at a fixed rate: too few of them to have its code compiled. */
const BRISK: Drive = { kind: 'rounds', burst: 1, turns: 50 }
/** How much faster than what is measured a fixed rate is warmed up. */
const HASTE = 3

/** The same drive as long as nothing is measured. */
function warming (drive: Drive): Drive {
  if (drive.kind === 'rate') return BRISK
  return drive.kind === 'speak' && drive.perSecond !== undefined ? { ...drive, perSecond: drive.perSecond * HASTE } : drive
}

/** CPU, time, bytes and writes for one delivered event. */
export async function measureDelivery (stage: Stage): Promise<Sample> {
  const { drive, clients, fill } = stage.workload
  const { warmup } = stage.times
  const events = new Events(stage)
  if (fill !== undefined) await stage.server.call('fill', fill)
  await stage.connect(0, clients)
  await stage.quiet()
  // Frames of presence are as long as events, and counted as such.
  await stage.reset()
  await events.drive(warming(drive), warmup)
  await stage.quiet()
  await stage.server.call('collect')
  if (drive.kind === 'rate') {
    // Timers run at a rate only: their code, Node's and the drive's included, would be compiled while it is measured.
    await events.drive({ ...drive, perSecond: HASTE * drive.perSecond }, warmup)
    await stage.quiet()
  }
  await stage.reset()
  events.due = 0
  await stage.profile()
  const start = await stage.reading()
  await events.drive(drive, stage.measure)
  const end = await stage.reading()
  await stage.profiled()
  await stage.quiet()
  const reports = await stage.reports()
  const count = sum(reports.map((report) => report.events))
  if (count !== events.due) throw new Error(`${events.due} events were due, ${count} arrived`)
  return {
    ...cost(start, end, count),
    perSecond: count / (end.at - start.at) * 1_000,
    ...latenciesOf(reports),
    bytes: sum(reports.map((report) => report.bytes)) / count,
    syscalls: share(start.syscalls, end.syscalls, count),
    writes: share(start.writes, end.writes, count),
    loopDelay: end.loopDelay,
    busy: busiest(reports)
  }
}

function share (start: number | undefined, end: number | undefined, count: number): number | undefined {
  return start === undefined || end === undefined ? undefined : (end - start) / count
}
