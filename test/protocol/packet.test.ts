import t from 'tap'
import { encodeEvent, encodeFrame, type EventHead } from '../../lib/protocol/packet.js'
import { frameText } from '../../lib/protocol/websocket-frame.js'

/** RFC 6455 5.2, written the long way. */
function expected (text: string): Buffer {
  const payload = Buffer.from(text, 'utf8')
  const length = payload.length
  const head = length < 126
    ? [0x81, length]
    : length < 65_536
      ? [0x81, 126, length >> 8, length & 0xff]
      : [0x81, 127, 0, 0, 0, 0, (length >> 24) & 0xff, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff]
  return Buffer.concat([Buffer.from(head), payload])
}

for (const size of [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]) {
  for (const [script, char, bytes] of [
    ['latin', 'x', 1],
    ['two-byte', 'é', 2],
    ['three-byte', '語', 3],
    ['four-byte', '\u{1F680}', 4]
  ] as const) {
    t.test(`a text of ${size} bytes, ${script} letters first, is framed byte for byte`, async (t) => {
      const text = char.repeat(Math.floor(size / bytes)) + 'x'.repeat(size % bytes)
      t.equal(Buffer.byteLength(text), size)
      t.ok(frameText(text).equals(expected(text)))
    })
  }
}

t.test('half of a surrogate pair leaves as U+FFFD, with the length of what is written', async (t) => {
  const text = 'a\ud800b'
  t.ok(frameText(text).equals(expected(text)))
  t.equal(frameText(text).subarray(2).toString('utf8'), 'a\ufffdb')
})

t.test('a frame has a buffer of its own, not a slice of a pool that a slow reader would pin', async (t) => {
  const bytes = frameText('{"type":"pong"}')
  t.equal(bytes.byteOffset, 0)
  t.equal(bytes.buffer.byteLength, bytes.length)
})

t.test('a protocol frame omits what is absent, and its payload is the JSON in all three sizes', async (t) => {
  t.equal(encodeFrame({ type: 'ack', id: undefined, room: undefined }).payload.toString(), '{"type":"ack"}')
  for (const size of [10, 1_000, 100_000]) {
    const frame = { type: 'ack', data: 'x'.repeat(size) } as const
    t.same(JSON.parse(encodeFrame(frame).payload.toString()), frame)
  }
})

const HEAD: EventHead = { type: 'said', room: 'chat/1', delivery: 'reliable', timestamp: 5 }

t.test('an event carries offset and ack only where it has them', async (t) => {
  t.equal(
    encodeEvent(HEAD, '{"a":1}').payload.toString(),
    '{"type":"said","room":"chat/1","data":{"a":1},"timestamp":5}'
  )
  t.equal(
    encodeEvent({ ...HEAD, position: { epoch: 'abcdefgh', offset: 7 }, ack: 'k"' }, 'null').payload.toString(),
    '{"type":"said","room":"chat/1","offset":7,"ack":"k\\"","data":null,"timestamp":5}'
  )
})

t.test('the form for streams is made once: an event under its own name, every other frame as realtime', async (t) => {
  const event = encodeEvent(HEAD, '{"text":"a\\nb\\r\\n\\u0000"}')
  t.equal(event.sse.toString(), `event:said\ndata:${event.payload.toString()}\n\n`)
  t.equal(event.sse, event.sse)
  t.equal(
    encodeFrame({ type: 'drain', data: { retryAfter: 5 } }).sse.toString(),
    'event:realtime\ndata:{"type":"drain","data":{"retryAfter":5}}\n\n'
  )
})

t.test('the form for streams without names is the same memory behind the first line', async (t) => {
  const event = encodeEvent(HEAD, '{"text":"event:x\\ndata:"}')
  t.equal(event.unnamedSse.toString(), `data:${event.payload.toString()}\n\n`)
  t.equal(event.unnamedSse, event.unnamedSse)
  t.equal(event.unnamedSse.buffer, event.sse.buffer)
})

t.test('no CR, LF or NUL of any string leaves in a field of a stream', async (t) => {
  for (const evil of ['\r', '\n', '\r\n', '\0', '\n\nevent: evil\ndata: x\n\n', '\u2028', 'x\rdata: y']) {
    const lines = encodeEvent(HEAD, JSON.stringify({ text: evil })).sse.toString('latin1')
    t.match(lines, /^event:said\ndata:[^\r\n\0]*\n\n$/, encodeURIComponent(evil))
  }
})

t.test('a replayed packet has the same bytes and position, and is marked', async (t) => {
  const packet = encodeEvent({ ...HEAD, position: { epoch: 'abcdefgh', offset: 7 } }, '1')
  const { replay } = packet
  t.equal(packet.isReplay, false)
  t.equal(replay.isReplay, true)
  t.equal(replay.bytes, packet.bytes)
  t.equal(replay.position, packet.position)
  t.equal(packet.replay, replay)
})
