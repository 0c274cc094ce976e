import { STATUS_CODES } from 'node:http'
import { connect as tcp } from 'node:net'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { defineRoom, type RealtimeOptions } from '../../lib/index.js'
import { ask, WAYS } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, poll, start, statsOf, TRANSPORTS, type NetPeer, type Refused
} from '../helpers/net.js'
import { handshake, RawPeer, textFrame } from '../helpers/raw.js'

const shop = defineRoom('shop/:id', {
  params: Type.Object({ id: Type.String({ pattern: '^[0-9]+$', maxLength: 5 }) }),
  messages: { type: Type.Object({}) }
})

const RETRY: Record<string, string> = {
  unauthorized: 'refresh',
  server_full: 'backoff',
  room_full: 'backoff',
  address_limit: 'backoff',
  draining: 'now'
}

for (const way of WAYS) {
  const isHeld = way !== 'uplink'
  t.test(
    `over ${way} a request that is wrong in every way is told of its faults one by one, in the order of the checks`,
    async (t) => {
      const server = await start(t, {
        capacity: 4,
        limits: { address: 3, user: { connections: 1, then: 'reject' } },
        fastify: { trustProxy: true },
        declare: (app) => {
          declareChat(app, {
            capacity: 1,
            authorize: ({ params }: { params: { id: string } }) => params.id !== 'secret'
          })
          app.room(shop, { on: { type () {} } })
        }
      })
      const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })
      const held: NetPeer[] = []
      for (const user of ['ada', 'bob', 'cyd']) {
        held.push(await connect(server, { token: server.token(user), headers: from('10.0.0.1') }))
      }
      held.push(await connect(server, { rooms: ['chat/full'], token: server.token('dan'), headers: from('10.0.0.2') }))
      const evil = { origin: 'https://evil.example' }
      const check = async (
        what: string,
        status: number,
        code: string,
        options: Parameters<typeof ask>[2]
      ): Promise<void> => {
        const { status: got, headers, body } = await ask(server, way, options)
        t.match(
          { status: got, body },
          {
            status,
            body: {
              statusCode: status,
              error: STATUS_CODES[status]!,
              code,
              message: String,
              retry: RETRY[code] ?? 'never'
            }
          },
          what
        )
        t.equal(headers.connection, 'close', `${what}: Connection`)
        t.equal(
          headers['retry-after'] !== undefined,
          ['server_full', 'room_full', 'address_limit', 'draining'].includes(code),
          `${what}: Retry-After`
        )
        if (headers['retry-after'] !== undefined) {
          t.equal(Number(headers['retry-after']), Math.ceil(body.retryAfter as number / 1_000))
        }
        const told = ['statusCode', 'error', 'code', 'message', 'retry', 'retryAfter', 'room', 'details']
        t.same(Object.keys(body).filter((key) => !told.includes(key)), [], `${what}: nothing else is told`)
      }
      const wrong = { path: '/ws/shop/%00', headers: { ...evil, ...from('10.0.0.1') } }
      if (isHeld) {
        await check('server full', 503, 'server_full', wrong)
        await held.pop()!.close()
        await eventually('a slot', async () => (await statsOf(server.app)).connections.total, (total) => total === 3)
        await check('address limit', 429, 'address_limit', wrong)
      }
      await check('origin', 403, 'origin_refused', { ...wrong, headers: { ...evil, ...from('10.0.0.3') } })
      const headers = from('10.0.0.3')
      await check('room name', 400, 'room_invalid', { ...wrong, headers })
      await check('credential', 401, 'unauthorized', { path: '/ws/nowhere', headers })
      await check('room unknown', 404, 'room_unknown', { path: '/ws/nowhere', headers, token: server.token('ada') })
      await check('params', 400, 'room_invalid', { path: '/ws/shop/abc', headers, token: server.token('ada') })
      if (isHeld) {
        await check('user limit', 429, 'user_limit', { path: '/ws/chat/secret', headers, token: server.token('ada') })
      }
      await check('authorize', 403, 'forbidden', { path: '/ws/chat/secret', headers, token: server.token('eve') })
      if (isHeld) {
        await held.pop()!.close()
        await eventually('a slot', async () => (await statsOf(server.app)).connections.total, (total) => total === 2)
        const one = await connect(server, {
          rooms: ['chat/full'],
          token: server.token('fay'),
          headers: from('10.0.0.4')
        })
        await check('room full', 503, 'room_full', { path: '/ws/chat/full', headers, token: server.token('eve') })
        await one.close()
      }
      await server.app.rooms.drain()
      await check('draining', 503, 'draining', wrong)
      t.same(server.loud, [])
    }
  )
}

