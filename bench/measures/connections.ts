import { setTimeout as sleep } from 'node:timers/promises'
import type { Sample } from '../sample.js'
import { busiest, cost, type Stage } from '../stage.js'
import type { Drive } from '../workloads/types.js'
import { Events, sum } from './events.js'

type Of<K extends Drive['kind']> = Extract<Drive, { kind: K }>

/** CPU of an upgrade, and how many there are in a second. */
export async function measureUpgrades (stage: Stage, { before }: Of<'upgrades'>): Promise<Sample> {
  const { clients } = stage.workload
  await stage.connect(0, before)
  // No collection first: it would find no request alive, and take with the shapes of requests all code that was
  // compiled for them.
  await stage.reset()
  await stage.profile()
  const start = await stage.reading()
  const ms = await stage.connect(before, before + clients)
  const end = await stage.reading()
  await stage.profiled()
  return { ...cost(start, end, clients), perSecond: clients / ms * 1_000, busy: busiest(await stage.reports()) }
}

/** CPU of a client that comes back and is sent what it has missed. */
export async function measureResume (stage: Stage, { missed }: Of<'resume'>): Promise<Sample> {
  const { clients, rooms } = stage.workload
  const events = new Events(stage)
  await stage.connect(0, clients)
  // Where they are is what the last event says, so each has to have one.
  const first = events.arrived((members) => sum(members))
  await stage.server.call('fill', { rooms, events: 1 })
  await first
  await stage.leave(true)
  await stage.quiet()
  await stage.server.call('fill', { rooms, events: missed })
  await stage.reset()
  events.due = 0
  await stage.profile()
  const start = await stage.reading()
  const arrived = events.arrived((members) => missed * sum(members))
  const ms = await stage.connect(0, clients)
  await arrived
  const end = await stage.reading()
  await stage.profiled()
  await stage.quiet()
  const reports = await stage.reports()
  const count = sum(reports.map((report) => report.events))
  if (count !== events.due) throw new Error(`${events.due} missed events were due, ${count} arrived`)
  return {
    ...cost(start, end, clients),
    perSecond: clients / ms * 1_000,
    bytes: sum(reports.map((report) => report.bytes)) / clients,
    busy: busiest(reports)
  }
}

/** CPU of a member that joins another room and leaves it. */
export async function measureChurn (stage: Stage, { movers }: Of<'churn'>): Promise<Sample> {
  const { clients } = stage.workload
  const churn = async (ms: number): Promise<number> => sum(
    await stage.all(async (loader) => await loader.call('churn', { clients: movers, ms }))
  )
  await stage.connect(0, clients)
  await stage.quiet()
  await churn(stage.times.warmup)
  await stage.quiet()
  await stage.server.call('collect')
  await stage.reset()
  await stage.profile()
  const start = await stage.reading()
  const pairs = await churn(stage.measure)
  const end = await stage.reading()
  await stage.profiled()
  await stage.quiet()
  const reports = await stage.reports()
  return {
    ...cost(start, end, pairs),
    perSecond: pairs / (end.at - start.at) * 1_000,
    bytes: sum(reports.map((report) => report.bytes)) / pairs,
    busy: busiest(reports)
  }
}

/** Milliseconds from the start of the server's process until a client is admitted. */
export async function measureStart (stage: Stage): Promise<Sample> {
  await stage.reset()
  const start = performance.now()
  await stage.start()
  await stage.connect(0, 1)
  return { start: performance.now() - start }
}

/** Milliseconds after which connections that were just opened do nothing any more. */
const REST = 1_000

/** CPU of connections that only show that they are there. */
export async function measureBeats (stage: Stage, { heartbeat }: Of<'beats'>): Promise<Sample> {
  const { clients } = stage.workload
  await stage.connect(0, clients)
  await stage.server.call('collect')
  // It is never quiet: of so many polls there is always one whose time is over.
  await sleep(Math.min(REST, stage.measure))
  await stage.reset()
  await stage.profile()
  const start = await stage.reading()
  await sleep(stage.measure)
  const end = await stage.reading()
  await stage.profiled()
  const used = end.user + end.system - start.user - start.system
  const ms = end.at - start.at
  return { ...cost(start, end, clients * ms / heartbeat), core: used / 1_000 / ms }
}
