import t from 'tap'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { runChaos } from '../chaos/run.js'
import { matchList } from '../helpers/match-list.js'
import { missing, startRedis } from '../helpers/servers.js'

t.test(
  'clients on all transports lose nothing, get nothing twice and everything in order while links and server fail',
  {
    skip: missing('redis-server')
  },
  async (t) => {
    const { url } = await startRedis(t)
    const { faults, isSettled, ...counts } = await runChaos({
      seconds: 8,
      events: 20,
      clients: 50,
      seed: 7,
      adapter: () => redis({ url }),
      log: (line) => { t.comment(line) }
    })
    matchList(t, counts, { rejected: [], lost: 0, duplicated: 0, reordered: 0 })
    t.equal(counts.acked, counts.sent)
    t.equal(counts.applied, counts.sent)
    t.ok(isSettled)
    t.ok(faults.cuts > 0 && faults.stalls > 0 && faults.dead > 0 && faults.restarts > 0, JSON.stringify(faults))
    t.ok(counts.delivered > 1_000, `${counts.delivered} events`)
  }
)
