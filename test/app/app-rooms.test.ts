import { Readable } from 'node:stream'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import realtime, { defineRoom, Refusal, type RoomHandle } from '../../lib/index.js'
import { ask } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, everyone, inbox, lobby, poll, start, statsOf, TRANSPORTS, type Frame
} from '../helpers/net.js'
import { RawPeer } from '../helpers/raw.js'
import { until } from '../helpers/servers.js'

const said = (text: string): { text: string, by: string } => ({ text, by: 'x' })
const dataOf = ({ data }: Frame): unknown => data

t.test(
  'each member of app.rooms rejects with REALTIME_ERR_NOT_READY before the app is ready and after it has closed',
  async (t) => {
    const app = Fastify()
    await app.register(realtime, { jwt: { secret: 'x' } })
    app.room(lobby, { presence: () => ({ name: 'x' }) })
    app.get('/reply', async (_request, reply) => reply.broadcast('crowd/1', 'said', { text: 'x' }))
    const { rooms } = app
    const calls: Record<string, () => Promise<object | number | boolean>> = {
      broadcast: async () => await rooms.broadcast('crowd/1', 'said', { text: 'x' }),
      broadcastAll: async () => await rooms.broadcastAll('said', {}),
      sendToUser: async () => await rooms.sendToUser('ada', 'said', {}),
      broadcastWithAck: async () => await rooms.broadcastWithAck('crowd/1', 'said', { text: 'x' }),
      join: async () => await rooms.join({ user: 'ada' }, 'crowd/1'),
      leave: async () => await rooms.leave({ user: 'ada' }, 'crowd/1'),
      ping: async () => await rooms.ping({ user: 'ada' }),
      revoke: async () => await rooms.revoke({ user: 'ada' }),
      connections: async () => await rooms.connections(),
      request: async () => await rooms.request({ user: 'ada' }, 'said', {}) as object,
      close: async () => await rooms.close('crowd/1'),
      members: async () => await rooms.members('crowd/1'),
      count: async () => await rooms.count('crowd/1'),
      isOnline: async () => await rooms.isOnline('ada'),
      history: async () => await rooms.history('crowd/1')
    }
    const check = async (): Promise<void> => {
      for (const [name, call] of Object.entries(calls)) {
        await t.rejects(call(), { code: 'REALTIME_ERR_NOT_READY', message: /onReady/ }, name)
      }
      t.equal(rooms.isAccepting(), false)
    }
    await check()
    await t.rejects(rooms.drain(), { code: 'REALTIME_ERR_NOT_READY' }, 'it would refuse everybody from its start')
    await app.ready()
    for (const name of ['members', 'count', 'isOnline', 'history', 'broadcast', 'ping']) {
      await t.resolves(async () => { await calls[name]!() }, name)
    }
    t.equal(rooms.isAccepting(), true)
    await app.close()
    await check()
    await t.resolves(rooms.drain(), 'nobody is left to drain')
  }
)

t.test('a room that is not declared is an error that prints the patterns, or says that there are none', async (t) => {
  const server = await start(t, {
    declare: (app) => { app.room(lobby, { presence: () => ({ name: 'x' }) }); declareChat(app) }
  })
  const { rooms } = server.app
  for (const [name, call] of Object.entries<() => Promise<unknown>>({
    broadcast: async () => await rooms.broadcast('chatt/1', 'said', {}),
    broadcastWithAck: async () => await rooms.broadcastWithAck('chatt/1', 'said', {}),
    join: async () => await rooms.join({ user: 'ada' }, 'chatt/1'),
    members: async () => await rooms.members('chatt/1'),
    count: async () => await rooms.count('chatt/1'),
    history: async () => await rooms.history('chatt/1'),
    broadcastAll: async () => await rooms.broadcastAll('notice', {}),
    sendToUser: async () => await rooms.sendToUser('ada', 'shipped', {})
  })) {
    await t.rejects(
      async () => { await call() },
      { code: 'REALTIME_ERR_ROOM_UNKNOWN', message: /declared: "crowd\/:id", "chat\/:id"/ },
      name
    )
  }
  await t.rejects(rooms.sendToUser('ada', 'shipped', {}), { message: /"@user\/ada"/ })
  const none = await start(t, { declare: () => undefined })
  await t.rejects(none.app.rooms.broadcast('x', 'y', {}), {
    message: /declared: none yet: call app\.room\(definition\) before the app is ready/
  })
})

