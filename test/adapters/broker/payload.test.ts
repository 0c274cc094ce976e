import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Publication } from '../../../lib/adapters/adapter.js'
import { Undecodable } from '../../../lib/adapters/broker/decode.js'
import {
  decodePayload,
  encodePayload,
  identityOf,
  originOf,
  parsePositions,
  splitOrigin
} from '../../../lib/adapters/broker/payload.js'
import { leftOut } from '../../../lib/rooms/left-out.js'
import { RESERVED_TYPES } from '../../../lib/protocol/frames.js'
import { encodeEvent } from '../../../lib/protocol/packet.js'

const ROOM = 'chat/1'
const RUNS = { numRuns: 300 }

const text = fc.string({ unit: 'binary', maxLength: 40 })
const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
const type = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/).filter((word) => !RESERVED_TYPES.has(word))
const timestamp = fc.nat(Number.MAX_SAFE_INTEGER)
const data = fc.jsonValue().map((value) => JSON.stringify(value))
const idempotencyKey = fc.option(fc.string({ maxLength: 40 }), { nil: undefined })
const others = fc.array(
  fc.oneof(fc.record({ connection: name }), fc.record({ user: name }), fc.record({ room: fc.constant('chat/2') })),
  { maxLength: 4 }
)
const except = fc.option(
  fc.oneof(
    fc.record({ connection: name }),
    fc.record({ user: text, connection: name }),
    fc.record({ others }),
    fc.record({ connection: name, others }),
    // As the option of a broadcast, which may be a header of somebody's request.
    fc.constantFrom('', 'x'.repeat(1_024), 'x'.repeat(20_000)).map((given) => leftOut(given))
  ),
  { nil: undefined }
)
/** Every kind of publication that an application can make. */
const publication: fc.Arbitrary<Publication> = fc.oneof(
  fc.record({ type, data, timestamp, except, idempotencyKey, delivery: fc.constantFrom('reliable', 'volatile') }),
  fc.record({ type, data, timestamp, except, idempotencyKey, delivery: fc.constant('latest'), key: text }),
  fc.record({ type, data, timestamp, except, idempotencyKey, delivery: fc.constant('latest'), key: text, user: name }),
  fc.record({ type, data, timestamp, delivery: fc.constant('latest'), key: text, removes: fc.constant({}) }),
  fc.record({ type, data, timestamp, except, idempotencyKey, delivery: fc.constant('reliable'), ack: name })
)
const epoch = fc.stringMatching(/^[A-Za-z0-9_-]{8}$/)
/** An adapter and a number; NATS puts the epoch that it knew behind them. */
const origin = fc.tuple(epoch, fc.nat(), fc.option(epoch, { nil: undefined })).map(([adapter, number, known]) =>
  known === undefined ? `${adapter}-${number}` : `${adapter}-${number}@${known}`)
const position = fc.record({ epoch, offset: fc.nat(Number.MAX_SAFE_INTEGER) })
const at = fc.oneof(
  fc.record({ position, age: fc.option(fc.nat(), { nil: undefined }) }),
  fc.record({ version: fc.nat(1_700_000_000_000_000), age: fc.option(fc.nat(), { nil: undefined }) }),
  fc.constant({})
)

function isRefused (payload: string, at: Parameters<typeof decodePayload>[2]): boolean {
  try {
    decodePayload(ROOM, payload, at)
    return false
  } catch (error) {
    return error instanceof Undecodable
  }
}

/** What a broker hands out again: it stores UTF-8. */
function carried (payload: string): string { return Buffer.from(payload).toString() }

t.test('each publication is read as it was written, by whoever published it and wherever it stands', async (t) => {
  fc.assert(fc.property(origin, publication, at, (origin, publication, at) => {
    const packet = decodePayload(ROOM, carried(encodePayload(origin, publication)), at)
    const { type, data, delivery, key, timestamp, except, ack, user, removes } = publication
    const head = { type, room: ROOM, delivery, timestamp, key, except, ack, user, ...at }
    const expected = encodeEvent(removes === undefined ? head : { ...head, isRemoval: true }, data)
    // Compared as JSON, which leaves out the keys that are `undefined`.
    assert.deepEqual(JSON.parse(JSON.stringify(packet.event)), JSON.parse(JSON.stringify(expected.event)))
    assert.equal(packet.payload.toString(), expected.payload.toString())
  }), RUNS)
  t.pass('300 runs')
})

t.test('the origin of a payload is the one that it was written with, with an idempotency key and without', async (t) => {
  fc.assert(fc.property(origin, publication, (origin, publication) => {
    assert.equal(originOf(encodePayload(origin, publication)), origin)
  }), RUNS)
  t.pass('300 runs')
})

t.test('publications have one identity where they have one idempotency key, and their own without', async (t) => {
  fc.assert(fc.property(origin, origin, publication, publication, fc.string(), (one, other, a, b, key) => {
    const [first, second] = [
      identityOf(encodePayload(one, { ...a, idempotencyKey: key })),
      identityOf(encodePayload(other, { ...b, idempotencyKey: key }))
    ]
    assert.equal(first, second)
    assert.match(first, /^[A-Za-z0-9_-]{16}$/)
    assert.notEqual(identityOf(encodePayload(one, { ...a, idempotencyKey: `${key}!` })), first)
    assert.equal(identityOf(encodePayload(one, { ...a, idempotencyKey: undefined })), one)
  }), RUNS)
  t.pass('300 runs')
})

