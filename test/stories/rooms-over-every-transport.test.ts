import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import realtime, { defineRoom } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, everyone, inbox, lobby, poll, start, statsOf, TRANSPORTS
} from '../helpers/net.js'

for (const transport of TRANSPORTS) {
  t.test(`over ${transport}: join by URL, message, ack, event, leave`, async (t) => {
    const server = await start(t)
    const [ada, bob] = [
      await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') }),
      await connect(server, { transport, rooms: ['chat/1'], token: server.token('bob') })
    ]
    t.match(ada.welcome.data, { connectionId: /^[\w-]{22}$/, rooms: { 'chat/1': { epoch: /^[\w-]{8}$/, offset: 0 } } })
    ada.send({ type: 'say', room: 'chat/1', id: 'm-1', data: { text: 'hi' } })
    t.match(await ada.next('ack'), { id: 'm-1', room: 'chat/1', data: { id: 'm-1' } })
    for (const peer of [ada, bob]) {
      t.match(await peer.next('said'), {
        room: 'chat/1',
        offset: 1,
        data: { text: 'hi', by: 'ada' },
        timestamp: Number
      })
    }
    ada.send({ type: 'type', room: 'chat/1', id: 'm-2', data: {} })
    t.match(await ada.next('ack'), { id: 'm-2' })
    const typing = await bob.next('typing')
    t.match(typing.data, { by: 'ada' })
    t.equal(typing.offset, undefined)
    await ada.fence()
    await bob.fence()
    await bob.close()
    await eventually('bob', async () => (await statsOf(server.app)).users, (users) => users === 1)
    t.match(await server.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'still', by: 'server' }), {
      position: { offset: 2 },
      recipients: 1
    })
    await ada.next('said')
    await ada.fence()
    t.same(server.loud, [])
  })

  t.test(`over ${transport}: broadcastAll, sendToUser, except, server-side join and leave, ping, revoke`, async (t) => {
    const server = await start(t, {
      declare: (app) => { app.room(inbox); app.room(everyone); declareChat(app, { authorize: () => false }) }
    })
    const { rooms } = server.app
    const [ada, bob] = [
      await connect(server, { transport, token: server.token('ada') }),
      await connect(server, { transport, token: server.token('bob', { jti: 'token-b' }) })
    ]
    t.same(Object.keys((ada.welcome.data as { rooms: object }).rooms), ['@all', '@user/ada'])
    await rooms.broadcastAll('notice', { text: 'all' })
    for (const peer of [ada, bob]) t.match(await peer.next('notice'), { room: '@all', data: { text: 'all' } })
    await rooms.sendToUser('ada', 'shipped', { order: '7' })
    t.match(await ada.next('shipped'), { room: '@user/ada', data: { order: '7' } })
    await bob.fence()
    if (transport !== 'polling') {
      t.equal(await rooms.join({ user: 'ada' }, 'chat/9'), 1, 'the server asks no authorize')
      t.match(await ada.next('joined'), { room: 'chat/9', data: { offset: 0 } })
      t.equal(await rooms.join({ connection: bob.id }, chat.at({ id: '9' })), 1)
      await bob.next('joined')
      await rooms.broadcast('chat/9', 'said', { text: 'not you', by: 'x' }, { except: bob.id })
      await ada.next('said')
      await bob.fence()
      t.equal(await rooms.leave({ user: 'ada' }, 'chat/9'), 1)
      t.match(await ada.next('left'), { room: 'chat/9', data: { code: 'left' } })
      await rooms.broadcast('chat/9', 'said', { text: 'gone', by: 'x' })
      await bob.next('said')
    }
    t.match(await rooms.ping({ user: 'ada' }), { alive: true, latency: Number })
    t.same(await rooms.ping({ user: 'nobody' }), { alive: false })
    t.equal(await rooms.isOnline('ada'), true)
    t.equal(await rooms.isOnline('nobody'), false)
    t.equal(await rooms.revoke({ tokenId: 'token-b' }, { message: 'signed out' }), 1)
    await bob.ended
    await t.rejects(connect(server, { transport, token: server.token('bob', { jti: 'token-b' }) }), {
      statusCode: 403,
      code: 'revoked'
    })
    await (await connect(server, { transport, token: server.token('bob', { jti: 'token-c' }) })).close()
    t.equal(await rooms.revoke({ connection: ada.id }), 1)
    await ada.ended
    await (await connect(server, { transport, token: server.token('ada') })).close()
    await rooms.revoke({ user: 'ada' }, { until: Date.now() + 300 })
    await t.rejects(connect(server, { transport, token: server.token('ada') }), { code: 'revoked' })
    await eventually(
      'the end of the denial',
      async () => await connect(server, { transport, token: server.token('ada') }).then(
        async (peer) => { await peer.close(); return 'in' },
        ({ code }: { code: string }) => code
      ),
      (state) => state === 'in'
    )
  })
}

