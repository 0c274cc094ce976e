import { connect as tcp, type Socket } from 'node:net'
import { once } from 'node:events'
import { createSigner } from 'fast-jwt'
import t from 'tap'
import type { RealtimeOptions } from '../../lib/index.js'
import {
  chat, connect, declareChat, eventually, inbox, poll, start, statsOf, TRANSPORTS, type Refused, type Running,
  type TransportName
} from '../helpers/net.js'

async function refusal (
  server: Running,
  transport: TransportName | 'uplink' | 'verdict',
  options: { room?: string, token?: string, headers?: Record<string, string> }
): Promise<Refused> {
  const { room = 'chat/1', token, headers = {} } = options
  if (transport === 'uplink' || transport === 'verdict') {
    const answer = await fetch(`${server.url}/ws/${room}${transport === 'verdict' ? '?verdict=1' : ''}`, {
      method: transport === 'uplink' ? 'POST' : 'GET',
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(transport === 'uplink' ? { 'content-type': 'application/json' } : {}),
        ...headers
      },
      ...(transport === 'uplink' ? { body: '{"type":"type","data":{}}' } : {})
    })
    const body = await answer.json() as Refused['body']
    return Object.assign(new Error(), {
      statusCode: answer.status,
      headers: Object.fromEntries(answer.headers),
      body
    }) as Refused
  }
  try {
    await connect(server, { transport, rooms: [room], headers, ...(token === undefined ? {} : { token }) })
  } catch (error) {
    return error as Refused
  }
  throw new Error('was admitted')
}

for (const transport of [...TRANSPORTS, 'uplink', 'verdict'] as const) {
  t.test(`a refusal over ${transport} has its status, Connection: close and the whole body`, async (t) => {
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id !== 'secret' })
      }
    })
    const token = server.token('ada')
    const cases: Array<[object, number, string, string]> = [
      [{ headers: { origin: 'https://evil.example' }, token }, 403, 'origin_refused', 'never'],
      [{ room: 'chat/%00x', token: 'x' }, 400, 'room_invalid', 'never'],
      [{}, 401, 'unauthorized', 'refresh'],
      [{ token: 'not.a.token' }, 401, 'unauthorized', 'refresh'],
      [{ token: server.token('ada', {}, '-1h') }, 401, 'token_expired', 'refresh'],
      [{ room: 'nowhere/1', token }, 404, 'room_unknown', 'never'],
      [{ room: 'chat/secret', token }, 403, 'forbidden', 'never'],
      [{ room: '@user/bob', token }, 404, 'room_unknown', 'never']
    ]
    for (const [options, status, code, retry] of cases) {
      const { statusCode, headers, body } = await refusal(server, transport, options)
      t.match(
        { statusCode, body },
        { statusCode: status, body: { statusCode: status, code, retry, message: String } },
        code
      )
      t.equal(headers.connection, 'close')
      t.equal(headers['cache-control'], 'no-store')
    }
    t.same(server.loud, [], 'nothing a client does is logged above info, but for a warning of each code')
  })
}

t.test('the checks come in their order: origin, room name, credential, room unknown, authorize', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { authorize: () => false }) } })
  const wrong = { room: 'nowhere/%00', headers: { origin: 'https://evil.example' } }
  t.equal((await refusal(server, 'polling', wrong)).body.code, 'origin_refused')
  t.equal((await refusal(server, 'polling', { room: 'nowhere/%00' })).body.code, 'room_invalid')
  t.equal((await refusal(server, 'polling', { room: 'nowhere/1' })).body.code, 'unauthorized')
  t.equal(
    (await refusal(server, 'polling', { room: 'nowhere/1', token: server.token('ada') })).body.code,
    'room_unknown'
  )
  t.equal((await refusal(server, 'polling', { token: server.token('ada') })).body.code, 'forbidden')
})

t.test('with several rooms the first that refuses is named', async (t) => {
  const server = await start(t, {
    declare: (app) => { declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id !== '2' }) }
  })
  const refused = await connect(server, { rooms: ['chat/1', 'chat/2'], token: server.token('ada') }).then(
    () => undefined,
    (error: Refused) => error
  )
  t.match(refused?.body, { statusCode: 403, code: 'forbidden', room: 'chat/2' })
})

