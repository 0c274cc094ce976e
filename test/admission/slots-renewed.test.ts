import t from 'tap'
import type { LeaseStore } from '../../lib/adapters/adapter.js'
import { Slots } from '../../lib/admission/slots.js'
import { within } from '../helpers/raw.js'

t.test(
  'a slot that is given back while it is being renewed is free when the renewal has ended, in whatever order both arrive',
  async (t) => {
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
      // Another node has taken it since: the store leaves it alone.
      release: async (key, holder) => { if (holder !== 'moves') taken.delete(`${holder} ${key}`) },
      count: async () => taken.size
    }
    const slots = new Slots(
      { capacity: 10, user: 5, address: undefined, whenUnavailable: 'admit' },
      leases,
      (error) => { throw error },
      () => undefined
    )
    const rooms = [{ name: 'chat/1', capacity: 5 }]
    for (const holder of ['stays', 'goes', 'moves']) {
      slots.reserve(holder, 'ann', '', rooms)
      await slots.lease(holder, rooms)
    }
    void slots.restore()
    slots.release('goes')
    slots.handOver('moves')
    slots.release('moves')
    renewed!()
    await new Promise((resolve) => { setImmediate(resolve) })
    t.same([...taken].filter((name) => name.startsWith('goes')), [])
    t.equal([...taken].filter((name) => name.startsWith('moves')).length, 2, 'another node holds it by now')
    t.equal([...taken].filter((name) => name.startsWith('stays')).length, 2)
  }
)

t.test(
  'a slot whose adapter did not answer when it was given back is given back again, though nobody says that the adapter was away',
  async (t) => {
    const taken = new Set<string>()
    let tries = 0
    const freed = new Promise<void>((resolve) => {
      const leases: LeaseStore = {
        acquire: async (key, holder) => {
          taken.add(`${holder} ${key}`)
          return true
        },
        renew: async () => undefined,
        release: async (key, holder) => {
          if (++tries <= 2) throw new Error('no answer in time')
          taken.delete(`${holder} ${key}`)
          if (taken.size === 0) resolve()
        },
        count: async () => taken.size
      }
      const slots = new Slots(
        { capacity: 10, user: 5, address: undefined, whenUnavailable: 'admit' },
        leases,
        () => undefined,
        () => undefined
      )
      slots.start()
      t.teardown(() => { slots.stop() })
      const rooms = [{ name: 'chat/1', capacity: 5 }]
      slots.reserve('goes', 'ann', '', rooms)
      void slots.lease('goes', rooms).then(() => { slots.release('goes') })
    })
    await within('the slots are free', 10_000, freed)
    t.equal(tries, 4)
  }
)
