import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { ask, WAYS } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, lobby, postFrame, start, statsOf, TRANSPORTS, type Frame, type NetPeer,
  type Running
} from '../helpers/net.js'
import { without } from '../helpers/node-pairs.js'
import { proxied } from '../helpers/proxied.js'
import { handshake, RawPeer } from '../helpers/raw.js'

const codeOf = ({ data }: Frame): string => (data as { code: string }).code
const isAnswer = (id: string) => (frame: Frame): boolean =>
  frame.id === id && (frame.type === 'ack' || frame.type === 'error')

/** What would have ended the process. */
function watchProcess (t: Test): unknown[] {
  const faults: unknown[] = []
  const onFault = (error: unknown): void => { faults.push(error) }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)
  t.teardown(() => {
    process.off('uncaughtException', onFault)
    process.off('unhandledRejection', onFault)
  })
  return faults
}

for (const transport of ['sse', 'polling'] as const) {
  t.test(`over ${transport} bad messages are answered with the same codes, and nobody else notices`, async (t) => {
    const server = await start(t)
    const [peer, other] = [
      await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') }),
      await connect(server, { transport, rooms: ['chat/1'], token: server.token('bob') })
    ]
    for (const [what, frame, code] of [
      ['an unknown type', { type: 'nope', room: 'chat/1', data: {} }, 'message_unknown'],
      ['a type that objects inherit', { type: 'toString', room: 'chat/1', data: {} }, 'message_unknown'],
      ['a frame of the server', { type: 'welcome', room: 'chat/1' }, 'invalid_message'],
      ['a schema violation', { type: 'say', room: 'chat/1', data: { text: 5 } }, 'invalid_message'],
      ['no data', { type: 'say', room: 'chat/1' }, 'invalid_message'],
      ['a property too many', { type: 'say', room: 'chat/1', data: { text: 'x', admin: true } }, 'invalid_message'],
      ['no room', { type: 'say', data: { text: 'x' } }, 'invalid_message'],
      ['an undeclared room', { type: 'say', room: 'nowhere', data: {} }, 'room_unknown'],
      ['a bad room', { type: 'say', room: 'chat/..', data: {} }, 'room_invalid'],
      ['somebody else\'s room', { type: 'say', room: '@user/bob', data: {} }, 'room_unknown'],
      ['a join', { type: 'join', room: 'chat/2' }, 'invalid_message'],
      ['a refresh by a ticket that nobody was given', { type: 'auth', data: { ticket: 'x' } }, 'unauthorized'],
      ['a leave of a room not joined', { type: 'leave', room: 'chat/2' }, 'not_joined'],
      ['a room without presence', { type: 'members', room: 'chat/1' }, 'invalid_message']
    ] as const) {
      peer.send({ ...frame, id: what })
      t.equal(codeOf(await peer.next(what, isAnswer(what))), code, what)
    }
    peer.send({ type: 'say', room: 'chat/1', id: 'after', data: { text: 'still here' } })
    await peer.next('ack')
    t.match((await other.next('said')).data, { text: 'still here' })
    await other.fence()
    t.same(server.loud, [])
  })
}