for (const transport of TRANSPORTS) {
  t.test(
    `over ${transport}: what onJoin sends comes behind the replay, to this connection alone, in its order`,
    async (t) => {
      const server = await start(t, {
        declare: (app) => {
          declareChat(app, {
            onJoin: async ({ connection, userId, resumed }: {
              connection: { send: (event: string, data: object) => void }
              userId: string
              resumed: boolean
            }) => {
              connection.send('said', said(`one ${userId} ${String(resumed)}`))
              await null
              connection.send('said', said('two'))
            }
          })
        }
      })
      for (const text of ['a', 'b', 'c']) await server.app.rooms.broadcast('chat/1', 'said', said(text))
      const ada = await connect(server, {
        transport,
        rooms: ['chat/1'],
        token: server.token('ada'),
        query: { last: '2' }
      })
      const texts: string[] = []
      for (let i = 0; i < 4; i++) texts.push(((await ada.next('said')).data as { text: string }).text)
      t.same(texts, ['b', 'c', 'one ada false', 'two'])
      const bob = await connect(server, { transport, rooms: ['chat/1'], token: server.token('bob') })
      await bob.next('said')
      await bob.next('said')
      await ada.fence()
    }
  )

  t.test(
    `over ${transport}: ping measures the way there and back, and a peer that does not answer is not alive`,
    async (t) => {
      const server = await start(t)
      const ada = await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
      const { alive, latency } = await server.app.rooms.ping({ connection: ada.id })
      t.equal(alive, true)
      t.ok(latency! > 0 && latency! < 1_000)
      ada.stall()
      await poll(server, { token: server.token('bob') })
      t.same(await server.app.rooms.ping({ connection: ada.id }, { timeout: 50 }), { alive: false })
      ada.resume()
      t.match(await server.app.rooms.ping({ user: 'ada' }), { alive: true })
      t.same(await server.app.rooms.ping({ connection: 'nobody' }), { alive: false })
    }
  )

  t.test(
    `over ${transport}: who is revoked is told why with a final code, and is kept out on every way in`,
    async (t) => {
      const server = await start(t)
      const token = server.token('ada', { jti: 'one' })
      const { ticket } = (await server.app.inject({
        method: 'POST',
        url: '/ws/ticket',
        headers: { authorization: `Bearer ${token}` }
      })).json<{ ticket: string }>()
      const [ada, bob] = [
        await connect(server, { transport, rooms: ['chat/1'], token }),
        await connect(server, { transport, rooms: ['chat/1'], token: server.token('bob') })
      ]
      t.equal(await server.app.rooms.revoke({ user: 'ada' }, { message: 'account closed' }), 1)
      await ada.ended
      if (transport === 'websocket') await t.rejects(ada.next('nothing', undefined, 10), /4503 account closed/)
      else if (transport === 'sse') {
        t.match(ada.queue.all.at(-1), {
          type: 'error',
          data: { code: 'revoked', message: 'account closed', retry: 'never' }
        })
      } else await t.rejects(ada.next('nothing', undefined, 10), /account closed|revoked/)
      for (const way of ['websocket', 'sse', 'polling', 'uplink', 'verdict'] as const) {
        t.match(await ask(server, way, { token }), { status: 403, body: { code: 'revoked', retry: 'never' } }, way)
      }
      t.equal((await ask(server, 'websocket', { path: `/ws?ticket=${ticket}` })).body.code, 'revoked')
      t.equal(
        (await server.app.inject({
          method: 'POST',
          url: '/ws/ticket',
          headers: { authorization: `Bearer ${token}` }
        })).statusCode,
        403
      )
      await bob.fence()
      t.same((await statsOf(server.app)).closes, { revoked: 1 })
    }
  )
}

