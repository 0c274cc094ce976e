import { deflateRawSync } from 'node:zlib'
import t from 'tap'
import { connect, eventually, start, statsOf, type Running } from '../helpers/net.js'
import {
  BINARY, CLOSE, closePayload, CONTINUATION, PING, PONG, rawFrame, RawWebSocket, TEXT, type FrameOptions
} from '../helpers/raw-websocket.js'

/**
 * What the server does: closes with this code, ends without a close frame, or goes on with these payloads in its pongs.
 */
type Outcome = number | 'goes on' | { readonly pongs: readonly string[] }
interface Case { readonly name: string, readonly bytes: Buffer | readonly Buffer[], readonly outcome: Outcome }

const ASK = '{"type":"ping","id":"1"}'
const frame = rawFrame
const text = (payload: string | Uint8Array, options?: FrameOptions): Buffer => frame(TEXT, payload, options)
const part = (payload: string | Uint8Array, options?: FrameOptions): Buffer => frame(CONTINUATION, payload, options)
const open = { fin: false } as const
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex')
const padded = (length: number): string => `${ASK.slice(0, -1)},"pad":"${'x'.repeat(length - ASK.length - 9)}"}`
const bytewise = (bytes: Buffer): Buffer[] => [...bytes].map((byte) => Buffer.from([byte]))
const inJson = (bytes: Buffer): Buffer => Buffer.concat([
  Buffer.from('{"type":"ping","id":"'),
  bytes,
  Buffer.from('"}')
])
const close = (code: number, reason?: string | Uint8Array): Buffer => frame(CLOSE, closePayload(code, reason))