t.test('a body of prototype keys, of deep nesting or of nothing is 400 and changes nothing', async (t) => {
  const server = await start(t)
  const post = async (body: string): Promise<[number, string]> => {
    const answer = await fetch(`${server.url}/ws/chat/1`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${server.token('ada')}`,
        'content-type': 'application/json',
        connection: 'close'
      },
      body
    })
    return [answer.status, (await answer.json() as { code: string }).code]
  }
  for (const body of [
    '',
    'null',
    '[]',
    '"x"',
    '{"type":"type","data":{"__proto__":{"a":1}}}',
    '{"__proto__":{"type":"type"},"data":{}}',
    '{"type":"type","data":{"constructor":{"prototype":1}}}',
    `{"type":"type","data":${'['.repeat(33)}${']'.repeat(33)}}`,
    '['.repeat(32_768)
  ]) {
    t.same(await post(body), [400, 'invalid_message'], body.slice(0, 60))
  }
  t.same(
    await post('{"type":"type","data":{},"room":"chat/2"}'),
    [400, 'invalid_message'],
    'the room of the body is not that of the URL'
  )
  t.equal(({} as { a?: unknown }).a, undefined)
  t.same(server.loud, [])
})

const mask = Buffer.from([1, 2, 3, 4])
/** A frame of any shape, masked unless said otherwise. */
function raw (
  first: number,
  payload: Buffer | string,
  { masked = true, length }: { masked?: boolean, length?: number[] } = {}
): Buffer {
  const data = Buffer.from(payload)
  const size = length ??
    (data.length < 126
      ? [data.length]
      : data.length < 65_536
        ? [126, data.length >> 8, data.length & 255]
        : [127, 0, 0, 0, 0, 0, data.length >> 16, (data.length >> 8) & 255, data.length & 255])
  const head = Buffer.from([first, (masked ? 0x80 : 0) | size[0]!, ...size.slice(1)])
  return masked ? Buffer.concat([head, mask, data.map((byte, i) => byte ^ mask[i % 4]!)]) : Buffer.concat([head, data])
}

for (const [what, bytes, close] of [
  ['a binary message', raw(0x82, '{"type":"ping"}'), 4500],
  ['an unmasked frame', raw(0x81, '{"type":"ping"}', { masked: false }), 1002],
  ['a reserved opcode', raw(0x83, 'x'), 1002],
  ['a reserved control opcode', raw(0x8b, 'x'), 1002],
  ['a reserved bit', raw(0xc1, 'x'), 1002],
  ['a fragmented ping', raw(0x09, 'x'), 1002],
  ['a ping of 126 bytes', raw(0x89, 'x'.repeat(126)), 1002],
  ['a continuation of nothing', raw(0x80, 'x'), 1002],
  ['a second beginning', Buffer.concat([raw(0x01, 'a'), raw(0x81, 'b')]), 1002],
  ['a close frame of one byte', raw(0x88, 'x'), 1002],
  ['a close frame with 1005', raw(0x88, Buffer.from([3, 237])), 1002],
  ['a close frame with 65535', raw(0x88, Buffer.from([255, 255])), 1002],
  ['a reason that is no UTF-8', raw(0x88, Buffer.from([3, 232, 0xff])), 1007],
  ['text that is no UTF-8', raw(0x81, Buffer.from([0x22, 0xc3, 0x28, 0x22])), 1007],
  ['text with half a surrogate pair in UTF-8', raw(0x81, Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])), 1007],
  ['a message of 65 537 bytes', raw(0x81, 'x'.repeat(65_537)), 1009],
  ['a header that announces 2^62 bytes', raw(0x81, '', { length: [127, 0x40, 0, 0, 0, 0, 0, 0, 0] }), 1009],
  [
    'a message of 300 fragments',
    Buffer.concat([raw(0x01, 'x'), ...Array.from({ length: 299 }, () => raw(0x00, 'x'))]),
    4500
  ],
  ['two handshakes in one packet', Buffer.from(handshake('/ws')), 1002]
] as const) {
  t.test(`${what} closes with ${close}, is one line at most, beside that of a limit, and nobody else's business`, async (t) => {
    const server = await start(t)
    const other = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
    const peer = new RawPeer(server.port)
    t.teardown(() => { peer.destroy() })
    peer.send(handshake('/ws/chat/1', { headers: { Authorization: `Bearer ${server.token('ada')}` } }))
    await peer.answered()
    await eventually('the welcome', () => peer.text.includes('"type":"welcome"'), Boolean)
    const lines = server.lines.length
    peer.received = Buffer.alloc(0)
    peer.send(bytes)
    await eventually('a close frame', () => peer.received.indexOf(0x88), (at) => at !== -1)
    const at = peer.received.indexOf(0x88)
    t.equal(peer.received.readUInt16BE(at + 2), close)
    peer.destroy()
    await eventually('the end', async () => (await statsOf(server.app)).connections.total, (total) => total === 1)
    await other.fence()
    const told = server.lines.slice(lines).filter((line) => !line.includes('"limit":"limits.message"'))
    t.ok(told.length <= 1, told.join(''))
    t.same(server.loud, [])
  })
}

t.test('fragments of one message, with pings between them, are one message', async (t) => {
  const server = await start(t)
  const peer = new RawPeer(server.port)
  t.teardown(() => { peer.destroy() })
  peer.send(handshake('/ws/chat/1', { headers: { Authorization: `Bearer ${server.token('ada')}` } }))
  await peer.answered()
  const text = '{"type":"say","room":"chat/1","id":"m","data":{"text":"hi"}}'
  peer.send(Buffer.concat([
    raw(0x01, text.slice(0, 9)),
    raw(0x89, 'p'),
    raw(0x00, text.slice(9, 20)),
    raw(0x80, text.slice(20))
  ]))
  await eventually('an ack', () => peer.text, (received) => received.includes('"type":"ack","room":"chat/1","id":"m"'))
  t.ok(peer.received.includes(Buffer.from([0x8a, 1, 'p'.charCodeAt(0)])), 'and the ping is answered')
})

/** Sends a message in parts, each of which the server reads apart. */
async function sendInParts (server: Running, peer: RawPeer, bytes: Buffer, size: number): Promise<void> {
  const connected = once(server.app.server, 'connection') as Promise<[Socket]>
  peer.send(handshake('/ws/chat/1', { headers: { Authorization: `Bearer ${server.token('ada')}` } }))
  const [socket] = await connected
  await peer.answered()
  await eventually('the welcome', () => peer.text.includes('"type":"welcome"'), Boolean)
  peer.received = Buffer.alloc(0)
  const before = socket.bytesRead
  for (let at = 0; at < bytes.length && peer.received.length === 0; at += size) {
    peer.send(bytes.subarray(at, at + size))
    while (socket.bytesRead - before < Math.min(at + size, bytes.length) && peer.received.length === 0) {
      await new Promise((resolve) => { setImmediate(resolve) })
    }
  }
}

t.test('a large message that a network brings in the parts of its packets is one message', async (t) => {
  const server = await start(t, { limits: { message: 8_388_608 } })
  const peer = new RawPeer(server.port)
  t.teardown(() => { peer.destroy() })
  const text = JSON.stringify({ type: 'say', room: 'chat/1', id: 'm', data: { text: 'x'.repeat(7_000_000) } })
  await sendInParts(server, peer, raw(0x81, text), 1_400)
  await eventually('an answer', () => peer.text, (received) => received.includes('"id":"m"'))
  t.match(peer.text, /"type":"error".*"code":"invalid_message"/, 'the schema takes less')
})

t.test('a message that comes byte by byte closes with 4500, and the reason says so', async (t) => {
  const server = await start(t)
  const peer = new RawPeer(server.port)
  t.teardown(() => { peer.destroy() })
  await sendInParts(server, peer, raw(0x81, 'x'.repeat(60_000)), 1)
  await eventually('a close frame', () => peer.received.indexOf(0x88), (at) => at !== -1)
  t.equal(peer.received.readUInt16BE(peer.received.indexOf(0x88) + 2), 4500)
  t.match(peer.text, /no tiny pieces/)
})

t.test(
  'a peer that pings without end and reads nothing costs no more than its outbox, and nobody else waits',
  async (t) => {
    const server = await start(t, { fastify: { logger: false } })
    const other = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
    const peer = new RawPeer(server.port)
    t.teardown(() => { peer.destroy() })
    peer.send(handshake('/ws/chat/1', { headers: { Authorization: `Bearer ${server.token('ada')}` } }))
    await peer.answered()
    peer.socket.pause()
    const before = process.memoryUsage().external + process.memoryUsage().heapUsed
    const flood = Buffer.concat(Array.from({ length: 10_000 }, () => raw(0x89, 'x'.repeat(125))))
    for (let i = 0; i < 20; i++) {
      if (!peer.socket.destroyed) peer.send(flood)
      await other.fence()
    }
    t.ok((await statsOf(server.app)).outbox.bytes <= 1_048_576)
    t.ok(process.memoryUsage().external + process.memoryUsage().heapUsed - before < 200_000_000)
  }
)

t.test('2 000 frames of broken JSON, cut and mixed at random, harm nobody', async (t) => {
  const faults = watchProcess(t)
  const server = await start(t, {
    limits: { rate: { messages: 100_000, burst: 100_000 }, user: { connections: 100, then: 'reject' } }
  })
  const other = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
  const peer = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    'null',
    '1e999',
    '-0',
    '"type"',
    '"say"',
    '"join"',
    '"room"',
    '"chat/1"',
    '"chat/%00"',
    '"data"',
    '"id"',
    '"since"',
    '{"epoch":"abcdefgh","offset":1}',
    '"__proto__"',
    '"text"',
    '\\u0000',
    '"\\ud800"',
    ' ',
    '\ufeff',
    'true',
    '"ack"',
    '"auth"',
    '"ticket"',
    '"history"',
    '"members"',
    '"leave"'
  ]
  // A seed of its own, so that a run that fails can be run again.
  let seed = 42
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed % n
  }
  const whole =
    '{"type":"join","room":"chat/2","id":"x","data":{"since":{"epoch":"abcdefgh","offset":1},"last":3,"connection":"x"}}'
  for (let i = 0; i < 2_000; i++) {
    let text = ''
    if (i % 2 === 0) for (let n = random(14); n >= 0; n--) text += pieces[random(pieces.length)]
    else {
      const at = random(whole.length)
      text = whole.slice(0, at) + pieces[random(pieces.length)] + whole.slice(at + random(9))
    }
    peer.send(text as unknown as object)
    if (i % 200 === 0) await peer.sync()
  }
  await peer.sync()
  await other.fence()
  t.same(faults, [])
  t.same(server.loud, [])
})