t.test('a refusal names its room where it is about one', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { authorize: () => false }) } })
  const token = server.token('ada')
  for (const way of WAYS) {
    t.match(
      (await ask(server, way, { path: '/ws/nowhere', token })).body,
      { code: 'room_unknown', room: 'nowhere' },
      way
    )
    t.match((await ask(server, way, { path: '/ws/chat/1', token })).body, { code: 'forbidden', room: 'chat/1' }, way)
    t.match((await ask(server, way, { path: '/ws/a//b', token })).body, { code: 'room_invalid', room: 'a//b' }, way)
  }
})

for (const [what, path] of [
  ['two dots', '/ws/chat/..'],
  ['escaped dots', '/ws/chat/%2e%2e'],
  ['dots in between', '/ws/chat/../admin'],
  ['a NUL', '/ws/chat/%00'],
  ['a line break', '/ws/chat/a%0d%0ab'],
  ['300 bytes', `/ws/chat/${'x'.repeat(300)}`],
  ['10 000 bytes', `/ws/chat/${'x'.repeat(10_000)}`],
  ['a doubled slash', '/ws/chat//1'],
  ['a trailing slash', '/ws/chat/1/'],
  ['lower-case escapes', '/ws/chat/a%2fb'],
  ['an escape of what needs none', '/ws/chat/%41'],
  ['invalid UTF-8', '/ws/chat/%ff'],
  ['a reserved segment in capitals', '/ws/STATS/x'],
  ['a reserved segment with a slash', '/ws/ticket/'],
  ['a query with a bad room', '/ws?room=chat/..'],
  ['a query with a reserved room', '/ws/chat/1?room=health'],
  ['two queries', '/ws?room=chat/1&room=']
] as const) {
  t.test(`a URL with ${what} is refused as no room name, before the credential is looked at`, async (t) => {
    const server = await start(t, {
      authenticate: () => { throw new Error('was asked') },
      fastify: { routerOptions: { maxParamLength: 20_000 } }
    })
    for (const way of WAYS) {
      const { status, body } = await ask(server, way, { path, token: 'x' })
      // What the router itself cannot read never reaches a route; its answer is a coded 400, too.
      if (what === 'invalid UTF-8' && body.code === 'FST_ERR_BAD_URL') t.equal(status, 400)
      else t.match({ status, body }, { status: 400, body: { code: 'room_invalid' } }, way)
    }
  })
}

t.test('an emoji and whatever else encodeURIComponent writes is a name, and the handler gets it decoded', async (t) => {
  const seen: string[] = []
  const server = await start(t, {
    declare: (app) => {
      declareChat(app, { authorize: ({ params }: { params: { id: string } }) => seen.push(params.id) > 0 })
    }
  })
  const token = server.token('ada')
  for (const id of ['\u{1F680}', 'a/b', '100 %', '__proto__', 'constructor', '\u202e']) {
    t.equal((await ask(server, 'verdict', { path: `/ws/${chat.at({ id }).name}`, token })).status, 200, id)
    t.equal(seen.pop(), id)
  }
})