t.test(
  'joins and leaves by frame, a second join of a room is acked with the position and replays nothing',
  async (t) => {
    const server = await start(t)
    const ada = await connect(server, { token: server.token('ada') })
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'before', by: 'x' })
    ada.send({ type: 'join', room: 'chat/1', id: 'j-1' })
    const first = await ada.next('ack')
    t.match(first, { id: 'j-1', room: 'chat/1', data: { offset: 1 } })
    ada.send({
      type: 'join',
      room: 'chat/1',
      id: 'j-2',
      data: { since: { epoch: (first.data as { epoch: string }).epoch, offset: 0 } }
    })
    t.same((await ada.next('ack')).data, first.data)
    ada.send({ type: 'leave', room: 'chat/1', id: 'l-1' })
    t.match(await ada.next('ack'), { id: 'l-1' })
    t.same(
      await server.app.rooms.broadcast('chat/1', 'said', {
        text: 'after',
        by: 'x'
      }).then(({ recipients }) => recipients),
      0
    )
    await ada.fence()
  }
)

t.test('a second join while the first one still replays is acked with what has come by then', async (t) => {
  let asked = 0
  const server = await start(t, {
    declare: (app) => {
      declareChat(app, {
        history: { size: 10_000 },
        authorize () {
          asked++
          return true
        }
      })
    }
  })
  const positions = await Promise.all(Array.from({ length: 5_000 }, async (_, n) =>
    await server.app.rooms.broadcast('chat/1', 'said', { text: `${n} ${'.'.repeat(2_000)}`, by: 'x' })))
  const since = positions[0]!.position!
  const ada = await connect(server, { token: server.token('ada') })
  ada.stall()
  for (const id of ['j-1', 'j-2']) ada.send({ type: 'join', room: 'chat/1', id, data: { since } })
  await eventually('both are asked for', () => asked, (count) => count === 2)
  await new Promise((resolve) => { setImmediate(resolve) })
  ada.resume()
  await ada.next('said', ({ offset }) => offset === positions.length)
  await ada.next('ack', ({ id }) => id === 'j-2')
  const frames = ada.queue.all
  const heard = frames.filter(({ type }) => type === 'said').map(({ offset }) => offset)
  t.same(heard, positions.slice(1).map(({ position }) => position!.offset))
  const at = frames.findIndex(({ id }) => id === 'j-2')
  t.not(frames.at(-1), frames[at], 'the replay was under way')
  t.equal((frames[at]!.data as { offset: number }).offset, frames[at - 1]!.offset)
})

