import { readFileSync } from 'node:fs'
import { describeMachine } from './machine.js'
import type { Options } from './options.js'
import { ALL, OURS } from './peers.js'
import type { Results } from './results.js'
import type { Metric } from './sample.js'
import { figure, range, table } from './table.js'
import type { Workload } from './workloads.js'

interface Column { readonly title: string, readonly metric: Metric, readonly format?: (value: number) => string }

const kibibytes = (bytes: number): string => figure(bytes / 1_024)
const percent = (share: number): string => `${Math.round(share * 100)} %`
const exact = (value: number): string => value.toFixed(3)

const CPU: readonly Column[] = [
  { title: 'CPU µs', metric: 'cpu' },
  { title: 'user µs', metric: 'user' },
  { title: 'system µs', metric: 'system' }
]
const DELIVERY: readonly Column[] = [
  ...CPU,
  { title: 'events/s', metric: 'perSecond' },
  { title: 'p50 ms', metric: 'p50' },
  { title: 'p99 ms', metric: 'p99' },
  { title: 'writes (kernel)', metric: 'syscalls', format: exact },
  { title: 'writes (own count)', metric: 'writes', format: exact },
  { title: 'loop p99 ms', metric: 'loopDelay' },
  { title: 'load', metric: 'busy', format: percent },
  { title: 'others', metric: 'others', format: percent }
]
const UPGRADES: readonly Column[] = [
  ...CPU,
  { title: 'upgrades/s', metric: 'perSecond' },
  { title: 'load', metric: 'busy', format: percent },
  { title: 'others', metric: 'others', format: percent }
]
const IDLE: readonly Column[] = [
  { title: 'RSS KiB', metric: 'memory', format: kibibytes },
  { title: 'of it heap and buffers KiB', metric: 'heap', format: kibibytes }
]

function columnsOf ({ drive }: Workload): readonly Column[] {
  return drive.kind === 'idle' ? IDLE : drive.kind === 'upgrades' ? UPGRADES : DELIVERY
}

function unitOf ({ drive }: Workload): string {
  return drive.kind === 'idle'
    ? 'per connection'
    : drive.kind === 'upgrades' ? 'CPU per upgrade' : 'CPU and writes per delivered event'
}

function workloadSection (workload: Workload, results: Results): string {
  const columns = columnsOf(workload)
  const rows = ALL.filter(({ id }) => results.has(workload.id, id)).map(({ id, title }) => [
    title, ...columns.map(({ metric, format }) => range(results.spread(workload.id, id, metric), format))
  ])
  return `## ${workload.id}: ${workload.title}\n\n${unitOf(workload)}\n\n${table(['', ...columns.map(({ title }) => title)], rows)}`
}

function curveSection (workloads: readonly Workload[], results: Results): string {
  const columns = DELIVERY.slice(0, 6)
  const rows = workloads.map(({ id, title }) => [
    title,
    ...columns.map(({ metric, format }) => range(results.spread(id, OURS, metric), format))
  ])
  return `## Cost curve\n\nfastify-realtime alone, single events, CPU per delivered event\n\n${table(['', ...columns.map(({ title }) => title)], rows)}`
}

/** The figure that two peers are held against each other by, and whether a smaller one is better. */
function rated ({ drive }: Workload): { metric: Metric, isCost: boolean } {
  if (drive.kind === 'idle') return { metric: 'memory', isCost: true }
  if (drive.kind === 'upgrades') return { metric: 'perSecond', isCost: false }
  return { metric: 'cpu', isCost: true }
}

function ratioRow (workload: Workload, results: Results): string[] {
  const { id, against, goal } = workload
  const { metric, isCost } = rated(workload)
  const over = (peer: string, by: Metric, isBetter: boolean): string => {
    const [ours, theirs] = [[id, OURS], [against, peer]] as const
    return range(isBetter === isCost ? results.ratio(theirs, ours, by) : results.ratio(ours, theirs, by))
  }
  const aim = (value: number | undefined, word: string): string => value === undefined ? '' : `${word} ${value}`
  return [
    id,
    over('socketio', metric, true), aim(goal.socketio, 'at least'),
    workload.drive.kind === 'idle'
      ? '-'
      : range(results.ratio([against, 'socketio'], [id, OURS], 'user')), aim(goal.user, 'at least'),
    over('uws', metric, false), aim(goal.uws, 'at most'),
    range(results.spread(id, OURS, 'writes'), exact), aim(goal.writes, 'at most')
  ]
}

function ratioSection (workloads: readonly Workload[], results: Results): string {
  const rows = workloads.map((workload) => ratioRow(workload, results))
  const head = [
    '', 'socket.io / ours', 'aim', 'the same, user CPU', 'aim', 'ours / uWS', 'aim', 'our writes per event', 'aim'
  ]
  return `## Ratios\n\nOf server CPU per delivered event; M of memory per connection; S of upgrades per second, the other way round.\n\n${table(head, rows)}`
}

export function report (workloads: readonly Workload[], results: Results, options: Options): string {
  const measured = workloads.filter(({ id }) => ALL.some((peer) => results.has(id, peer.id)))
  const curve = measured.filter(({ group }) => group === 'curve')
  const compared = measured.filter(({ group }) => group !== 'curve')
  const versions = ALL.filter(({ id }) => results.versions.has(id))
    .map(({ id, title }) => `${title}: ${results.versions.get(id)!}`)
  const notes = [...results.notes, ...[...results.failures].map(([cell, reason]) => `${cell} failed: ${reason}`)]
  return [
    '# Results',
    [
      ...describeMachine(),
      `${options.mode} run, ${options.repeat === 1 ? 'one repetition' : `${options.repeat} interleaved repetitions: median (smallest to largest)`}`
    ].join('  \n'),
    versions.map((line) => `- ${line}`).join('\n'),
    ...(notes.length === 0 ? [] : [notes.map((line) => `- ${line}`).join('\n')]),
    ...(compared.length === 0 ? [] : [ratioSection(compared, results)]),
    ...compared.map((workload) => workloadSection(workload, results)),
    ...(curve.length === 0 ? [] : [curveSection(curve, results)]),
    ...(options.isWritten ? [readFileSync(new URL('REMAINING.md', import.meta.url), 'utf8').trim()] : [])
  ].join('\n\n') + '\n'
}