/** Many upgrades at once; which of them were admitted, and how the others were refused. */
async function race (
  server: Running,
  count: number,
  room: string,
  tokenOf: (i: number) => string
): Promise<{ admitted: Socket[], codes: Record<string, number> }> {
  const admitted: Socket[] = []
  const codes: Record<string, number> = {}
  await Promise.all(Array.from({ length: count }, async (_, i) => {
    // From one address no more than 64 upgrades may be under way: what is raced for here is another limit.
    const socket = tcp({
      port: server.port,
      host: '127.0.0.1',
      ...(process.platform === 'linux' && { localAddress: `127.0.0.${2 + i % 20}` })
    })
    socket.on('error', () => undefined)
    socket.write(
      `GET /ws/${room} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${tokenOf(i)}\r\n\r\n`
    )
    let text = ''
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      text += String(chunk)
      if (text.startsWith('HTTP/1.1 101')) {
        admitted.push(socket)
        return
      }
    }
    const code = /"code":"(\w+)"/.exec(text)?.[1] ?? text.slice(0, 40)
    codes[code] = (codes[code] ?? 0) + 1
  }))
  return { admitted, codes }
}

for (const [what, options, code] of [
  ['the server', { capacity: 1, limits: { user: { connections: 5_000, then: 'reject' } } }, 'server_full'],
  ['a room', { room: 1, limits: { user: { connections: 5_000, then: 'reject' } } }, 'room_full'],
  [
    'a user',
    { limits: { rate: { messages: 50, burst: 1_000 }, user: { connections: 1, then: 'reject' } } },
    'user_limit'
  ]
] as const) {
  t.test(
    `1 000 simultaneous upgrades for the one slot of ${what}: exactly one is admitted, and the slot is free again when it leaves`,
    async (t) => {
      const { room, ...rest } = options as RealtimeOptions & { room?: number }
      const server = await start(t, {
        ...rest,
        fastify: { logger: false },
        declare: (app) => {
          declareChat(app, {
            ...(room === undefined ? {} : { capacity: room }),
            authorize: async () => { await new Promise((resolve) => { setTimeout(resolve, 5) }); return true }
          })
        }
      })
      const token = server.token('ada')
      const { admitted, codes } = await race(server, 1_000, 'chat/1', () => token)
      t.equal(admitted.length, 1)
      t.same(codes, { [code]: 999 })
      admitted[0]!.destroy()
      await eventually('connections', async () => (await statsOf(server.app)).connections.total, (total) => total === 0)
      const peer = await connect(server, { rooms: ['chat/1'], token })
      await peer.close()
    }
  )
}

t.test('with then: replace the user\'s oldest connection makes room and is told so', async (t) => {
  const server = await start(t, { limits: { user: { connections: 2, then: 'replace' } } })
  const token = server.token('ada')
  const [first, second] = [await connect(server, { token }), await connect(server, { token })]
  const third = await connect(server, { token })
  await first.ended
  await t.rejects(first.next('nothing', undefined, 10), /4509 replaced/)
  await second.fence()
  await third.fence()
  t.equal((await statsOf(server.app)).connections.total, 2)
})

