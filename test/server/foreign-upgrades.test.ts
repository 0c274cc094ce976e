import { EventEmitter, once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import net from 'node:net'
import { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import { serveForeignUpgrade } from '../../lib/server/foreign-upgrades.js'
import { followOpenSockets } from '../../lib/server/open-sockets.js'
import { declareChat, start, type Running } from '../helpers/net.js'
import { letGo } from '../helpers/garbage.js'

const H2C =
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n'

async function serve (t: Test, fastify = {}): Promise<Running> {
  return await start(t, {
    fastify,
    declare: (app) => {
      declareChat(app)
      app.get(
        '/orders',
        async ({ headers }) => ({ upgrade: headers.upgrade ?? null, connection: headers.connection ?? null })
      )
      app.get('/slow', async () => await new Promise((resolve) => setTimeout(() => { resolve({ slow: true }) }, 200)))
      app.post('/echo', { bodyLimit: 2_000_000 }, async ({ body }) => ({ length: JSON.stringify(body).length }))
      app.delete('/orders/1', async () => ({}))
    }
  })
}

/** Writes to a socket and reads answers until there are so many, or the other side ends. */
async function talk (port: number, parts: readonly string[], answers: number): Promise<string[]> {
  const socket = net.connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', (data: string) => { text += data })
  socket.on('error', () => {})
  for (const part of parts) {
    socket.write(part)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const found = (): string[] => text.split(/(?=HTTP\/1\.1 \d)/).filter((answer) => answer.includes('\r\n\r\n'))
  const until = performance.now() + 5_000
  while (found().length < answers && !socket.closed && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  socket.destroy()
  if (!socket.closed) await once(socket, 'close')
  return found()
}

const head =
  (line: string, more = '', asked = H2C): string => `${line} HTTP/1.1\r\nHost: localhost\r\n${asked}${more}\r\n`

t.test('a request that would also like another protocol is served as if it had not said so', async (t) => {
  const { port, token } = await serve(t)
  const bearer = `Authorization: Bearer ${token('ada')}\r\n`
  for (const [line, more] of [
    ['GET /orders', ''],
    ['DELETE /orders/1', ''],
    ['GET /ws/health', ''],
    ['GET /ws/chat/1', bearer],
    ['GET /ws/chat/1?transport=sse', `${bearer}Accept: text/event-stream\r\n`]
  ] as const) {
    for (const asked of [
      H2C,
      'Connection: upgrade\r\nUpgrade: TLS/1.0\r\n',
      'Connection: keep-alive, Upgrade\r\nUpgrade: foo/2, h2c\r\n'
    ]) {
      const [answer] = await talk(port, [head(line, more, asked)], 1)
      t.match(answer, /^HTTP\/1\.1 200 /, `${line} ${asked}`)
    }
  }
  const [answer] = await talk(
    port,
    [head(
      'GET /orders',
      '',
      'Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n'
    )],
    1
  )
  t.match(answer, /\{"upgrade":null,"connection":"keep-alive"\}/, 'without the fields that asked')
})

t.test('its body arrives, by length and in chunks, at once and in parts', async (t) => {
  const { port } = await serve(t)
  const body = JSON.stringify({ text: 'x'.repeat(200_000) })
  const type = 'Content-Type: application/json\r\n'
  const sized = head('POST /echo', `${type}Content-Length: ${body.length}\r\n`)
  const chunked = head('POST /echo', `${type}Transfer-Encoding: chunked\r\n`)
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  for (const parts of [
    [sized + body],
    [sized, body],
    [sized + body.slice(0, 10), body.slice(10, 100_000), body.slice(100_000)],
    [chunked + chunk],
    [chunked, chunk.slice(0, 1_000), chunk.slice(1_000)]
  ]) {
    const [answer] = await talk(port, parts, 1)
    t.match(answer, /^HTTP\/1\.1 200 [^]*\{"length":200011\}/)
  }
})

t.test(
  'a request that is pipelined behind its body is answered, or the answer before it says that it was not read',
  async (t) => {
    const { port } = await serve(t)
    const body = JSON.stringify({ text: 'x' })
    const sized = head('POST /echo', `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`) + body
    const answers = await talk(port, [`${sized}GET /orders HTTP/1.1\r\nHost: localhost\r\n\r\n`], 2)
    t.match(answers[0], /^HTTP\/1\.1 200 [^]*\{"length":\d+\}/)
    if (answers.length === 1) t.match(answers[0], /\r\nconnection: close\r\n/i)
    else t.match(answers[1], /^HTTP\/1\.1 200 /)
  }
)

t.test('its socket stays alive, also for pipelined requests, in their order', async (t) => {
  const { port } = await serve(t)
  const plain = 'GET /orders HTTP/1.1\r\nHost: localhost\r\n\r\n'
  for (const parts of [
    [head('GET /orders'), head('GET /orders'), plain, head('GET /orders')],
    [head('GET /orders') + plain + head('GET /orders') + plain],
    ['GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n' + head('GET /orders') + plain + plain]
  ]) {
    const answers = await talk(port, parts, 4)
    t.equal(answers.length, 4)
    for (const answer of answers) t.match(answer, /^HTTP\/1\.1 200 /)
  }
  const [first] = await talk(port, ['GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n' + head('GET /orders')], 2)
  t.match(first, /slow/)
})

t.test('a socket that breaks while its foreign upgrade waits behind another answer ends nothing but itself', async (t) => {
  const server = new EventEmitter()
  let given = 0
  server.on('connection', () => { given++ })
  const before = new EventEmitter()
  const socket = Object.assign(new Duplex({ read () {}, write (_chunk, _encoding, done) { done() } }), {
    _httpMessage: before
  })
  const raw = { method: 'GET', url: '/orders', httpVersion: '1.1', rawHeaders: ['Host', 'localhost', 'Upgrade', 'h2c'] }
  serveForeignUpgrade(server, raw as unknown as IncomingMessage, socket, Buffer.alloc(0))
  // Not by `once` of node:events, which would listen for the error itself.
  const closed = new Promise((resolve) => { socket.on('close', resolve) })
  // The answer before it ends by the same fault, before anybody is told of the error: Node emits that in the next tick.
  socket.destroy(new Error('the peer has gone'))
  before.emit('close')
  await closed
  t.equal(given, 0)
})

t.test('a peer that goes in the middle leaves nothing behind', async (t) => {
  const { app, port } = await serve(t)
  for (let i = 0; i < 20; i++) {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(head('POST /echo', 'Content-Type: application/json\r\nContent-Length: 100\r\n'))
    await new Promise((resolve) => setTimeout(resolve, 5))
    socket.destroy()
  }
  await t.resolves(app.close())
})

t.test('a WebSocket is still one, also where it is one wish of two; a plain route still refuses it', async (t) => {
  const { port, token } = await serve(t)
  const asked =
    (upgrade: string): string =>
      `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n`
  const bearer = `Authorization: Bearer ${token('ada')}\r\n`
  for (const upgrade of ['websocket', 'WebSocket', 'h2c, websocket']) {
    const [answer] = await talk(port, [head('GET /ws/chat/1', bearer, asked(upgrade))], 1)
    t.match(answer, /^HTTP\/1\.1 101 /, upgrade)
  }
  const [answer] = await talk(port, [head('GET /orders', '', asked('websocket'))], 1)
  t.match(answer, /^HTTP\/1\.1 426 /)
})

const OFFERS: Record<string, string | undefined> = {
  'permessage-deflate': 'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
  'permessage-deflate; client_max_window_bits': 'permessage-deflate',
  'permessage-deflate; client_max_window_bits=10': 'permessage-deflate',
  'permessage-deflate; client_max_window_bits="12"': 'permessage-deflate',
  'permessage-deflate; server_max_window_bits=15': 'permessage-deflate',
  'permessage-deflate; server_max_window_bits=15; client_max_window_bits=15': 'permessage-deflate',
  'permessage-deflate; server_max_window_bits=9, permessage-deflate': 'permessage-deflate',
  'permessage-deflate; server_no_context_takeover; client_no_context_takeover': 'permessage-deflate',
  'foo, permessage-deflate': 'permessage-deflate',
  'permessage-deflate; server_max_window_bits=9': undefined,
  'permessage-deflate; server_max_window_bits': undefined,
  'permessage-deflate; server_max_window_bits=16': undefined,
  'permessage-deflate; unknown_param': undefined,
  'permessage-deflate; client_max_window_bits=7': undefined,
  'permessage-deflate; server_no_context_takeover=1': undefined,
  'permessage-deflate; client_max_window_bits; client_max_window_bits': undefined,
  'x-webkit-deflate-frame': undefined,
  'foo; bar="baz"': undefined,
  ';;;': undefined,
  'permessage-deflate;': undefined,
  '"': undefined,
  'permessage-bzip2': undefined
}

for (const compression of [false, { threshold: 0 }] as const) {
  t.test(
    `an offer of extensions is taken or declined and the WebSocket opens, with compression ${compression === false ? 'off' : 'on'}`,
    async (t) => {
      const { port, token } = await start(t, { compression })
      for (const [offer, taken] of Object.entries(OFFERS)) {
        const asked =
          `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: ${offer}\r\nAuthorization: Bearer ${token('ada')}\r\n`
        const [answer = ''] = await talk(port, [head('GET /ws/chat/1', '', asked)], 1)
        t.match(answer, /^HTTP\/1\.1 101 /, offer)
        const extensions = /sec-websocket-extensions: (.*)\r\n/i.exec(answer)?.[1]
        if (compression === false || taken === undefined) t.equal(extensions, undefined, offer)
        else t.ok(extensions?.startsWith(taken), `${offer} -> ${extensions ?? 'none'}`)
      }
    }
  )
}

t.test('a handshake that cannot be completed is answered in our words, whatever is wrong with it', async (t) => {
  const { port, token } = await start(t)
  const good = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    authorization: `Bearer ${token('ada')}`
  }
  const wrong: Array<[string, Record<string, string>, number, string?]> = [
    ['no key', { 'sec-websocket-key': '' }, 400],
    ['a short key', { 'sec-websocket-key': 'abc' }, 400],
    ['version 8', { 'sec-websocket-version': '8' }, 426],
    ['no version', { 'sec-websocket-version': '' }, 426],
    ['a protocol twice', { 'sec-websocket-protocol': 'realtime.v1, realtime.v1' }, 400],
    ['a protocol that is no token', { 'sec-websocket-protocol': 'realtime.v1, a b' }, 400],
    ['an empty protocol', { 'sec-websocket-protocol': 'realtime.v1,,x' }, 400],
    ['another protocol', { 'sec-websocket-protocol': 'graphql-ws' }, 400],
    ['POST', {}, 405, 'POST']
  ]
  for (const [what, fields, status, method = 'GET'] of wrong) {
    const lines = Object.entries({
      ...good,
      ...fields
    }).filter(([, value]) => value !== '').map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const [answer = ''] = await talk(port, [head(`${method} /ws/chat/1`, '', lines)], 1)
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), what)
    t.match(answer, /content-type: application\/json/i, what)
    t.match(answer, /"code":"protocol"/, what)
  }
})

t.test('a socket of which the server is told again and again is kept once', (t) => {
  const server = new EventEmitter()
  const followed = followOpenSockets(server as never)
  t.teardown(() => { followed.stop() })
  let ended = 0
  const socket = { destroyed: false, bytesRead: 0, destroy: () => { ended++ } }
  for (let each = 0; each < 1_000; each++) server.emit('connection', socket)
  followed.close()
  t.equal(ended, 1)
  t.end()
})

t.test('sockets that have gone are forgotten though no new ones come, and open ones are ended at the close', async (t) => {
  const server = new EventEmitter()
  const followed = followOpenSockets(server as never, 10)
  t.teardown(() => { followed.stop() })
  let ended = 0
  const open = (): { destroyed: boolean } => {
    const socket = { destroyed: false, bytesRead: 0, destroy: () => { ended++ } }
    server.emit('connection', socket)
    return socket
  }
  const peak = (): Array<WeakRef<object>> => Array.from({ length: 3_000 }, open).map((socket) => {
    socket.destroyed = true
    return new WeakRef(socket)
  })
  open()
  await letGo(peak())
  followed.close()
  t.equal(ended, 1)
})
