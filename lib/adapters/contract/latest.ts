import { reliable, said, textOf } from './host.js'
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