t.test('what onJoin sends comes behind the ack, and what it throws refuses the join', async (t) => {
  const server = await start(t, {
    declare: (app) => {
      declareChat(app, {
        onJoin: ({ params, connection }: {
          params: { id: string }
          connection: { send: (event: string, data: object) => void }
        }) => {
          if (params.id === 'closed') {
            throw Object.assign(new Error('the shop is closed'), { statusCode: 403, code: 'CLOSED' })
          }
          connection.send('said', { text: 'welcome', by: 'server' })
        }
      })
    }
  })
  const ada = await connect(server, { token: server.token('ada') })
  ada.send({ type: 'join', room: 'chat/1', id: 'j-1' })
  await ada.next('said')
  t.same(ada.queue.all.map(({ type }) => type), ['welcome', 'ack', 'said'])
  ada.send({ type: 'join', room: 'chat/closed', id: 'j-2' })
  t.match(await ada.next('error'), { id: 'j-2', data: { code: 'CLOSED', message: 'the shop is closed' } })
  const url = await connect(server, { rooms: ['chat/2'], token: server.token('bob') })
  await url.next('said')
  t.same(url.queue.all.map(({ type }) => type), ['welcome', 'ack', 'said'].filter((type) => type !== 'ack'))
})

t.test('onLeave is told why: left, gone, or the word of the close', async (t) => {
  const codes: string[] = []
  const server = await start(t, {
    declare: (app) => {
      declareChat(app, {
        onLeave: ({ code, userId }: { code: string, userId: string }) => { codes.push(`${userId} ${code}`) }
      })
    }
  })
  const open = async (user: string): ReturnType<typeof connect> => await connect(server, {
    rooms: ['chat/1'],
    token: server.token(user)
  })
  const [a, b, c, d] = [await open('a'), await open('b'), await open('c'), await open('d')]
  a.send({ type: 'leave', room: 'chat/1' })
  await a.fence()
  b.cut()
  await c.close()
  await server.app.rooms.revoke({ user: 'd' })
  await d.ended
  await eventually('codes', () => codes.slice().sort(), (list) => list.length === 4)
  t.same(codes.sort(), ['a left', 'b gone', 'c left', 'd revoked'])
})

t.test('reply.broadcast goes out with a 2xx, not otherwise, and leaves out the caller\'s own connection', async (t) => {
  const server = await start(t, {
    declare: (app) => {
      declareChat(app)
      app.post<{ Body: { how: string } }>('/act', async (request, reply) => {
        if (request.headers.authorization !== undefined) await request.jwtVerify()
        reply.broadcast(chat.at({ id: '1' }), 'said', { text: request.body.how, by: 'rest' })
        if (request.body.how === 'throw') throw new Error('no')
        if (request.body.how === '404') return await reply.code(404).send({})
        return {}
      })
      app.post('/wrong', async (_request, reply) => reply.broadcast(chat.at({ id: '1' }), 'said', { text: 1 } as never))
    }
  })
  const [ada, bob] = [
    await connect(server, { rooms: ['chat/1'], token: server.token('ada') }),
    await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
  ]
  const act = async (how: string, headers = {}): Promise<number> => (await server.app.inject({
    method: 'POST',
    url: '/act',
    payload: { how },
    headers
  })).statusCode
  t.equal(await act('throw'), 500)
  t.equal(await act('404'), 404)
  await ada.fence()
  t.equal(await act('ok'), 200)
  for (const peer of [ada, bob]) t.match((await peer.next('said')).data, { text: 'ok' })
  await act('mine', { 'x-connection-id': ada.id, authorization: `Bearer ${server.token('ada')}` })
  t.match((await bob.next('said')).data, { text: 'mine' })
  await ada.fence()
  await act('not yours', { 'x-connection-id': ada.id, authorization: `Bearer ${server.token('bob')}` })
  t.match((await ada.next('said')).data, { text: 'not yours' }, 'nobody silences another user\'s connection')
  t.equal(
    (await server.app.inject({ method: 'POST', url: '/wrong' })).statusCode,
    500,
    'a mistake is thrown where it is made'
  )
})

t.test('app.rooms is usable from onReady to close', async (t) => {
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: 'x' } })
  app.room(chat, { on: { say: () => ({ id: '' }), type () {} } })
  await t.rejects(app.rooms.broadcast('chat/1', 'said', {}), { code: 'REALTIME_ERR_NOT_READY' })
  app.addHook('onReady', async () => { await app.rooms.broadcast('chat/1', 'said', { text: 'ready', by: 'x' }) })
  await app.ready()
  matchList(t, await app.rooms.history('chat/1'), {
    position: { offset: 1 },
    events: [{ type: 'said', data: { text: 'ready' }, offset: 1, timestamp: Number }]
  })
  await app.close()
  await t.rejects(app.rooms.broadcast('chat/1', 'said', {}), { code: 'REALTIME_ERR_NOT_READY' })
})

