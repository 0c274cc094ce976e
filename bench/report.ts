import { readFileSync } from 'node:fs'
import { exact, KINDS } from './kinds.js'
import { describeMachine } from './machine.js'
import type { Options } from './options.js'
import { ALL, OURS } from './peers.js'
import type { Results } from './results.js'
import type { Metric } from './sample.js'
import { figure, range, table } from './table.js'
import type { Workload } from './workloads/types.js'

function workloadSection ({ id, title, drive }: Workload, results: Results): string {
  const { columns, unit } = KINDS[drive.kind]
  const rows = ALL.filter((peer) => results.has(id, peer.id)).map((peer) => [
    peer.title, ...columns.map(({ metric, format }) => range(results.spread(id, peer.id, metric), format))
  ])
  return `## ${id}: ${title}\n\n${unit}\n\n${table(['', ...columns.map((column) => column.title)], rows)}`
}

/** Columns of the cost curve: without what says the same in all of its rows. */
const CURVE = 7

function curveSection (workloads: readonly Workload[], results: Results): string {
  const columns = KINDS.rounds.columns.slice(0, CURVE)
  const rows = workloads.map(({ id, title }) => [
    title,
    ...columns.map(({ metric, format }) => range(results.spread(id, OURS, metric), format))
  ])
  return `## Cost curve\n\nfastify-realtime alone, single events, CPU per delivered event\n\n${table(['', ...columns.map(({ title }) => title)], rows)}`
}

/** Events that wait for a window cost less and come later: who reads the one reads the other. */
function nameOf ({ id, flush }: Workload, results: Results): string {
  const p50 = results.spread(id, OURS, 'p50')
  return flush === 0 || p50 === undefined ? id : `${id} (p50 ${figure(p50.median)} ms)`
}

function ratioRow (workload: Workload, results: Results): string[] {
  const { id, against, goal, loop, drive } = workload
  const { rated, isCost } = KINDS[drive.kind]
  const over = (peer: string, by: Metric, isBetter: boolean): string => {
    const [ours, theirs] = [[id, OURS], [against, peer]] as const
    return range(isBetter === isCost ? results.ratio(theirs, ours, by) : results.ratio(ours, theirs, by))
  }
  const aim = (value: number | undefined, word: string): string => value === undefined ? '' : `${word} ${value}`
  return [
    nameOf(workload, results),
    over('socketio', rated, true), aim(goal.socketio, 'at least'),
    range(results.ratio([against, 'socketio'], [id, OURS], 'user')), aim(goal.user, 'at least'),
    over('socketio-uws', rated, true),
    over('uws', rated, false), aim(goal.uws, 'at most'),
    over(loop, rated, false), aim(goal.loop, 'at most'),
    range(results.spread(id, OURS, 'writes'), exact), aim(goal.writes, 'at most')
  ]
}

function ratioSection (workloads: readonly Workload[], results: Results): string {
  const rows = workloads.map((workload) => ratioRow(workload, results))
  const head = [
    '',
    'socket.io / ours', 'aim',
    'the same, user CPU', 'aim',
    'socket.io on uWS / ours',
    'ours / uWS', 'aim',
    'ours / hand loop', 'aim',
    'our writes per event', 'aim'
  ]
  return [
    '## Ratios',
    'Of server CPU per delivered event, client that comes back, join with its leave, or heartbeat; M of memory; START of milliseconds; CLIENT of the CPU of clients; S of upgrades per second, the other way round. socket.io is on its default engine (`ws`) where nothing else is said. The hand loop is bare `ws`, and for what `ws` does not do what the section names.',
    table(head, rows)
  ].join('\n\n')
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
