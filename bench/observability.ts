/**
 * `npm run bench:observability -- [--pairs n] [--also /path/to/node] [--write]`: what it costs that messages can be
 * traced and are counted in histograms. One process serves the same loops in turns, with nobody listening, with
 * OpenTelemetry's contexts in use, and with spans of 1 % of the traces, many times each; its members are in another
 * process. `--also` does the same by another version of Node, whose contexts may cost something else. With `--write`
 * into `bench/OBSERVABILITY.md`.
 */
import { execFileSync } from 'node:child_process'
import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describeMachine } from './machine.js'
import { measureGuards, type Guard } from './observability/guards.js'
import { LOOPS, startNode, type Loop, type Measured } from './observability/node.js'
import { measureSteps, type Steps } from './observability/steps.js'
import { createContexts, createTracing, type Observed } from './observability/tracing.js'
import { show } from './page.js'
import { figure, table } from './table.js'

function option (name: string): string | undefined {
  const at = process.argv.indexOf(name)
  return at === -1 ? undefined : process.argv[at + 1]
}

const PAIRS = Number(option('--pairs') ?? 24)
const ALSO = option('--also')
/** Prints figures for the process that has asked for them, instead of a page. */
const isAsked = process.argv.includes('--figures')
/** Milliseconds after which a loop has been measured often enough: two versions of Node take ten minutes at most. */
const LONGEST = 120_000
const SAMPLED = 0.01

/** CPU microseconds of one message: of this process, its own and the kernel's. */
async function slice (node: Measured): Promise<number> {
  const { loop } = node
  const before = process.cpuUsage()
  await loop.run(node, loop.slice)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / loop.slice
}

interface Estimate { readonly median: number, readonly from: number, readonly to: number }

/** The median of many, and the bounds within which it lies by chance nineteen times of twenty. */
function estimate (figures: readonly number[]): Estimate {
  const sorted = [...figures].sort((one, other) => one - other)
  const half = 0.98 * Math.sqrt(sorted.length)
  const pick = (index: number): number => sorted[Math.max(0, Math.min(sorted.length - 1, Math.round(index)))]!
  return {
    median: pick(Math.floor(sorted.length / 2)),
    from: pick(sorted.length / 2 - half),
    to: pick(sorted.length / 2 - 1 + half)
  }
}

/** Ways to be observed, by what the page calls them. */
const WAYS: Readonly<Record<string, Observed>> = {
  contexts: createContexts(SAMPLED),
  ratio: createTracing(SAMPLED, true),
  sampler: createTracing(SAMPLED, false)
}
type Figures = Readonly<Record<keyof typeof WAYS, Estimate>>

interface Result {
  readonly title: string
  readonly pairs: number
  readonly nobody: number
  /** More CPU than with nobody listening, in percent. */
  readonly more: Figures
  /** More CPU than with the contexts alone. */
  readonly beside: Figures
  /** Between two slices with nobody listening. */
  readonly chance: Estimate
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
  // The first messages cost what their code costs to be compiled, with and without spans.
  for (let each = 0; each < 3; each++) {
    await slice(node)
    for (const way of Object.values(WAYS)) await observed(way)
  }
  const names = Object.keys(WAYS)
  const nobody: number[] = []
  const chance: number[] = []
  const empty = (): Record<string, number[]> => Object.fromEntries(names.map((name) => [name, []]))
  const [more, beside] = [empty(), empty()]
  const until = performance.now() + LONGEST
  for (let pair = 0; pair < PAIRS && performance.now() < until; pair++) {
    // Those that are compared lie between two slices with nobody listening, and change places.
    const one = await slice(node)
    const cpu: Record<string, number> = {}
    for (let place = 0; place < names.length; place++) {
      const name = names[(place + pair) % names.length]!
      cpu[name] = await observed(WAYS[name]!)
    }
    const again = await slice(node)
    nobody.push(one, again)
    chance.push((again / one - 1) * 100)
    for (const name of names) {
      more[name]!.push((cpu[name]! / ((one + again) / 2) - 1) * 100)
      beside[name]!.push((cpu[name]! / cpu.contexts! - 1) * 100)
    }
    await delay(20)
  }
  const guards = await measureGuards(loop.slice, async (messages) => { await loop.run(node, messages) })
  node.crowd.end()
  await node.app.close()
  const estimates = (of: Record<string, number[]>): Figures =>
    Object.fromEntries(names.map((name) => [name, estimate(of[name]!)]))
  return {
    title: loop.title,
    pairs: chance.length,
    nobody: estimate(nobody).median,
    more: estimates(more),
    beside: estimates(beside),
    chance: estimate(chance),
    guards
  }
}

/** What one version of Node was measured with. */
interface Run { readonly node: string, readonly results: readonly Result[], readonly steps: Steps }

