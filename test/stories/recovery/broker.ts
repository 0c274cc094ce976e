import t from 'tap'
import type { Adapter } from '../../../lib/adapters/adapter.js'
import { missing, type Server, type Teardown } from '../../helpers/servers.js'
import { across, moving } from './across.js'
import type { Ground } from './client.js'
import { readers } from './readers.js'
import { recovery } from './scenarios.js'

export interface Broker extends Pick<Ground, 'name' | 'isDense' | 'isCounted'> {
  readonly program: string
  readonly start: (t: Teardown) => Promise<Server>
  readonly adapter: (url: string, prefix: string) => Adapter
}

/** All of it on one server, each test with names of its own; then on two nodes. */
export function onBroker ({ name, isDense, isCounted, program, start, adapter }: Broker): void {
  const reason = missing(program)
  if (reason !== false) {
    t.plan(0, reason)
    return
  }
  let server: Promise<Server> | undefined
  let count = 0
  const one: Ground = {
    name,
    nodes: 1,
    make: async () => {
      const { url } = await (server ??= start(t))
      const prefix = `test${++count}`
      return () => adapter(url, prefix)
    },
    run: { events: 2_000, cuts: 60 },
    isAtOnce: false,
    isDense,
    isCounted,
    patience: 2_000
  }
  const two: Ground = { ...one, name: `${name}, two nodes`, nodes: 2 }
  recovery(one)
  readers(one)
  recovery(two)
  across(two)
  moving(two)
}