t.test(
  'a message is acked with its reply, without data where it declares none, and not at all without an id',
  async (t) => {
    const server = await start(t)
    const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    ada.send({ type: 'type', room: 'chat/1', data: {} })
    ada.send({ type: 'type', room: 'chat/1', id: 'a', data: {} })
    ada.send({ type: 'say', room: 'chat/1', id: 'b', data: { text: 'x' } })
    t.strictSame(await ada.next('ack'), { type: 'ack', room: 'chat/1', id: 'a' })
    t.strictSame(await ada.next('ack'), { type: 'ack', room: 'chat/1', id: 'b', data: { id: 'b' } })
    await ada.next('said')
    await ada.fence()
  }
)

t.test('the sender\'s ack follows the events that its handler awaited', async (t) => {
  const server = await start(t)
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  for (let i = 0; i < 20; i++) {
    ada.send({ type: 'say', room: 'chat/1', id: `m-${i}`, data: { text: `${i}` } })
    await ada.next('ack')
  }
  t.same(
    ada.queue.all.slice(1).map(({ type }) => type),
    Array.from({ length: 40 }, (_, i) => i % 2 === 0 ? 'said' : 'ack')
  )
})

t.test(
  'messages of one room are handled one at a time in their order, other rooms meanwhile; 64 may wait',
  async (t) => {
    const order: string[] = []
    let running = 0
    let most = 0
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    const server = await start(t, {
      limits: { rate: { messages: 1_000_000, burst: 64 } },
      declare: (app) => {
        app.room(chat, {
          on: {
            async say ({ data, params }) {
              if (params.id === '1') {
                most = Math.max(most, ++running)
                await gate
                running--
              }
              order.push(`${params.id}:${data.text}`)
              return { id: 'x' }
            },
            type () {}
          }
        })
      }
    })
    const ada = await connect(server, { rooms: ['chat/1', 'chat/2'], token: server.token('ada') })
    for (let i = 0; i < 70; i++) ada.send({ type: 'say', room: 'chat/1', id: `m-${i}`, data: { text: `${i}` } })
    ada.send({ type: 'say', room: 'chat/2', id: 'other', data: { text: 'x' } })
    t.match(await ada.next('ack'), { id: 'other' })
    t.same(order, ['2:x'])
    const refused = ada.queue.waiting.filter(({ type }) => type === 'error')
    t.same(refused.map(({ id }) => id), ['m-65', 'm-66', 'm-67', 'm-68', 'm-69'])
    for (const frame of refused) t.match(frame, { room: 'chat/1', data: { code: 'rate_limited' } })
    release()
    await eventually('the rest', () => order.length, (length) => length === 66)
    t.same(order.slice(1), Array.from({ length: 65 }, (_, i) => `1:${i}`))
    t.equal(most, 1)
  }
)