/** Measures with another version of Node, in a process of its own. */
function measureWith (binary: string): Run {
  const args = ['--import', 'tsx', fileURLToPath(import.meta.url), '--pairs', `${PAIRS}`, '--figures']
  const text = execFileSync(binary, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], timeout: 600_000 })
  return JSON.parse(text) as Run
}

const percent = (value: number): string => `${value.toFixed(2)} %`
const range = ({ median, from, to }: Estimate): string => `${percent(median)} (${percent(from)} to ${percent(to)})`
const costOf = (guards: readonly Guard[]): number =>
  guards.reduce((sum, { perMessage, nanoseconds }) => sum + perMessage * nanoseconds, 0)

const load = loadavg()[0]!
const results: Result[] = []
for (const loop of LOOPS) results.push(await measure(loop))
const own: Run = {
  node: process.versions.node,
  results,
  steps: await measureSteps(WAYS.contexts!, WAYS.ratio!)
}
if (isAsked) {
  process.stdout.write(JSON.stringify(own))
  process.exit()
}
const runs = [own, ...(ALSO === undefined ? [] : [measureWith(ALSO)])]

show('OBSERVABILITY.md', [
  '# What it costs to be observed',
  '',
  'One process serves each loop in slices, in turns; its members are in another process.',
  '',
  '- *Nobody listens*: before and after the others.',
  '- *Contexts alone*: OpenTelemetry is in use, as in an app that traces its HTTP requests, and nothing of the plugin is traced. Its context manager',
  '  is an `AsyncLocalStorage`. Up to Node 22 that follows each promise and each write of the process; from Node 24 on it does not.',
  `- *Tracing at ${SAMPLED * 100} %*: the same with \`registerRealtimeInstrumentation({ sampleRatio: ${SAMPLED} })\` and a batch processor whose exporter does nothing.`,
  `- *By the SDK's sampler*: the same with \`registerRealtimeInstrumentation()\`, and ${SAMPLED * 100} % taken by \`ParentBasedSampler\` with \`TraceIdRatioBasedSampler\`, which is asked`,
  '  with a name and attributes for each message and each broadcast that begins a trace.',
  '',
  'CPU is that of the server\'s process, its own and the kernel\'s, against nobody who listens; *beside contexts* is against the contexts alone, and so',
  'what the plugin adds. Medians, with the bounds of 19 in 20. *By chance* is the last slice against the first: what this machine takes for a',
  'difference where there is none.',
  '',
  ...describeMachine(),
  `Load average before the runs ${figure(load)}.`,
  '',
  ...runs.flatMap((run) => run.results.flatMap(({ title, pairs, nobody, more, beside, chance }) => [
    `**${title}, Node ${run.node}**: ${figure(nobody)} CPU µs per message while nobody listens, ${pairs} rounds`,
    '',
    table(
      ['', 'more than nobody', 'beside contexts'],
      [
        ['contexts alone', range(more.contexts!), ''],
        [`tracing at ${SAMPLED * 100} %`, range(more.ratio!), range(beside.ratio!)],
        ['by the SDK\'s sampler', range(more.sampler!), range(beside.sampler!)],
        ['by chance', range(chance), '']
      ]
    ),
    ''
  ])),
  'What the plugin adds beside the contexts is smaller than what the loops show of it, so its steps were measured by themselves too, in turns with the same steps',
  `untraced: message, broadcast and delivery with ${SAMPLED * 100} % of the traces recorded, and nothing in between; the least of seven rounds of 200 000.`,
  '',
  table(
    ['', 'W1, µs per message', 'of the message', 'W3, µs per message', 'of the message'],
    runs.map(({ node, steps, results: [single, spoken] }) => [
      `Node ${node}`,
      figure(steps.broadcast),
      percent(steps.broadcast / single!.nobody * 100),
      figure(steps.message),
      percent(steps.message / spoken!.nobody * 100)
    ])
  ),
  '',
  'While nobody listens, a message meets what follows. How often was counted in a slice; one run was measured by itself, the least of five rounds',
  `of five million, since a difference of whole loops would be smaller than their noise. With Node ${own.node} it is ${results.map(({ title, nobody, guards }) => `${figure(costOf(guards))} ns of ${title.slice(0, 2)}, ${percent(costOf(guards) / nobody / 10)}`).join(', and ')}.`,
  '',
  table(
    ['what', 'ns', ...results.map(({ title }) => `per message of ${title.slice(0, 2)}`)],
    results[0]!.guards.map(({ what, nanoseconds }, index) => [
      what,
      figure(nanoseconds),
      ...results.map(({ guards }) => figure(guards[index]!.perMessage))
    ])
  ),
  '',
  'Print it anew: `npm run bench:observability -- --write --also /path/to/node`, at most ten minutes.',
  ''
].join('\n'))
process.exit()
