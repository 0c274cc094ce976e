/**
 * The longest turns of the event loop at population size, of several runs.
 *
 * `npm run bench:turns -- [connections] [--runs n] [--write]`; with `--write` into `bench/TURNS.md`
 */
import { spawnSync } from 'node:child_process'
import { loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describeMachine } from './machine.js'
import { show } from './page.js'
import { figure, table } from './table.js'
import type { Run } from './turns/run.js'

const given = process.argv.slice(2)
const at = given.indexOf('--runs')
const runs = at === -1 ? 5 : Number(given[at + 1])
const connections = given.find((argument, index) => /^\d+$/.test(argument) && index !== at + 1)

function runOnce (): Run {
  const { stdout, status } = spawnSync(process.execPath, [
    ...process.execArgv,
    fileURLToPath(new URL('turns/run.ts', import.meta.url)),
    ...(connections === undefined ? [] : [connections])
  ], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1e8 })
  if (status !== 0) throw new Error(`a run ended with ${status}`)
  return JSON.parse(stdout) as Run
}

function middle (figures: readonly number[]): number {
  return [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)]!
}

const load = loadavg()[0]!
const all = Array.from({ length: runs }, runOnce)
const [first] = all
const rows = first!.rows.map(({ what }, index) => {
  const of = (key: 'own' | 'longest' | 'cpu'): number[] => all.map((run) => run.rows[index]![key])
  const own = of('own')
  return [
    what,
    ...[Math.min(...own), middle(own), Math.max(...own)].map((ms) => `${figure(ms)} ms`),
    `${figure(middle(of('longest')))} ms`,
    `${figure(middle(of('cpu')))} ms`
  ]
})

show('TURNS.md', [
  '# The longest turn of the event loop',
  '',
  `${figure(first!.rooms)} rooms, ${figure(first!.connections)} users with one connection each, in ${first!.roomsEach} rooms and in \`@all\`; in one process, on`,
  'links that take everything, since that many sockets do not fit into the descriptors of one process. A turn counts what its thread had of the',
  'processor. The collector marks in its pauses alone (`--no-incremental-marking`), so that the first columns are without its work.',
  '',
  `${runs} runs. What a call costs because there are many rooms, users or connections, it costs in each of them: the least says that. What is`,
  'above it in single runs is the machine, whose kernel counts the processor in ticks of 4 ms and takes it away for others.',
  '',
  ...describeMachine(),
  `Load average before the runs ${figure(load)}.`,
  '',
  `Heap: ${figure(first!.empty)} MiB without connections, ${figure(first!.full)} MiB with all.`,
  '',
  table(['what', 'longest turn, least', 'median', 'most', 'with garbage collection, median', 'CPU, median'], rows),
  '',
  'What is offered to the members of a room is the one thing in proportion to their number. To more than 4 096 it is offered in slices of 1.5 ms;',
  'the writes that it makes go in slices of 3 ms.',
  '',
  'Print it anew: `npm run bench:turns -- --write`.',
  ''
].join('\n'))
