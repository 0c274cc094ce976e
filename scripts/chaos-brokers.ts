/**
 * `npm run chaos:brokers -- --adapter redis|redis-cluster|sentinel|nats|nats-cluster|all --fault <name>|all [--runs 1]
 * [--seed n] [--jobs 1] [--write]`: three node processes, clients on three transports that move between them, and one
 * fault of the broker or of the way to it; what came of it is counted. Adapters and faults may be lists, parted by
 * commas. `--jobs` tells so many stories at a time. `--write` puts the table into bench/BROKERS.md after each of them.
 * Ends with 1 when a promise was broken.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { describeMachine } from '../bench/machine.js'
import { ADAPTERS, missingServer, type AdapterName } from '../test/stories/brokers/broker.js'
import { FAULTS, type Fault } from '../test/stories/brokers/faults.js'
import { faultsOf, table } from '../test/stories/brokers/report.js'
import { tell, type Result } from '../test/stories/brokers/story.js'

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
    write: { type: 'boolean', default: false }
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
const left: Array<{ adapter: AdapterName, fault: Fault, reason: string }> = []
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

async function run (adapter: AdapterName, fault: Fault, own: number): Promise<Result> {
  const result = await begun(() => tell({ adapter, fault, seed: own }))
  const wrong = faultsOf(fault, result)
  const { counts: { heard, told, messages }, revocation, seconds } = result
  const figures = [
    `${heard} heard`, `${told} told`, `${result.again.length} again`, `${messages} messages`,
    `revoked after ${Math.round(revocation)} ms`, `${seconds.toFixed(1)} s`
  ].join(', ')
  console.log(`${wrong.length === 0 ? 'kept  ' : 'BROKEN'} ${adapter} ${fault.name} seed ${own}: ${figures}`)
  for (const line of wrong.slice(0, SHOWN)) console.log(`       ${line}`)
  if (wrong.length > SHOWN) console.log(`       and ${wrong.length - SHOWN} more`)
  if (wrong.length > 0) broken++
  return result
}

const planned: Array<{ readonly adapter: AdapterName, readonly fault: Fault, readonly results: Result[] }> = []
for (const adapter of adapters) {
  const missing = missingServer(adapter)
  for (const fault of faults) {
    const reason = missing === false ? fault.notFor?.(adapter) : missing
    if (reason === undefined) planned.push({ adapter, fault, results: [] })
    else {
      console.log(`n/a    ${adapter} ${fault.name}: ${reason}`)
      left.push({ adapter, fault, reason })
    }
  }
}
const turns = planned.flatMap((cell) => Array.from({ length: runs }, (_, n) => ({ ...cell, own: seed + n })))

/** Of what was told by now: a run that is ended before its time keeps what it had. */
function write (): void {
  const cells = planned.filter(({ results }) => results.length > 0)
  const told = cells.reduce((sum, { results }) => sum + results.length, 0)
  const lines = table(cells, left)
  const head = [
    '# Faults of brokers',
    '',
    '`npm run chaos:brokers -- --runs n --write`: three node processes behind one broker, clients on three',
    'transports that move between the nodes, a publisher for each room on each node, messages that are sent again',
    'until their outcome is known. Each row is one fault of the broker, of a node or of the way between them, and',
    'what was counted over its runs. Every column from `lost` on must be 0, but for those of the traffic and `again',
    'behind a gap`: an event that came twice to a client that had been told of a loss in between. `denied`: heard',
    'although its publisher was told that it would not be; `unheeded`: acked without an effect; `over` and `stuck`:',
    'connections above the limit of a room while the broker was there, and places that were not free again. A',
    'revocation may take 2 s through a blink; through other faults it is counted from their end.',
    '',
    ...describeMachine().map((line) => `${line}  `),
    `Runs of each: up to ${runs}, from seed ${seed}, ${jobs} at a time; ${broken} of ${told} broke a promise.`,
    '',
    ...lines,
    ''
  ]
  writeFileSync(new URL('../bench/BROKERS.md', import.meta.url), head.join('\n'))
}

async function work (): Promise<void> {
  for (let next = turns.shift(); next !== undefined; next = turns.shift()) {
    next.results.push(await run(next.adapter, next.fault, next.own))
    if (values.write) write()
  }
}

await Promise.all(Array.from({ length: jobs }, work))
console.log(`\n${table(planned, left).join('\n')}`)
process.exit(broken === 0 ? 0 : 1)