t.test('a connection that is revoked alone may come back; a token keeps out itself, not its user', async (t) => {
  const server = await start(t)
  const [one, two] = [server.token('ada', { jti: 'one' }), server.token('ada', { jti: 'two' })]
  const [a, b] = [await connect(server, { token: one }), await connect(server, { token: two })]
  t.equal(await server.app.rooms.revoke({ connection: a.id }), 1)
  await a.ended
  const again = await connect(server, { token: one })
  t.equal(await server.app.rooms.revoke({ tokenId: 'one' }), 1)
  await again.ended
  t.equal((await ask(server, 'verdict', { token: one })).body.code, 'revoked')
  t.equal((await ask(server, 'verdict', { token: two })).status, 200)
  await b.fence()
  t.equal(await server.app.rooms.revoke({ tokenId: 'unknown' }), 0)
  t.equal(await server.app.rooms.revoke({ user: 'nobody' }), 0)
})

t.test('the refresh of a connection is refused to who has been revoked meanwhile', async (t) => {
  const server = await start(t)
  const token = server.token('ada', { jti: 'one' })
  const { ticket } = (await server.app.inject({
    method: 'POST',
    url: '/ws/ticket',
    headers: { authorization: `Bearer ${server.token('ada', { jti: 'two' })}` }
  })).json<{ ticket: string }>()
  const ada = await connect(server, { token })
  await server.app.rooms.revoke({ tokenId: 'two' })
  ada.send({ type: 'auth', id: 'a', data: { ticket } })
  t.match(await ada.next('error'), { id: 'a', data: { code: 'revoked' } })
  await ada.fence()
})

t.test('broadcast counts the members it was offered to, except leaves one of them out', async (t) => {
  const server = await start(t, { declare: (app) => { app.room(everyone); app.room(inbox); declareChat(app) } })
  const { rooms } = server.app
  t.match(await rooms.broadcast('chat/1', 'said', said('nobody')), { recipients: 0, position: { offset: 1 } })
  const peers = await Promise.all([
    'ada',
    'ada',
    'bob'
  ].map(async (user) => await connect(server, { rooms: ['chat/1'], token: server.token(user) })))
  t.equal((await rooms.broadcast('chat/1', 'said', said('all'))).recipients, 3)
  t.equal((await rooms.broadcast('chat/1', 'said', said('but one'), { except: peers[0]!.id })).recipients, 2)
  t.equal((await rooms.broadcast('chat/1', 'said', said('all'), { except: 'nobody' })).recipients, 3)
  t.equal((await rooms.broadcast('chat/2', 'said', said('elsewhere'))).recipients, 0)
  t.equal((await rooms.broadcastAll('notice', { text: 'x' })).recipients, 3)
  t.equal((await rooms.sendToUser('ada', 'shipped', { order: '1' })).recipients, 2)
  const texts = (peer: typeof peers[number]): unknown[] => peer.queue.all.filter(({ type }) => type === 'said')
    .map((frame) => (dataOf(frame) as { text: string }).text)
  for (const peer of peers) await peer.sync()
  t.same(peers.map(texts), [['all', 'all'], ['all', 'but one', 'all'], ['all', 'but one', 'all']])
})

t.test('the same idempotencyKey adds no second event, and a message sent again neither', async (t) => {
  const server = await start(t)
  const { rooms } = server.app
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const first = await rooms.broadcast('chat/1', 'said', said('once'), { idempotencyKey: 'k' })
  t.same((await rooms.broadcast('chat/1', 'said', said('once'), { idempotencyKey: 'k' })).position, first.position)
  t.not(
    (await rooms.broadcast('chat/2', 'said', said('once'), { idempotencyKey: 'k' })).position,
    undefined,
    'in another room it is another event'
  )
  await ada.next('said')
  await ada.fence()
})

