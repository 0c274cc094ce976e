import t from 'tap'
import { nats } from '../../lib/adapters/nats.js'
import { missing, startNats, type Server } from '../helpers/servers.js'
import { across, moving } from './across.js'
import type { Ground } from './client.js'
import { readers } from './readers.js'
import { recovery } from './scenarios.js'

const reason = missing('nats-server')
if (reason !== false) t.plan(0, reason)
else {
  let server: Promise<Server> | undefined
  let count = 0
  const one: Ground = {
    name: 'nats',
    nodes: 1,
    make: async () => {
      const { url } = await (server ??= startNats(t))
      const prefix = `test${++count}`
      return () => nats({ url, prefix })
    },
    run: { events: 2_000, cuts: 60 },
    isAtOnce: false,
    isDense: false,
    isCounted: false,
    patience: 2_000
  }
  const two: Ground = { ...one, name: 'nats, two nodes', nodes: 2 }
  recovery(one)
  readers(one)
  recovery(two)
  across(two)
  moving(two)
}
