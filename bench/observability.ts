/**
 * `npm run bench:observability -- [--pairs n] [--write]`: what it costs that messages can be traced and are counted in
 * histograms. One process serves the same loops in turns, with nobody listening and with OpenTelemetry at 1 %, many
 * times each; its members are in another process. With `--write` into `bench/OBSERVABILITY.md`.
 */
import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { describeMachine } from './machine.js'
import { measureGuards, type Guard } from './observability/guards.js'
import { LOOPS, startNode, type Loop, type Measured } from './observability/node.js'
import { createContexts, createTracing, type Observed } from './observability/tracing.js'
import { show } from './page.js'
import { figure, table } from './table.js'

const at = process.argv.indexOf('--pairs')
const PAIRS = at === -1 ? 40 : Number(process.argv[at + 1])
const SAMPLED = 0.01

/** CPU microseconds of one message: of this process, its own and the kernel's. */
async function slice (node: Measured): Promise<number> {
  const { loop } = node
  const before = process.cpuUsage()
  await loop.run(node, loop.slice)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / loop.slice
}

function middle (figures: readonly number[]): number {
  const sorted = [...figures].sort((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)]!
}

/** The median of many, and the bounds within which it lies by chance nineteen times of twenty. */
function estimate (figures: readonly number[]): { median: number, from: number, to: number } {
  const sorted = [...figures].sort((one, other) => one - other)
  const half = 0.98 * Math.sqrt(sorted.length)
  const pick = (index: number): number => sorted[Math.max(0, Math.min(sorted.length - 1, Math.round(index)))]!
  return {
    median: middle(sorted),
    from: pick(sorted.length / 2 - half),
    to: pick(sorted.length / 2 - 1 + half)
  }
}

interface Result {
  readonly loop: Loop
  readonly nobody: number
  /**
   * More CPU with tracing, with OpenTelemetry's contexts alone, with tracing where these are in use anyway, and between
   * two slices with nobody listening, in percent.
   */
  readonly traced: ReturnType<typeof estimate>
  readonly contexts: ReturnType<typeof estimate>
  readonly beside: ReturnType<typeof estimate>
  readonly chance: ReturnType<typeof estimate>
  readonly guards: readonly Guard[]
}

async function measure (loop: Loop): Promise<Result> {
  const node = await startNode(loop)
  const observed = async (begin: Observed): Promise<number> => {
    const end = begin()
    try {
      return await slice(node)
    } finally {
      end()
    }
  }
  const [tracing, contexts] = [createTracing(SAMPLED), createContexts(SAMPLED)]
  // The first messages cost what their code costs to be compiled, with and without subscribers.
  for (let each = 0; each < 4; each++) {
    await slice(node)
    await observed(contexts)
    await observed(tracing)
  }
  const nobody: number[] = []
  const more = { traced: [] as number[], contexts: [] as number[], beside: [] as number[], chance: [] as number[] }
  for (let pair = 0; pair < PAIRS; pair++) {
    // Those that are compared lie between two slices with nobody listening, and change places.
    const one = await slice(node)
    const first = await observed(pair % 2 === 0 ? tracing : contexts)
    const second = await observed(pair % 2 === 0 ? contexts : tracing)
    const again = await slice(node)
    const [traced, alone] = pair % 2 === 0 ? [first, second] : [second, first]
    const usual = (one + again) / 2
    nobody.push(one, again)
    more.traced.push((traced / usual - 1) * 100)
    more.contexts.push((alone / usual - 1) * 100)
    more.beside.push((traced / alone - 1) * 100)
    more.chance.push((again / one - 1) * 100)
    await delay(20)
  }
  const guards = await measureGuards(loop.slice, async (messages) => { await loop.run(node, messages) })
  node.crowd.end()
  await node.app.close()
  return {
    loop,
    nobody: middle(nobody),
    traced: estimate(more.traced),
    contexts: estimate(more.contexts),
    beside: estimate(more.beside),
    chance: estimate(more.chance),
    guards
  }
}

const percent = (value: number): string => `${value.toFixed(2)} %`
const range = ({ median, from, to }: ReturnType<typeof estimate>): string =>
  `${percent(median)} (${percent(from)} to ${percent(to)})`
const costOf = ({ perMessage, nanoseconds }: Guard): number => perMessage * nanoseconds

const load = loadavg()[0]!
const results: Result[] = []
for (const loop of LOOPS) results.push(await measure(loop))

show('OBSERVABILITY.md', [
  '# What it costs to be observed',
  '',
  `One process serves each loop in slices, in turns with nobody listening and with OpenTelemetry at ${SAMPLED * 100} % (its context manager, \`fastify-realtime/otel\`, a`,
  'batch processor whose exporter does nothing), with OpenTelemetry and its contexts in use while nothing of the plugin is traced, as in an app',
  'that traces its HTTP requests, and once more with nobody listening; the members are in another process. CPU is that of',
  `the server's process, its own and the kernel's. ${PAIRS} times; medians, with the bounds of 19 in 20. *By chance* is the last against the first: what`,
  'this machine takes for a difference where there is none.',
  '',
  ...describeMachine(),
  `Load average before the runs ${figure(load)}.`,
  '',
  table(
    [
      'loop', 'CPU µs per message, nobody listens', 'what the guards are of that', 'tracing at 1 %',
      'contexts in use, nothing traced', 'tracing where contexts are in use', 'by chance'
    ],
    results.map(({ loop, nobody, traced, contexts, beside, chance, guards }) => [
      loop.title,
      figure(nobody),
      `${figure(guards.reduce((sum, guard) => sum + costOf(guard), 0))} ns, ${percent(guards.reduce((sum, guard) => sum + costOf(guard), 0) / nobody / 10)}`,
      range(traced),
      range(contexts),
      range(beside),
      range(chance)
    ])
  ),
  '',
  'While nobody listens, a message meets what follows. How often was counted in a slice; one run was measured by itself, the least of five rounds',
  'of five million, since a difference of whole loops would be smaller than their noise.',
  '',
  table(
    ['what', 'ns', ...results.map(({ loop }) => `per message of ${loop.title.slice(0, 2)}`)],
    results[0]!.guards.map(({ what, nanoseconds }, index) => [
      what,
      figure(nanoseconds),
      ...results.map(({ guards }) => figure(guards[index]!.perMessage))
    ])
  ),
  '',
  'Print it anew: `npm run bench:observability -- --write`, about ten minutes.',
  ''
].join('\n'))
process.exit()