const cases: Case[] = [
  // Lengths and masks (5.2, 5.3)
  { name: 'an empty text message', bytes: text(''), outcome: 'goes on' },
  {
    name: 'a text message of 125 bytes, the longest with a short length',
    bytes: text(padded(125)),
    outcome: 'goes on'
  },
  {
    name: 'a text message of 126 bytes, the shortest with a length of 16 bits',
    bytes: text(padded(126)),
    outcome: 'goes on'
  },
  {
    name: 'a text message of 65 535 bytes, the longest with a length of 16 bits',
    bytes: text(padded(65_535)),
    outcome: 'goes on'
  },
  {
    name: 'a text message of 65 536 bytes, which is the limit, with a length of 64 bits',
    bytes: text(padded(65_536)),
    outcome: 'goes on'
  },
  { name: 'a text message one byte over the limit', bytes: text(padded(65_537)), outcome: 1009 },
  { name: 'a head that claims a gibibyte, before its payload', bytes: text('', { claimed: 2 ** 30 }), outcome: 1009 },
  { name: 'a head that claims 2^53 bytes', bytes: text('', { claimed: 2n ** 53n }), outcome: 1009 },
  { name: 'a head that claims 2^63 bytes', bytes: text('', { claimed: 2n ** 63n }), outcome: 1009 },
  { name: 'a short message whose length is written in 16 bits', bytes: text(ASK, { form: 16 }), outcome: 'goes on' },
  { name: 'a short message whose length is written in 64 bits', bytes: text(ASK, { form: 64 }), outcome: 'goes on' },
  { name: 'a message that comes byte by byte', bytes: bytewise(text(ASK)), outcome: 'goes on' },
  { name: 'a head of 64 bits that comes byte by byte', bytes: bytewise(text(ASK, { form: 64 })), outcome: 'goes on' },
  { name: 'a mask of zeros', bytes: text(ASK, { key: Buffer.alloc(4) }), outcome: 'goes on' },
  { name: 'a mask of ones', bytes: text(ASK, { key: Buffer.alloc(4, 0xff) }), outcome: 'goes on' },
  {
    name: 'fifty messages in one write',
    bytes: Buffer.concat(Array.from({ length: 50 }, () => text(ASK))),
    outcome: 'goes on'
  },
  { name: 'a text message without a mask', bytes: text(ASK, { masked: false }), outcome: 1002 },
  { name: 'an empty text message without a mask', bytes: text('', { masked: false }), outcome: 1002 },
  { name: 'a ping without a mask', bytes: frame(PING, 'a', { masked: false }), outcome: 1002 },
  { name: 'a close without a mask', bytes: frame(CLOSE, closePayload(1000), { masked: false }), outcome: 1002 },
  // Reserved bits (5.2)
  ...[1, 2, 3, 4, 5, 6, 7].map((rsv): Case => ({
    name: `a text message with reserved bits ${rsv}`,
    bytes: text(ASK, { rsv }),
    outcome: 1002
  })),
  {
    name: 'a reserved bit in a continuation',
    bytes: [text('{"type"', open), part(':"ping"}', { rsv: 2 })],
    outcome: 1002
  },
  { name: 'a reserved bit in a ping', bytes: frame(PING, '', { rsv: 1 }), outcome: 1002 },
  { name: 'a reserved bit in a close', bytes: frame(CLOSE, '', { rsv: 4 }), outcome: 1002 },
  // Reserved opcodes (5.2)
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): Case => {
    return { name: `opcode ${opcode}`, bytes: frame(opcode, 'a'), outcome: 1002 }
  }),
  // Control frames (5.5)
  { name: 'an empty ping', bytes: frame(PING), outcome: { pongs: [''] } },
  { name: 'a ping of 125 bytes', bytes: frame(PING, 'p'.repeat(125)), outcome: { pongs: ['p'.repeat(125)] } },
  {
    name: 'a ping with bytes that are no text',
    bytes: frame(PING, hex('00 ff fe fd 80')),
    outcome: { pongs: [hex('00 ff fe fd 80').toString('latin1')] }
  },
  { name: 'a ping that comes byte by byte', bytes: bytewise(frame(PING, 'slow')), outcome: { pongs: ['slow'] } },
  { name: 'a ping of 126 bytes', bytes: frame(PING, 'p'.repeat(126)), outcome: 1002 },
  { name: 'a ping that claims 64 bits of length', bytes: frame(PING, 'p', { form: 64 }), outcome: 1002 },
  { name: 'a ping in two parts', bytes: frame(PING, 'p', open), outcome: 1002 },
  { name: 'a pong that nobody asked for', bytes: frame(PONG, 'why'), outcome: 'goes on' },
  { name: 'an empty pong', bytes: frame(PONG), outcome: 'goes on' },
  { name: 'a pong of 126 bytes', bytes: frame(PONG, 'p'.repeat(126)), outcome: 1002 },
  { name: 'a pong in two parts', bytes: frame(PONG, 'p', open), outcome: 1002 },
  {
    name: 'a ping between the parts of a message',
    bytes: [text('{"type":"pi', open), frame(PING, 'now'), part('ng","id":"1"}')],
    outcome: { pongs: ['now'] }
  },
  // Fragments (5.4)
  { name: 'a message in two parts', bytes: [text('{"type":"pi', open), part('ng","id":"1"}')], outcome: 'goes on' },
  {
    name: 'a message in three parts, the middle one empty',
    bytes: [text('{"type":"pi', open), part('', open), part('ng","id":"1"}')],
    outcome: 'goes on'
  },
  { name: 'a message whose first part is empty', bytes: [text('', open), part(ASK)], outcome: 'goes on' },
  {
    name: 'a message in parts of one byte',
    bytes: [text('{', open), ...bytewise(Buffer.from(ASK.slice(1, -1))).map((byte) => part(byte, open)), part('}')],
    outcome: 'goes on'
  },
  { name: 'a continuation of nothing', bytes: part(ASK), outcome: 1002 },
  { name: 'an open continuation of nothing', bytes: part('a', open), outcome: 1002 },
  { name: 'a continuation behind a message that has ended', bytes: [text(ASK), part('a')], outcome: 1002 },
  { name: 'a text message between the parts of another', bytes: [text('{"type"', open), text(ASK)], outcome: 1002 },
  {
    name: 'a binary message between the parts of a text',
    bytes: [text('{"type"', open), frame(BINARY, 'a')],
    outcome: 1002
  },
  {
    name: 'parts that are over the limit together',
    bytes: [text('x'.repeat(40_000), open), part('x'.repeat(40_000))],
    outcome: 1009
  },
  {
    name: 'a message in 300 parts',
    bytes: [text('', open), ...Array.from({ length: 300 }, () => part('', open))],
    outcome: 4500
  },
  { name: 'a control frame that claims to continue', bytes: [text('{', open), frame(CLOSE, '', open)], outcome: 1002 },
  // UTF-8 (8.1)
  {
    name: 'characters of two, three and four bytes',
    bytes: text(inJson(Buffer.from('\u00e9\u20ac\u{1F680}'))),
    outcome: 'goes on'
  },
  { name: 'U+FFFF and U+10FFFF', bytes: text(inJson(Buffer.from('\uffff\u{10ffff}'))), outcome: 'goes on' },
  {
    name: 'a character in two parts',
    bytes: [text(hex('7b 22 74 22 3a 22 e2 82'), open), part(hex('ac 22 7d'))],
    outcome: 'goes on'
  },
  {
    name: 'a character in four parts of one byte',
    bytes: [text(hex('22 f0'), open), part(hex('9f'), open), part(hex('9a'), open), part(hex('80 22'))],
    outcome: 'goes on'
  },
  ...([
    [
      'a lone continuation byte',
      '80'
    ], ['a byte 0xFF', 'ff'], ['a byte 0xFE', 'fe'], ['an overlong slash', 'c0 af'], ['an overlong NUL', 'c0 80'],
    [
      'an overlong form of three bytes',
      'e0 80 af'
    ], ['an overlong form of four bytes', 'f0 80 80 af'], ['a high surrogate', 'ed a0 80'],
    [
      'a low surrogate',
      'ed bf bf'
    ], ['a pair of surrogates', 'ed a0 bd ed ba 80'], ['a character above U+10FFFF', 'f4 90 80 80'],
    [
      'a form of five bytes',
      'f8 88 80 80 80'
    ], ['a character cut at the end', 'e2 82'], ['a character cut by ASCII', 'e2 82 41']
  ] as const).map(([name, digits]): Case => ({
    name: `${name} in a text message`,
    bytes: text(hex(digits)),
    outcome: 1007
  })),
  { name: 'no UTF-8 in the second part', bytes: [text('{"type":"', open), part(hex('c0 af'))], outcome: 1007 },
  {
    name: 'a character that the last part leaves open',
    bytes: [text(hex('e2'), open), part(hex('82'))],
    outcome: 1007
  },
  // Binary messages are no part of realtime.v1
  { name: 'a binary message', bytes: frame(BINARY, ASK), outcome: 4500 },
  { name: 'an empty binary message', bytes: frame(BINARY), outcome: 4500 },
  { name: 'a binary message in two parts', bytes: [frame(BINARY, '{', open), part('}')], outcome: 4500 },
  // Close (5.5.1, 7.4)
  { name: 'a close without a code', bytes: frame(CLOSE), outcome: 1005 },
  { name: 'a close with half a code', bytes: frame(CLOSE, hex('03')), outcome: 1002 },
  { name: 'a close with a reason of 123 bytes', bytes: close(1000, 'r'.repeat(123)), outcome: 1000 },
  { name: 'a close with a reason of 124 bytes', bytes: close(1000, 'r'.repeat(124)), outcome: 1002 },
  { name: 'a close whose reason is no UTF-8', bytes: close(1000, hex('c0 af')), outcome: 1007 },
  ...[
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999
  ].map((code): Case => ({ name: `a close with code ${code}`, bytes: close(code, 'bye'), outcome: code })),
  ...[
    0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535
  ].map((code): Case => ({
    name: `a close with code ${code}, which nobody may send`,
    bytes: close(code),
    outcome: 1002
  })),
  { name: 'a close between the parts of a message', bytes: [text('{', open), close(1000)], outcome: 1000 },
  { name: 'a close, then a message', bytes: [close(1000), text(ASK)], outcome: 1000 },
  { name: 'a close, then no WebSocket at all', bytes: [close(1001), hex('ff ff ff ff')], outcome: 1001 },
  { name: 'two closes', bytes: [close(4001), close(4002)], outcome: 4001 },
  // Bytes of something else
  { name: 'a TLS hello', bytes: hex('16 03 01 02 00 01 00 01 fc 03 03'), outcome: 1002 },
  { name: 'an HTTP request', bytes: Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), outcome: 1002 },
  { name: 'zeros', bytes: Buffer.alloc(64), outcome: 1002 }
]

