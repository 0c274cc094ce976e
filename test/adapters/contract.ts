import t from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import type { Position } from '../../lib/protocol/position.js'
import type { Teardown } from '../helpers/servers.js'
import { until } from '../helpers/servers.js'
import { dataOf, live, node, reliable, said, textOf, type Node } from './harness.js'

export interface Contract {
  readonly name: string
  /** Adapters that see the same broker; for an adapter of one process the same one each time. */
  readonly make: (t: Teardown) => Promise<() => Adapter>
  /** nodes that can see each other */
  readonly nodes: 1 | 2
}

/** Texts that joints, escapes, encodings and prototypes have made one of two. */
const ODD = [
  'a', 'a\nb', 'a:b', 'a b', 'a\0b', 'a%0Ab', 'a%250Ab', '%u', '%uD83D', '\uD83D', '\uDE00', '\uD83D\uDE00', '\uFFFD', '\u00e9', 'e\u0301', '\n', '\n\n', '}', '{', '*', '>', '__proto__', 'constructor',
  'A', ' a', 'a ', `${'x'.repeat(400)}1`, `${'x'.repeat(400)}2`
]

/** What every adapter holds. A capability that is absent is skipped with its name. */
export function contract ({ name, make, nodes }: Contract): void {
  async function pair (t: Teardown): Promise<[Node, Node]> {
    const next = await make(t)
    const a = await node(t, next(), 'a')
    return [a, nodes === 2 ? await node(t, next(), 'b') : a]
  }

  t.test(`${name}: events of a room arrive in order, each once, at every node that subscribed it`, async (t) => {
    const [a, b] = await pair(t)
    await a.adapter.subscribe('chat/1', reliable)
    if (b !== a) await b.adapter.subscribe('chat/1', reliable)
    const texts = Array.from({ length: 50 }, (_, index) => `event ${index}`)
    const published = await Promise.all(texts.map((text) => a.adapter.publish('chat/1', said(text), reliable)))
    t.same(a.host.texts('chat/1'), texts, 'handed over here when publish resolved')
    t.same(await b.host.heard('chat/1', 50), texts)
    t.same(published.map(({ recipients }) => recipients), texts.map(() => 1))
    if (a.adapter.history === undefined) return
    const offsets = published.map(({ position }) => position!.offset)
    t.same(offsets, [...offsets].sort((x, y) => x - y))
    t.equal(new Set(offsets).size, 50)
    t.same(b.host.offsets('chat/1'), offsets)
    t.same(published.map(({ position }) => position!.epoch), texts.map(() => published[0]!.position!.epoch))
  })

  t.test(`${name}: nodes that publish at once hand over the same order`, async (t) => {
    const [a, b] = await pair(t)
    await a.adapter.subscribe('chat/1', reliable)
    if (b !== a) await b.adapter.subscribe('chat/1', reliable)
    await Promise.all(Array.from(
      { length: 100 },
      (_, index) => (index % 2 === 0 ? a : b).adapter.publish('chat/1', said(`${index}`), reliable)
    ))
    const [here, there] = [await a.host.heard('chat/1', 100), await b.host.heard('chat/1', 100)]
    t.same(here, there)
    t.equal(new Set(here).size, 100)
    t.same(a.host.gaps, [])
  })

  t.test(`${name}: subscribe resolves with the position before the first event that follows`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.history === undefined) return t.pass('no history')
    for (let index = 0; index < 5; index++) await b.adapter.publish('chat/1', said(`early ${index}`), reliable)
    const position = await a.adapter.subscribe('chat/1', reliable)
    const next = await b.adapter.publish('chat/1', said('late'), reliable)
    t.same(await a.host.heard('chat/1', 1), ['late'])
    t.ok(next.position!.offset > position!.offset)
    t.equal(next.position!.epoch, position!.epoch)
  })

  t.test(`${name}: nothing of a room arrives after unsubscribe`, async (t) => {
    const [a, b] = await pair(t)
    await a.adapter.subscribe('chat/1', reliable)
    await a.adapter.subscribe('chat/2', reliable)
    await a.adapter.unsubscribe('chat/1')
    const { recipients } = await a.adapter.publish('chat/1', said('unheard'), reliable)
    t.equal(recipients, 0)
    await b.adapter.publish('chat/2', said('fence'), reliable)
    await a.host.heard('chat/2', 1)
    t.same(a.host.texts('chat/1'), [])
    await a.adapter.subscribe('chat/1', reliable)
    await b.adapter.publish('chat/1', said('again'), reliable)
    t.same(await a.host.heard('chat/1', 1), ['again'])
  })

  t.test(
    `${name}: pages of so many bytes, of the newest n and on from there, end after them and together are what was asked for`,
    async (t) => {
      const [a, b] = await pair(t)
      if (a.adapter.history === undefined) return t.pass('no history')
      const texts = Array.from({ length: 40 }, (_, index) => `${index} ${'x'.repeat(20_000)}`)
      for (const text of texts) await a.adapter.publish('chat/1', said(text), reliable)
      for (const last of [20, 100]) {
        const read: string[] = []
        let since: Position | undefined
        let pages = 0
        for (let isPart: boolean | undefined = true; isPart === true; pages++) {
          const page = await b.adapter.history!(
            'chat/1',
            { ...(since === undefined ? { last } : { since }), limit: 100, bytes: 100_000 },
            reliable
          )
          const bytes = page.events.reduce((sum, packet) => sum + packet.bytes.length, 0)
          t.ok(page.events.length > 0 && bytes <= 200_000, `${page.events.length} events of ${bytes} bytes`)
          t.equal(page.resumed, since !== undefined)
          read.push(...page.events.map(textOf))
          since = page.events.at(-1)!.position
          isPart = page.isPart
        }
        t.same(read, texts.slice(-last))
        t.ok(pages >= 3, `${pages} pages`)
      }
      const one = await b.adapter.history!('chat/1', { last: 7, limit: 100, bytes: 1 }, reliable)
      t.same(one.events.map(textOf), [texts.at(-7)])
      t.equal(one.isPart, true)
    }
  )

  t.test(`${name}: a position is honoured while every event after it is retained`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.history === undefined) return t.pass('no history')
    const small = { ...reliable, history: { size: 10, ttl: 300_000 } }
    const published = []
    for (let index = 0; index < 25; index++) published.push(await a.adapter.publish('chat/1', said(`${index}`), small))
    const { epoch } = published[0]!.position!
    const offsets = published.map(({ position }) => position!.offset)
    for (const { adapter } of [a, b]) {
      const all = await adapter.history!('chat/1', { since: { epoch, offset: offsets[14]! }, limit: 100 }, small)
      t.same(
        [all.resumed, all.events.map(textOf)],
        [true, ['15', '16', '17', '18', '19', '20', '21', '22', '23', '24']]
      )
      t.same(all.events.map(({ position }) => position), published.slice(15).map(({ position }) => position))
      t.same(all.top, published.at(-1)!.position)
      const page = await adapter.history!('chat/1', { since: { epoch, offset: offsets[19]! }, limit: 2 }, small)
      t.same([page.resumed, page.events.map(textOf)], [true, ['20', '21']])
      const trimmed = await adapter.history!('chat/1', { since: { epoch, offset: offsets[13]! }, limit: 100 }, small)
      t.same([trimmed.resumed, trimmed.events], [false, []])
      t.same(
        [trimmed.floor.epoch, trimmed.floor.offset >= offsets[14]! && trimmed.floor.offset < offsets[15]!],
        [epoch, true]
      )
      const top = await adapter.history!('chat/1', { since: published.at(-1)!.position, limit: 100 }, small)
      t.same([top.resumed, top.events], [true, []])
      const ahead = await adapter.history!(
        'chat/1',
        { since: { epoch, offset: offsets.at(-1)! + 1 }, limit: 100 },
        small
      )
      t.same([ahead.resumed, ahead.floor], [false, ahead.top])
      const foreign = await adapter.history!(
        'chat/1',
        { since: { epoch: 'otherone', offset: offsets[20]! }, limit: 100 },
        small
      )
      t.same([foreign.resumed, foreign.events, foreign.floor], [false, [], foreign.top], 'nothing is known of it')
      const last = await adapter.history!('chat/1', { last: 3, limit: 100 }, small)
      t.same(last.events.map(textOf), ['22', '23', '24'])
    }
  })

  t.test(`${name}: the same holds on a node that follows the room`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.history === undefined) return t.pass('no history')
    const small = { ...reliable, history: { size: 10, ttl: 300_000 } }
    const early = await a.adapter.publish('chat/1', said('early'), small)
    await b.adapter.subscribe('chat/1', small)
    for (let index = 0; index < 4; index++) await a.adapter.publish('chat/1', said(`${index}`), small)
    await b.host.heard('chat/1', 4)
    const page = await b.adapter.history!('chat/1', { since: early.position, limit: 100 }, small)
    t.same([page.resumed, page.events.map(textOf)], [true, ['0', '1', '2', '3']])
    const last = await b.adapter.history!('chat/1', { last: 5, limit: 100 }, small)
    t.same(last.events.map(textOf), ['early', '0', '1', '2', '3'])
    const { epoch, offset } = early.position!
    const before = await b.adapter.history!('chat/1', { since: { epoch, offset: offset - 1 }, limit: 100 }, small)
    t.same([before.resumed, before.events.length], [true, 5])
  })

  t.test(`${name}: events past their time are not replayed`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.history === undefined) return t.pass('no history')
    const short = { ...reliable, history: { size: 10, ttl: 300 } }
    const first = await a.adapter.publish('chat/1', said('first'), short)
    const second = await a.adapter.publish('chat/1', said('second'), short)
    const page = await b.adapter.history!('chat/1', { since: first.position, limit: 10 }, short)
    t.same([page.resumed, page.events.map(textOf)], [true, ['second']])
    const gone = await until('the event is past its time', async () => {
      const later = await b.adapter.history!('chat/1', { since: first.position, limit: 10 }, short)
      return later.resumed ? undefined : later
    })
    t.same(gone.events, [])
    const third = await a.adapter.publish('chat/1', said('third'), short)
    t.ok(third.position!.offset > second.position!.offset)
    const rest = await b.adapter.history!('chat/1', { since: second.position, limit: 10 }, short)
    t.same([rest.resumed, rest.events.map(textOf)], [true, ['third']])
  })

  t.test(`${name}: a repeated idempotency key adds no second event`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.history === undefined) return t.pass('nothing is kept, keys neither')
    await a.adapter.subscribe('chat/1', reliable)
    const first = await a.adapter.publish('chat/1', said('once', { idempotencyKey: 'user:1:0' }), reliable)
    const second = await b.adapter.publish('chat/1', said('once', { idempotencyKey: 'user:1:0' }), reliable)
    await b.adapter.publish('chat/1', said('fence'), reliable)
    t.same(await a.host.heard('chat/1', 2), ['once', 'fence'])
    t.same(second, { position: first.position, recipients: 0 })
    await b.adapter.publish('chat/2', said('another room', { idempotencyKey: 'user:1:0' }), reliable)
  })

  t.test(`${name}: an idempotency key holds for every kind of event`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.history === undefined) return t.pass('nothing is kept, keys neither')
    const rooms = [['chat/1', reliable], ['live/1', live]] as const
    for (const [room, settings] of rooms) {
      await a.adapter.subscribe(room, settings)
      for (const more of [{}, { delivery: 'volatile' }, { type: 'score', delivery: 'latest', key: 'red' }] as const) {
        const kind = more.delivery ?? 'reliable'
        for (const { adapter } of [a, b, a]) {
          await adapter.publish(room, said(kind, { ...more, idempotencyKey: `key ${kind}` }), settings)
        }
      }
      await b.adapter.publish(room, said('fence', { delivery: 'volatile' }), settings)
      t.same(await a.host.heard(room, 4), ['reliable', 'volatile', 'latest', 'fence'])
    }
  })

  t.test(`${name}: volatile events and rooms without history have no position and are not kept`, async (t) => {
    const [a, b] = await pair(t)
    await a.adapter.subscribe('chat/1', reliable)
    await a.adapter.subscribe('live/1', live)
    const typing = await b.adapter.publish('chat/1', said('typing', { delivery: 'volatile' }), reliable)
    const acked = await b.adapter.publish('chat/1', said('acked', { delivery: 'volatile', ack: 'x1' }), reliable)
    const tick = await b.adapter.publish('live/1', said('tick'), live)
    t.same([typing.position, acked.position, tick.position], [undefined, undefined, undefined])
    t.same(await a.host.heard('chat/1', 2), ['typing', 'acked'])
    t.same(await a.host.heard('live/1', 1), ['tick'])
    t.equal(a.host.events.get('chat/1')![1]!.event!.ack, 'x1')
    if (a.adapter.history !== undefined) {
      t.same((await a.adapter.history('chat/1', { last: 10, limit: 10 }, reliable)).events, [])
    }
    const own = await a.adapter.publish('live/1', said('own'), live)
    t.same([own.recipients, a.host.texts('live/1')], [1, ['tick', 'own']])
  })

  t.test(`${name}: an event keeps whom it leaves out, and its text as it was`, async (t) => {
    const [a, b] = await pair(t)
    await b.adapter.subscribe('chat/1', reliable)
    const except = { user: 'ann', connection: 'c1' }
    const odd = 'line\nbreak \u2028 "quotes" \u0000 ü 漢 😀'
    const timestamp = Date.now() - 1_000
    await a.adapter.publish('chat/1', said(odd, { except, timestamp }), reliable)
    t.same(await b.host.heard('chat/1', 1), [odd])
    const [packet] = b.host.events.get('chat/1')!
    t.same([packet!.event!.except, packet!.event!.timestamp], [except, timestamp])
    if (a.adapter.history === undefined) return
    const { events } = await a.adapter.history('chat/1', { last: 1, limit: 1 }, reliable)
    t.same([events[0]!.event!.except, String(events[0]!.payload)], [except, String(packet!.payload)])
  })

  t.test(`${name}: the current value of each latest key is kept, oldest set first`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.latest === undefined) return t.pass('no latest')
    await b.adapter.subscribe('chat/1', reliable)
    const score = async (key: string, text: string): Promise<void> => {
      const { position } = await a.adapter.publish(
        'chat/1',
        said(text, { type: 'score', delivery: 'latest', key }),
        reliable
      )
      t.equal(position, undefined)
    }
    await score('red', '1')
    await score('blue', '2')
    await score('red', '3')
    t.same(await b.host.heard('chat/1', 3), ['1', '2', '3'])
    const kept = await b.adapter.latest!('chat/1', reliable)
    t.same(kept.map((packet) => [packet.event!.key, textOf(packet)]), [['blue', '2'], ['red', '3']])
    const versions = b.host.events.get('chat/1')!.map(({ event }) => event!.version!)
    t.ok(versions[0]! < versions[1]! && versions[1]! < versions[2]!)
    t.same(kept.map(({ event }) => event!.version), versions.slice(1))
  })

  for (const [where, off] of [['behind', -3_600_000], ['ahead', 3_600_000]] as const) {
    t.test(`${name}: what a node publishes whose clock is an hour ${where} is kept like all else, and ages by the broker's clock`, async (t) => {
      const [a, b] = await pair(t)
      if (a.adapter.history === undefined || b.adapter.latest === undefined) return t.pass('nothing is kept')
      await b.adapter.subscribe('chat/1', reliable)
      const timestamp = Date.now() + off
      const began = performance.now()
      await a.adapter.publish('chat/1', said('kept', { timestamp }), reliable)
      await a.adapter.publish('chat/1', said('7', { timestamp, type: 'score', delivery: 'latest', key: 'red' }), reliable)
      await b.host.heard('chat/1', 2)
      for (const { adapter } of [a, b]) {
        const { events } = await adapter.history!('chat/1', { last: 1, limit: 1 }, reliable)
        t.same(events.map(textOf), ['kept'])
        const age = await until('the value has an age', async () => {
          const [packet] = await adapter.latest!('chat/1', reliable)
          t.equal(textOf(packet!), '7')
          const age = packet!.event!.age ?? 0
          if (age < 20) throw new Error(`${age} ms old`)
          return age
        })
        // Clocks of brokers are read in whole milliseconds.
        t.ok(age <= performance.now() - began + 5, `${age} ms old`)
      }
    })
  }

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

  t.test(`${name}: a message id takes effect once, and its outcome is kept`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.claims, b.adapter.claims]
    if (mine === undefined || theirs === undefined) return t.pass('no claims')
    t.same(await mine.claim('ann\nm-1', 'hash', 60_000), { state: 'claimed' })
    const running = await theirs.claim('ann\nm-1', 'hash', 60_000)
    t.equal(running.state, 'running')
    t.ok(running.state === 'running' && running.retryAfter > 0 && running.retryAfter <= 60_000)
    t.same(await theirs.claim('ann\nm-1', 'other', 60_000), { state: 'conflict' })
    await mine.settle('ann\nm-1', 'hash', '{"data":1}', 60_000)
    t.same(await theirs.claim('ann\nm-1', 'hash', 60_000), { state: 'settled', outcome: '{"data":1}' })
    await mine.claim('ann\nm-2', 'hash', 60_000)
    await mine.settle('ann\nm-2', 'hash', undefined, 60_000)
    t.same(await theirs.claim('ann\nm-2', 'hash', 100), { state: 'claimed' })
    await until(
      'the lease of a dead holder runs out',
      async () => (await mine.claim('ann\nm-2', 'hash', 60_000)).state === 'claimed'
    )
    await mine.put('ticket:abc', 'identity', 60_000)
    const took = await Promise.all([mine.take('ticket:abc'), theirs.take('ticket:abc')])
    t.same(took.filter((value) => value !== undefined), ['identity'])
    t.equal(await mine.take('ticket:none'), undefined)
  })

  t.test(`${name}: a denied subject is denied until its time`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.denials, b.adapter.denials]
    if (mine === undefined || theirs === undefined) return t.pass('no denials')
    await mine.deny('user:ann', Date.now() + 60_000)
    await mine.deny('user:ann', Date.now() + 10)
    await mine.deny('token:t1', Date.now() + 50)
    t.equal(await theirs.isDenied(['token:none', 'user:ann']), true)
    t.equal(await theirs.isDenied(['user:bob']), false)
    await until('the shorter denial ends', async () => !await theirs.isDenied(['token:t1']))
    t.equal(await theirs.isDenied(['user:ann']), true)
  })

  if (nodes > 1) {
    t.test(`${name}: a node whose clock is an hour off keeps a subject out for as long as it says`, async (t) => {
      const [a, b] = await pair(t)
      const [mine, theirs] = [a.adapter.denials, b.adapter.denials]
      if (mine === undefined || theirs === undefined) return t.pass('no denials')
      const now = Date.now
      t.teardown(() => { Date.now = now })
      for (const hours of [-1, 1]) {
        Date.now = () => now() + hours * 3_600_000
        await mine.deny(`user:${hours}`, Date.now() + 60_000)
        await mine.deny(`token:${hours}`, Date.now() + 50)
        Date.now = now
        t.equal(await theirs.isDenied([`user:${hours}`]), true, `${hours} h`)
        await until('the short one is over', async () => !await theirs.isDenied([`token:${hours}`]), 5_000)
      }
    })
  }

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

  t.test(`${name}: control messages reach all other nodes and do not come back`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.control === undefined || b.adapter.control === undefined) return t.pass('no control')
    await a.adapter.control.send({ type: 'revoke', user: 'ann' })
    await b.adapter.control.send({ type: 'acked', ack: 'x', connection: 'c1' })
    await until('both heard', () => a.host.controls.length === 1 && b.host.controls.length === 1)
    t.same(b.host.controls, [{ message: { type: 'revoke', user: 'ann' }, from: 'a' }])
    t.same(a.host.controls, [{ message: { type: 'acked', ack: 'x', connection: 'c1' }, from: 'b' }])
  })

  t.test(`${name}: rooms do not hear each other, whatever their names`, async (t) => {
    const [a, b] = await pair(t)
    const names = ['chat/1', 'chat/10', 'chat/%2A', 'chat.*', 'chat.secret', '@all', 'a~b', 'A~B', 'x'.repeat(255)]
    for (const room of names) await a.adapter.subscribe(room, reliable)
    for (const room of names) await b.adapter.publish(room, said(room), reliable)
    for (const room of names) t.same(await a.host.heard(room, 1), [room])
  })

  t.test(`${name}: an event of 256 KiB passes whole`, async (t) => {
    const [a, b] = await pair(t)
    await b.adapter.subscribe('chat/1', reliable)
    const text = 'é'.repeat(131_000)
    await a.adapter.publish('chat/1', said(text), reliable)
    await b.host.heard('chat/1', 1)
    t.ok(textOf(b.host.events.get('chat/1')![0]!) === text)
    t.ok(dataOf(b.host.events.get('chat/1')![0]!) !== undefined)
  })
}

