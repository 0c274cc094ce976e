import { connect as dial, type Socket } from 'node:net'
import http2 from 'node:http2'
import { pipeline, type Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGzip, gunzipSync } from 'node:zlib'
import type { FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import { SlotAudit } from '../../lib/admission/slot-audit.js'
import { connect, declareChat, eventually, poll, start, statsOf, type Refused, type Running } from '../helpers/net.js'
import { plain, RawPeer, until, within } from '../helpers/raw.js'

t.setTimeout(120_000)

function asks (server: Running, user: string, accept = '*/*', path = '/ws/chat/1'): string {
  return plain(path, { headers: { Host: 'localhost', Accept: accept, Authorization: `Bearer ${server.token(user)}` } })
}

function posts (server: Running, user: string, frame: object, length?: number): string {
  const body = JSON.stringify(frame)
  return plain('/ws', {
    method: 'POST',
    headers: {
      Host: 'localhost',
      Authorization: `Bearer ${server.token(user)}`,
      'Content-Type': 'application/json',
      'Content-Length': String(length ?? body.length)
    }
  }) + body
}

interface Slotted { readonly connections: { readonly total: number, readonly slots: number } }

async function isEmpty ({ app }: Running): Promise<void> {
  await eventually(
    'no connection and no slot is left',
    async () => (await statsOf(app) as unknown as Slotted).connections,
    ({ total, slots }) => total === 0 && slots === 0
  )
}

async function sockets ({ app }: Running): Promise<number> {
  return await new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => { if (error === null) resolve(count); else reject(error) })
  })
}

const SSE = 'text/event-stream'
const PIPELINED: Record<string, (server: Running, cursor: string) => string> = {
  'streams behind a stream': (server) => asks(server, 'ada', SSE).repeat(5),
  'polls behind a stream': (server) => asks(server, 'ada', SSE) + asks(server, 'ada').repeat(4),
  'POSTs behind a stream': (server) => asks(server, 'ada', SSE) + posts(server, 'ada', { type: 'ping' }).repeat(4),
  'streams behind a poll that waits': (server, cursor) => asks(server, 'ada', '*/*', `/ws/chat/1?since=${cursor}`) +
    asks(server, 'ada', SSE).repeat(4),
  'polls behind a poll that waits': (server, cursor) => asks(server, 'ada', '*/*', `/ws/chat/1?since=${cursor}`) +
    asks(server, 'ada').repeat(4)
}

for (const [what, text] of Object.entries(PIPELINED)) {
  t.test(`${what} on one socket leave nothing behind when it ends`, async (t) => {
    const server = await start(t, {
      presence: { grace: 50 },
      declare: (app) => { declareChat(app, { presence: true }) }
    })
    const { cursor } = await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
    const peer = await new RawPeer(server.port).connected()
    peer.send(text(server, cursor))
    await eventually(
      'something is open or it was refused',
      async () => peer.closed || (await statsOf(server.app)).connections.total > 0,
      Boolean
    )
    await server.app.rooms.stats()
    peer.socket.destroy()
    await isEmpty(server)
    await eventually(
      'nobody is present',
      async () => await server.app.rooms.count('chat/1'),
      (count) => count === 0,
      20_000
    )
  })
}

t.test('a stream that is pipelined behind a waiting poll is refused as a breach of the protocol', async (t) => {
  const server = await start(t)
  const { cursor } = await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
  const peer = await new RawPeer(server.port).connected()
  peer.send(asks(server, 'ada', '*/*', `/ws/chat/1?since=${cursor}&wait=100`) + asks(server, 'ada', SSE))
  await until('two answers', () => peer.text.split('HTTP/1.1 ').length === 3 ? true : undefined)
  t.match(
    peer.text.slice(peer.text.lastIndexOf('HTTP/1.1 ')),
    /^HTTP\/1\.1 400 [^]*connection: close[^]*"code":"protocol"/
  )
  await until('the socket is closed', () => peer.ended ? true : undefined)
  peer.socket.destroy()
})

