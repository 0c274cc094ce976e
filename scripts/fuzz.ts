/**
 * `npm run fuzz -- [--seconds 60] [--seed n]`: hostile frames, bytes, requests and broker messages against a server
 * with well-behaved peers on it, then for a third of that time hostile messages between workers and their primary. Ends
 * with 1 when anything threw, logged an error, kept anything, or harmed one of the well-behaved. Without `redis-server`
 * no broker messages are sent.
 */
import { parseArgs } from 'node:util'
import { runFuzz } from '../test/fuzz/run.js'
import { fuzzWorkers } from '../test/fuzz/workers.js'
import { Random } from '../test/helpers/random.js'
import { missing, startRedis } from '../test/helpers/servers.js'
import { verdictOf } from '../test/fuzz/verdict.js'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } } })
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const teardowns: Array<() => unknown> = []
const without = missing('redis-server')
if (without !== false) console.log(`${without}: no messages of a broker are sent`)
const server = without === false ? await startRedis({ teardown: (callback) => teardowns.push(callback) }) : undefined
console.log(`seed ${seed}`)
const result = await runFuzz({
  seconds: Number(values.seconds),
  seed,
  redis: server?.url,
  log: (line) => { console.log(line) }
})
for (const fault of result.faults.slice(0, 10)) console.log(`fault: ${fault}`)
for (const harm of result.harmed.slice(0, 10)) console.log(`harm: ${harm}`)
const { faults, harmed, sent, ledger, heap, handles, ...counts } = result
console.table({
  ...sent,
  faults: faults.length,
  harmed: harmed.length,
  ...counts,
  'heap before, MB': heap[0] / 1e6,
  'heap after, MB': heap[1] / 1e6,
  'handles before': handles[0],
  'handles after': handles[1]
})
console.log(`ledger ${JSON.stringify(ledger)}`)
const broken = verdictOf(result)
const end = Date.now() + Number(values.seconds) * 1_000 / 3
const { faults: thrown, harmed: hurt, ...workers } = await fuzzWorkers(new Random(seed), () => Date.now() > end)
console.log(`between workers: ${JSON.stringify(workers)}`)
for (const fault of [...thrown, ...hurt].slice(0, 10)) console.log(`fault: ${fault}`)
if (thrown.length + hurt.length > 0) broken.push(`${thrown.length} faults and ${hurt.length} harms between workers`)
for (const line of broken) console.log(line)
console.log(broken.length === 0 ? 'no crash, no leak, nobody harmed' : 'promises were broken')
for (const teardown of teardowns) await teardown()
process.exit(broken.length === 0 ? 0 : 1)