t.test('what the application gets wrong is an error that names the fix', async (t) => {
  const server = await start(t)
  const { rooms } = server.app
  await t.rejects(rooms.broadcast('chart/1', 'said', {}), {
    code: 'REALTIME_ERR_ROOM_UNKNOWN',
    message: /declared: "chat\/:id"/
  })
  await t.rejects(rooms.broadcast('chat/1', 'sayd', {}), {
    code: 'REALTIME_ERR_EVENT',
    message: /declares no event "sayd" \(declared: "said"/
  })
  await t.rejects(rooms.broadcast('chat/1', 'said', { text: 1 }), {
    code: 'REALTIME_ERR_EVENT',
    message: /\/text: Expected string/
  })
  await t.rejects(rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(300_000), by: 'x' }), {
    code: 'REALTIME_ERR_EVENT',
    message: /limits.event/
  })
  await t.rejects(rooms.broadcast(chat as never, 'said' as never, {} as never), {
    code: 'REALTIME_ERR_ROOM',
    message: /\.at\(/
  })
  await t.rejects(rooms.members('chat/1'), { code: 'REALTIME_ERR_PRESENCE_OFF' })
  await t.rejects(rooms.join({ user: 'a' }, '@all'), { code: 'REALTIME_ERR_ROOM' })
  await t.rejects(rooms.revoke({} as never), { code: 'REALTIME_ERR_TARGET' })
  t.throws(() => chat.at({ id: '' }), { code: 'REALTIME_ERR_PARAM' })
  t.throws(() => chat.at({ id: '..' }), { code: 'REALTIME_ERR_PARAM' })
  t.throws(() => chat.at({ id: 'x'.repeat(300) }), { code: 'REALTIME_ERR_PARAM' })
  t.throws(() => defineRoom('/chat', {}), { code: 'REALTIME_ERR_PATTERN', message: /slash too many in "\/chat"/ })
  void rooms.broadcast('chart/1', 'said', {})
  await eventually('the log', () => server.loud.length, (count) => count > 0)
})

t.test('names with any character are one room, encoded once', async (t) => {
  const server = await start(t)
  const id = 'a/b c%ü\u{1F680}(!)'
  const { name } = chat.at({ id })
  t.equal(name, `chat/${encodeURIComponent(id)}`)
  const ada = await connect(server, { rooms: [name], token: server.token('ada') })
  ada.send({ type: 'say', room: name, id: 'm', data: { text: 'hi' } })
  await ada.next('ack')
  t.equal((await ada.next('said')).room, name)
})

t.test('presence: members, count and what joins and leaves, by user', async (t) => {
  const server = await start(t, {
    presence: { grace: 50 },
    declare: (app) => {
      app.room(lobby, {
        presence: ({ user, userId }) => ({ name: (user as unknown as { name?: string }).name ?? userId.toUpperCase() })
      })
    }
  })
  const open = async (user: string): ReturnType<typeof connect> => await connect(server, {
    rooms: ['crowd/1'],
    token: server.token(user)
  })
  const ada = await open('ada')
  matchList(t, ada.welcome.data, {
    rooms: { 'crowd/1': { members: { sequence: 1, total: 1, list: [{ userId: 'ada', data: { name: 'ADA' } }] } } }
  })
  const bob = await open('bob')
  matchList(t, (await ada.next('presence')).data, {
    sequence: 2,
    joined: [{ userId: 'bob', data: { name: 'BOB' } }],
    left: []
  })
  const second = await open('bob')
  await ada.fence()
  t.equal(await server.app.rooms.count('crowd/1'), 2)
  t.same((await server.app.rooms.members('crowd/1')).map(({ userId }) => userId), ['ada', 'bob'])
  bob.cut()
  await ada.fence()
  second.cut()
  matchList(t, (await ada.next('presence')).data, { sequence: 3, joined: [], left: [{ userId: 'bob' }] })
  t.equal(await server.app.rooms.count('crowd/1'), 1)
})