const deflated = (payload: string): Buffer => deflateRawSync(payload, { finishFlush: 2 }).subarray(0, -4)
const RSV1 = { rsv: 4 } as const
const compressed: Case[] = [
  { name: 'a compressed message', bytes: text(deflated(ASK), RSV1), outcome: 'goes on' },
  { name: 'a message that is not compressed', bytes: text(ASK), outcome: 'goes on' },
  {
    name: 'a compressed message in two parts',
    bytes: [text(deflated(ASK).subarray(0, 5), { ...RSV1, ...open }), part(deflated(ASK).subarray(5))],
    outcome: 'goes on'
  },
  { name: 'an empty compressed message', bytes: text(deflated(''), RSV1), outcome: 'goes on' },
  {
    name: 'compressed text that is no UTF-8',
    bytes: text(deflateRawSync(hex('c0 af'), { finishFlush: 2 }).subarray(0, -4), RSV1),
    outcome: 1007
  },
  { name: 'bytes that do not inflate', bytes: text(hex('ff ff ff ff ff'), RSV1), outcome: 1007 },
  { name: 'a megabyte in a kilobyte', bytes: text(deflated('x'.repeat(1_048_576)), RSV1), outcome: 1009 },
  {
    name: 'a megabyte in a kilobyte, in two parts',
    bytes: [
      text(deflated('x'.repeat(1_048_576)).subarray(0, 100), { ...RSV1, ...open }),
      part(deflated('x'.repeat(1_048_576)).subarray(100))
    ],
    outcome: 1009
  },
  {
    name: 'the bit of compression in a continuation',
    bytes: [text(deflated(ASK).subarray(0, 5), { ...RSV1, ...open }), part(deflated(ASK).subarray(5), RSV1)],
    outcome: 1002
  },
  { name: 'the bit of compression in a ping', bytes: frame(PING, '', RSV1), outcome: 1002 },
  { name: 'another reserved bit', bytes: text(deflated(ASK), { rsv: 2 }), outcome: 1002 },
  {
    name: 'a ping between the parts of a compressed message',
    bytes: [
      text(deflated(ASK).subarray(0, 5), { ...RSV1, ...open }),
      frame(PING, 'z'),
      part(deflated(ASK).subarray(5))
    ],
    outcome: { pongs: ['z'] }
  }
]