/** A peer that takes nothing from its socket. */
function silent (t: Test, port: number): Socket {
  const socket = dial({ port, host: '127.0.0.1' })
  socket.on('error', () => undefined)
  socket.pause()
  t.teardown(() => { socket.destroy() })
  return socket
}

t.test('answers that nobody takes end their sockets after timeouts.write', async (t) => {
  const server = await start(t, { timeouts: { write: 500 }, limits: { rate: { messages: 10_000, burst: 10_000 } } })
  for (let i = 0; i < 5; i++) await server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(50_000), by: 'y' })
  const socket = silent(t, server.port)
  // More than the kernel of both sides takes.
  for (let i = 0; i < 100; i++) socket.write(posts(server, 'ada', { type: 'history', room: 'chat/1' }))
  await eventually('the socket is there', async () => await sockets(server), (count) => count === 1)
  await eventually('the socket is ended', async () => await sockets(server), (count) => count === 0, 15_000)
})

t.test('over HTTP/2 an answer that is never read is ended after timeouts.write, also while its session moves', async (t) => {
  const server = await start(t, { fastify: { http2: true } as never, timeouts: { write: 500 } })
  const begun = performance.now()
  let ended = 0
  // The client tells of the end of its stream only once it has read what has come.
  server.app.server.once('stream', (stream: http2.Http2Stream) => {
    stream.on('close', () => { ended = performance.now() - begun })
  })
  const session = http2.connect(server.url, { settings: { initialWindowSize: 1_000 } })
  session.on('error', () => undefined)
  t.teardown(() => { session.destroy() })
  session.request({ ':path': '/ws/client.js' }).on('error', () => undefined).pause()
  let loads = 0
  const load = (): void => {
    const whole = session.request({ ':path': '/ws/client.js' })
    whole.on('error', () => undefined).resume().on('end', () => {
      loads++
      if (!session.destroyed) load()
    })
  }
  load()
  await until('the end of the answer', () => ended > 0, 8_000)
  t.ok(ended < 2_000, `${Math.round(ended)} ms`)
  const before = loads
  await until('the other answers go on', () => loads > before)
})

interface Loaded { readonly body: Buffer, readonly status: unknown, readonly trailers: http2.IncomingHttpHeaders }

/** Loads the client library over HTTP/2, an answer of many pieces. */
async function loaded (t: Test, { url }: Running, method = 'GET'): Promise<Loaded> {
  const session = http2.connect(url)
  t.teardown(() => { session.destroy() })
  const stream = session.request({ ':path': '/ws/client.js', ':method': method })
  let status: unknown
  let trailers: http2.IncomingHttpHeaders = {}
  stream.on('response', (headers) => { status = headers[':status'] })
  stream.on('trailers', (headers) => { trailers = headers })
  const body = await buffer(stream)
  await until('the end of the stream', () => stream.closed)
  return { body, status, trailers }
}

/** The same as one piece, over HTTP/1.1. */
async function whole ({ app }: Running): Promise<Buffer> {
  return (await app.inject('/ws/client.js')).rawPayload
}

const BROKEN = 'stream closed prematurely'

t.test('over HTTP/2 the log tells of no broken stream where a large answer is read to its end, or is that to a HEAD', async (t) => {
  const server = await start(t, { fastify: { http2: true } as never })
  const { body, status } = await loaded(t, server)
  t.equal(status, 200)
  t.ok(body.equals(await whole(server)), `${body.length} bytes`)
  t.match(await loaded(t, server, 'HEAD'), { status: 200, body: Buffer.alloc(0) })
  await server.app.close()
  t.same(server.lines.filter((line) => line.includes(BROKEN)), [])
})

t.test('over HTTP/2 the log tells of a broken stream once where a peer leaves in the middle of a large answer', async (t) => {
  const server = await start(t, { fastify: { http2: true } as never })
  const session = http2.connect(server.url, { settings: { initialWindowSize: 20_000 } })
  t.teardown(() => { session.destroy() })
  const stream = session.request({ ':path': '/ws/client.js' }).on('error', () => undefined)
  // Nothing is read, so that no more than the window comes.
  stream.once('response', () => { stream.close(http2.constants.NGHTTP2_CANCEL) })
  await until('the line', () => server.lines.some((line) => line.includes(BROKEN)))
  await server.app.close()
  t.equal(server.lines.filter((line) => line.includes(BROKEN)).length, 1)
})

