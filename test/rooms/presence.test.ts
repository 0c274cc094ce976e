import t from 'tap'
import type { PresenceEntry } from '../../lib/adapters/adapter.js'
import { PresenceKeeper } from '../../lib/rooms/presence.js'

const LEASE = 60_000

t.test(
  'what is to be renewed while a renewal is under way is renewed behind it, also those that it had passed',
  async (t) => {
    const renewed: string[][] = []
    const waiting: Array<() => void> = []
    const keeper = new PresenceKeeper({
      join: () => {},
      leave: () => {},
      snapshot: () => ({ sequence: 0, total: 0 }),
      sweep: () => {},
      renew: async (entries) => {
        renewed.push(entries.map(({ entry }) => entry.connection))
        await new Promise<void>((resolve) => { waiting.push(resolve) })
      }
    }, { grace: 1_000, lease: LEASE }, () => [], (error) => { t.fail(String(error)) })
    const entries: PresenceEntry[] = ['c1', 'c2'].map((connection) => ({ userId: 'ada', connection }))
    for (const entry of entries) await keeper.join('chat/1', entry)
    const renewals = [keeper.renew(), keeper.renew(), keeper.renew()]
    t.same(renewed, [['c1', 'c2']])
    waiting.shift()!()
    await new Promise(setImmediate)
    t.same(renewed, [['c1', 'c2'], ['c1', 'c2']], 'once more, however often it was asked for')
    waiting.shift()!()
    await new Promise(setImmediate)
    await Promise.all(renewals)
    t.equal(renewed.length, 2)
  }
)
