import type { PresenceEntry } from '../adapter.js'
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

  t.test(`${name}: a leave that comes late ends no entry that its node has joined since under the same names`, async (t) => {
    const [a, b] = await pair(t)
    const { presence } = a.adapter
    if (presence === undefined || b.adapter.presence === undefined) return t.pass('no presence')
    if (b === a) return t.pass('calls of one process cannot overtake each other')
    const joined = (fence: number): PresenceEntry => ({ userId: 'ann', connection: 'c1', fence })
    for (const fence of [1, 2]) await presence.join('chat/1', joined(fence), 60_000)
    for (const grace of [0, 60_000, 0]) await presence.leave('chat/1', joined(1), grace)
    await presence.renew?.([{ room: 'chat/1', entry: joined(2) }], 60_000)
    await presence.leave('chat/1', joined(1), 0)
    t.equal((await b.adapter.presence.snapshot('chat/1', 10)).total, 1)
    await presence.leave('chat/1', joined(2), 0)
    t.equal((await b.adapter.presence.snapshot('chat/1', 10)).total, 0)
  })

  t.test(`${name}: a client that has come back ends what its former connections hold, whichever node has them`, async (t) => {
    const [a, b] = await pair(t)
    const [one, other] = [a.adapter.presence, b.adapter.presence]
    if (one?.succeed === undefined || other?.succeed === undefined) return t.pass('no succession')
    await a.adapter.subscribe('chat/1', reliable)
    const ann = (connection: string): { userId: string, connection: string } => ({ userId: 'ann', connection })
    await one.join('chat/1', { userId: 'bob', connection: 'b1' }, 60_000)
    await one.join('chat/1', ann('c1'), 60_000)
    await one.join('chat/1', ann('c2'), 60_000)
    await one.leave('chat/1', ann('c2'), 60_000)
    await other.join('chat/1', ann('c3'), 60_000)
    t.equal(await other.succeed('chat/1', 'ann', ['c2', 'b1', 'unknown']), false, 'one in its grace, one of another user')
    t.equal(await other.succeed('chat/1', 'ann', ['c1']), a !== b, 'one that a node holds')
    await other.join('chat/1', ann('c4'), 60_000)
    t.equal(await other.succeed('chat/1', 'ann', ['c3']), false, 'one of the same node')
    t.equal((await one.snapshot('chat/1', 200)).total, 2)
    // What its node does with an entry that has been ended changes nothing.
    await one.leave('chat/1', ann('c1'), 60_000)
    await other.leave('chat/1', ann('c4'), 0)
    await one.leave('chat/1', { userId: 'bob', connection: 'b1' }, 0)
    await until('all changes', () => a.host.changes.get('chat/1')?.length === 4)
    t.same(a.host.changes.get('chat/1')!.map(({ joined, left }) => [
      joined.map(({ userId }) => userId), left.map(({ userId }) => userId)
    ]), [[['bob'], []], [['ann'], []], [[], ['ann']], [[], ['bob']]])
  })

  t.test(`${name}: what is shown of a user who is there changes once for all nodes, and stays when more entries come`, async (t) => {
    const [a, b] = await pair(t)
    const { presence } = a.adapter
    if (presence?.update === undefined || b.adapter.presence?.update === undefined) return t.pass('no updates')
    await a.adapter.subscribe('chat/1', reliable)
    if (b !== a) await b.adapter.subscribe('chat/1', reliable)
    const [before, after] = [{ userId: 'ann', data: { at: 1 } }, { userId: 'ann', data: { at: 2 } }]
    t.equal(await presence.update('chat/1', after), false, 'nobody is there')
    await presence.join('chat/1', { ...before, connection: 'c1' }, 60_000)
    t.equal(await b.adapter.presence.update('chat/1', after), true)
    t.equal(await presence.update('chat/1', after), true, 'the same again')
    await presence.join('chat/1', { ...before, connection: 'c2' }, 60_000)
    await presence.join('chat/1', { userId: 'bob', connection: 'c3' }, 60_000)
    await until('three changes', () => [a, b].every(({ host }) => host.changes.get('chat/1')!.length >= 3))
    for (const { host } of [a, b]) {
      const changes = host.changes.get('chat/1')!
      t.same(changes.map(({ joined, left, changed }) => ({ joined, left, changed })), [
        { joined: [before], left: [], changed: undefined },
        { joined: [], left: [], changed: [after] },
        { joined: [{ userId: 'bob' }], left: [], changed: undefined }
      ])
      t.same(changes.map(({ sequence }) => sequence - changes[0]!.sequence), [0, 1, 2])
    }
    t.same((await presence.snapshot('chat/1', 200)).list!.find(({ userId }) => userId === 'ann'), after)
    await presence.leave('chat/1', { ...before, connection: 'c1' }, 0)
    await presence.leave('chat/1', { ...before, connection: 'c2' }, 0)
    t.equal(await presence.update('chat/1', before), false, 'has left')
  })

  t.test(`${name}: of two entries of a user the one with newer data counts, whichever is renewed first`, async (t) => {
    const [a, b] = await pair(t)
    const [one, other] = [a.adapter.presence, b.adapter.presence]
    if (one?.update === undefined || one.renew === undefined || other?.renew === undefined) return t.pass('no renewals')
    await a.adapter.subscribe('chat/1', reliable)
    const ann = (connection: string, at: number): PresenceEntry => ({ userId: 'ann', connection, data: { at } })
    await one.join('chat/1', ann('c1', 1), 60_000)
    await one.update('chat/1', ann('c1', 2))
    const { sequence } = await until('the change', () => a.host.changes.get('chat/1')?.[1])
    const shown = await other.join('chat/1', ann('c2', 1), 60_000)
    t.same(shown, { userId: 'ann', data: { at: 2 }, changed: sequence }, 'how the user is shown')
    const renewed = async (store: typeof one, entry: PresenceEntry): Promise<unknown> => {
      await store.renew!([{ room: 'chat/1', entry }], 60_000)
      return (await one.snapshot('chat/1', 10)).list
    }
    t.same(await renewed(other, ann('c2', 1)), [{ userId: 'ann', data: { at: 2 } }], 'older data changes nothing')
    // The store has lost the last change, which the node of this entry has heard.
    const newer = { ...ann('c1', 3), changed: sequence + 1_000_000 }
    t.same(await renewed(one, newer), [{ userId: 'ann', data: { at: 3 } }])
    t.same(await renewed(other, ann('c2', 1)), [{ userId: 'ann', data: { at: 3 } }])
    await one.join('chat/1', { userId: 'bob', connection: 'c3' }, 60_000)
    const changes = await until('all are told', () => {
      const told = a.host.changes.get('chat/1')!.slice(2)
      return told.some(({ joined }) => joined.length > 0) ? told : undefined
    })
    const news = changes.flatMap(({ changed = [], joined, left }) => [...changed, ...joined, ...left])
    t.same(news.map(({ userId, data }) => [userId, data]), [['ann', { at: 3 }], ['bob', undefined]], 'once')
  })

  t.test(`${name}: each node can ask whether a user is there, from the first entry until the last has run out`, async (t) => {
    const [a, b] = await pair(t)
    const { presence } = a.adapter
    if (presence?.isPresent === undefined || b.adapter.presence?.isPresent === undefined) return t.pass('no question')
    const isThere = async (user = 'ann'): Promise<boolean[]> => await Promise.all(
      [a, b].map(async ({ adapter }) => await adapter.presence!.isPresent!('chat/1', user))
    )
    t.same(await isThere(), [false, false])
    await presence.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
    await b.adapter.presence.join('chat/1', { userId: 'ann', connection: 'c2' }, 60_000)
    t.same([await isThere(), await isThere('bob')], [[true, true], [false, false]])
    await presence.leave('chat/1', { userId: 'ann', connection: 'c1' }, 0)
    t.same(await isThere(), [true, true])
    await b.adapter.presence.leave('chat/1', { userId: 'ann', connection: 'c2' }, 60_000)
    t.same(await isThere(), [true, true], 'for its grace')
    await b.adapter.presence.join('chat/1', { userId: 'ann', connection: 'c2' }, 60_000)
    await b.adapter.presence.leave('chat/1', { userId: 'ann', connection: 'c2' }, 0)
    t.same(await isThere(), [false, false])
  })
}