t.test('over HTTP/2 a trailer that an onSend hook of the app sets comes behind a large answer', async (t) => {
  const server = await start(t, {
    fastify: { http2: true } as never,
    before: (app) => {
      app.addHook('onSend', async (_request, reply) => {
        reply.trailer('x-sum', (_reply, _payload, done) => { done(null, 'a sum') })
      })
    }
  })
  const { body, trailers } = await loaded(t, server)
  t.ok(body.equals(await whole(server)), `${body.length} bytes`)
  t.equal(trailers['x-sum'], 'a sum')
})

t.test('over HTTP/2 a hook of the app that pipes a large answer through gzip is told of its end, not of a break', async (t) => {
  const ends: unknown[] = []
  const server = await start(t, {
    fastify: { http2: true } as never,
    before: (app) => {
      // As @fastify/compress does it: a hook of the route, behind all others.
      app.addHook('onRoute', (route) => {
        if (route.url !== '/ws/client.js' || route.method !== 'GET') return
        route.onSend = (request, reply, payload, done) => {
          if (request.raw.httpVersionMajor === 1) {
            done(null, payload)
            return
          }
          void reply.header('content-encoding', 'gzip').removeHeader('content-length')
          done(null, pipeline(payload as Readable, createGzip(), (error) => { ends.push(error) }))
        }
      })
    }
  })
  const { body } = await loaded(t, server)
  t.ok(gunzipSync(body).equals(await whole(server)), `${body.length} bytes`)
  t.same(ends, [undefined])
})

t.test('a poll keeps its slot until its answer is taken or given up, and the grace begins then', async (t) => {
  const server = await start(t, {
    presence: { grace: 50 },
    timeouts: { write: 1_500 },
    limits: { user: { connections: 1, then: 'reject' }, outbox: 64 * 1024 * 1024 },
    heartbeat: 500
  })
  const { cursor } = await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
  const socket = silent(t, server.port)
  socket.write(asks(server, 'ada', '*/*', `/ws/chat/1?since=${cursor}`))
  await eventually('the socket is there', async () => await sockets(server), (count) => count === 1)
  await sleep(300)
  // In one turn, so that one answer holds all: more than the kernel takes.
  await Promise.all(Array.from(
    { length: 150 },
    async () => await server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(200_000), by: 'y' })
  ))
  await sleep(700)
  t.equal((await statsOf(server.app)).connections.total, 1, 'long after the grace')
  const word = await connect(server, { rooms: ['chat/1'], token: server.token('ada') }).then(
    () => 'let in',
    (error: Refused) => error.body.code
  )
  t.equal(word, 'user_limit')
  await isEmpty(server)
  t.equal(await sockets(server), 0)
})

const CLOSING: Record<string, { ask: (server: Running, user: string) => string, most: number }> = {
  'a POST whose handler is at work': {
    ask: (server, user) => posts(server, user, { type: 'say', room: 'chat/1', data: { text: 'x' } }),
    most: 1_000
  },
  'a POST whose body never ends': { ask: (server, user) => posts(server, user, { type: 'say' }, 1_000), most: 2_500 },
  'a socket that is kept alive': { ask: () => plain('/ws/health'), most: 1_000 },
  'half a header': { ask: () => 'GET /ws/health HTTP/1.1\r\nHo', most: 1_000 },
  'a stream': { ask: (server, user) => asks(server, user, SSE), most: 1_000 },
  'a poll that waits': {
    ask: (server, user) => asks(server, user, '*/*', `/ws/chat/1?since=${cursors.get(server)!}`),
    most: 1_000
  },
  'a request that authorize holds': { ask: (server, user) => asks(server, user, SSE, '/ws/chat/slow'), most: 2_500 }
}
const cursors = new Map<Running, string>()