async function run (
  server: Running,
  { bytes, outcome }: Case,
  headers: Readonly<Record<string, string>>
): Promise<Outcome> {
  const socket = await RawWebSocket.open(server.port, '/ws/chat/1', {
    Authorization: `Bearer ${server.token('mallory')}`,
    ...headers
  })
  try {
    for (const chunk of Buffer.isBuffer(bytes) ? [bytes] : bytes) {
      socket.peer.send(chunk)
      if (chunk.length === 1) await new Promise((resolve) => { setImmediate(resolve) })
    }
    if (typeof outcome === 'number') return await socket.ends() ?? 0
    await socket.goesOn()
    if (outcome === 'goes on') return outcome
    return {
      pongs: socket.frames.filter(({ opcode }) => opcode === PONG).map(({ payload }) => payload.toString('latin1'))
    }
  } finally {
    socket.destroy()
  }
}

for (const [what, table, options, headers] of [
  ['a plain connection', cases, {}, {}],
  [
    'a connection with permessage-deflate',
    compressed,
    { compression: { threshold: 512 } },
    { 'Sec-WebSocket-Extensions': 'permessage-deflate' }
  ]
] as const) {
  t.test(
    `every frame of the table is answered as RFC 6455 says on ${what}, and nobody beside it is harmed`,
    async (t) => {
      const server = await start(t, {
        ...options,
        limits: { user: { connections: 1_000, then: 'reject' }, rate: { messages: 1_000, burst: 1_000 } }
      })
      const beside = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
      for (const each of table) {
        await t.test(each.name, async (t) => {
          t.same(await run(server, each, headers).catch((error: Error) => error.message), each.outcome)
        })
      }
      await server.app.rooms.broadcast('chat/1', 'said', { text: 'after all that', by: 'app' })
      t.match((await beside.next('said')).data, { text: 'after all that' })
      await beside.fence()
      t.same(server.loud, [])
      await eventually('connections', async () => (await statsOf(server.app)).connections.total, (total) => total === 1)
    }
  )
}