t.test('a room may take smaller messages than the connection', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { limits: { message: 200 } }) } })
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  ada.send({ type: 'say', room: 'chat/1', id: 'a', data: { text: 'x'.repeat(200) } })
  t.match(await ada.next('error'), { id: 'a', data: { code: 'message_too_large', retry: 'never' } })
  ada.send({ type: 'say', room: 'chat/1', id: 'b', data: { text: 'x' } })
  t.match(await ada.next('ack'), { id: 'b' })
})

t.test('HTTP callers have the rate of their user, and the others theirs', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 0.001, burst: 3 } } })
  const statuses: number[] = []
  for (let i = 0; i < 5; i++) statuses.push((await ask(server, 'uplink', { token: server.token('ada') })).status)
  t.same(statuses, [200, 200, 200, 429, 429])
  const { body, headers } = await ask(server, 'uplink', { token: server.token('ada') })
  t.match(body, { code: 'rate_limited', retry: 'backoff', retryAfter: Number })
  t.ok(Number(headers['retry-after']) > 0)
  t.equal((await ask(server, 'uplink', { token: server.token('bob') })).status, 200)
})

for (const validateOutput of [true, false]) {
  t.test(
    `with validateOutput ${String(validateOutput)} what the server says is ${validateOutput ? '' : 'not '}checked: replies, events, member data`,
    async (t) => {
      const server = await start(t, {
        validateOutput,
        declare: (app) => {
          app.room(chat, { on: { say: () => ({ id: 7 }) as never, type () {} } })
          app.room(lobby, { presence: () => ({ name: 7 }) as never })
        }
      })
      const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
      ada.send({ type: 'say', room: 'chat/1', id: 'a', data: { text: 'x' } })
      const answer = await ada.next('an answer', isAnswer('a'))
      ada.send({ type: 'join', room: 'crowd/1', id: 'j' })
      const joined = await ada.next('an answer', isAnswer('j'))
      const broadcast = server.app.rooms.broadcast('chat/1', 'said', { text: 7 })
      if (validateOutput) {
        t.equal(codeOf(answer), 'internal')
        t.equal(codeOf(joined), 'internal')
        await t.rejects(broadcast, { code: 'REALTIME_ERR_EVENT', message: /\/by: .*required|\/text: Expected string/i })
        matchList(
          t,
          server.loud.map((line) => (line as { err?: { message?: string } }).err?.message),
          [/reply to "say" of "chat\/:id" does not fit its schema: \/id/, /member data of "crowd\/:id"/]
        )
      } else {
        t.match(answer.data, { id: 7 })
        matchList(t, joined.data, { members: { list: [{ data: { name: 7 } }] } })
        t.match(await broadcast, { recipients: 1 })
      }
    }
  )
}

