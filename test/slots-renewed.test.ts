import t from 'tap'
import type { LeaseStore } from '../lib/adapters/adapter.js'
import { Slots } from '../lib/slots.js'

t.test('a slot that is given back while it is being renewed is free when the renewal has ended, in whatever order both arrive', async (t) => {
  const taken = new Set<string>()
  let renewed: (() => void) | undefined
  const leases: LeaseStore = {
    acquire: async (key, holder) => {
      taken.add(`${holder} ${key}`)
      return true
    },
    renew: async (list) => {
      await new Promise<void>((resolve) => { renewed = resolve })
      for (const { key, holder } of list) taken.add(`${holder} ${key}`)
    },
    release: async (key, holder) => { taken.delete(`${holder} ${key}`) },
    count: async () => taken.size
  }
  const slots = new Slots({ capacity: 10, user: 5, address: undefined, whenUnavailable: 'admit' }, leases, (error) => { throw error }, () => undefined)
  const rooms = [{ name: 'chat/1', capacity: 5 }]
  for (const holder of ['stays', 'goes', 'moves']) {
    slots.reserve(holder, 'ann', '', rooms)
    await slots.lease(holder, rooms)
  }
  slots.restore()
  slots.release('goes')
  slots.handOver('moves')
  slots.release('moves')
  renewed!()
  await new Promise((resolve) => { setImmediate(resolve) })
  t.same([...taken].filter((name) => name.startsWith('goes')), [])
  t.equal([...taken].filter((name) => name.startsWith('moves')).length, 2, 'another node holds it by now')
  t.equal([...taken].filter((name) => name.startsWith('stays')).length, 2)
})