t.test('a client that vanishes between admission and handshake frees its slot', async (t) => {
  let waiting = 0
  let release: () => void = () => undefined
  const gate = new Promise<void>((resolve) => { release = resolve })
  const server = await start(t, {
    capacity: 20,
    route: {
      preHandler: async (request) => {
        if (!request.ws) return
        waiting++
        await gate
      }
    },
    fastify: { logger: false }
  })
  const sockets = Array.from({ length: 20 }, () => {
    const socket = tcp(server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.write(
      `GET /ws/chat/1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${server.token('ada')}\r\n\r\n`
    )
    return socket
  })
  await eventually('admitted', () => waiting, (count) => count === 20)
  await t.rejects(connect(server, { token: server.token('bob') }), { statusCode: 503, code: 'server_full' })
  for (const [i, socket] of sockets.entries()) {
    if (i % 2 === 0) socket.resetAndDestroy()
    else socket.destroy()
  }
  await eventually(
    'a free slot',
    async () => await refusal(server, 'verdict', { token: server.token('bob') }).then(({ statusCode }) => statusCode),
    (status) => status === 200
  )
  release()
  const peer = await connect(server, { token: server.token('bob') })
  await peer.fence()
  t.equal((await statsOf(server.app)).connections.total, 1)
})

t.test('a hook of the app that refuses after admission frees the slot', async (t) => {
  const server = await start(t, {
    capacity: 1,
    route: {
      preHandler: async (request) => {
        if (request.headers['x-refuse'] !== undefined) throw Object.assign(new Error('no'), { statusCode: 403 })
      }
    }
  })
  const token = server.token('ada')
  for (const transport of TRANSPORTS) {
    await t.rejects(
      connect(server, { transport, token, headers: { 'x-refuse': '1' } }),
      { statusCode: 403, message: /no/ },
      transport
    )
  }
  const peer = await eventually(
    'a slot',
    async () => await connect(server, { token }).catch(() => undefined),
    (value) => value !== undefined
  )
  await peer!.fence()
})

t.test('a stream whose client vanishes is closed and uncounted', async (t) => {
  const server = await start(t)
  const peers = await Promise.all(Array.from(
    { length: 10 },
    async () => await connect(server, { transport: 'sse', rooms: ['chat/1'], token: server.token('ada') })
  ))
  t.equal((await statsOf(server.app)).connections.transports.sse, 10)
  for (const peer of peers) peer.cut()
  await eventually('streams', async () => (await statsOf(server.app)).connections.total, (total) => total === 0)
  t.equal((await statsOf(server.app)).rooms.active, 0)
})

t.test(
  'messages in the same packet as the handshake are neither lost nor reordered while authorize awaits',
  async (t) => {
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, {
          authorize: async () => { await new Promise((resolve) => { setTimeout(resolve, 30) }); return true }
        })
      }
    })
    const socket = tcp(server.port, '127.0.0.1')
    t.teardown(() => { socket.destroy() })
    const frame = (text: string): Buffer => {
      const payload = Buffer.from(text)
      return Buffer.concat([
        Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 255, 0, 0, 0, 0]),
        payload
      ])
    }
    const messages = Array.from(
      { length: 30 },
      (_, i) => frame(JSON.stringify({ type: 'say', room: 'chat/1', id: `m-${i}`, data: { text: String(i) } }))
    )
    socket.write(Buffer.concat([
      Buffer.from(
        `GET /ws/chat/1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${server.token('ada')}\r\n\r\n`
      ),
      ...messages
    ]))
    let text = ''
    const seen = await eventually('acks', () => [...text.matchAll(
      /"type":"ack","room":"chat\/1","id":"m-(\d+)"/g
    )].map(([, i]) => Number(i)), (acks) => {
      const chunk = socket.read() as Buffer | null
      if (chunk !== null) text += chunk.toString('latin1')
      return acks.length === 30
    })
    t.same(seen, Array.from({ length: 30 }, (_, i) => i))
  }
)

t.test('bad handshakes are refused before a slot is taken', async (t) => {
  const server = await start(t, { capacity: 1 })
  const attempt = async (headers: string): Promise<string> => {
    const socket = tcp(server.port, '127.0.0.1')
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nAuthorization: Bearer ${server.token('ada')}\r\n${headers}\r\n`
    )
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    return text
  }
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  t.match(await attempt(`Sec-WebSocket-Version: 8\r\n${key}`), /^HTTP\/1.1 426 [\s\S]*sec-websocket-version: 13/i)
  t.match(await attempt(key), /^HTTP\/1.1 426 /)
  t.match(await attempt('Sec-WebSocket-Version: 13\r\n'), /^HTTP\/1.1 400 [\s\S]*"code":"protocol"/)
  t.match(await attempt('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n'), /^HTTP\/1.1 400 /)
  t.match(await attempt(`Sec-WebSocket-Version: 13\r\n${key}Sec-WebSocket-Protocol: chat\r\n`), /^HTTP\/1.1 400 /)
  await (await connect(server, { token: server.token('ada') })).fence()
})

for (const list of [
  ['realtime.v1', 'bearer.TOKEN'],
  ['bearer.TOKEN', 'realtime.v1'],
  ['x', 'bearer.TOKEN', 'realtime.v1', 'y']
]) {
  t.test(`offered ${list.join(', ')}, the server selects realtime.v1 and never echoes the token`, async (t) => {
    const server = await start(t)
    const token = server.token('ada')
    const socket = tcp(server.port, '127.0.0.1')
    t.teardown(() => { socket.destroy() })
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${list.join(', ').replace('TOKEN', token)}\r\n\r\n`
    )
    const [head] = await once(socket, 'data') as [Buffer]
    t.match(head.toString('latin1'), /^HTTP\/1.1 101 [\s\S]*Sec-WebSocket-Protocol: realtime\.v1\r\n/)
    t.notOk(head.includes(token.slice(0, 20)))
  })
}