t.test('an origin is parted from the epoch behind it', async (t) => {
  t.same(splitOrigin('node-1'), ['node-1', undefined])
  t.same(splitOrigin('node-1@AAAAAAAA'), ['node-1', 'AAAAAAAA'])
})

t.test('an event that leaves out what can be no connection is read, and leaves out nobody', async (t) => {
  for (const connection of ['', 'x'.repeat(20_000)]) {
    const payload = encodePayload('node-1', { type: 'said', data: '1', delivery: 'reliable', timestamp: 1, except: { connection } })
    t.equal(decodePayload(ROOM, payload, {}).event!.except, undefined)
  }
})

t.test('a payload that is cut off anywhere is refused', async (t) => {
  const whole = encodePayload('node-1', {
    type: 'said',
    data: '{"text":"hi"}',
    delivery: 'latest',
    key: 'a\nb',
    timestamp: 1
  })
  for (let length = 0; length < whole.length; length++) {
    t.ok(isRefused(whole.slice(0, length), {}), String(length))
  }
})

t.test('a removal has a form of its own, which an earlier version leaves alone, and is one of a value', async (t) => {
  const written = encodePayload('node-1', {
    type: 'moved',
    data: '{}',
    delivery: 'latest',
    key: 'a',
    timestamp: 1,
    removes: {}
  })
  const head = JSON.parse(written.split('\n')[1]!) as { w: number, r: boolean }
  t.match(head, { w: 2, r: true })
  t.notOk(isRefused(written, {}))
  for (const odd of [{ w: 3 }, { d: 'reliable' }, { d: undefined }, { k: undefined }, { r: false }, { r: 'yes' }]) {
    t.ok(isRefused(`node-1\n${JSON.stringify({ ...head, ...odd })}\n{}`, {}), JSON.stringify(odd))
  }
})

t.test('a trace context travels in the head, and one that is none is passed over, since the event is none the worse', async (t) => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const event = { type: 'said', data: '1', delivery: 'reliable', timestamp: 1 } as const
  const read = (payload: string): unknown => decodePayload('chat/1', payload, {}).event!.traceparent
  const written = encodePayload('node-1', { ...event, traceparent })
  t.equal(read(written), traceparent)
  t.notMatch(decodePayload('chat/1', written, {}).payload.toString(), traceparent, 'no client is sent it')
  t.equal(encodePayload('node-1', event), 'node-1\n{"t":"said","s":1}\n1', 'without one nothing is written')
  for (const odd of [7, '', 'x', traceparent.toUpperCase(), traceparent.replace('00-', 'ff-'), `${traceparent}-1`, {}]) {
    t.equal(read(`node-1\n${JSON.stringify({ t: 'said', s: 1, p: odd })}\n1`), undefined, JSON.stringify(odd))
  }
})

t.test('a payload at a place that is none is refused', async (t) => {
  const payload = encodePayload('node-1', { type: 'said', data: '1', delivery: 'reliable', timestamp: 1 })
  for (const at of [
    { position: { epoch: 'short', offset: 1 } },
    { position: { epoch: 'AAAAAAAA', offset: -1 } },
    { position: { epoch: 'AAAAAAAA', offset: 1.5 } },
    { version: -1 },
    { version: Number.MAX_SAFE_INTEGER }
  ]) t.ok(isRefused(payload, at), JSON.stringify(at))
})

t.test('positions are read as they were written, and whether what came after them was lost', async (t) => {
  const marked = fc.record({ epoch, offset: fc.nat(Number.MAX_SAFE_INTEGER), isLossy: fc.boolean() })
  fc.assert(fc.property(fc.array(marked, { maxLength: 10 }), (list) => {
    const text = list.map(({ epoch, offset, isLossy }) => `${epoch}${isLossy ? '!' : ''} ${offset}`).join(' ')
    const expected = list.map(({ epoch, offset, isLossy }) => isLossy ? { epoch, offset, isLossy } : { epoch, offset })
    assert.deepEqual(parsePositions(text, () => { assert.fail(`${text} is well formed`) }), expected)
  }), RUNS)
  t.pass('300 runs')
})

t.test('an entry that is no position is left out and told, and the others are read', async (t) => {
  for (const [entry, what] of [
    ['short 1', 'an epoch that is none'],
    ['AAAAAAAA -1', 'a negative offset'],
    ['AAAAAAAA 1.5', 'a fraction'],
    ['AAAAAAAA 9007199254740993', 'more than can be counted'],
    ['AAAAAAAA x', 'letters'],
    ['AAAAAAAA ', 'nothing']
  ] as const) {
    let told = 0
    const positions = parsePositions(`BBBBBBBB 1 ${entry} CCCCCCCC! 2`, () => { told++ })
    t.same(positions, [{ epoch: 'BBBBBBBB', offset: 1 }, { epoch: 'CCCCCCCC', offset: 2, isLossy: true }], what)
    t.equal(told, 1, what)
  }
  let told = 0
  t.same(parsePositions('AAAAAAAA', () => { told++ }), [])
  t.equal(told, 1, 'an epoch without an offset')
})