t.test('a room whose whole name is __proto__ is a room like any other, on every transport', async (t) => {
  const any = defineRoom(':name', { events: { e: Type.Object({}) } })
  const server = await start(t, { declare: (app) => { app.room(any) } })
  for (const transport of TRANSPORTS) {
    const peer = await connect(server, { transport, rooms: ['__proto__'], token: server.token('ada') })
    t.same(Object.keys((peer.welcome.data as { rooms: object }).rooms), ['__proto__'], transport)
    await server.app.rooms.broadcast('__proto__', 'e', {})
    t.equal((await peer.next('e')).room, '__proto__')
    await peer.close()
  }
  t.equal(({} as { epoch?: string }).epoch, undefined)
})

t.test(
  'params that do not fit their schema are refused by URL, join and post, and told to the application that names such a room',
  async (t) => {
    const server = await start(t, { declare: (app) => { app.room(shop, { on: { type () {} } }) } })
    const ada = await connect(server, { rooms: ['shop/12'], token: server.token('ada') })
    ada.send({ type: 'join', room: 'shop/abc', id: 'j' })
    matchList(t, await ada.next('error'), {
      id: 'j',
      room: 'shop/abc',
      data: { code: 'room_invalid', details: [{ path: '/id', message: String }] }
    })
    matchList(t, (await ask(server, 'uplink', { path: '/ws/shop/123456', token: server.token('ada') })).body, {
      code: 'room_invalid',
      details: [{ path: '/id', message: /length/ }, { path: '/id', message: /match/ }]
    })
    await t.rejects(server.app.rooms.broadcast('shop/abc', 'x', {}), {
      code: 'REALTIME_ERR_ROOM',
      message: /"shop\/abc": params do not fit their schema: \/id/
    })
    await ada.fence()
  }
)

/** Joins of many connections at once. */
async function race (peers: readonly NetPeer[], room: string): Promise<Record<string, number>> {
  const codes: Record<string, number> = {}
  for (const peer of peers) peer.send({ type: 'join', room, id: 'j' })
  await Promise.all(peers.map(async (peer) => {
    const answer = await peer.next('an answer', ({ id }) => id === 'j')
    const code = answer.type === 'ack' ? 'joined' : (answer.data as { code: string }).code
    codes[code] = (codes[code] ?? 0) + 1
  }))
  return codes
}

t.test(
  '200 joins at once for the 3 places of a room: exactly 3 are in, and a place is free again when one leaves',
  async (t) => {
    const server = await start(t, {
      fastify: { logger: false },
      limits: { user: { connections: 1_000, then: 'reject' } },
      declare: (app) => {
        declareChat(app, {
          capacity: 3,
          authorize: async () => { await new Promise((resolve) => { setTimeout(resolve, 2) }); return true }
        })
      }
    })
    const peers = await Promise.all(Array.from(
      { length: 200 },
      async () => await connect(server, { token: server.token('ada') })
    ))
    t.same(await race(peers, 'chat/1'), { joined: 3, room_full: 197 })
    t.equal(await server.app.rooms.join({ user: 'ada' }, 'chat/1'), 0, 'nor does the server overshoot it')
    const member = peers.find(({ queue }) => queue.all.some(({ type, id }) => type === 'ack' && id === 'j'))!
    member.send({ type: 'leave', room: 'chat/1', id: 'l' })
    await member.next('ack')
    t.equal(
      await server.app.rooms.join({ connection: peers[0] === member ? peers[1]!.id : peers[0]!.id }, 'chat/1') <= 1,
      true
    )
    const rest = peers.filter((peer) => peer !== member).slice(0, 20)
    t.same((await race(rest, 'chat/2')), { joined: 3, room_full: 17 })
    t.same(server.loud, [])
  }
)

t.test('a join whose onJoin refuses gives its place back', async (t) => {
  let isOpen = false
  const server = await start(t, {
    declare: (app) => {
      declareChat(app, {
        capacity: 1,
        onJoin: async () => {
          await null
          if (!isOpen) throw Object.assign(new Error('closed'), { statusCode: 403, code: 'CLOSED' })
        }
      })
    }
  })
  const [ada, bob] = [
    await connect(server, { token: server.token('ada') }),
    await connect(server, { token: server.token('bob') })
  ]
  for (let i = 0; i < 3; i++) t.same(await race([ada], 'chat/1'), { CLOSED: 1 })
  isOpen = true
  t.same(await race([bob], 'chat/1'), { joined: 1 })
})

