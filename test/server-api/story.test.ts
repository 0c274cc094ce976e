import { existsSync } from 'node:fs'
import t from 'tap'
import { missing } from '../helpers/servers.js'
import { GATEWAY, tell } from './story.js'

t.test(
  'what Python publishes is there once and in order, through links that are cut and a gateway that is killed twice',
  { skip: existsSync(GATEWAY) ? missing('redis-server', 'python3') : 'dist is not built: npm run build' },
  async (t) => {
    const { faults, cuts, kills, connections } = await tell(t, { rooms: 4, events: 100, kills: 2 })
    t.same(faults, [])
    t.equal(kills, 2)
    t.ok(cuts > 30, `${cuts} of ${connections} connections were cut`)
  }
)
