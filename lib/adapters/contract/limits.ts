import type { Subject } from './subject.js'
import { until } from './until.js'

/** Tries slots that all nodes share. */
export function limitsContract ({ name, pair, t }: Subject): void {
  t.test(`${name}: slots are never overshot, and renewed by their holder`, async (t) => {
    const [a, b] = await pair(t)
    const { leases } = a.adapter
    if (leases === undefined || b.adapter.leases === undefined) return t.pass('no leases')
    const taken = await Promise.all(Array.from(
      { length: 10 },
      (_, index) => (index % 2 === 0 ? leases : b.adapter.leases!).acquire('room:chat/1', `c${index}`, 3, 60_000)
    ))
    t.equal(taken.filter(Boolean).length, 3)
    const [holder, other] = [`c${taken.indexOf(true)}`, `c${taken.indexOf(false)}`]
    t.equal(await b.adapter.leases.acquire('room:chat/1', holder, 3, 60_000), true, 'renewed')
    t.equal(await leases.count('room:chat/1'), 3)
    await b.adapter.leases.release('room:chat/1', holder)
    t.equal(await leases.acquire('room:chat/1', other, 3, 60_000), true)
    await leases.renew([{ key: 'room:chat/1', holder }], 60_000)
    t.equal(await b.adapter.leases.count('room:chat/1'), 4, 'taken again unconditionally')
    if (b !== a) {
      await b.adapter.leases.release('room:chat/1', holder)
      t.equal(await b.adapter.leases.count('room:chat/1'), 4, 'that of another node is not given back')
    }
    t.equal(await leases.acquire('user:}{odd\nuser', 'c1', 1, 200), true)
    t.equal(await leases.acquire('user:}{odd\nuser', 'c2', 1, 200), false)
    await until('the lease runs out', () => leases.acquire('user:}{odd\nuser', 'c2', 1, 200))
  })

  t.test(`${name}: a release that comes late frees no slot that its node has taken since under the same name`, async (t) => {
    const [a, b] = await pair(t)
    const { leases } = a.adapter
    if (leases === undefined || b.adapter.leases === undefined) return t.pass('no leases')
    const [key, holder] = ['user:ann', 'c1']
    for (const fence of [1, 2]) t.equal(await leases.acquire(key, holder, 1, 60_000, fence), true)
    await leases.release(key, holder, 1)
    t.equal(await b.adapter.leases.count(key), 1)
    await leases.renew([{ key, holder, fence: 2 }], 60_000)
    await leases.release(key, holder, 1)
    t.equal(await b.adapter.leases.count(key), 1, 'renewed')
    await leases.release(key, holder, 2)
    t.equal(await b.adapter.leases.count(key), 0)
  })

  t.test(`${name}: a slot that is given back while it is renewed is free`, async (t) => {
    const [a, b] = await pair(t)
    const { leases } = a.adapter
    if (leases === undefined || b.adapter.leases === undefined) return t.pass('no leases')
    for (let round = 0; round < 10; round++) {
      t.equal(await leases.acquire('user:ann', 'c1', 1, 60_000), true)
      await Promise.all([leases.renew([{ key: 'user:ann', holder: 'c1' }], 60_000), leases.release('user:ann', 'c1')])
      t.equal(await b.adapter.leases.count('user:ann'), 0)
    }
  })
}
