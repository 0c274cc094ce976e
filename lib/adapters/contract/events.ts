import { dataOf, live, reliable, said, textOf } from './host.js'
import type { Subject } from './subject.js'

/** Tries events: their order, who hears them, and what is left of them. */
export function eventsContract ({ name, nodes, pair, t }: Subject): void {
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

  t.test(`${name}: nodes that publish at once hand over the same order, where the adapter keeps a stream`, async (t) => {
    const [a, b] = await pair(t)
    await a.adapter.subscribe('chat/1', reliable)
    if (b !== a) await b.adapter.subscribe('chat/1', reliable)
    await Promise.all(Array.from(
      { length: 100 },
      (_, index) => (index % 2 === 0 ? a : b).adapter.publish('chat/1', said(`${index}`), reliable)
    ))
    const [here, there] = [await a.host.heard('chat/1', 100), await b.host.heard('chat/1', 100)]
    // Without a stream nobody puts the events of two publishers into one order: each keeps its own.
    for (const parity of a.adapter.history === undefined ? [0, 1] : [undefined]) {
      const isCompared = (text: string): boolean => parity === undefined || Number(text) % 2 === parity
      t.same(here.filter(isCompared), there.filter(isCompared))
    }
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
    const except = { user: 'ann', connection: 'c1', others: [{ room: 'chat/2' }, { user: 'bob' }] }
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