export interface Lives {
  readonly name: string
  /** why it cannot be tried here */
  readonly skip: string | false
  /** A broker that keeps its data, and what may happen to that. Each resolves when the broker answers again. */
  readonly open: (t: Teardown) => Promise<{
    readonly make: () => Adapter
    /** Puts aside a copy of the data. */
    readonly keep: () => Promise<void>
    readonly restart: () => Promise<void>
    /** The data is what was put aside. */
    readonly putBack: () => Promise<void>
    readonly lose: () => Promise<void>
  }>
}

/**
 * When a position of a former epoch is honoured: the stream of today holds all up to it, and nothing that was accepted
 * behind it is lost. Every adapter whose data can go back or be lost holds it, whichever node is asked first.
 */
export function formerEpochs ({ name, skip, open }: Lives): void {
  t.test(`${name}: a position of a former epoch is honoured when all up to it is there and nothing behind it was lost, by every node`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const { make, keep, restart, putBack, lose } = await open(t)
    // One with a member, one that has only published, and one that knows nothing but what the broker says.
    const [a, b, c] = [await node(t, make(), 'a'), await node(t, make(), 'b'), await node(t, make(), 'c')]
    await a.adapter.subscribe('chat/1', reliable)
    const say = async (text: string): Promise<Position> => (await until(
      `"${text}" is accepted`,
      async () => await b.adapter.publish('chat/1', said(text, { idempotencyKey: text }), reliable)
    )).position!
    // A node with members answers from what they have heard; they are told by a gap as soon as it knows better.
    const isTold = async (): Promise<unknown> => await until(
      'its member is told',
      () => a.host.gaps.some(({ from }) => from === undefined),
      15_000
    )
    const isUp = async (): Promise<unknown> => await until(
      'all are back',
      () => [a, b, c].every(({ adapter }) => adapter.stats!().isUp === true)
    )
    const read = async (since: Position): Promise<unknown[]> => {
      const pages = await Promise.all([
        c,
        b,
        a
      ].map(async ({ adapter }) => await until(
        'it is read',
        async () => await adapter.history!('chat/1', { since, limit: 100 }, reliable)
      )))
      return pages.map(({ resumed, events }) => resumed ? events.map(textOf) : false)
    }
    const all = <T>(what: T): T[] => [what, what, what]

    const first = await say('first')
    const second = await say('second')
    await restart()
    await isUp()
    t.same(await read(first), all(['second']), 'the broker came back with all its data')
    t.same(await read(second), all([]))

    await keep()
    await isUp()
    const third = await say('third')
    const lost = await say('lost')
    await a.host.heard('chat/1', 4)
    await putBack()
    await isUp()
    await isTold()
    t.same(await read(lost), all(false), 'it is not there')
    t.same(await read(third), all(false))
    t.same(await read(second), all(false), 'it is there, and what was accepted behind it is not')
    t.same(await read(first), all(false))
    const fourth = await say('fourth')
    const fifth = await say('fifth')
    await until('its member hears the last one', () => a.host.texts('chat/1').at(-1) === 'fifth')
    t.same(await read(fourth), all(['fifth']), 'of the epoch of today')

    a.host.gaps.length = 0
    await lose()
    await isUp()
    await isTold()
    t.same(await read(fifth), all(false))
    t.same(await read(fourth), all(false))
    await say('sixth')
    t.same(await read(fifth), all(false), 'though there are events again')
  })
}