t.test('every token that is not good is 401 and never 500', async (t) => {
  const server = await start(t)
  const good = server.token('ada')
  const [header, payload, signature] = good.split('.') as [string, string, string]
  const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1_000)
  const sign = (claims: object): string => createSigner({ key: 'a test' })(claims as never)
  const bad: Record<string, string> = {
    none: `${b64({ alg: 'none', typ: 'JWT' })}.${payload}.`,
    'none with a signature': `${b64({ alg: 'none', typ: 'JWT' })}.${payload}.${signature}`,
    NONE: `${b64({ alg: 'NONE', typ: 'JWT' })}.${payload}.`,
    'another key': createSigner({ key: 'other' })({ sub: 'ada', exp: now + 60 }),
    'a changed payload': `${header}.${b64({ sub: 'root', exp: now + 60 })}.${signature}`,
    'no signature': `${header}.${payload}`,
    padded: `${good}=`,
    'nbf in the future': sign({ sub: 'ada', exp: now + 60, nbf: now + 3_600 }),
    'no exp': sign({ sub: 'ada' }),
    'no sub': sign({ exp: now + 60 }),
    'empty sub': sign({ sub: '', exp: now + 60 }),
    'crit unknown': `${b64({ alg: 'HS256', typ: 'JWT', crit: ['x'], x: 1 })}.${payload}.${signature}`,
    garbage: 'x',
    'two words': 'x y'
  }
  for (const [what, token] of Object.entries(bad)) {
    for (const transport of ['websocket', 'polling', 'uplink'] as const) {
      const { statusCode, body } = await refusal(server, transport, { headers: { authorization: `Bearer ${token}` } })
      t.same(
        [statusCode, body.statusCode],
        [401, 401],
        `${what} over ${transport}: ${body.code ?? ''} ${body.message ?? ''}`
      )
    }
  }
  t.same(server.loud, [])
})

t.test('the first carrier found wins, and cookie and query only work where they are named', async (t) => {
  const server = await start(t)
  const [ada, bob] = [server.token('ada'), server.token('bob')]
  const who = async (s: Running, path: string, headers: Record<string, string>): Promise<unknown> => await (await fetch(
    `${s.url}${path}`,
    { headers }
  )).json()
  t.match(await who(server, '/ws?verdict=1', { authorization: `Bearer ${ada}` }), { userId: 'ada' })
  t.match(await who(server, `/ws?verdict=1&token=${ada}`, {}), { code: 'unauthorized' })
  t.match(await who(server, '/ws?verdict=1', { cookie: `session=${ada}` }), { code: 'unauthorized' })
  const open = await start(t, { auth: { carriers: ['cookie', 'query', 'header'], cookie: 'session' }, origins: 'same' })
  t.match(await who(open, `/ws?verdict=1&token=${bob}`, { cookie: `session=${ada}` }), { userId: 'ada' })
  t.match(await who(open, `/ws?verdict=1&token=${bob}`, { authorization: `Bearer ${ada}` }), { userId: 'bob' })
})