for (const [what, { ask, most }] of Object.entries(CLOSING)) {
  t.test(`app.close() takes ${most < 2_000 ? 'a moment' : 'drain.timeout and no more'} with ${what}`, async (t) => {
    const server = await start(t, {
      drain: { timeout: 1_500 },
      declare: (app) => {
        declareChat(app, {
          authorize: async ({ params }: { params: { id: string } }) => {
            if (params.id === 'slow') await new Promise(() => undefined)
            return true
          }
        })
      }
    })
    const { cursor } = await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
    cursors.set(server, cursor)
    const peer = await new RawPeer(server.port).connected()
    peer.send(ask(server, 'ada'))
    await sleep(100)
    const begun = performance.now()
    await within('close', 6_000, server.app.close())
    const took = performance.now() - begun
    t.ok(took < most, `took ${Math.round(took)} ms`)
    peer.socket.destroy()
  })
}

t.test('a session of HTTP/2 may be idle while a stream or a poll is open on it, and no longer', async (t) => {
  const limit = 400
  const server = await start(t, { fastify: { http2: true, http2SessionTimeout: limit } as never })
  const open = async (session: http2.ClientHttp2Session, path: string): Promise<http2.ClientHttp2Stream> => {
    const stream = session.request({ ':path': path, authorization: `Bearer ${server.token('ada')}` })
    stream.on('error', () => undefined)
    let text = ''
    stream.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
    await until('its answer', () => text.includes('"connectionId"') ? true : undefined)
    return stream
  }
  const connected = (): http2.ClientHttp2Session => {
    const session = http2.connect(server.url)
    session.on('error', () => undefined)
    t.teardown(() => { session.destroy() })
    return session
  }
  const polled = connected()
  await open(polled, '/ws/chat/1?transport=polling')
  const streamed = connected()
  const streams = [await open(streamed, '/ws/chat/1?transport=sse'), await open(streamed, '/ws/chat/2?transport=sse')]
  await until('the session of the poll is closed', () => polled.closed ? true : undefined, 3_000)
  streams[0]!.close(http2.constants.NGHTTP2_CANCEL)
  await sleep(3 * limit)
  t.notOk(streamed.closed, 'one stream is open')
  streams[1]!.close(http2.constants.NGHTTP2_CANCEL)
  await until('the session of the streams is closed', () => streamed.closed ? true : undefined, 3_000)
})

t.test('a socket has the limit of the server again behind a poll, also where none is kept alive for a time', async (t) => {
  const server = await start(t, {
    fastify: { connectionTimeout: 400 },
    before: (app) => { app.server.keepAliveTimeout = 0 }
  })
  const peer = new RawPeer(server.port)
  t.teardown(() => { peer.socket.destroy() })
  peer.send(asks(server, 'ada', '*/*', '/ws/chat/1?transport=polling'))
  t.equal((await peer.answered()).status, 200)
  await peer.left(3_000)
})

t.test('a header of the app that no answer can carry is a 500 over each transport, and keeps no slot', async (t) => {
  const server = await start(t, {
    presence: { grace: 50 },
    before: (app) => {
      app.addHook('onRequest', (request, reply, done) => {
        if (request.headers['x-wants'] === 'name') void reply.header('x-name', 'Łukasz')
        done()
      })
    }
  })
  const token = server.token('ada')
  for (const transport of ['sse', 'polling'] as const) {
    await t.rejects(
      within(transport, 2_000, connect(server, { transport, token, headers: { 'x-wants': 'name' } })),
      { statusCode: 500, code: 'internal' },
      transport
    )
  }
  // The answer to an upgrade carries no header of the app.
  const peer = await connect(server, { token, headers: { 'x-wants': 'name' } })
  await peer.close()
  await isEmpty(server)
})

