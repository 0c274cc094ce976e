/**
 * `npm run chaos:brokers -- --adapter redis|redis-cluster|sentinel|nats|nats-cluster|all --fault <name>|all [--runs 1]
 * [--seed n] [--jobs 1] [--write] [--fill]`: three node processes, clients on three transports that move between them,
 * and one fault of the broker or of the way to it; what came of it is counted. Adapters and faults may be lists, parted
 * by commas. `--jobs` tells so many stories at a time. `--write` adds each to bench/brokers.json and writes the table
 * of them all into bench/BROKERS.md, so that many runs can be gathered in parts; with `--fill` each cell is run until
 * it has so many of this state there. Ends with 1 when a promise was broken.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { describeMachine } from '../bench/machine.js'
import { ADAPTERS, missingServer, type AdapterName } from '../test/stories/brokers/broker.js'
import { FAULTS, type Fault } from '../test/stories/brokers/faults.js'
import { LibState } from '../test/stories/brokers/digest.js'
import { faultsOf, table, type Left } from '../test/stories/brokers/report.js'
import { Results, runOf, type Run } from '../test/stories/brokers/results.js'
import { tell } from '../test/stories/brokers/story.js'

/** Lines that are shown of one run that failed. */
const SHOWN = 12
/** Times that a story is begun. */
const TRIES = 4

const { values } = parseArgs({
  options: {
    adapter: { type: 'string', default: 'all' },
    fault: { type: 'string', default: 'all' },
    runs: { type: 'string', default: '1' },
    seed: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
    fill: { type: 'boolean', default: false }
  }
})

function chosen<T> (name: string, given: string, all: readonly T[], nameOf: (item: T) => string): T[] {
  const wanted = given.split(',')
  const unknown = wanted.find((each) => each !== 'all' && !all.some((item) => nameOf(item) === each))
  if (unknown !== undefined) throw new Error(`--${name} ${unknown} is none of ${all.map(nameOf).join(', ')}, all`)
  return given === 'all' ? [...all] : all.filter((item) => wanted.includes(nameOf(item)))
}

const adapters = chosen('adapter', values.adapter, ADAPTERS, (adapter) => adapter)
const faults = chosen('fault', values.fault, FAULTS, ({ name }) => name)
const runs = Number(values.runs)
const jobs = Number(values.jobs)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const lib = await LibState.read()
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
const results = new Results(new URL('../bench/brokers.json', import.meta.url), lib)
let broken = 0

/** A machine that is busy may not get the servers and nodes to stand: then the story is told again. */
async function begun<T> (story: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await story()
    } catch (error) {
      console.log(`       once more: ${String(error).split('\n').slice(0, 3).join(' ')}`)
      if (tries === TRIES) throw error
    }
  }
}

async function run (adapter: AdapterName, fault: Fault, own: number): Promise<Run> {
  const result = await begun(() => tell({ adapter, fault, seed: own }))
  const wrong = faultsOf(fault, result)
  const { counts: { heard, told, messages }, revocation, seconds } = result
  const load = Math.round(loadavg()[0]! / cpus().length * 10) / 10
  const figures = [
    `${heard} heard`, `${told} told`, `${result.again.length} again`, `${messages} messages`,
    `revoked after ${Math.round(revocation)} ms`, `${seconds.toFixed(1)} s`, `load ${load}`
  ].join(', ')
  console.log(`${wrong.length === 0 ? 'kept  ' : 'BROKEN'} ${adapter} ${fault.name} seed ${own}: ${figures}`)
  for (const line of wrong.slice(0, SHOWN)) console.log(`       ${line}`)
  if (wrong.length > SHOWN) console.log(`       and ${wrong.length - SHOWN} more`)
  if (wrong.length > 0) broken++
  return runOf(fault, result, { adapter, seed: own, lib: lib.of(adapter), commit, load })
}

