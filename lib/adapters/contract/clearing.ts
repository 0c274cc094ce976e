import type { Position } from '../../protocol/position.js'
import type { Adapter, HistoryPage } from '../adapter.js'
import { reliable, said, textOf, type FakeHost } from './host.js'
import type { Subject } from './subject.js'
import { until } from './until.js'

async function since (adapter: Adapter, position: Position, room = 'chat/1'): Promise<HistoryPage> {
  return await adapter.history!(room, { since: position, limit: 100 }, reliable)
}

/** Where the clear stands that a node was told of last. */
async function toldOf ({ nodeId, gaps }: FakeHost, count = 1): Promise<Position> {
  await until(`${nodeId} is told of ${count} clears`, () => gaps.length >= count)
  const { epoch, to } = gaps.at(-1)!
  return { epoch, offset: to }
}

/** Tries that nobody resumes over a clear. */
export function clearingContract ({ name, pair, t }: Subject): void {
  t.test(`${name}: nothing from before a clear is kept or resumed on any node, members are told, and events go on behind it`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.clear === undefined || a.adapter.history === undefined) return t.pass('no clear')
    await b.adapter.subscribe('chat/1', reliable)
    const say = async (text: string): Promise<Position> =>
      (await a.adapter.publish('chat/1', said(text, { idempotencyKey: text }), reliable)).position!
    const before = [await say('one'), await say('two')]
    await b.host.heard('chat/1', 2)
    await a.adapter.clear('chat/1', reliable)
    const clear = await toldOf(b.host)
    const told = { room: 'chat/1', epoch: before[1]!.epoch, to: clear.offset }
    t.same(b.host.gaps, [told], 'it is no loss of a known length')
    t.ok(clear.offset > before[1]!.offset)
    for (const { adapter } of [a, b]) {
      for (const position of before) {
        const { resumed, events, floor } = await since(adapter, position)
        t.same([resumed, events, floor.offset >= clear.offset], [false, [], true], `behind ${position.offset}`)
      }
      t.same((await since(adapter, clear)).resumed, true, 'who stands at the clear has missed nothing')
      t.same((await adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)).events, [])
    }
    t.same(await say('two'), before[1], 'the key of an event is known as before')
    const after = [await say('three'), await say('four')]
    t.same(await b.host.heard('chat/1', 4), ['one', 'two', 'three', 'four'])
    const place = ({ epoch, offset }: Position): string => `${epoch} ${offset}`
    t.same(b.host.order, [...before.map(place), `gap ${clear.epoch} - ${clear.offset}`, ...after.map(place)])
    for (const { adapter } of [a, b]) {
      t.equal((await since(adapter, before[1]!)).resumed, false, 'nor once there are events again')
      t.same((await since(adapter, clear)).events.map(textOf), ['three', 'four'])
      t.same((await since(adapter, after[0]!)).events.map(textOf), ['four'])
      const { events } = await adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)
      t.same(events.map(textOf), ['three', 'four'])
    }
  })

  t.test(`${name}: a room is cleared that has no members, and one that never had an event`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.clear === undefined || a.adapter.history === undefined) return t.pass('no clear')
    const { position } = await a.adapter.publish('chat/1', said('one'), reliable)
    const empty = (await b.adapter.subscribe('chat/2', reliable))!
    await b.adapter.unsubscribe('chat/2')
    for (const room of ['chat/1', 'chat/2', 'chat/3']) await b.adapter.clear!(room, reliable)
    for (const { adapter } of [a, b]) {
      t.equal((await since(adapter, position!)).resumed, false)
      t.equal((await since(adapter, empty, 'chat/2')).resumed, false, 'the stream was empty')
    }
    for (const room of ['chat/1', 'chat/2', 'chat/3']) {
      await a.adapter.publish(room, said(`after ${room}`), reliable)
      const { events } = await b.adapter.history!(room, { last: 10, limit: 10 }, reliable)
      t.same(events.map(textOf), [`after ${room}`])
    }
    await a.adapter.publish('chat/4', said('of another room'), reliable)
    await a.adapter.clear('chat/1', reliable)
    const { events } = await b.adapter.history!('chat/4', { last: 10, limit: 10 }, reliable)
    t.same(events.map(textOf), ['of another room'])
  })

  t.test(`${name}: while events are published a clear has one place among them, the same for members and for what is kept`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.clear === undefined || a.adapter.history === undefined) return t.pass('no clear')
    await b.adapter.subscribe('chat/1', reliable)
    for (let round = 0; round < 5; round++) {
      const texts = Array.from({ length: 12 }, (_, index) => `${round}.${index}`)
      const published = texts.map(async (text) => {
        return (await a.adapter.publish('chat/1', said(text), reliable)).position!
      })
      await Promise.all([...published.slice(0, 6), a.adapter.clear('chat/1', reliable), ...published.slice(6)])
      const positions = await Promise.all(published)
      const clear = await toldOf(b.host, round + 1)
      const top = Math.max(clear.offset, ...positions.map(({ offset }) => offset))
      await until('all have come', () => b.host.order.some((place) => place.endsWith(` ${top}`)))
      const kept = texts.filter((_, index) => positions[index]!.offset > clear.offset)
      for (const { adapter } of [a, b]) {
        const { resumed, events } = await since(adapter, clear)
        t.same([resumed, events.map(textOf).sort()], [true, kept.sort()])
      }
    }
    const numbers = b.host.order.map((place) => Number(place.split(' ').at(-1)))
    t.same(numbers, [...numbers].sort((one, other) => one - other), 'members were told of each in order')
    t.equal(b.host.texts('chat/1').length, new Set(b.host.texts('chat/1')).size)
  })
}