for (const hook of ['onRequest', 'onSend'] as const) {
  t.test(`a refusal has its code also where an ${hook} hook of the app sets a header that no answer can carry`, async (t) => {
    const server = await start(t, {
      before: (app) => {
        const set = (reply: FastifyReply): void => {
          void reply.header('x-name', 'Łukasz')
          void reply.header('bad name', 'x')
          void reply.header('x-good', 'y')
        }
        if (hook === 'onRequest') app.addHook(hook, async (_request, reply) => { set(reply) })
        else app.addHook(hook, async (_request, reply) => { set(reply) })
      }
    })
    const authorization = `Bearer ${server.token('ada')}`
    const answers: Record<string, string> = {}
    for (const [method, path] of [
      ['GET', '/ws/nowhere/1?transport=polling'],
      ['GET', '/ws/nowhere/1?transport=sse'],
      ['GET', '/ws/chat/1?transport=polling'],
      ['GET', '/ws/stats/rooms'],
      ['POST', '/ws'],
      ['POST', '/ws/ticket']
    ] as const) {
      const answer = await fetch(server.url + path, { method, headers: { authorization, connection: 'close' } })
      const { code, statusCode } = await answer.json() as { code: string, statusCode: number }
      t.equal(statusCode, answer.status)
      t.equal(answer.headers.get('x-good'), 'y')
      answers[`${method} ${path}`] = code
    }
    t.same(answers, {
      'GET /ws/nowhere/1?transport=polling': 'room_unknown',
      'GET /ws/nowhere/1?transport=sse': 'room_unknown',
      'GET /ws/chat/1?transport=polling': 'internal',
      'GET /ws/stats/rooms': 'forbidden',
      'POST /ws': 'invalid_message',
      'POST /ws/ticket': 'internal'
    })
    await t.rejects(connect(server, { token: server.token('ada'), rooms: ['nowhere/1'] }), { code: 'room_unknown' })
  })
}

t.test('app.close() waits for no HTTP/2 session, with a stream and a POST on it or idle', async (t) => {
  const server = await start(t, { fastify: { http2: true } as never, drain: { timeout: 1_500 } })
  const session = http2.connect(server.url)
  session.on('error', () => undefined)
  t.teardown(() => { session.destroy() })
  const stream = session.request({ ':path': '/ws/chat/1', accept: SSE, authorization: `Bearer ${server.token('ada')}` })
  let text = ''
  stream.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  stream.on('error', () => undefined)
  await until('the stream is open', () => text.includes('"welcome"') ? true : undefined)
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'over HTTP/2', by: 'y' })
  await until('an event', () => text.includes('over HTTP/2') ? true : undefined)
  const post = session.request({
    ':path': '/ws',
    ':method': 'POST',
    authorization: `Bearer ${server.token('ada')}`,
    'content-type': 'application/json'
  })
  post.end('{"type":"ping"}')
  post.resume()
  await new Promise((resolve) => { post.on('end', resolve) })
  const refused = session.request({ ':path': '/ws/chat/1' })
  const [status] = await new Promise<unknown[]>((resolve) => {
    refused.on('response', (headers) => { resolve([headers[':status']]) })
  })
  t.equal(status, 401)
  refused.resume()
  const begun = performance.now()
  await within('close', 6_000, server.app.close())
  t.ok(performance.now() - begun < 1_400)
})

t.test(
  'the audit of slots finds what holds a slot and is no connection, and the other way round, and nothing else',
  async (t) => {
    const holders = new Set(['open', 'under way', 'ghost'])
    const open = new Set(['open', 'slotless'])
    const found: object[] = []
    const audit = new SlotAudit({
      holders: () => holders,
      connections: () => open,
      isHolder: (id) => holders.has(id),
      isConnection: (id) => open.has(id),
      isUnderWay: (id) => id === 'under way',
      patience: 100,
      release: (id) => { holders.delete(id) },
      end: (id) => { open.delete(id) },
      warn: (what) => { found.push(what) }
    })
    audit.look(0)
    audit.look(50)
    t.same(found, [], 'a difference of a moment is none')
    audit.look(100)
    t.same(found, [{ slots: 1, connections: 1 }])
    t.same([...holders], ['open', 'under way'])
    t.same([...open], ['open'])
    audit.look(500)
    t.equal(found.length, 1)
  }
)
