import type { Packet } from '../../protocol/packet.js'
import type { Publication } from '../adapter.js'
import { owned, reliable, said, textOf } from './host.js'
import type { Subject } from './subject.js'
import { until } from './until.js'

/** Tries the current values of a room, and by which clock they age. */
export function latestContract ({ name, pair, t }: Subject): void {
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

  t.test(`${name}: a removal reaches all nodes, is kept in place of its value, and spares a value that is newer`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.latest === undefined || a.adapter.removal !== true) return t.pass('no removal')
    await b.adapter.subscribe('chat/1', reliable)
    const score = async (key: string, text: string, more: Partial<Publication> = {}): Promise<number> =>
      (await a.adapter.publish('chat/1', said(text, { type: 'score', delivery: 'latest', key, ...more }), reliable))
        .recipients
    const heard = async (count: number): Promise<Packet[]> => await until('events of the other node', () => {
      const events = b.host.events.get('chat/1') ?? []
      return events.length >= count ? events : undefined
    })
    await score('red', '1')
    await score('blue', '2')
    const [red, blue] = (await heard(2)).map(({ event }) => event!.version!)
    await score('red', '3')
    await score('red', '', { removes: { version: red! } })
    await score('green', '', { removes: { version: red! } })
    await score('blue', '', { removes: { version: blue! } })
    await score('blue', '', { removes: { version: blue! } })
    await score('white', '', { removes: {} })
    await score('red', '4')
    t.same((await heard(6)).slice(2).map(shown), ['red 3', 'blue -', 'white -', 'red 4'])
    const kept = await b.adapter.latest!('chat/1', reliable)
    t.same(kept.map(shown).sort(), ['blue -', 'red 4', 'white -'])
    t.same(JSON.parse(String(kept.find(({ event }) => event!.key === 'blue')!.payload)), {
      type: 'removed',
      room: 'chat/1',
      data: { event: 'score', key: 'blue' }
    })
    await score('blue', '5')
    t.same((await a.adapter.latest!('chat/1', reliable)).map(shown).sort(), ['blue 5', 'red 4', 'white -'])
  })

  t.test(`${name}: a value that ends with its user says whose it is, as it comes and as it is kept`, async (t) => {
    const [a, b] = await pair(t)
    if (a.adapter.latest === undefined || a.adapter.presence?.isPresent === undefined) return t.pass('no such values')
    await b.adapter.subscribe('chat/1', reliable)
    await a.adapter.publish('chat/1', said('1', { type: 'score', delivery: 'latest', key: 'red', user: 'änn' }), owned)
    await b.host.heard('chat/1', 1)
    const [kept] = await b.adapter.latest!('chat/1', owned)
    t.same([b.host.events.get('chat/1')![0]!.event!.user, kept!.event!.user], ['änn', 'änn'])
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
}

/** A value as `<key> <text>`, a removal as `<key> -`. */
function shown (packet: Packet): string {
  const { key = '', isRemoval } = packet.event!
  return `${key} ${isRemoval === true ? '-' : textOf(packet)}`
}