t.test(
  'server-side joins: once per connection, none for a full room or who is not there; leave undoes them',
  async (t) => {
    const server = await start(t, { declare: (app) => { declareChat(app, { capacity: 2, authorize: () => false }) } })
    const { rooms } = server.app
    const peers = await Promise.all([
      'ada',
      'ada',
      'ada',
      'bob'
    ].map(async (user) => await connect(server, { token: server.token(user) })))
    t.equal(await rooms.join({ user: 'ada' }, 'chat/1'), 2, 'two places')
    t.equal(await rooms.join({ user: 'ada' }, 'chat/1'), 0)
    t.equal(await rooms.join({ user: 'nobody' }, 'chat/1'), 0)
    t.equal(await rooms.join({ connection: peers[3]!.id }, chat.at({ id: '2' })), 1)
    t.match(await peers[3]!.next('joined'), { room: 'chat/2', data: { epoch: String, offset: 0 } })
    peers[3]!.send({ type: 'say', room: 'chat/2', id: 'm', data: { text: 'x' } })
    t.match(await peers[3]!.next('ack'), { id: 'm' }, 'it may speak there, though authorize says no')
    await peers[3]!.next('said')
    t.equal(await rooms.leave({ user: 'ada' }, 'chat/1'), 2)
    t.equal(await rooms.leave({ user: 'ada' }, 'chat/1'), 0)
    await t.rejects(rooms.leave({ user: 'ada' }, '@user/ada'), { code: 'REALTIME_ERR_ROOM', message: /built-in/ })
    await t.rejects(rooms.join({} as never, 'chat/1'), {
      code: 'REALTIME_ERR_TARGET',
      message: /\{ user: id \} or \{ connection: id \}/
    })
    await peers[3]!.fence()
  }
)

t.test('a server-side join of a connection that polls lasts for one answer', async (t) => {
  const server = await start(t)
  const options = { rooms: ['chat/1'], token: server.token('ada') }
  const first = await poll(server, options)
  const open = poll(server, { ...options, query: { since: first.cursor, wait: '5000' } })
  await eventually(
    'the join',
    async () => await server.app.rooms.join({ connection: first.connectionId }, 'chat/2'),
    (count) => count === 1
  )
  const answer = await open
  matchList(t, answer.frames, [{ type: 'joined', room: 'chat/2' }])
  await server.app.rooms.broadcast('chat/2', 'said', said('too late'))
  await server.app.rooms.broadcast('chat/1', 'said', said('in time'))
  matchList(
    t,
    (await poll(server, { ...options, query: { since: answer.cursor, wait: '1' } })).frames,
    [{ room: 'chat/1' }]
  )
})

t.test(
  'members, count and isOnline follow connections, not tabs; a member may ask for them, nobody else',
  async (t) => {
    const server = await start(t, {
      presence: { grace: 0 },
      declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId.toUpperCase() }) }) }
    })
    const { rooms } = server.app
    t.same([await rooms.members('crowd/1'), await rooms.count('crowd/1'), await rooms.isOnline('ada')], [[], 0, false])
    const [one, two] = [
      await connect(server, { rooms: ['crowd/1'], token: server.token('ada') }),
      await connect(server, { rooms: ['crowd/1'], token: server.token('ada') })
    ]
    const bob = await connect(server, { token: server.token('bob') })
    t.same(
      [
        await rooms.members('crowd/1'),
        await rooms.count('crowd/1'),
        await rooms.isOnline('ada'),
        await rooms.isOnline('bob')
      ],
      [[{ userId: 'ada', data: { name: 'ADA' } }], 1, true, true]
    )
    one.send({ type: 'members', room: 'crowd/1', id: 'm' })
    matchList(t, await one.next('ack'), { id: 'm', data: { sequence: 1, total: 1, list: [{ userId: 'ada' }] } })
    bob.send({ type: 'members', room: 'crowd/1', id: 'm' })
    t.match(await bob.next('error'), { data: { code: 'not_joined' } })
    bob.send({ type: 'history', room: 'crowd/1', id: 'h' })
    t.match(await bob.next('error'), { data: { code: 'not_joined' } })
    await one.close()
    t.equal(await rooms.count('crowd/1'), 1)
    await two.close()
    await eventually('the leave', async () => await rooms.count('crowd/1'), (count) => count === 0)
    await eventually('offline', async () => await rooms.isOnline('ada'), (isOnline) => !isOnline)
  }
)

