import { reliable, said } from './host.js'
import type { Subject } from './subject.js'

/** Different texts that joints, escapes, encodings or prototypes have once made the same. */
const ODD = [
  'a', 'a\nb', 'a:b', 'a b', 'a\0b', 'a%0Ab', 'a%250Ab', '%u', '%uD83D', '\uD83D', '\uDE00', '\uD83D\uDE00', '\uFFFD', '\u00e9', 'e\u0301', '\n', '\n\n', '}', '{', '*', '>', '__proto__', 'constructor',
  'A', ' a', 'a ', `${'x'.repeat(400)}1`, `${'x'.repeat(400)}2`
]

/** Tries texts of strangers as names and keys. */
export function namesContract ({ name, pair, t }: Subject): void {
  t.test(`${name}: what is kept under one text is kept under no other, whatever the texts hold`, async (t) => {
    const [a, b] = await pair(t)
    const { leases, claims, denials, presence } = a.adapter
    if (leases !== undefined) {
      for (const text of ODD) {
        t.equal(await leases.acquire(text, text, 1, 60_000), true, `a slot of ${JSON.stringify(text)}`)
      }
      for (const text of ODD) t.equal(await leases.acquire('all of them', text, 1_000, 60_000), true)
      t.equal(await leases.count('all of them'), ODD.length, 'holders')
      for (const text of ODD) await leases.release(text, text)
      t.same(await Promise.all(ODD.map((text) => leases.count(text))), ODD.map(() => 0))
    }
    if (claims !== undefined) {
      for (const text of ODD) {
        t.same(await claims.claim(text, `content of ${text}`, 60_000), { state: 'claimed' }, JSON.stringify(text))
      }
      for (const text of ODD) await claims.settle(text, `content of ${text}`, JSON.stringify(text), 60_000)
      for (const text of ODD) {
        t.same(await claims.claim(text, `content of ${text}`, 60_000), {
          state: 'settled',
          outcome: JSON.stringify(text)
        })
      }
      for (const text of ODD) await claims.put(text, JSON.stringify(text), 60_000)
      for (const text of ODD) t.equal(await claims.take(text), JSON.stringify(text))
    }
    if (denials !== undefined) {
      for (const [index, text] of ODD.entries()) if (index % 2 === 0) await denials.deny(text, Date.now() + 60_000)
      for (const [index, text] of ODD.entries()) {
        t.equal(await denials.isDenied([text]), index % 2 === 0, JSON.stringify(text))
      }
    }
    if (presence !== undefined) {
      await b.adapter.subscribe('chat/1', reliable)
      for (const userId of ODD) await presence.join('chat/1', { userId, connection: 'c1', data: userId }, 60_000)
      for (const connection of ODD) await presence.join('chat/1', { userId: 'ann', connection }, 60_000)
      const { list } = await presence.snapshot('chat/1', 200)
      t.same(new Set(list!.map(({ userId }) => userId)), new Set([...ODD, 'ann']))
      for (const { userId, data } of list!) t.equal(data, userId === 'ann' ? undefined : userId)
      for (const userId of ODD) await presence.leave('chat/1', { userId, connection: 'c1' }, 0)
      t.same((await presence.snapshot('chat/1', 200)).list, [{ userId: 'ann' }])
      for (const connection of ODD.slice(1)) await presence.leave('chat/1', { userId: 'ann', connection }, 0)
      t.equal((await presence.snapshot('chat/1', 200)).total, 1, 'one connection is left')
      await presence.leave('chat/1', { userId: 'ann', connection: ODD[0]! }, 0)
      t.equal((await presence.snapshot('chat/1', 200)).total, 0)
    }
    if (a.adapter.latest !== undefined) {
      for (const key of ODD) {
        await a.adapter.publish('chat/2', said(key, { type: 'score', delivery: 'latest', key }), reliable)
      }
      t.same((await b.adapter.latest!('chat/2', reliable)).map((packet) => packet.event!.key), ODD)
    }
    if (a.adapter.history === undefined) return
    for (const idempotencyKey of ODD) await a.adapter.publish('chat/3', said('once', { idempotencyKey }), reliable)
    t.equal((await b.adapter.history!('chat/3', { last: 100, limit: 100 }, reliable)).events.length, ODD.length)
  })
}