const left: Left[] = []
const planned: Array<{ readonly adapter: AdapterName, readonly fault: Fault }> = []
for (const adapter of adapters) {
  const missing = missingServer(adapter)
  for (const fault of faults) {
    const reason = missing === false ? fault.notFor?.(adapter) : missing
    if (reason === undefined) planned.push({ adapter, fault })
    else {
      if (adapters.length * faults.length < ADAPTERS.length * FAULTS.length) {
        console.log(`n/a    ${adapter} ${fault.name}: ${reason}`)
      }
      left.push({ adapter, fault, reason })
    }
  }
}
// One of each cell before the next of any: what is ended before its time has been everywhere.
const known = values.fill ? results.all.filter((each) => lib.has(each)) : []
const turns = Array.from({ length: runs }, (_, n) => {
  const due = planned.filter(({ adapter, fault }) => {
    return known.filter((each) => each.adapter === adapter && each.fault === fault.name).length <= n
  })
  return due.map((cell) => ({ ...cell, own: seed + n }))
}).flat()

/** Of what was told by now: a run that is ended before its time keeps what it had. */
function write (): void {
  const all = results.all
  const inapplicable = ADAPTERS.flatMap((adapter) => FAULTS.flatMap((fault) => {
    const reason = fault.notFor?.(adapter)
    return reason === undefined ? [] : [{ adapter, fault, reason }]
  }))
  const kept = all.filter((each) => Object.keys(each.broken).length === 0).length
  const present = all.filter((each) => lib.has(each)).length
  const head = [
    '# Faults of brokers',
    '',
    '`npm run chaos:brokers -- --runs n --write`: three node processes behind one broker, clients on three',
    'transports that move between the nodes, a publisher for each room on each node, messages that are sent again',
    'until their outcome is known. Each row is one fault of the broker, of a node or of the way between them, and',
    'what was counted over its newest 20 runs, or more where there are more of this state of `lib/`. `before`: how',
    'many of the older ones were kept. `told`: gaps, and resumes answered with false. `again behind a gap`: events that',
    'came twice to a client that had been told of a loss in between. `revoked after`: the slowest of three users of a',
    'run, its middle and its most over the runs; 2 s are allowed through a blink, and through other faults it is',
    'counted from their end. `load`: processes that wanted to run for each core. The last column names what was broken',
    'and how often: `lost` unsaid, `doubled`, `reordered`, `foreign` (of a room that the client is not in), `denied`',
    '(heard although its publisher was told that it would not be), `stale` (a value that is not the newest), `twice`',
    '(a message that took effect twice), `unheeded` (acked without an effect), `flaps` and `ghosts` of presence,',
    '`over` and `stuck` (connections above the limit of a room while the broker was there, places that were not free',
    'again), `revocation` (later than 2 s), `broken` (the run did not come to its end).',
    '',
    `Each run is in [brokers.json](brokers.json): ${kept} of ${all.length} kept every promise, ${present} of them of this state of what`,
    'nodes run of `lib/`. `--write` adds to them; of older states it keeps the newest. The column `load` says how busy',
    'the machine was; it is not by itself the cause of what was broken.',
    '',
    ...describeMachine().map((line) => `${line}  `),
    '',
    ...table(all, inapplicable, lib),
    ''
  ]
  writeFileSync(new URL('../bench/BROKERS.md', import.meta.url), head.join('\n'))
}

const done: Run[] = []

async function work (): Promise<void> {
  for (let next = turns.shift(); next !== undefined; next = turns.shift()) {
    const told = await run(next.adapter, next.fault, next.own)
    done.push(told)
    if (!values.write) continue
    results.add(told)
    write()
  }
}

const began = performance.now()
await Promise.all(Array.from({ length: jobs }, work))
const minutes = (performance.now() - began) / 60_000
// Also where nothing was due: the state of lib may be another one than when the table was written.
if (values.write) write()
console.log(`\n${table(done, left, lib).join('\n')}`)
console.log(`\n${done.length} runs in ${minutes.toFixed(1)} minutes, ${broken} of them broke a promise`)
process.exit(broken === 0 ? 0 : 1)
