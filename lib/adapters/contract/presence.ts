import { reliable } from './host.js'
import type { Subject } from './subject.js'
import { until } from './until.js'

/** Tries who is in a room, by user. */
export function presenceContract ({ name, pair, t }: Subject): void {
  t.test(`${name}: presence counts users and announces each change once`, async (t) => {
    const [a, b] = await pair(t)
    const { presence } = a.adapter
    if (presence === undefined || b.adapter.presence === undefined) return t.pass('no presence')
    await a.adapter.subscribe('chat/1', reliable)
    if (b !== a) await b.adapter.subscribe('chat/1', reliable)
    const ann = { userId: 'ann', data: { name: 'Ann' } }
    const first = await presence.snapshot('chat/1', 200)
    await presence.join('chat/1', { ...ann, connection: 'c1' }, 60_000)
    await b.adapter.presence.join('chat/1', { ...ann, connection: 'c2' }, 60_000)
    await b.adapter.presence.join('chat/1', { userId: 'bob', connection: 'c3' }, 60_000)
    const full = await presence.snapshot('chat/1', 200)
    t.same([full.total, [...full.list!].sort((x, y) => x.userId < y.userId ? -1 : 1)], [2, [ann, { userId: 'bob' }]])
    const counted = await presence.snapshot('chat/1', 1)
    t.same([counted.total, counted.list], [2, undefined])
    await presence.leave('chat/1', { ...ann, connection: 'c1' }, 0)
    await b.adapter.presence.leave('chat/1', { ...ann, connection: 'c2' }, 60_000)
    await b.adapter.presence.join('chat/1', { ...ann, connection: 'c4' }, 60_000)
    await b.adapter.presence.leave('chat/1', { userId: 'bob', connection: 'c3' }, 50)
    await until('bob has left', async () => {
      await Promise.all([presence.sweep(['chat/1']), b.adapter.presence!.sweep(['chat/1'])])
      return a.host.changes.get('chat/1')!.length >= 3 && b.host.changes.get('chat/1')!.length >= 3
    })
    for (const { host } of [a, b]) {
      t.same(host.changes.get('chat/1'), [
        { sequence: full.sequence - 1, joined: [ann], left: [] },
        { sequence: full.sequence, joined: [{ userId: 'bob' }], left: [] },
        { sequence: full.sequence + 1, joined: [], left: [{ userId: 'bob' }] }
      ])
    }
    t.ok(first.sequence < full.sequence)
    t.equal((await presence.snapshot('chat/1', 200)).total, 1)
  })

  t.test(`${name}: the last leave without grace is announced at once`, async (t) => {
    const [a, b] = await pair(t)
    const { presence } = a.adapter
    if (presence === undefined) return t.pass('no presence')
    await b.adapter.subscribe('chat/1', reliable)
    await presence.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
    await presence.leave('chat/1', { userId: 'ann', connection: 'c1' }, 0)
    await until('both changes', () => b.host.changes.get('chat/1')?.length === 2)
    t.same(b.host.changes.get('chat/1')!.map(({ joined, left }) => [joined.length, left.length]), [[1, 0], [0, 1]])
  })
}
