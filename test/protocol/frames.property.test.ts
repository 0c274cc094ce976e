import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { encodeEvent, encodeFrame } from '../../lib/protocol/packet.js'
import { parseCommand } from '../../lib/protocol/frames.js'
import { isOffset } from '../../lib/protocol/position.js'

/** What is left of a value when it has been JSON once: `-0` is `0`, `undefined` is gone. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown

t.test('an event is one JSON frame that says what it was made of, whatever its type, room, data and ack', async (t) => {
  fc.assert(fc.property(fc.record({
    type: fc.string({ minLength: 1 }),
    room: fc.string({ minLength: 1 }),
    data: fc.jsonValue(),
    ack: fc.option(fc.string(), { nil: undefined }),
    offset: fc.option(fc.nat(), { nil: undefined }),
    timestamp: fc.nat()
  }), ({ type, room, data, ack, offset, timestamp }) => {
    const position = offset === undefined ? undefined : { epoch: 'abcdefgh', offset }
    const packet = encodeEvent({ type, room, delivery: 'reliable', timestamp, position, ack }, JSON.stringify(data))
    assert.deepEqual(JSON.parse(packet.payload.toString()), plain({ type, room, offset, ack, data, timestamp }))
    assert.equal(packet.bytes[0], 0x81)
  }), { numRuns: 300 })
  fc.assert(fc.property(fc.string({ minLength: 1 }), fc.jsonValue(), (id, data) => {
    const frame = { type: 'ack', id, data } as const
    assert.deepEqual(JSON.parse(encodeFrame(frame).payload.toString()), plain(frame))
  }), { numRuns: 200 })
  t.pass('500 runs')
})

const since = fc.record(
  { epoch: fc.oneof(fc.constant('abcdefgh'), fc.string()), offset: fc.oneof(fc.nat(), fc.double(), fc.string()) },
  { requiredKeys: [] }
)
const frame = fc.record({
  type: fc.oneof(
    fc.constantFrom(
      'join',
      'leave',
      'ping',
      'pong',
      'auth',
      'members',
      'history',
      'ack',
      'say',
      'welcome',
      '__proto__'
    ),
    fc.jsonValue()
  ),
  room: fc.oneof(fc.constant('chat/1'), fc.jsonValue()),
  id: fc.oneof(fc.string(), fc.jsonValue()),
  data: fc.oneof(
    fc.record(
      { since, last: fc.jsonValue(), limit: fc.jsonValue(), connection: fc.jsonValue(), ticket: fc.jsonValue() },
      { requiredKeys: [] }
    ),
    fc.jsonValue()
  )
}, { requiredKeys: [] })

t.test(
  'any JSON value is read as a command with checked fields or as a fault in words, and never throws',
  async (t) => {
    fc.assert(fc.property(fc.oneof(frame, fc.jsonValue()), (json) => {
      const command = parseCommand(plain(json))
      if ('fault' in command) {
        assert.ok(command.fault.length > 0)
        return
      }
      if ('id' in command && command.id !== undefined) assert.ok(typeof command.id === 'string' && command.id !== '')
      if ('room' in command) assert.equal(typeof command.room, 'string')
      if ('since' in command && command.since !== undefined) {
        assert.ok(isOffset(command.since.offset) && /^[A-Za-z0-9_-]{8}$/.test(command.since.epoch))
      }
      if (command.type === 'history' && command.limit !== undefined) assert.ok(isOffset(command.limit))
      if (command.type === 'join' && command.last !== undefined) assert.ok(isOffset(command.last))
    }), { numRuns: 1_000 })
    t.pass('1 000 runs')
  }
)