t.test(
  'every connection of other apps and routes is left alone: the app\'s own websocket, jwt and plain routes',
  async (t) => {
    const jwt = (await import('@fastify/jwt')).default
    const websocket = (await import('@fastify/websocket')).default
    const server = await start(t, {
      before: async (app) => {
        await app.register(jwt, { secret: 'their own' })
        await app.register(websocket, { options: { maxPayload: 10 } })
      },
      declare: (app) => {
        app.get('/legacy', {
          websocket: true
        }, (socket) => { socket.on('message', (data) => { socket.send(`echo ${String(data)}`) }) })
        app.register(async (api) => {
          api.addHook('onRequest', async () => { throw Object.assign(new Error('guarded'), { statusCode: 401 }) })
          api.get('/x', async () => 'x')
          await api.register(async (inner) => { declareChat(inner as never) }, { prefix: '/deep' })
        }, { prefix: '/api' })
      }
    })
    const { WebSocket } = await import('ws')
    const legacy = new WebSocket(`ws://127.0.0.1:${server.port}/legacy`)
    const answer = await new Promise((resolve) => {
      legacy.on('open', () => { legacy.send('hi') })
      legacy.on('message', (data) => { resolve(String(data)) })
    })
    t.equal(answer, 'echo hi')
    legacy.terminate()
    t.equal((await server.app.inject('/api/x')).statusCode, 401)
    const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    ada.send({
      type: 'say',
      room: 'chat/1',
      id: 'm',
      data: { text: 'longer than ten bytes, which is the other plugin\'s limit' }
    })
    t.match(await ada.next('ack'), { id: 'm' })
    t.equal(server.app.websocketServer.clients.has(ada as never), false)
    t.match(await poll(server, { rooms: ['chat/1'], token: server.token('ada') }), {
      rooms: { 'chat/1': { offset: 1 } }
    })
  }
)

for (const [what, register, message] of [
  ['an unknown option', { capacty: 5 }, /options\.capacty is no option; did you mean "capacity"\?/],
  ['an unknown nested option', { limits: { roms: 5 } }, /options\.limits\.roms is no option; did you mean "rooms"\?/],
  ['a wrong type', { capacity: 'many' }, /options\.capacity: expected integer, got "many"/],
  ['a prefix without slash', { prefix: 'ws' }, /options\.prefix/],
  [
    'an event limit above the outbox',
    { limits: { event: 10, outbox: 10 } },
    /limits\.event \(10\) must be below options\.limits\.outbox/
  ],
  ['the cookie carrier without origins', { auth: { carriers: ['cookie'], cookie: 's' } }, /options\.origins must be/],
  [
    'the cookie carrier with any origin',
    { auth: { carriers: ['cookie'], cookie: 's' }, origins: 'any' },
    /options\.origins must be/
  ],
  ['the cookie carrier without its name', { auth: { carriers: ['cookie'] }, origins: 'same' }, /options\.auth\.cookie/],
  ['an origin with a path', { origins: ['https://x.example/'] }, /is not an origin/],
  ['nothing that verifies', { jwt: undefined }, /nothing can verify a credential/],
  ['an authenticate that is no function', { authenticate: 'x' }, /options\.authenticate must be a function/]
] as const) {
  t.test(`${what} is refused at register, and the error names the fix`, async (t) => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await t.rejects(async () => { await app.register(realtime, { jwt: { secret: 'x' }, ...register } as never) }, {
      code: /^REALTIME_ERR_/,
      message
    })
  })
}

