/**
 * `npm run chaos -- [--seconds 60] [--clients 50] [--seed n]`: clients on all transports while links and server fail.
 * Ends with 1 when anything was lost, duplicated or reordered, or a send was refused. With `redis-server` installed the
 * server is restarted too.
 *
 * `npm run chaos -- --streams [--tokens 2000] [--rate 50] [--readers 60] [--seed n]`: readers of texts that grow, on
 * three nodes with Redis. Ends with 1 when a reader does not have each text whole, when one who joins late is sent more
 * than 1.1 times the text, or when the broker is called more than once for each flush.
 */
import { parseArgs } from 'node:util'
import { redis } from '../lib/adapters/redis/adapter.js'
import { runStreams } from '../test/chaos/streams.js'
import { runChaos } from '../test/chaos/run.js'
import { missing, startRedis } from '../test/helpers/servers.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '50' },
    seed: { type: 'string' },
    streams: { type: 'boolean', default: false },
    tokens: { type: 'string', default: '2000' },
    rate: { type: 'string', default: '50' },
    readers: { type: 'string', default: '60' }
  }
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const teardowns: Array<() => unknown> = []
const without = missing('redis-server')
if (without !== false) console.log(`${without}: the server is not restarted, its rooms would not live through it`)
if (values.streams) {
  if (without !== false) throw new Error(without)
  console.log(`seed ${seed}`)
  const redisServer = await startRedis({ teardown: (callback) => teardowns.push(callback) }, '--appendonly', 'yes')
  const { different, faults, ...figures } = await runStreams({
    tokens: Number(values.tokens),
    rate: Number(values.rate),
    readers: Number(values.readers),
    seed,
    redis: redisServer,
    log: (line) => { console.log(line) }
  })
  for (const each of different.slice(0, 10)) console.log(each)
  console.table({ ...figures, ...faults })
  for (const teardown of teardowns) await teardown()
  const isKept = different.length === 0 && figures.lateRatio <= 1.1 && figures.stepsPerFlush <= 1
  console.log(isKept ? 'every reader has every text whole' : 'promises were broken')
  process.exit(isKept ? 0 : 1)
}
const server = without === false ? await startRedis({ teardown: (callback) => teardowns.push(callback) }) : undefined
console.log(`seed ${seed}`)
const { faults, isSettled, rejected, ...counts } = await runChaos({
  seconds: Number(values.seconds),
  clients: Number(values.clients),
  seed,
  adapter: server && (() => redis({ url: server.url })),
  log: (line) => { console.log(line) }
})
for (const reason of rejected.slice(0, 10)) console.log(`rejected: ${reason}`)
console.table({ ...counts, rejected: rejected.length, ...faults })
for (const teardown of teardowns) await teardown()
const isKept = isSettled && rejected.length + counts.lost + counts.duplicated + counts.reordered === 0
console.log(isKept ? 'nothing was lost, duplicated or reordered' : 'promises were broken')
process.exit(isKept ? 0 : 1)
