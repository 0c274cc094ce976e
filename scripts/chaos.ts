/**
 * `npm run chaos -- [--seconds 60] [--clients 50] [--seed n]`: clients on all transports while links and server fail.
 * Ends with 1 when anything was lost, duplicated or reordered, or a send was refused. With `redis-server` installed the
 * server is restarted too.
 *
 * `npm run chaos -- --streams [--adapter redis|nats] [--tokens 2000] [--rate 50] [--readers 60] [--seed n]`: readers of
 * texts that grow, on nodes that share a broker. Ends with 1 when a reader does not have each text whole or is not told
 * that one is lost, when one who joins late is sent more than 1.1 times the text, or when the broker is called more
 * than once for each flush.
 */
import { parseArgs } from 'node:util'
import { redis } from '../lib/adapters/redis/adapter.js'
import { runStreams } from '../test/chaos/streams.js'
import { runChaos } from '../test/chaos/run.js'
import { missing, startNats, startRedis } from '../test/helpers/servers.js'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    clients: { type: 'string', default: '50' },
    seed: { type: 'string' },
    streams: { type: 'boolean', default: false },
    adapter: { type: 'string', default: 'redis' },
    tokens: { type: 'string', default: '2000' },
    rate: { type: 'string', default: '50' },
    readers: { type: 'string', default: '60' }
  }
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const teardowns: Array<() => unknown> = []
if (values.streams) await streams()
const without = missing('redis-server')
if (without !== false) console.log(`${without}: the server is not restarted, its rooms would not live through it`)
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

async function streams (): Promise<never> {
  const isNats = values.adapter === 'nats'
  if (!isNats && values.adapter !== 'redis') throw new Error('--adapter is redis or nats')
  const without = missing(isNats ? 'nats-server' : 'redis-server')
  if (without !== false) throw new Error(without)
  console.log(`seed ${seed}`)
  const t = { teardown: (callback: () => unknown) => teardowns.push(callback) }
  const broker = isNats ? await startNats(t) : await startRedis(t, '--appendonly', 'yes')
  const { different, faults, ...figures } = await runStreams({
    tokens: Number(values.tokens),
    rate: Number(values.rate),
    readers: Number(values.readers),
    seed,
    broker,
    log: (line) => { console.log(line) }
  })
  for (const each of different.slice(0, 10)) console.log(each)
  console.table({ ...figures, lossAfter: figures.lossAfter.join(' and '), ...faults })
  for (const teardown of teardowns) await teardown()
  const { toldOfLoss, lateRatio, stepsPerFlush } = figures
  const areTold = different.length === 0 && toldOfLoss === Number(values.readers)
  const isKept = areTold && lateRatio <= 1.1 && stepsPerFlush <= 1
  console.log(isKept ? 'every reader has every text whole' : 'promises were broken')
  process.exit(isKept ? 0 : 1)
}
