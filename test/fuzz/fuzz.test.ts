import t from 'tap'
import { runFuzz } from './run.js'
import { fuzzWorkers } from './workers.js'
import { verdictOf } from './verdict.js'
import { Random } from '../helpers/random.js'
import { missing, startRedis } from '../helpers/servers.js'

for (const [seed, adapter] of [[1, 'memory'], [2, 'redis']] as const) {
  const skip = adapter === 'redis' && missing('redis-server')
  t.test(
    `hostile frames, bytes, requests and broker messages harm nobody and leave nothing behind, on ${adapter}`,
    { skip },
    async (t) => {
      const server = adapter === 'redis' ? await startRedis(t) : undefined
      const result = await runFuzz({ seconds: 6, seed, redis: server?.url, log: (line) => { t.comment(line) } })
      t.same([...result.faults.slice(0, 5), ...result.harmed.slice(0, 5)], [])
      t.same(verdictOf(result), [])
      for (const kind of ['frames', 'raw frames', 'requests']) {
        t.ok(result.sent[kind]! > 20, `${String(result.sent[kind])} ${kind}`)
      }
      t.ok(result.acked > 20 && result.heard > 20, `${result.acked} acked, ${result.heard} heard`)
    }
  )
}

t.test('the primary of workers survives whatever a worker says, a worker whatever the primary says, and other workers hear nothing of it', async (t) => {
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => { clearInterval(alive) })
  const end = Date.now() + 4_000
  const { sent, faults, harmed, heard, undecodable, nodes } = await fuzzWorkers(new Random(3), () => Date.now() > end)
  t.same([...faults.slice(0, 5), ...harmed.slice(0, 5)], [])
  for (const [kind, count] of Object.entries(sent)) t.ok(count > 500, `${count} ${kind}`)
  t.ok(heard > 10 && undecodable > 500, `${heard} heard, ${undecodable} undecodable`)
  t.equal(nodes, 2, 'the attackers have gone')
})
