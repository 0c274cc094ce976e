import type { Position } from '../../protocol/position.js'
import { reliable, said, textOf } from './host.js'
import type { Subject } from './subject.js'
import { until } from './until.js'

/** Tries what is kept of a room, and when a position is honoured. */
export function historyContract ({ name, pair, t }: Subject): void {
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
}
