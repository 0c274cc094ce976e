import t from 'tap'
import { KeyBudget } from '../../../lib/adapters/nats/key-budget.js'
import { until } from '../../helpers/servers.js'

const WINDOW = 120_000

function budget (remembered: { bytes: number, perUser: number }): { keys: KeyBudget, said: object[] } {
  const said: object[] = []
  const keys = new KeyBudget(WINDOW)
  keys.start({ remembered, log: { info: () => undefined, warn: (object) => { said.push(object) } } })
  return { keys, said }
}

function admitted (keys: KeyBudget, owner: string | undefined, tries: number, now: number): number {
  return Array.from({ length: tries }, () => keys.admits({ owner }, now)).filter(Boolean).length
}

t.test('keys of a user are admitted up to his bytes, those of the application up to the bytes of all', async (t) => {
  const { keys, said } = budget({ bytes: 1_000_000, perUser: 10_000 })
  const ada = admitted(keys, 'ada', 500, 0)
  t.ok(ada > 60 && ada < 80, String(ada))
  t.equal(admitted(keys, 'bob', 1, 0), 1, 'nobody else loses by it')
  t.equal(admitted(keys, undefined, 5_000, 0), 5_000)
  t.equal(keys.forgotten, 500 - ada)
  t.equal(said.length, 1, 'one warning a minute')
  t.ok(admitted(keys, undefined, 5_000, 0) < 5_000)
  t.ok(keys.bytes <= 1_000_000 && keys.bytes > 999_000, String(keys.bytes))
})

t.test('all keys together are admitted up to their bytes, whoever they are of', async (t) => {
  const { keys } = budget({ bytes: 100_000, perUser: 10_000 })
  for (let index = 0; index < 5_000; index++) keys.admits({ owner: `user ${index}` }, 0)
  t.ok(keys.bytes <= 100_000 && keys.bytes > 90_000, String(keys.bytes))
})

t.test('a key counts for the whole window, and no longer than an eighth beyond it', async (t) => {
  const { keys } = budget({ bytes: 1_000_000, perUser: 10_000 })
  admitted(keys, 'ada', 500, 1)
  t.equal(admitted(keys, 'ada', 1, WINDOW), 0)
  t.equal(admitted(keys, 'ada', 1, WINDOW * 9 / 8), 1)
})

t.test('keys whose time is over are dropped though no other one comes', async (t) => {
  const keys = new KeyBudget(80)
  keys.start({ log: { info: () => undefined, warn: () => undefined } })
  t.teardown(() => { keys.stop() })
  for (let index = 0; index < 100; index++) keys.admits({ owner: `user ${index}` })
  t.ok(keys.bytes > 10_000, String(keys.bytes))
  await until('nothing is left', () => keys.bytes === 0)
})