for (const transport of TRANSPORTS) {
  t.test(
    `a room of the URL whose onJoin refuses gives its place back over ${transport}, while the connection stays`,
    async (t) => {
      const onJoin = ({ userId }: { userId: string }): void => {
        if (userId === 'ada') throw Object.assign(new Error('closed'), { statusCode: 403, code: 'CLOSED' })
      }
      const server = await start(t, { declare: (app) => { declareChat(app, { capacity: 1, onJoin }) } })
      const ada = await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
      t.same(Object.keys((ada.welcome.data as { rooms: object }).rooms), [])
      await connect(server, { transport, rooms: ['chat/1'], token: server.token('bob') })
      t.match(
        await connect(server, {
          transport,
          rooms: ['chat/1'],
          token: server.token('cid')
        }).catch((error: unknown) => error),
        { code: 'room_full' }
      )
      t.equal((await statsOf(server.app)).connections.total, 2)
    }
  )
}

t.test('200 upgrades at once of one user who may have one connection, the newest replacing: one is left, and it works', async (t) => {
  const server = await start(t, {
    fastify: { logger: false },
    limits: { rate: { messages: 50, burst: 200 }, user: { connections: 1, then: 'replace' } }
  })
  const token = server.token('ada')
  const ends: string[] = []
  const peers = await Promise.all(Array.from({
    length: 200
  }, async () => await connect(server, { rooms: ['chat/1'], token }).catch((error: Error) => {
    // Replaced before it said a word.
    ends.push(error.message)
    return undefined
  })))
  for (const message of ends) t.match(message, /4509 replaced/)
  await eventually('the others', async () => (await statsOf(server.app)).connections.total, (total) => total === 1)
  const { closes, refusals } = await statsOf(server.app)
  t.same([closes, refusals], [{ replaced: 199 }, {}])
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'hi', by: 'x' })
  const [last] = await Promise.all([eventually(
    'the last',
    () => peers.find((peer) => peer?.queue.all.some(({ type }) => type === 'said')),
    (peer) => peer !== undefined
  )])
  await last!.next('said')
  await last!.fence()
})

for (const transport of TRANSPORTS) {
  t.test(
    `a ${transport} connection that makes room for a newer one of its user is told so, whatever the newer one speaks`,
    async (t) => {
      const server = await start(t, { limits: { user: { connections: 1, then: 'replace' } } })
      const token = server.token('ada')
      const old = await connect(server, { transport, token })
      const others = TRANSPORTS.filter((each) => each !== transport)
      const next = await connect(server, { transport: others[0]!, token })
      await old.ended
      if (transport === 'sse') {
        t.match(old.queue.all.at(-1), { type: 'error', data: { code: 'replaced', retry: 'never' } })
      } else {
        await t.rejects(
          old.next('nothing', undefined, 10),
          transport === 'websocket' ? /4509 replaced/ : /replaced by a newer connection/
        )
      }
      await next.fence()
      t.equal((await statsOf(server.app)).connections.total, 1)
    }
  )
}

t.test('a connection that is over, and whose peer does not answer its close, keeps no newer one of its user out', async (t) => {
  const server = await start(t, {
    limits: { user: { connections: 1, then: 'replace' } },
    timeouts: { close: 60_000 },
    declare: (app) => { declareChat(app, { capacity: 1 }) }
  })
  const token = server.token('ada')
  const old = await connect(server, { rooms: ['chat/1'], token })
  old.stall()
  await server.app.rooms.close({ user: 'ada' })
  const next = await connect(server, { rooms: ['chat/1'], token })
  await next.fence()
  const { connections } = await statsOf(server.app)
  t.same([connections.total, connections.slots], [1, 2], 'the socket of the older one still counts')
  old.cut()
  await eventually('it has gone', async () => (await statsOf(server.app)).connections.slots, (slots) => slots === 1)
})