t.test('history gives the newest events, those after a position, and says whether nothing is missing', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { history: { size: 5 } }) } })
  const { rooms } = server.app
  const { position: { epoch } } = await rooms.history('chat/1')
  for (let i = 1; i <= 8; i++) await rooms.broadcast('chat/1', 'said', said(String(i)))
  const texts = async (options: Parameters<typeof rooms.history>[1], end = 8): Promise<[string[], boolean]> => {
    const { events, resumed, position } = await rooms.history('chat/1', options)
    t.same(position, { epoch, offset: end }, 'where the page ends')
    return [events.map(({ data }) => (data as { text: string }).text), resumed]
  }
  t.same((await texts({}))[0], ['4', '5', '6', '7', '8'])
  t.same((await texts({ limit: 2 }))[0], ['7', '8'])
  t.same((await texts({ limit: 0 }))[0], [])
  t.same(await texts({ since: { epoch, offset: 6 } }), [['7', '8'], true])
  t.same(await texts({ since: { epoch, offset: 3 }, limit: 2 }, 5), [['4', '5'], true])
  t.same(await texts({ since: { epoch, offset: 5 }, limit: 2 }, 7), [['6', '7'], true])
  t.same(await texts({ since: { epoch, offset: 7 }, limit: 2 }), [['8'], true])
  t.same(await texts({ since: { epoch, offset: 6 }, limit: 2 }), [['7', '8'], true])
  t.same(await texts({ since: { epoch, offset: 6 }, limit: 0 }, 6), [[], true])
  t.same(await texts({ since: { epoch, offset: 2 } }), [[], false])
  t.same(await texts({ since: { epoch: 'xxxxxxxx', offset: 7 } }), [[], false])
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  ada.send({ type: 'history', room: 'chat/1', id: 'h', data: { since: { epoch, offset: 6 }, limit: 1 } })
  matchList(t, await ada.next('ack'), {
    data: {
      position: { offset: 7 }, resumed: true, more: true, events: [{ type: 'said', offset: 7, data: { text: '7' } }]
    }
  })
})

const sink = defineRoom('sink', { events: { done: Type.Object({ how: Type.String() }) } })

t.test(
  'reply.broadcast goes out with 2xx only, whatever the reply is made of, each of several once and in order',
  async (t) => {
    const server = await start(t, {
      declare: (app) => {
        app.room(sink)
        const act = (how: string, reply: { broadcast: FastifyReplyBroadcast }): void => {
          reply.broadcast(sink, 'done', { how })
        }
        app.get('/200', async (_request, reply) => { act('200', reply); return {} })
        app.get('/204', async (_request, reply) => { act('204', reply); return await reply.code(204).send() })
        app.get('/299', async (_request, reply) => { act('299', reply); return await reply.code(299).send('x') })
        app.get('/stream', async (_request, reply) => {
          act('stream', reply)
          return await reply.send(Readable.from(['a', 'b']))
        })
        app.get('/many', async (_request, reply) => { for (let i = 0; i < 5; i++) act(`many ${i}`, reply); return {} })
        app.get(
          '/chained',
          async (_request, reply) => await reply.broadcast(sink, 'done', { how: 'chained' }).code(201).send({})
        )
        app.get('/302', async (_request, reply) => { act('302', reply); return reply.redirect('/200') })
        app.get('/304', async (_request, reply) => { act('304', reply); return await reply.code(304).send() })
        app.get('/400', async (_request, reply) => { act('400', reply); return await reply.code(400).send() })
        app.get('/500', async (_request, reply) => { act('500', reply); throw new Error('no') })
        app.get('/taken', async (_request, reply) => {
          act('taken', reply)
          void reply.hijack()
          reply.raw.writeHead(403).end('x')
        })
        app.get('/hijack', async (_request, reply) => { act('hijack', reply); void reply.hijack(); reply.raw.end('x') })
      }
    })
    const peer = await connect(server, { rooms: ['sink'], token: server.token('ada') })
    for (const path of [
      '200', '204', '299', 'stream', 'many', 'chained', '302', '304', '400', '500', 'taken', 'hijack', '200'
    ]) {
      await fetch(`${server.url}/${path}`, {
        redirect: 'manual',
        headers: { connection: 'close' }
      }).then(async (answer) => await answer.text())
    }
    await eventually(
      'the last',
      () => peer.queue.all.filter(({ type }) => type === 'done').length,
      (count) => count >= 11
    )
    await peer.sync()
    const hows = peer.queue.all.filter(({ type }) => type === 'done')
      .map((frame) => (dataOf(frame) as { how: string }).how)
    t.same(hows, ['200', '204', '299', 'stream', 'many 0', 'many 1', 'many 2', 'many 3', 'many 4', 'chained', '200'])
    const said = (): object[] => server.loud.filter((line) => (line as { msg?: string }).msg?.includes('hijacked') === true)
    await until('the log says what was dropped', () => said().length > 0)
    matchList(t, said(), [{ level: 40, room: 'sink', event: 'done', dropped: 1, reqId: /./ }], 'a hijacked 2xx alone is told')
  }
)