for (const [what, declare, message] of [
  ['no definition', (app: App) => app.room({ name: 'x' } as never), /made by defineRoom/],
  ['a reserved first segment', (app: App) => app.room(defineRoom('stats/:id', {})), /is a URL of the plugin/],
  [
    'a reserved event name',
    (app: App) => app.room(defineRoom('x', { events: { welcome: Type.Object({}) } })),
    /frame type of the protocol/
  ],
  [
    'a pattern without maxLength',
    (app: App) => app.room(defineRoom('x', { events: { e: Type.Object({ t: Type.String({ pattern: '^a+$' }) }) } })),
    /add maxLength/
  ],
  [
    'two patterns for the same names',
    (app: App) => app.room(defineRoom('a/:x', {})).room(defineRoom('a/:y', {})),
    /matches the same names as "a\/:x"/
  ],
  [
    'a message without handler',
    (app: App) => app.room(defineRoom('x', { messages: { go: Type.Object({}) } }), {} as never),
    /give its handler/
  ],
  [
    'a handler without message',
    (app: App) => app.room(defineRoom('x', {}), { on: { go () {} } } as never),
    /declares no such message/
  ],
  [
    'member data without presence',
    (app: App) => app.room(defineRoom('x', { member: Type.Object({}) }), {} as never),
    /give the option presence/
  ],
  [
    'an option that is none',
    (app: App) => app.room(defineRoom('x', {}), { capcity: 3 } as never),
    /did you mean "capacity"/
  ],
  [
    'a built-in room with capacity',
    (app: App) => app.room(defineRoom('@all', {}), { capacity: 3 }),
    /takes no capacity/
  ],
  ['another name with @', (app: App) => app.room(defineRoom('@group', {})), /only "@all" and "@user\/:id"/],
  [
    'a latest event without key',
    (app: App) => app.room(defineRoom('x', { events: { e: { data: Type.Object({}), delivery: 'latest' } as never } })),
    /needs key/
  ]
] as const) {
  t.test(`app.room with ${what} throws an error that names the fix`, async (t) => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await app.register(realtime, { jwt: { secret: 'x' } })
    t.throws(() => declare(app as never), { code: /^REALTIME_ERR_/, message })
  })
}

interface App { room (...args: unknown[]): App }

t.test('declared twice, registered twice, or declared too late is refused', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'x' } })
  await t.rejects(async () => { await app.register(realtime, { jwt: { secret: 'x' } }) }, {
    code: 'REALTIME_ERR_PLUGIN',
    message: /twice/
  })
  app.room(defineRoom('x', {}))
  t.throws(() => app.room(defineRoom('x', {})), { code: 'REALTIME_ERR_ROOM' })
  const other = Fastify()
  t.teardown(async () => { await other.close() })
  await other.register(realtime, { jwt: { secret: 'x' } })
  await other.ready()
  t.throws(() => other.room(defineRoom('y', {})), { code: 'REALTIME_ERR_ROOM', message: /before app\.ready/ })
})

t.test('an app that has decorated rooms itself is told of the name', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  app.decorate('rooms', {} as never)
  void app.register(realtime, { jwt: { secret: 'x' } })
  await t.rejects(async () => { await app.ready() }, {
    code: 'REALTIME_ERR_PLUGIN',
    message: /app\.rooms is decorated/
  })
})

t.test('in-process peers read over every transport, and a fence proves that nothing more came', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'x' } })
  declareChat(app)
  await app.ready()
  const token = app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 })
  for (const transport of TRANSPORTS) {
    const peer = await createPeer(app, { room: 'chat/1', token, transport })
    await app.rooms.broadcast('chat/1', 'said', { text: transport, by: 'x' })
    t.match((await peer.next('said')).data, { text: transport })
    await peer.fence()
    await app.rooms.broadcast('chat/1', 'said', { text: 'unread', by: 'x' })
    await t.rejects(peer.fence(), { message: /nothing more was expected/ })
    await peer.close()
  }
  await t.rejects(
    createPeer(app, { room: 'chat/1' }),
    { statusCode: 401, code: 'unauthorized', retry: 'refresh' } as object as Error
  )
})
