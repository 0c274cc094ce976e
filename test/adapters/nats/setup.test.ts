import t from 'tap'
import type { NatsLink } from '../../../lib/adapters/nats/link.js'
import { NatsSetup } from '../../../lib/adapters/nats/setup.js'
import { matchList } from '../../helpers/match-list.js'

const NANOS = 1_000_000
const plan = { name: 'kept', subjects: ['kept.*'], perSubject: 11, maxAge: 60_000, duplicates: 30_000 }
const known = { max_msgs_per_subject: 11, max_age: 60_000 * NANOS, duplicate_window: 30_000 * NANOS, storage: 'file' }

for (const [what, there, isUpdated] of [
  ['is as it should be', known, false],
  ['remembers keys for a shorter time', { ...known, duplicate_window: 10_000 * NANOS }, true],
  ['keeps fewer events', { ...known, max_msgs_per_subject: 6 }, true],
  ['keeps them for a shorter time', { ...known, max_age: 30_000 * NANOS }, true]
] as const) {
  t.test(`a stream that ${what} is ${isUpdated ? 'changed' : 'left alone'} when it is opened`, async (t) => {
    const updates: object[] = []
    const streams = {
      info: async () => ({ config: there }),
      update: async (_name: string, config: object) => {
        updates.push(config)
        return { config }
      }
    }
    const link = { make: async (ask: () => Promise<unknown>) => await ask(), jsm: { streams } }
    const setup = new NatsSetup({
      link: link as unknown as NatsLink,
      drift: { settle: () => undefined },
      replicas: 1,
      storage: 'memory'
    })
    await setup.open(plan)
    matchList(t, updates, isUpdated ? [known] : [])
    t.equal(updates.length, isUpdated ? 1 : 0)
  })
}
