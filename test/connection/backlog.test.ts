import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Backlog } from '../../lib/connection/backlog.js'
import { Batch } from '../../lib/connection/batch.js'
import { event, pong } from './fakes.js'
import { encodePart } from '../../lib/protocol/part-frames.js'
import type { Packet } from '../../lib/protocol/packet.js'

const dataOf = (packet: Packet): unknown => (JSON.parse(packet.payload.toString()) as { data?: unknown }).data

t.test(
  'a backlog gives back what it was given, thinned by key, and its counts are those of what is in it',
  async (t) => {
    const step = fc.oneof(
      fc.record({ key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ take: fc.integer({ min: 0, max: 400 }) }),
      fc.record({ plain: fc.boolean() })
    )
    t.doesNotThrow(() => fc.assert(fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const backlog = new Backlog()
      let model: Array<{ packet: Packet, key?: string, isLeaving?: boolean }> = []
      let n = 0
      for (const each of steps) {
        if ('take' in each) {
          // What is in the queue when a round begins to leave is not replaced any more.
          if (!model.some(({ isLeaving }) => isLeaving)) model = model.map((one) => ({ ...one, isLeaving: true }))
          const taken = backlog.shift(each.take)
          assert.deepEqual(taken, model.slice(0, taken.length).map(({ packet }) => packet))
          assert.ok(model.length === 0 || taken.length > 0, 'at least one')
          assert.ok(taken.length <= 1 || taken.reduce((sum, { bytes }) => sum + bytes.length, 0) <= each.take)
          model = model.slice(taken.length)
        } else if ('key' in each) {
          const packet = event(n++, { delivery: 'latest', key: each.key })
          const isOlder = (one: typeof model[number]): boolean => one.key === each.key && one.isLeaving !== true
          const older = model.some(isOlder)
          assert.equal(backlog.push(packet), older ? 'conflated' : 'kept')
          model = [...model.filter((one) => !isOlder(one)), { packet, key: each.key }]
        } else {
          const packet = each.plain ? pong : event(n++)
          assert.equal(backlog.push(packet), 'kept')
          model.push({ packet })
        }
        assert.deepEqual(
          [backlog.count, backlog.events, backlog.bytes],
          [
            model.length,
            model.filter(({ packet }) => packet.event !== undefined).length,
            model.reduce((sum, { packet }) => sum + packet.bytes.length, 0)
          ]
        )
      }
      assert.deepEqual(backlog.shift(Number.POSITIVE_INFINITY), model.map(({ packet }) => packet))
    }), { numRuns: 60 }))
  }
)

t.test(
  'a backlog that nobody reads keeps no place for a value that has been replaced, nor for one that has been taken',
  async (t) => {
    const backlog = new Backlog()
    backlog.push(event(0))
    for (let n = 1; n <= 10_000; n++) backlog.push(event(n, { delivery: 'latest', key: `k${n % 10}` }))
    t.equal(backlog.count, 11)
    t.ok(backlog.places <= 2 * 11 + 65, `${backlog.places} places`)
    for (let n = 0; n < 10_000; n++) {
      backlog.push(event(n, { delivery: 'latest', key: `other-${n}` }))
      backlog.shift(1)
    }
    t.equal(backlog.count, 11)
    t.ok(backlog.places <= 2 * 11 + 65, `${backlog.places} places`)
  }
)

t.test('a batch is the same node for whoever adds the same packets in the same order', async (t) => {
  const root = new Batch()
  const [a, b, c] = [event(1), event(2), event(3)]
  t.equal(root.add(a).add(b), root.add(a).add(b))
  t.equal(root.add(c), root.add(c))
  t.equal(root.add(b), root.add(b))
  t.not(root.add(a).add(b), root.add(b).add(a))
})

t.test('a batch counts frames, live and replayed events, and joins its bytes once', async (t) => {
  const batch = new Batch().add(event(1)).add(pong).add(event(2).replay)
  t.match(batch, { count: 3, live: 1, replayed: 1 })
  t.equal(batch.size, batch.bytes.length)
  t.equal(batch.bytes, batch.bytes)
  t.same(batch.packets.map(dataOf), [1, undefined, 2])
  t.ok(Buffer.from(batch.bytes).equals(Buffer.concat(batch.packets.map(({ bytes }) => bytes))))
  const one = event(4)
  t.equal(new Batch().add(one).bytes, one.bytes, 'a single frame is not copied')
})

t.test('stretches of one text that wait become one, where the first of them stood, and their bytes are counted', async (t) => {
  const backlog = new Backlog()
  const texts: Record<string, string> = { a: '', b: '' }
  let version = 0
  const stretch = (key: string, text: string): Packet => {
    const from = texts[key]!.length
    texts[key] += text
    const part = {
      before: `{"id":"${key}","text":"`,
      inside: text,
      isList: false,
      from,
      to: from + text.length,
      version: ++version,
      begun: key === 'a' ? 1 : 2
    }
    return encodePart({ type: 'answer', room: 'ai/1', key, timestamp: version }, part)
  }
  t.equal(backlog.push(stretch('a', 'one')), 'kept')
  t.equal(backlog.push(stretch('b', 'uno')), 'kept')
  backlog.push(event(1))
  for (let index = 0; index < 100; index++) t.equal(backlog.push(stretch('a', ` ${index}`)), 'conflated')
  t.equal(backlog.push(stretch('b', ' due')), 'conflated')
  t.same([backlog.count, backlog.events], [3, 3])
  const missed = stretch('b', ' tre')
  backlog.push(stretch('b', ' quattro'))
  t.equal(backlog.count, 4, 'what does not continue the last one stands by itself')
  backlog.push(missed)
  const taken = backlog.shift(Number.POSITIVE_INFINITY)
  t.same(taken.filter(({ event }) => event!.part !== undefined).map((packet) => {
    const { data, from } = JSON.parse(String(packet.payload)) as { data: { id: string, text: string }, from: number }
    return [data.id, from, data.text]
  }), [
    ['a', 0, texts.a],
    ['b', 0, 'uno due'],
    ['b', 11, ' quattro'],
    ['b', 7, ' tre']
  ])
  t.same([backlog.bytes, backlog.count, backlog.events], [0, 0, 0])
})

t.test('values that always change leave in rounds, so that those behind have their turn as well', async (t) => {
  const backlog = new Backlog()
  const keys = ['a', 'b', 'c', 'd', 'e']
  const seen = new Set<string>()
  let n = 0
  for (let round = 0; round < 5; round++) {
    for (const key of keys) backlog.push(event(++n, { delivery: 'latest', key }))
    t.ok(backlog.count <= 2 * keys.length, `${backlog.count} wait`)
    for (const packet of backlog.shift(1)) seen.add(String(packet.event!.key))
  }
  t.same([...seen].sort(), keys)
})