t.test('a ticket opens one connection, whatever the number that try at once', async (t) => {
  const server = await start(t, { fastify: { logger: false } })
  const { ticket, expires } = await (await fetch(`${server.url}/ws/ticket`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.token('ada')}` }
  })).json() as { ticket: string, expires: number }
  t.ok(expires > Date.now() && expires <= Date.now() + 30_000)
  const tries = await Promise.all(Array.from(
    { length: 200 },
    async (_, i) => await connect(server, { transport: i % 2 === 0 ? 'websocket' : 'sse', query: { ticket } }).then(
      () => 'open',
      (error: Refused) => error.statusCode
    )
  ))
  t.equal(tries.filter((result) => result === 'open').length, 1)
  t.equal(tries.filter((result) => result === 401).length, 199)
  const answer = await fetch(`${server.url}/ws/ticket?ticket=${ticket}`, { method: 'POST' })
  t.equal(answer.status, 401, 'a ticket is never had for a ticket')
})

t.test('a user has at most ten open tickets', async (t) => {
  const server = await start(t)
  const headers = { authorization: `Bearer ${server.token('ada')}` }
  for (let i = 0; i < 10; i++) {
    t.equal((await fetch(`${server.url}/ws/ticket`, { method: 'POST', headers })).status, 200)
  }
  const refused = await fetch(`${server.url}/ws/ticket`, { method: 'POST', headers })
  t.equal(refused.status, 429)
  t.ok(Number(refused.headers.get('retry-after')) > 0)
})

for (const [what, authenticate, status, code] of [
  ['returns null', () => null, 401, 'unauthorized'],
  ['throws a 403', () => { throw Object.assign(new Error('x'), { statusCode: 403 }) }, 401, 'unauthorized'],
  ['throws', () => { throw new Error('the database is away') }, 503, 'unavailable'],
  ['rejects', async () => { throw new Error('the database is away') }, 503, 'unavailable'],
  ['never settles', async () => await new Promise<never>(() => undefined), 503, 'unavailable']
] as const) {
  t.test(`when authenticate ${what} the peer is refused with ${status}`, async (t) => {
    const server = await start(t, { authenticate, timeouts: { authentication: 100 } })
    for (const transport of TRANSPORTS) {
      const { statusCode, body } = await refusal(server, transport, { token: 'x' })
      t.same([statusCode, body.code], [status, code], transport)
      t.notMatch(JSON.stringify(body), /database/)
    }
    t.equal((await statsOf(server.app)).connections.total, 0)
  })
}

t.test('no token and no ticket reaches a log line at any level, or the body of an answer', async (t) => {
  const server = await start(t, { auth: { carriers: ['header', 'subprotocol', 'ticket', 'query'] } })
  const token = server.token('canary')
  const part = token.split('.')[2]!
  let bodies = ''
  for (const path of [
    '/ws',
    '/ws/chat/1',
    '/ws/nowhere',
    '/ws/%zz',
    '/ws/chat/..',
    '/ws/stats',
    '/ws/health',
    '/ws/chat/1/2/3'
  ]) {
    for (const method of ['GET', 'POST', 'PUT', 'HEAD']) {
      const answer = await fetch(`${server.url}${path}?token=${token}&ticket=${token}&wait=1`, {
        method,
        headers: { connection: 'close' }
      })
      bodies += await answer.text() + JSON.stringify([...answer.headers])
    }
  }
  await (await connect(server, { token, query: { token } })).close()
  await (await connect(server, { protocols: ['realtime.v1', `bearer.${token}`] })).close()
  t.notOk(bodies.includes(part), 'not in a body')
  const logged = server.lines.filter((line) => line.includes(part))
  t.same(logged, [], 'not in the log')
  t.ok(server.lines.length > 20)
})

t.test('origins: only the own one by default', async (t) => {
  const server = await start(t)
  const token = server.token('ada')
  const own = `http://127.0.0.1:${server.port}`
  for (const origin of [own, `https://127.0.0.1:${server.port}`]) {
    t.equal((await refusal(server, 'verdict', { token, headers: { origin } })).statusCode, 200, origin)
  }
  for (const origin of [
    'null',
    'http://127.0.0.1',
    `http://localhost:${server.port}`,
    `${own}.evil.example`,
    `${own}/`,
    'HTTP://127.0.0.1',
    `http://127.0.0.1:${server.port + 1}`,
    `http://evil.example#${own}`,
    'file://',
    '',
    `http://user@127.0.0.1:${server.port}`
  ]) {
    t.equal((await refusal(server, 'verdict', { token, headers: { origin } })).body.code, 'origin_refused', origin)
  }
})

t.test(
  'a cookie needs a matching Origin on upgrades and posts, and a stream must not come from another site',
  async (t) => {
    const site = 'https://app.example.com'
    const server = await start(t, { auth: { carriers: ['cookie'], cookie: 'session' }, origins: [site] })
    const cookie = `session=${server.token('ada')}`
    t.equal((await refusal(server, 'websocket', { headers: { cookie } })).body.code, 'origin_refused')
    t.equal((await refusal(server, 'uplink', { headers: { cookie } })).body.code, 'origin_refused')
    for (const site of ['cross-site', 'same-site']) {
      t.equal(
        (await refusal(server, 'sse', { headers: { cookie, 'sec-fetch-site': site } })).body.code,
        'origin_refused'
      )
    }
    await (await connect(server, { rooms: ['chat/1'], headers: { cookie, origin: site } })).close()
    await (await connect(server, {
      transport: 'sse',
      rooms: ['chat/1'],
      headers: { cookie, 'sec-fetch-site': 'same-origin' }
    })).close()
    await (await connect(server, { transport: 'sse', rooms: ['chat/1'], headers: { cookie } })).close()
  }
)

t.test('nobody names the built-in room of another user, by URL or by join', async (t) => {
  const server = await start(t, { declare: (app) => { app.room(inbox); declareChat(app) } })
  const token = server.token('ada')
  for (const transport of TRANSPORTS) {
    t.equal((await refusal(server, transport, { room: '@user/bob', token })).body.code, 'forbidden')
  }
  const ada = await connect(server, { token })
  ada.send({ type: 'join', room: '@user/bob', id: 'j-1' })
  t.match((await ada.next('error')).data, { code: 'forbidden' })
  ada.send({ type: 'join', room: '@user/ada', id: 'j-2' })
  t.match(await ada.next('ack'), { id: 'j-2', room: '@user/ada', data: { offset: 0 } })
})

t.test('HEAD and ?verdict=1 run admission and reserve nothing', async (t) => {
  const server = await start(t, { capacity: 1 })
  const headers = { authorization: `Bearer ${server.token('ada')}` }
  for (let i = 0; i < 5; i++) {
    t.equal((await fetch(`${server.url}/ws/chat/1`, { method: 'HEAD', headers })).status, 200)
    t.equal((await fetch(`${server.url}/ws/chat/1?verdict=1`, { headers })).status, 200)
  }
  t.equal((await fetch(`${server.url}/ws/nowhere`, { method: 'HEAD', headers })).status, 404)
  const peer = await connect(server, { rooms: [chat.at({ id: '1' }).name], token: server.token('ada') })
  t.equal((await refusal(server, 'verdict', { token: server.token('bob') })).body.code, 'server_full')
  await peer.close()
})

t.test('a poll by another user of a known connection is a connection of its own', async (t) => {
  const server = await start(t)
  const first = await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
  const other = await poll(server, {
    rooms: ['chat/1'],
    token: server.token('bob'),
    query: { since: first.cursor, wait: '1' }
  })
  t.not(other.connectionId, first.connectionId)
})

t.test('that the upgrade of a foreign page was refused is told to a page of that origin, and to no other', async (t) => {
  const own = 'http://app.example'
  const server = await start(t, { auth: { carriers: ['cookie'], cookie: 'session' }, origins: [own] })
  const cookie = `session=${server.token('ada')}`
  const foreign = 'http://evil.example'
  const asked = async (page: string, headers: Record<string, string> = {}): Promise<object> => {
    const answer = await fetch(`${server.url}/ws/chat/1?verdict=1${page}`, { headers: { cookie, ...headers } })
    return await answer.json() as object
  }
  const named = (origin: string): string => `&origin=${encodeURIComponent(origin)}`
  for (const ask of [
    async (origin: string) => await asked('', { origin }),
    async (origin: string) => await asked(named(origin)),
    async (origin: string) => await asked('', { referer: `${origin}/page` })
  ]) {
    t.match((await refusal(server, 'websocket', { headers: { cookie, origin: foreign } })).body, { code: 'origin_refused' })
    t.match(await ask(own), { userId: 'ada' })
    t.match(await ask(foreign), { code: 'origin_refused' })
  }
})