t.test(
  'a handler past its timeout is answered timeout and runs on; sent again, its message gets what it came to',
  async (t) => {
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    let runs = 0
    const server = await start(t, {
      timeouts: { handler: 50 },
      declare: (app) => {
        app.room(chat, {
          on: {
            async say ({ room, data }) {
              runs++
              await gate
              await room.broadcast('said', { text: data.text, by: 'late' })
              return { id: 'done' }
            },
            type () {}
          }
        })
      }
    })
    const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    const frame = { type: 'say', room: 'chat/1', id: 'm', data: { text: 'x' } }
    ada.send(frame)
    t.match(await ada.next('error'), { id: 'm', data: { code: 'timeout', retry: 'backoff' } })
    release()
    t.match((await ada.next('said')).data, { by: 'late' })
    ada.send(frame)
    t.match(await ada.next('ack'), { id: 'm', data: { id: 'done' } })
    t.equal(runs, 1)
  }
)

t.test(
  'an id in use for other content is a duplicate at once; a failure that may be tried again is run again, one that may not is told again',
  async (t) => {
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    const runs: string[] = []
    const server = await start(t, {
      declare: (app) => {
        app.room(chat, {
          on: {
            async say ({ data }) {
              runs.push(data.text)
              if (data.text === 'slow') await gate
              if (data.text === 'fails') throw new Error('x')
              if (data.text === 'refused') throw Object.assign(new Error('taken'), { statusCode: 409, code: 'TAKEN' })
              return { id: 'x' }
            },
            type () {}
          }
        })
      }
    })
    const [ada, second] = [
      await connect(server, { rooms: ['chat/1'], token: server.token('ada') }),
      await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    ]
    const say = (id: string, text: string): object => ({ type: 'say', room: 'chat/1', id, data: { text } })
    ada.send(say('slow', 'slow'))
    await ada.sync()
    second.send(say('slow', 'other'))
    t.equal(codeOf(await second.next('error')), 'duplicate')
    const posted = await fetch(`${server.url}/ws/chat/1`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${server.token('ada')}`,
        'content-type': 'application/json',
        connection: 'close'
      },
      body: JSON.stringify(say('slow', 'other'))
    })
    t.same([posted.status, (await posted.json() as { code: string }).code], [409, 'duplicate'])
    release()
    await ada.next('ack')
    for (let i = 0; i < 2; i++) {
      ada.send(say('fails', 'fails'))
      t.equal(codeOf(await ada.next('error')), 'internal')
      ada.send(say('refused', 'refused'))
      t.match((await ada.next('error')).data, { code: 'TAKEN', message: 'taken' })
    }
    t.same(runs, ['slow', 'fails', 'refused', 'fails'])
  }
)

for (const place of [
  'authorize', 'onJoin', 'onLeave', 'presence', 'handler', 'authenticate', 'userId', 'origins', 'preValidation',
  'stats.authorize'
] as const) {
  for (const how of ['throws', 'rejects', 'throws nothing']) {
    if (how === 'rejects' && (place === 'userId' || place === 'origins')) continue
    t.test(`when ${place} ${how}, on every transport, the process lives, no text of it is told, and others go on`, async (t) => {
      const faults = watchProcess(t)
      let isOn = false
      const act = (): unknown => {
        if (!isOn) return undefined
        // eslint-disable-next-line no-throw-literal
        if (how === 'throws nothing') throw undefined
        const error = new Error('secret text')
        if (how === 'throws') throw error
        return Promise.reject(error)
      }
      const hook = (value: unknown) => () => {
        const result = act()
        return result instanceof Promise ? result : value
      }
      const server = await start(t, {
        ...(place === 'authenticate'
          ? { authenticate: hook({ sub: 'ada', exp: 9_999_999_999, role: 'admin' }) as never, origins: 'any' as const }
          : {}),
        ...(place === 'userId' ? { userId: hook('ada') as never } : {}),
        ...(place === 'origins' ? { origins: hook(true) as never } : {}),
        ...(place === 'preValidation'
          ? { route: { preValidation: async () => await hook(undefined)() as never } }
          : {}),
        ...(place === 'stats.authorize' ? { stats: { authorize: hook(true) as never } } : {}),
        declare: (app) => {
          app.room(chat, {
            ...(place === 'authorize' ? { authorize: hook(true) as never } : {}),
            ...(place === 'onJoin' ? { onJoin: hook(undefined) as never } : {}),
            ...(place === 'onLeave' ? { onLeave: hook(undefined) as never } : {}),
            ...(place === 'presence' ? { presence: hook(undefined) as never } : {}),
            on: {
              say: place === 'handler' ? hook({ id: 'x' }) as never : () => ({ id: 'x' }),
              type: place === 'handler' ? hook(undefined) as never : () => {}
            }
          })
        }
      })
      const options = { rooms: ['chat/1'], token: server.token('ada'), headers: { origin: 'https://x.example' } }
      if (place !== 'origins') options.headers = {} as never
      const other = await connect(server, options)
      isOn = true
      let told = ''
      for (const transport of TRANSPORTS) {
        let peer: NetPeer | undefined
        try {
          peer = await connect(server, { ...options, transport })
          peer.send({ type: 'say', room: 'chat/1', id: 'm', data: { text: 'x' } })
          await peer.next('an answer', isAnswer('m'))
        } catch (error) {
          told += JSON.stringify(error)
        }
        if (peer !== undefined) {
          told += JSON.stringify(peer.queue.all)
          if (transport === 'websocket') peer.cut()
          else await peer.close()
        }
      }
      for (const way of WAYS) told += (await ask(server, way, options)).text
      told += (await server.app.inject({
        url: '/ws/stats',
        headers: { authorization: `Bearer ${server.token('root', { role: 'admin' })}` }
      })).body
      t.notMatch(told, /secret/)
      isOn = false
      await other.fence()
      await eventually('the log', () => server.loud.length, (count) => count > 0)
      if (how !== 'throws nothing') t.match(JSON.stringify(server.loud), /secret text/, 'it is logged')
      t.same(faults, [])
    })
  }
}

const odd = defineRoom('odd', { messages: { go: { data: Type.Object({ how: Type.String() }), reply: Type.Any() } } })

t.test('odd replies are answered: undefined, a promise-like, a Date, a function, a getter that throws', async (t) => {
  const faults = watchProcess(t)
  const replies: Record<string, () => unknown> = {
    undefined: () => undefined,
    null: () => null,
    thenable: () => ({ then: (resolve: (value: unknown) => void) => { resolve('later') } }),
    'thenable that rejects': () => ({
      then: (_resolve: unknown, reject: (error: Error) => void) => {
        reject(new Error('secret'))
      }
    }),
    'thenable that throws': () => ({ then: () => { throw new Error('secret') } }),
    date: () => new Date(0),
    function: () => () => 1,
    getter: () => ({ get x () { throw new Error('secret') } })
  }
  const server = await start(t, {
    declare: (app) => { app.room(odd, { on: { go: ({ data }) => replies[data.how]!() as never } }) }
  })
  const ada = await connect(server, { rooms: ['odd'], token: server.token('ada') })
  const outcomes: Record<string, unknown> = {}
  for (const how of Object.keys(replies)) {
    for (const id of [how, `again ${how}`]) {
      ada.send({ type: 'go', room: 'odd', id, data: { how } })
      const answer = await ada.next(how, isAnswer(id))
      outcomes[how] = answer.type === 'error' ? codeOf(answer) : answer.data
    }
    const { status, text } = await ask(server, 'uplink', { path: '/ws/odd', token: server.token('ada') })
    t.equal(status, 400)
    t.notMatch(text, /secret/)
  }
  t.strictSame(outcomes, {
    undefined,
    null: null,
    thenable: 'later',
    'thenable that rejects': 'internal',
    'thenable that throws': 'internal',
    date: '1970-01-01T00:00:00.000Z',
    function: undefined,
    getter: 'internal'
  })
  t.same(faults, [])
})

t.test('a reply is what it was when its handler returned it, stored and sent alike, however long that takes', async (t) => {
  const counter = defineRoom('counter/:id', {
    messages: { add: { data: Type.Object({}), reply: Type.Object({ total: Type.Number() }) } }
  })
  const adapter = memory()
  const claims = adapter.claims!
  let [stored, store] = [0, (): void => {}]
  const all = new Promise<void>((resolve) => { store = resolve })
  const settle: typeof claims.settle = async (...given) => {
    await claims.settle(...given)
    if (++stored === 3) store()
    await all
  }
  const state = { total: 0 }
  const server = await start(t, {
    adapter: proxied(adapter, { claims: proxied(without(claims, 'isLocal'), { settle }) }),
    declare: (app) => {
      app.room(counter, {
        on: {
          add () {
            state.total++
            return state
          }
        }
      })
    }
  })
  const token = server.token('ada')
  const peer = await connect(server, { token, rooms: ['counter/1'] })
  const add = async (id: string): Promise<unknown> =>
    (await postFrame(server, token, peer.id, { type: 'add', room: 'counter/1', id, data: {} })).data
  const answers = await Promise.all(['a', 'b', 'c'].map(add))
  const totals = answers.map((data) => (data as { total: number }).total)
  t.same(totals.toSorted(), [1, 2, 3])
  t.same(await Promise.all(['a', 'b', 'c'].map(add)), answers, 'and is the same one again')
})