t.test(
  'a newer connection that finds no place in its room does not end the older one; one that takes the older one\'s place does',
  async (t) => {
    const server = await start(t, {
      limits: { user: { connections: 1, then: 'replace' } },
      declare: (app) => { declareChat(app, { capacity: 1 }) }
    })
    await connect(server, { rooms: ['chat/full'], token: server.token('bob') })
    const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    await t.rejects(
      connect(server, { rooms: ['chat/full'], token: server.token('ada') }),
      { code: 'room_full' } as object as Error
    )
    await ada.fence()
    const next = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    await ada.ended
    await next.fence()
  }
)

t.test(
  'one address has its number of connections, whatever it writes into x-forwarded-for, and the app is warned once that it trusts no proxy',
  async (t) => {
    const server = await start(t, { limits: { address: 2 } })
    const open = async (i: number): Promise<string> => await connect(server, {
      token: server.token(`user-${i}`),
      headers: { 'x-forwarded-for': `10.0.0.${i}` }
    }).then(
      () => 'open',
      ({ code }: Refused & { code: string }) => code
    )
    const results: string[] = []
    for (let i = 0; i < 20; i++) results.push(await open(i))
    t.same(results, ['open', 'open', ...Array.from({ length: 18 }, () => 'address_limit')])
    t.equal(
      (await fetch(`${server.url}/ws/ticket`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.token('ada')}`, connection: 'close' }
      })).status,
      429,
      'nor does it get tickets'
    )
    matchList(t, server.loud, [{ level: 40, msg: /x-forwarded-for.*trustProxy/ }])
    t.equal(server.loud.length, 1)
  }
)

t.test('behind a trusted proxy each address has its own number', async (t) => {
  const server = await start(t, { limits: { address: 1 }, fastify: { trustProxy: true } })
  for (let i = 0; i < 5; i++) {
    await connect(server, { token: server.token('ada'), headers: { 'x-forwarded-for': `10.0.0.${i}` } })
  }
  await t.rejects(
    connect(server, { token: server.token('ada'), headers: { 'x-forwarded-for': '10.0.0.3' } }),
    { statusCode: 429, code: 'address_limit' } as object as Error
  )
  t.same(server.loud, [])
})

for (const transport of TRANSPORTS) {
  t.test(`a ${transport} client that vanishes while authorize is asked takes no slot`, async (t) => {
    let asked = 0
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    const server = await start(t, {
      fastify: { logger: false },
      capacity: 5,
      declare: (app) => { declareChat(app, { authorize: async () => { asked++; await gate; return true } }) }
    })
    const peers = Array.from({ length: 20 }, () => new RawPeer(server.port))
    t.teardown(() => { for (const peer of peers) peer.destroy() })
    const headers = { authorization: `Bearer ${server.token('ada')}` }
    for (const peer of peers) {
      peer.send(
        transport === 'websocket'
          ? handshake('/ws/chat/1', { headers })
          : `GET /ws/chat/1 HTTP/1.1\r\nHost: x\r\n${transport === 'sse' ? 'Accept: text/event-stream\r\n' : ''}Authorization: ${headers.authorization}\r\n\r\n`
      )
    }
    await eventually('asked', () => asked, (count) => count === 20)
    for (const [i, peer] of peers.entries()) {
      if (i % 2 === 0) peer.reset()
      else peer.destroy()
    }
    await eventually(
      'sockets',
      async () => await new Promise<number>((resolve) => {
        server.app.server.getConnections((_error, count) => { resolve(count) })
      }),
      (count) => count === 0
    )
    release()
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => { setImmediate(resolve) })
    t.equal((await statsOf(server.app)).connections.total, 0)
    for (let i = 0; i < 5; i++) await connect(server, { transport, token: server.token(`user-${i}`) })
  })
}

for (const transport of ['sse', 'polling'] as const) {
  t.test(`a ${transport} client that vanishes between admission and answer frees its slot`, async (t) => {
    let waiting = 0
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    const server = await start(t, {
      capacity: 5,
      fastify: { logger: false },
      route: {
        preHandler: async (request) => {
          if ((request.query as { hold?: string }).hold === undefined) return
          waiting++
          await gate
        }
      }
    })
    const peers = Array.from({ length: 5 }, () => new RawPeer(server.port))
    t.teardown(() => { for (const peer of peers) peer.destroy() })
    for (const peer of peers) {
      peer.send(
        `GET /ws/chat/1?hold=1 HTTP/1.1\r\nHost: x\r\n${transport === 'sse' ? 'Accept: text/event-stream\r\n' : ''}Authorization: Bearer ${server.token('ada')}\r\n\r\n`
      )
    }
    await eventually('admitted', () => waiting, (count) => count === 5)
    t.equal((await ask(server, 'verdict', { token: server.token('bob') })).body.code, 'server_full')
    for (const peer of peers) peer.reset()
    await eventually(
      'a slot',
      async () => (await ask(server, 'verdict', { token: server.token('bob') })).status,
      (status) => status === 200
    )
    release()
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => { setImmediate(resolve) })
    t.equal((await statsOf(server.app)).connections.total, 0)
    for (let i = 0; i < 5; i++) await connect(server, { transport, token: server.token(`user-${i}`) })
  })
}

t.test('a handshake that is refused for its headers keeps no slot', async (t) => {
  const server = await start(t, { capacity: 1, compression: {} })
  const token = server.token('ada')
  for (let i = 0; i < 3; i++) {
    t.equal(
      (await ask(server, 'websocket', {
        token,
        headers: { 'sec-websocket-protocol': 'realtime.v1, realtime.v1' }
      })).status,
      400
    )
  }
  const peer = await eventually(
    'the slot',
    async () => await connect(server, { token }).catch(() => undefined),
    (value) => value !== undefined
  )
  await peer!.fence()
})

t.test(
  'a full server still answers posts and the polls of the connections that it has, but not a cursor of nobody',
  async (t) => {
    const server = await start(t, { capacity: 1 })
    const options = { rooms: ['chat/1'], token: server.token('ada') }
    const first = await poll(server, options)
    t.match((await ask(server, 'uplink', { token: server.token('bob') })), { status: 200, body: { type: 'ack' } })
    t.match(await poll(server, { ...options, query: { since: first.cursor, wait: '1' } }), {
      connectionId: first.connectionId,
      resumed: true
    })
    const [version, , ...rest] = Buffer.from(first.cursor, 'base64url').toString('latin1').split('.')
    const foreign = Buffer.from([version, 'B'.repeat(22), ...rest].join('.'), 'latin1').toString('base64url')
    await t.rejects(
      poll(server, { ...options, query: { since: foreign, wait: '1' } }),
      { code: 'server_full' } as object as Error
    )
    await t.rejects(
      poll(server, { ...options, token: server.token('bob'), query: { since: first.cursor, wait: '1' } }),
      { code: 'server_full' } as object as Error,
      'nor the cursor of somebody else'
    )
  }
)

t.test('the verdict says what an upgrade would be told, and takes nothing', async (t) => {
  const server = await start(t, {
    limits: { user: { connections: 1, then: 'reject' } },
    declare: (app) => { declareChat(app, { capacity: 1 }) }
  })
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  t.match((await ask(server, 'verdict', { path: '/ws/chat/2', token: server.token('ada') })).body, {
    code: 'user_limit'
  })
  t.match((await ask(server, 'verdict', { path: '/ws/chat/1', token: server.token('bob') })).body, {
    code: 'room_full',
    room: 'chat/1'
  })
  for (let i = 0; i < 3; i++) {
    matchList(t, (await ask(server, 'verdict', { path: '/ws/chat/2', token: server.token('bob') })), {
      status: 200,
      body: { userId: 'bob', rooms: ['chat/2'] }
    })
  }
  await ada.fence()
  t.equal((await statsOf(server.app)).connections.total, 1)
})

t.test('a verdict tells the refusal of the upgrade to the same rooms, once, and of no other', async (t) => {
  const server = await start(t, {
    declare: (app) => {
      declareChat(app, { capacity: 1, authorize: ({ params }: { params: { id: string } }) => params.id !== 'secret' })
    }
  })
  const ada = await connect(server, { rooms: ['chat/full'], token: server.token('ada') })
  const token = server.token('bob')
  const said = async (way: 'websocket' | 'verdict', query: string): Promise<unknown> => {
    const { status, body: { code, room } } = await ask(server, way, { path: `/ws${query}`, token })
    return [status, code, room]
  }
  const full = [503, 'room_full', 'chat/full']
  const secret = [403, 'forbidden', 'chat/secret']
  t.same(await said('websocket', '?room=chat/full'), full)
  t.same(await said('websocket', '?room=chat/secret&room=chat/2'), secret)
  t.same(await said('verdict', '?room=chat/3'), [200, undefined, undefined], 'of a room whose upgrade was not refused')
  ada.close()
  await eventually('a place', async () => (await statsOf(server.app)).connections.slots, (slots) => slots === 0)
  t.same(await said('verdict', '/chat/full'), full, 'by its path as by its query')
  t.same(await said('verdict', '/chat/full'), [200, undefined, undefined], 'once')
  t.same(await said('verdict', '?room=chat/2&room=chat/secret'), secret, 'in any order')
  const many = Array.from({ length: 40 }, (_, index) => `room=chat/${index}`).join('&')
  t.equal((await ask(server, 'websocket', { path: `/ws?${many}`, token })).status, 101)
  t.equal((await ask(server, 'verdict', { path: `/ws?${many}`, token })).status, 200, 'as many rooms as a WebSocket')
})

t.test('what came with the handshake, cut into packets at random, is neither lost nor reordered while authorize, onJoin and presence await', async (t) => {
  const wait = async (): Promise<void> => { await new Promise((resolve) => { setTimeout(resolve, 5) }) }
  const server = await start(t, {
    limits: { user: { connections: 100, then: 'reject' } },
    declare: (app) => {
      declareChat(app, {
        authorize: async () => { await wait(); return true },
        onJoin: wait,
        presence: async () => { await wait() }
      })
    }
  })
  for (let run = 0; run < 20; run++) {
    const socket = tcp(server.port, '127.0.0.1').setNoDelay()
    t.teardown(() => { socket.destroy() })
    socket.on('error', () => undefined)
    const frames = Array.from(
      { length: 40 },
      (_, i) => textFrame(JSON.stringify({ type: 'say', room: 'chat/1', id: `r${run}-${i}`, data: { text: `${i}` } }))
    )
    const bytes = Buffer.concat([
      Buffer.from(handshake('/ws/chat/1', { headers: { authorization: `Bearer ${server.token('ada')}` } })),
      ...frames
    ])
    let at = 0
    // The first packet has the whole handshake and a part of the frames, the rest arrives while they are being held.
    const head = bytes.indexOf('\r\n\r\n') + 4
    for (const end of [
      head + Math.floor(Math.random() * 600),
      head + 600 + Math.floor(Math.random() * 600),
      bytes.length
    ]) {
      socket.write(bytes.subarray(at, end))
      at = Math.max(at, end)
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    let text = ''
    socket.on('data', (chunk) => { text += chunk.toString('latin1') })
    const acks = await eventually(
      'acks',
      () => [...text.matchAll(/"type":"ack","room":"chat\/1","id":"r\d+-(\d+)"/g)].map(([, i]) => Number(i)),
      (list) => list.length === 40
    )
    t.same(acks, Array.from({ length: 40 }, (_, i) => i))
    t.ok(text.indexOf('"type":"welcome"') < text.indexOf('"type":"ack"'), 'behind the welcome')
    socket.destroy()
  }
})

t.test('odd handshakes have defined answers and never a second one', async (t) => {
  const server = await start(t, { limits: { user: { connections: 100, then: 'reject' } } })
  const headers = { Authorization: `Bearer ${server.token('ada')}` }
  const status = async (request: string): Promise<number> => {
    const peer = new RawPeer(server.port)
    t.teardown(() => { peer.destroy() })
    return (await peer.send(request).answered()).status
  }
  const key = 'Sec-WebSocket-Key'
  t.equal(await status(handshake('/ws', { headers: { ...headers, 'Sec-WebSocket-Version': '12' } })), 426)
  t.equal(await status(handshake('/ws', { headers: { ...headers, 'Sec-WebSocket-Version': '8' } })), 426)
  t.equal(await status(handshake('/ws', { headers: { ...headers, 'Sec-WebSocket-Version': '13, 8' } })), 426)
  t.equal(await status(handshake('/ws', { headers: { ...headers, [key]: 'dGhlIHNhbXBsZSBub25jZQ' } })), 400)
  t.equal(
    await status(handshake('/ws', {
      headers: { ...headers, [key]: 'dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==' }
    })),
    400
  )
  t.equal(await status(handshake('/ws', { headers: { ...headers, 'Sec-WebSocket-Protocol': 'graphql-ws' } })), 400)
  t.equal(
    await status(handshake('/ws', { headers: { ...headers, 'Sec-WebSocket-Protocol': 'realtime.v2, realtime.v1' } })),
    101
  )
  t.equal(await status(handshake('/ws', { method: 'POST', headers })), 405)
  t.equal(await status(handshake('/ws', { version: 'HTTP/1.0', headers })), 101)
  await (await connect(server, { token: server.token('ada') })).fence()
  t.same(server.loud, [])
})

t.test('the plain routes of the plugin serve no WebSocket: 426, and no subprotocol is echoed', async (t) => {
  const server = await start(t)
  for (const path of [
    '/ws/stats',
    '/ws/stats/rooms',
    '/ws/stats/rooms/chat/1',
    '/ws/stats/connections',
    '/ws/health',
    '/ws/asyncapi.json'
  ]) {
    const { status, headers, body } = await ask(server, 'websocket', {
      path,
      token: server.token('ada'),
      headers: { 'sec-websocket-protocol': 'bearer.canary, realtime.v1' }
    })
    t.match({ status, body }, { status: 426, body: { code: 'upgrade_refused', retry: 'never' } }, path)
    t.equal(headers['sec-websocket-protocol'], undefined)
  }
  t.equal((await ask(server, 'websocket', { path: '/ws/ticket' })).body.code, 'room_invalid')
})

t.test(
  'offered without realtime.v1, a token is never selected, and the header carrier still opens without any subprotocol',
  async (t) => {
    const server = await start(t)
    const token = server.token('ada')
    const peer = new RawPeer(server.port)
    t.teardown(() => { peer.destroy() })
    const { status, headers, body } = await peer.send(handshake('/ws', {
      headers: { 'Sec-WebSocket-Protocol': `bearer.${token}` }
    })).answered()
    t.equal(status, 400)
    t.notOk(`${JSON.stringify(headers)}${body}`.includes(token.slice(-20)))
    await (await connect(server, { token })).fence()
  }
)

t.test('each refusal is counted under its word', async (t) => {
  const server = await start(t, { capacity: 1 } satisfies RealtimeOptions)
  for (const way of WAYS) await ask(server, way)
  const peer = await connect(server, { token: server.token('ada') })
  await ask(server, 'websocket', { token: server.token('ada') })
  await peer.fence()
  t.same((await statsOf(server.app)).refusals, { unauthorized: 5, server_full: 1 })
})

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} an authorize that throws what is no error lets nobody in`, async (t) => {
    let thrown: unknown
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, {
          authorize: ({ params: { id } }: { params: { id: string } }) => {
            if (id === 'later') return Promise.reject(thrown)
            throw thrown
          }
        })
      }
    })
    for (const each of [undefined, null, 0, '', false, 'no']) {
      thrown = each
      for (const room of ['chat/now', 'chat/later']) {
        await t.rejects(
          connect(server, { transport, rooms: [room], token: server.token('ada') }),
          { statusCode: 500, code: 'internal' },
          `${String(each)} of ${room}`
        )
      }
    }
    t.equal((await statsOf(server.app)).connections.total, 0)
  })
}