t.test('a userId that is not made for request.user fails no request, and its broadcasts go out', async (t) => {
  for (const userId of [
    (user: { account?: { id: string } }) => user.account!.id,
    async (user: { account?: { id: string } }) => user.account!.id
  ]) {
    const server = await start(t, {
      authenticate: () => ({ sub: 'ada', account: { id: 'ada' } }) as never,
      userId: userId as never,
      auth: { requireExp: false },
      declare: (app) => {
        app.room(sink)
        if (!app.hasRequestDecorator('user')) app.decorateRequest('user', null as never)
        app.post('/ship', async (request, reply) => {
          request.user = { sub: 'service' } as never
          reply.broadcast(sink, 'done', { how: 'shipped' })
          return { shipped: true }
        })
      }
    })
    const peer = await connect(server, { rooms: ['sink'], token: 'any' })
    for (let index = 0; index < 2; index++) {
      const { statusCode } = await server.app.inject({ method: 'POST', url: '/ship', headers: { 'x-connection-id': 'x' } })
      t.equal(statusCode, 200)
      t.same(dataOf(await peer.next('done')), { how: 'shipped' })
    }
    const said = server.loud as Array<{ level: number, msg: string }>
    t.ok(said.length <= 1 && said.every(({ level, msg }) => level === 40 && msg.startsWith('options.userId failed')))
  }
})

type FastifyReplyBroadcast = (room: typeof sink, event: 'done', data: { how: string }) => unknown

t.test(
  'reply.broadcast goes out also when the caller has gone by then, and its mistakes are thrown in the handler',
  async (t) => {
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    let isCalled = false
    const server = await start(t, {
      declare: (app: FastifyInstance) => {
        app.room(sink)
        app.get('/slow', async (_request, reply) => {
          isCalled = true
          reply.broadcast(sink, 'done', { how: 'gone' })
          await gate
          return {}
        })
        for (const [path, room, event, data] of [
          ['room', 'nowhere', 'done', {}],
          ['event', 'sink', 'nope', {}],
          ['data', 'sink', 'done', { how: 1 }]
        ] as const) {
          app.get(`/${path}`, async (_request, reply) => {
            try {
              reply.broadcast(room, event, data)
            } catch (error) {
              return { code: (error as { code: string }).code }
            }
            return {}
          })
        }
      }
    })
    const peer = await connect(server, { rooms: ['sink'], token: server.token('ada') })
    const caller = new RawPeer(server.port)
    caller.send('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
    await eventually('the call', () => isCalled, Boolean)
    caller.reset()
    await eventually('the end of the caller', () => caller.closed, Boolean)
    release()
    t.match((await peer.next('done')).data, { how: 'gone' })
    for (const [path, code] of [
      ['room', 'REALTIME_ERR_ROOM_UNKNOWN'],
      ['event', 'REALTIME_ERR_EVENT'],
      ['data', 'REALTIME_ERR_EVENT']
    ] as const) {
      t.same((await server.app.inject(`/${path}`)).json(), { code })
    }
    await peer.fence()
  }
)

t.test('an event at its limit goes out, one byte more is refused to who broadcasts it', async (t) => {
  const server = await start(t, { limits: { event: 1_000 } })
  const { rooms } = server.app
  const fits = 'x'.repeat(1_000 - JSON.stringify(said('')).length)
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  await rooms.broadcast('chat/1', 'said', said(fits))
  await ada.next('said')
  await t.rejects(rooms.broadcast('chat/1', 'said', said(`${fits}x`)), {
    code: 'REALTIME_ERR_EVENT',
    message: /larger than limits\.event \(1000 bytes\)/
  })
  await t.rejects(
    rooms.broadcast('chat/1', 'said', said('é'.repeat(500))),
    { code: 'REALTIME_ERR_EVENT' },
    'bytes, not characters'
  )
  await ada.fence()
})

t.test('a leave is acked, once; a room left sends nothing more, and can be joined again', async (t) => {
  const server = await start(t)
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  ada.send({ type: 'leave', room: 'chat/1', id: 'a' })
  ada.send({ type: 'leave', room: 'chat/1', id: 'b' })
  t.strictSame(await ada.next('ack'), { type: 'ack', room: 'chat/1', id: 'a' })
  t.match(await ada.next('error'), { id: 'b', data: { code: 'not_joined' } })
  t.equal((await server.app.rooms.broadcast('chat/1', 'said', said('x'))).recipients, 0)
  ada.send({ type: 'say', room: 'chat/1', id: 'c', data: { text: 'x' } })
  t.match(await ada.next('error'), { id: 'c', data: { code: 'not_joined' } })
  ada.send({ type: 'join', room: 'chat/1', id: 'd' })
  t.match(await ada.next('ack'), { id: 'd', data: { offset: 1 } })
  await ada.fence()
  t.equal((await statsOf(server.app)).rooms.active, 1)
})

t.test(
  'a joined room of each connection: the frames of many joins at once are answered each under its id',
  async (t) => {
    const server = await start(t, { limits: { rate: { messages: 1_000, burst: 1_000 } } })
    const ada = await connect(server, { token: server.token('ada') })
    for (let i = 0; i < 128; i++) ada.send({ type: 'join', room: `chat/${i}`, id: `j-${i}` })
    ada.send({ type: 'join', room: 'chat/128', id: 'j-128' })
    const answers = new Map<string, string>()
    for (let i = 0; i <= 128; i++) {
      const { id, room, type } = await ada.next('an answer', (frame) => frame.id?.startsWith('j-') === true)
      answers.set(id!, `${type} ${room!}`)
    }
    for (let i = 0; i < 128; i++) t.equal(answers.get(`j-${i}`), `ack chat/${i}`)
    t.equal(answers.get('j-128'), 'error chat/128')
    for (let i = 0; i < 128; i += 7) {
      await server.app.rooms.broadcast(`chat/${i}`, 'said', said(String(i)))
      t.equal((await ada.next('said')).room, `chat/${i}`)
    }
  }
)

/** Its broker is away. */
class Away extends MemoryAdapter {
  override publish (): Promise<never> { return Promise.reject(new Refusal('unavailable', { retryAfter: 1_000 })) }
}

t.test(
  'broadcasts that an outage refuses are a warning a minute, however often each is tried; a mistake is one each time',
  async (t) => {
    const { app, loud } = await start(t, {
      adapter: new Away(),
      declare: (app) => {
        declareChat(app)
        app.post('/say', async (_request, reply) => {
          reply.broadcast('chat/1', 'said', said('x'))
          return {}
        })
      }
    })
    for (let n = 0; n < 5; n++) {
      void app.rooms.broadcast('chat/1', 'said', said('x'))
      void app.rooms.broadcast('chat/1', 'said', { no: 'event' })
      t.equal((await app.inject({ method: 'POST', url: '/say' })).statusCode, 200)
    }
    await eventually('the failures are told', () => loud.length, (count) => count >= 7)
    const lines = loud.map((line) => {
      const { msg, err: { word, code } } = line as { msg: string, err: { word?: string, code?: string } }
      return `${msg}: ${String(word ?? code)}`
    })
    t.same(lines.filter((line) => line.endsWith(': unavailable')).sort(), [
      'a broadcast failed: unavailable', 'a broadcast held for a reply failed: unavailable'
    ])
    t.equal(lines.filter((line) => line === 'a broadcast failed: REALTIME_ERR_EVENT').length, 5)
  }
)

t.test('a room whose values and texts cannot be read refuses the join, and ends no process', async (t) => {
  const adapter = new MemoryAdapter()
  const later = async (): Promise<never> => {
    await new Promise((resolve) => { setTimeout(resolve, 20) })
    throw new Refusal('unavailable')
  }
  Object.assign(adapter, { latest: async () => { throw new Refusal('unavailable') } })
  Object.assign(adapter.texts, { read: later })
  const faults: unknown[] = []
  const onFault = (error: unknown): void => { faults.push(error) }
  process.prependListener('unhandledRejection', onFault)
  t.teardown(() => { process.off('unhandledRejection', onFault) })
  const server = await start(t, {
    adapter,
    declare: (app) => {
      app.room(defineRoom('board/:id', {
        events: {
          score: { data: Type.Object({ team: Type.String(), goals: Type.Number() }), delivery: 'latest', key: 'team' },
          note: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' }
        }
      }))
    }
  })
  const ada = await connect(server, { token: server.token('ada') })
  ada.send({ type: 'join', room: 'board/1', id: 'j-1' })
  t.match(await ada.next('error'), { id: 'j-1', data: { code: 'unavailable' } })
  await new Promise((resolve) => { setTimeout(resolve, 50) })
  t.same(faults, [])
})

t.test('a call that fails and that nobody awaits is a line in the log, and never ends the process', async (t) => {
  const faults: unknown[] = []
  const onFault = (error: unknown): void => { faults.push(error) }
  process.on('unhandledRejection', onFault)
  t.teardown(() => { process.off('unhandledRejection', onFault) })
  const handled: Record<string, (room: RoomHandle<Record<string, object>, object>) => unknown> = {
    'a broadcast failed': (room) => room.broadcast('said', {}),
    'room.remove failed': (room) => room.remove('said', 'x'),
    'room.cancel failed': (room) => room.cancel('said' as never, 'x'),
    'room.presence failed': (room) => room.presence({})
  }
  const server = await start(t, {
    declare: (app) => {
      app.room(chat, {
        on: {
          say ({ data, room }) {
            void handled[data.text]!(room as never)
            return { id: 'x' }
          },
          type () {}
        }
      })
    }
  })
  const { rooms } = server.app
  const called: Record<string, () => unknown> = {
    'a broadcast failed': () => rooms.broadcast('chat/1', 'said', {}),
    'app.rooms.remove failed': () => rooms.remove('chat/1', 'said' as never, 'x'),
    'app.rooms.clear failed': () => rooms.clear('nowhere'),
    'app.rooms.cancel failed': () => rooms.cancel('chat/1', 'said' as never, 'x'),
    'app.rooms.join failed': () => rooms.join({ user: 'ada' }, 'nowhere'),
    'app.rooms.leave failed': () => rooms.leave({} as never, 'chat/1'),
    'app.rooms.close failed': () => rooms.close({} as never),
    'app.rooms.revoke failed': () => rooms.revoke({} as never)
  }
  const lines = (): string[] => server.loud.map((line) => (line as { msg: string }).msg)
  for (const [line, call] of Object.entries(called)) {
    server.loud.length = 0
    void call()
    await eventually(line, lines, (told) => told.length > 0)
    t.same(lines(), [line])
    server.loud.length = 0
    await t.rejects(call() as Promise<unknown>)
    await new Promise(setImmediate)
    t.same(lines(), [], `${line}: who awaits it has the error`)
  }
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  for (const line of Object.keys(handled)) {
    server.loud.length = 0
    ada.send({ type: 'say', room: 'chat/1', id: line, data: { text: line } })
    t.same((await ada.next('ack')).id, line)
    await eventually(line, lines, (told) => told.length > 0)
    t.same(lines(), [line])
  }
  t.same(faults, [])
})
