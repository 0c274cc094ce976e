import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import { connect as dial, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, lobby, poll, postFrame, start, statsOf, assertLedger, TRANSPORTS,
  type NetPeer, type TransportName
} from '../helpers/net.js'

const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] as const

for (const order of ORDERS) {
  t.test(
    `three tabs of a user over three transports, closed in the order ${order.join(', ')}: one join, one leave`,
    async (t) => {
      const server = await start(t, {
        presence: { grace: 60 },
        declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId }) }) }
      })
      const watcher = await connect(server, { rooms: ['crowd/1'], token: server.token('watcher') })
      const tabs: NetPeer[] = []
      for (const transport of TRANSPORTS) {
        tabs.push(await connect(server, { transport, rooms: ['crowd/1'], token: server.token('ada') }))
      }
      matchList(t, (await watcher.next('presence')).data, { sequence: 2, joined: [{ userId: 'ada' }] })
      for (const index of order) {
        await watcher.fence()
        await tabs[index]!.close()
      }
      matchList(t, (await watcher.next('presence')).data, { sequence: 3, left: [{ userId: 'ada' }] })
      t.equal(await server.app.rooms.count('crowd/1'), 1)
      await watcher.fence()
    }
  )
}

t.test('flapping within the grace makes no leaves and joins, on any transport', async (t) => {
  const server = await start(t, {
    presence: { grace: 1_000 },
    limits: { user: { connections: 200, then: 'reject' } },
    declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId }) }) }
  })
  const watcher = await connect(server, { rooms: ['crowd/1'], token: server.token('watcher') })
  let last: NetPeer | undefined
  for (let i = 0; i < 45; i++) {
    last?.cut()
    last = await connect(server, { transport: TRANSPORTS[i % 3]!, rooms: ['crowd/1'], token: server.token('ada') })
  }
  matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: 'ada' }] })
  await watcher.fence()
})

t.test('an explicit leave is told at once, whatever the grace', async (t) => {
  const server = await start(t, {
    presence: { grace: 60_000 },
    declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId }) }) }
  })
  const [watcher, ada] = [
    await connect(server, { rooms: ['crowd/1'], token: server.token('watcher') }),
    await connect(server, { rooms: ['crowd/1'], token: server.token('ada') })
  ]
  await watcher.next('presence')
  ada.send({ type: 'leave', room: 'crowd/1' })
  matchList(t, (await watcher.next('presence')).data, { left: [{ userId: 'ada' }] })
})

t.test(
  'when 1 000 members join at once everybody ends with the same view, without a hole in the sequence, and lists end at 200',
  {
    timeout: 180_000
  },
  async (t) => {
    const server = await start(t, {
      fastify: { logger: false },
      declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId }) }) }
    })
    const count = 1_000
    const first = await connect(server, { rooms: ['crowd/1'], token: server.token('first') })
    const peers: NetPeer[] = []
    for (let i = 0; i < count; i += 50) {
      peers.push(
        ...await Promise.all(Array.from(
          { length: 50 },
          async (_, k) => await connect(server, { rooms: ['crowd/1'], token: server.token(`u${i + k}`) })
        ))
      )
    }
    t.equal(await server.app.rooms.count('crowd/1'), count + 1)
    const view = async (peer: NetPeer): Promise<{ sequence: number, total: number }> => {
      const { members } = (peer.welcome.data as {
        rooms: Record<string, {
          members: {
            sequence: number
            total: number
            list?: unknown[]
          }
        }>
      }).rooms['crowd/1']!
      await peer.sync()
      let { sequence, total } = members
      t.equal(members.list === undefined, total > 200)
      for (const { type, data } of peer.queue.all) {
        if (type !== 'presence') continue
        const change = data as { sequence: number, joined: unknown[], left: unknown[] }
        if (change.sequence !== sequence + 1) throw new Error(`a hole: ${change.sequence} after ${sequence}`)
        sequence = change.sequence
        total += change.joined.length - change.left.length
      }
      return { sequence, total }
    }
    for (const peer of [first, peers[0]!, peers[199]!, peers[500]!, peers[999]!]) {
      t.same(await view(peer), { sequence: count + 1, total: count + 1 })
    }
    for (const peer of peers) peer.cut()
  }
)

for (const transport of TRANSPORTS.filter((name) => name !== 'polling')) {
  t.test(`${transport}: the connection ends with token_expired when its credential does`, async (t) => {
    const server = await start(t, { heartbeat: 500 })
    // For 5 s a credential is good beyond its end; the rest of this second is for the connect.
    const exp = Math.ceil(Date.now() / 1_000) - 4
    const peer = await connect(server, {
      transport,
      rooms: ['chat/1'],
      token: server.app.jwt.sign({ sub: 'ada', exp })
    })
    await peer.ended
    if (transport === 'sse') t.match((await peer.next('error')).data, { code: 'token_expired', retry: 'refresh' })
    else await t.rejects(peer.next('nothing', () => false, 10), { message: /4401 token_expired/ })
    t.equal((await statsOf(server.app)).closes.token_expired, 1)
  })
}

t.test('a fresh ticket keeps the connection beyond its expiry and asks authorize again for every room', async (t) => {
  let allowed = ['1', '2']
  const server = await start(t, {
    heartbeat: 500,
    declare: (app) => {
      declareChat(app, { authorize: ({ params }: { params: { id: string } }) => allowed.includes(params.id) })
    }
  })
  const ticketOf = async (user: string): Promise<string> => (await (await fetch(`${server.url}/ws/ticket`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.token(user)}` }
  })).json() as { ticket: string }).ticket
  const exp = Math.floor(Date.now() / 1_000) - 3
  const ada = await connect(server, { rooms: ['chat/1', 'chat/2'], token: server.app.jwt.sign({ sub: 'ada', exp }) })
  allowed = ['1']
  ada.send({ type: 'auth', id: 'a', data: { ticket: await ticketOf('ada') } })
  t.match(await ada.next('left'), { room: 'chat/2', data: { code: 'forbidden' } })
  t.match(await ada.next('ack'), { id: 'a', data: { expires: Number } })
  await new Promise((resolve) => { setTimeout(resolve, 3_000) })
  await ada.fence()
  await server.app.rooms.broadcast('chat/2', 'said', { text: 'x', by: 'x' })
  await ada.fence()
  ada.send({ type: 'auth', id: 'b', data: { ticket: await ticketOf('bob') } })
  await ada.ended
  await t.rejects(ada.next('nothing', () => false, 10), { message: /4503/ })
})

t.test('a connection whose fresh ticket nobody can judge for now ends with unavailable, and leaves no room for good', async (t) => {
  let isSlow = false
  const server = await start(t, {
    timeouts: { handler: 200 },
    declare: (app) => {
      declareChat(app, {
        authorize: async () => {
          if (isSlow) await new Promise<never>(() => {})
          return true
        }
      })
    }
  })
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const answer = await fetch(`${server.url}/ws/ticket`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.token('ada')}` }
  })
  const { ticket } = await answer.json() as { ticket: string }
  isSlow = true
  ada.send({ type: 'auth', id: 'a', data: { ticket } })
  await ada.ended
  t.match(await ada.next('', () => true), { type: 'error', data: { code: 'unavailable', retry: 'backoff' } })
  await t.rejects(ada.next('', () => true, 10), { message: /1013/ })
})

t.test('a peer that answers no heartbeat is ended with 4408, one that reads is not', async (t) => {
  const server = await start(t, { heartbeat: 150, timeouts: { close: 100 } })
  const [dead, alive] = [
    await connect(server, { token: server.token('dead') }),
    await connect(server, { token: server.token('alive') })
  ]
  dead.stall()
  await eventually(
    'the heartbeat',
    async () => (await statsOf(server.app)).closes.heartbeat_timeout,
    (count) => count === 1
  )
  await alive.fence()
  t.equal((await statsOf(server.app)).connections.total, 1)
})

t.test('streams are sent without chunks, with a comment as heartbeat, and are ended at their age', async (t) => {
  const codes: string[] = []
  const server = await start(t, {
    sse: { comment: 30, age: 2_000 },
    declare: (app) => {
      app.room(chat, { on: { say: () => ({ id: '' }), type: () => {} }, onLeave: ({ code }) => { codes.push(code) } })
    }
  })
  const answer = await fetch(`${server.url}/ws/chat/1`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${server.token('ada')}` }
  })
  t.match(Object.fromEntries(answer.headers), {
    'content-type': /^text\/event-stream/,
    'x-accel-buffering': 'no',
    'cache-control': /no-store/,
    vary: /Origin/,
    connection: 'close'
  })
  t.notOk(answer.headers.has('transfer-encoding'))
  const text = await answer.text()
  t.match(text, /^retry: \d+\n\nid:[\w-]+\nevent:realtime\ndata:\{"type":"welcome"/)
  t.ok(text.split('\n:\n\n').length > 3 || text.split(':\n\n').length > 3, 'comments')
  t.same(codes, ['gone'], 'its client has said no goodbye, and opens another one')
  t.same((await statsOf(server.app)).closes, { gone: 1 })
  t.same(server.loud, [], 'and nobody has to look at that')
})

t.test('three connections drain in milliseconds, each told its turn and closed with 1001', async (t) => {
  const server = await start(t)
  const peers = await Promise.all(TRANSPORTS.map(async (transport) => await connect(server, {
    transport,
    rooms: ['chat/1'],
    token: server.token('ada')
  })))
  const before = performance.now()
  await server.app.close()
  const took = performance.now() - before
  t.ok(took < 1_000, `${Math.round(took)} ms`)
  t.match((await peers[0]!.next('drain')).data, { retryAfter: Number })
  t.match((await peers[1]!.next('drain')).data, { retryAfter: Number })
  await Promise.all(peers.map(async ({ ended }) => { await ended }))
  await t.rejects(peers[0]!.next('nothing', () => false, 10), { message: /1001 draining/ })
})

t.test('while it drains, readiness is 503, nobody is admitted, and who waits for its turn is served', async (t) => {
  const server = await start(t, { drain: { rate: 4, timeout: 10_000 } })
  const peers = await Promise.all([
    'a',
    'b',
    'c',
    'd'
  ].map(async (user) => await connect(server, { rooms: ['chat/1'], token: server.token(user) })))
  const drained = server.app.rooms.drain()
  t.equal(server.app.rooms.isAccepting(), false)
  t.equal((await fetch(`${server.url}/ws/health`)).status, 503)
  for (const transport of TRANSPORTS) {
    await t.rejects(connect(server, { transport, token: server.token('late') }), { statusCode: 503, code: 'draining' })
  }
  const told = await Promise.all(peers.map(async (peer) => {
    return ((await peer.next('drain')).data as { retryAfter: number }).retryAfter
  }))
  t.same([...told].sort((a, b) => a - b), [0, 250, 500, 750])
  const last = peers[told.indexOf(750)]!
  last.send({ type: 'say', room: 'chat/1', id: 'm', data: { text: 'still served' } })
  await last.next('ack')
  await last.next('said')
  const before = performance.now()
  await server.app.rooms.drain({ timeout: 0 })
  await drained
  t.ok(performance.now() - before < 2_000, 'a second call shortens the first')
  await Promise.all(peers.map(async ({ ended }) => { await ended }))
})

t.test('a drain that takes longer than Fastify gives a close is cut short and says so, and the app is closed', async (t) => {
  const server = await start(t, { drain: { rate: 0.1, timeout: 20_000 }, fastify: { pluginTimeout: 2_000 } })
  const peers = await Promise.all(['a', 'b'].map(async (user) => await connect(server, {
    rooms: ['chat/1'],
    token: server.token(user)
  })))
  await server.app.close()
  await Promise.all(peers.map(async ({ ended }) => { await ended }))
  matchList(t, server.loud, [{ limit: 'pluginTimeout', value: 2_000, msg: /^the drain was cut short/ }])
})

t.test('a drain that has all the time that it needs says nothing, however little Fastify gives a close', async (t) => {
  for (const pluginTimeout of [500, 2_000, 10_000]) {
    const server = await start(t, { drain: { rate: 500, timeout: 20_000 }, fastify: { pluginTimeout } })
    if (pluginTimeout > 2_000) await connect(server, { rooms: ['chat/1'], token: server.token('a') })
    await server.app.close()
    t.same(server.loud, [])
  }
})

t.test('a peer that stops in the middle of a body holds up a close for no longer than a second', async (t) => {
  let begun = (): void => {}
  const isUnderWay = new Promise<void>((resolve) => { begun = resolve })
  const server = await start(t, {
    drain: { rate: 500, timeout: 60_000 },
    declare: (app) => {
      declareChat(app)
      app.addHook('onRequest', async () => { begun() })
    }
  })
  const socket = dial(server.port, '127.0.0.1')
  t.teardown(() => { socket.destroy() })
  socket.write('POST /ws/chat/1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n' +
    `authorization: Bearer ${server.token('ada')}\r\ncontent-length: 100\r\n\r\n{"ty`)
  await isUnderWay
  await fetch(`${server.url}/ws/health`)
  const gone = once(socket, 'close')
  await Promise.all([server.app.close(), gone])
  t.same(server.loud, [])
})

for (const isHttp2 of [false, true]) {
  t.test(`a POST over HTTP/${isHttp2 ? 2 : 1} that waits for a hook of the app is answered while the server closes`, async (t) => {
    let [begun, go] = [(): void => {}, (): void => {}]
    const isUnderWay = new Promise<void>((resolve) => { begun = resolve })
    const isOver = new Promise<void>((resolve) => { go = resolve })
    const server = await start(t, {
      drain: { rate: 500, timeout: 9_000 },
      fastify: { http2: isHttp2 } as never,
      route: {
        onRequest: async () => {
          begun()
          await isOver
        }
      }
    })
    // Node does not read so much before somebody wants it.
    const body = JSON.stringify({ type: 'say', data: { text: 'x'.repeat(90_000) } })
    const headers = { authorization: `Bearer ${server.token('ada')}`, 'content-type': 'application/json' }
    const status = isHttp2 ? statusOfHttp2(t, server.url, headers, body) : statusOf(server.url, headers, body)
    await isUnderWay
    const closed = server.app.close()
    // A peer that stops in the middle of a body would be cut meanwhile.
    setTimeout(go, 1_300)
    t.equal(await status, 413)
    await closed
    t.same(server.loud, [])
  })
}

async function statusOf (url: string, headers: Record<string, string>, body: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    http.request(`${url}/ws/chat/1`, { method: 'POST', agent: false, headers }, ({ statusCode }) => { resolve(statusCode!) })
      .on('error', reject)
      .end(body)
  })
}

async function statusOfHttp2 (t: Test, url: string, headers: Record<string, string>, body: string): Promise<number> {
  const session = http2.connect(url)
  t.teardown(() => { session.destroy() })
  const stream = session.request({ ':method': 'POST', ':path': '/ws/chat/1', ...headers })
  stream.resume().end(body)
  const status = await new Promise<number>((resolve, reject) => {
    stream.on('response', ({ ':status': status }) => { resolve(status!) })
    stream.on('close', () => { reject(new Error('the stream was cut')) })
  })
  session.close()
  return status
}

t.test('while it drains, the POSTs of a stream are answered until its turn, and those of nobody else', async (t) => {
  const server = await start(t, { drain: { rate: 0.1, timeout: 60_000 } })
  const peers = await Promise.all(['a', 'b'].map(async (user) => await connect(server, {
    transport: 'sse',
    rooms: ['chat/1'],
    token: server.token(user)
  })))
  const drained = server.app.rooms.drain()
  const told = await Promise.all(peers.map(async (peer) => {
    return ((await peer.next('drain')).data as { retryAfter: number }).retryAfter
  }))
  const last = told.indexOf(Math.max(...told))
  const peer = peers[last]!
  const [own, other] = last === 0 ? ['a', 'b'] as const : ['b', 'a'] as const
  const post = async (user: string, frame: object, connection?: string): Promise<unknown[]> => {
    const { status, type, code } = await postFrame(server, server.token(user), connection, frame)
    return [status, type ?? code]
  }
  const say = { type: 'say', room: 'chat/1', id: 'm', data: { text: 'still served' } }
  t.same(await post(own, say, peer.id), [200, 'ack'])
  await peer.next('said')
  t.same(await post(own, say), [503, 'draining'], 'of no connection')
  t.same(await post(own, say, 'invented'), [503, 'draining'], 'of none that is open')
  t.same(await post(other, say, peer.id), [503, 'draining'], 'of the connection of another user')
  const opening = await fetch(`${server.url}/ws/chat/1?transport=sse`, {
    headers: { authorization: `Bearer ${server.token(own)}`, 'x-connection-id': peer.id }
  })
  t.equal(opening.status, 503, 'and it opens no other connection')
  t.same(await post(own, { type: 'leave' }, peer.id), [200, 'ack'])
  await peer.ended
  t.same(await post(own, say, peer.id), [503, 'draining'], 'once it has ended')
  await server.app.rooms.drain({ timeout: 0 })
  await drained
})

t.test(
  '1 000 mixed connections, 50 of them dead, at 500 a second: each is closed in its turn, none loses what was in its outbox',
  {
    timeout: 60_000
  },
  async (t) => {
    const server = await start(t, {
      fastify: { logger: false },
      drain: { rate: 500, timeout: 10_000 },
      timeouts: { close: 300 },
      limits: { user: { connections: 2_000, then: 'reject' } }
    })
    const open = async (transport: TransportName): Promise<NetPeer> => await connect(server, {
      transport,
      rooms: ['chat/1'],
      token: server.token('ada')
    })
    const peers: NetPeer[] = []
    for (let i = 0; i < 1_000; i += 40) {
      peers.push(
        ...await Promise.all(Array.from(
          { length: 40 },
          async (_, k) => await open((['websocket', 'websocket', 'sse'] as const)[k % 3]!)
        ))
      )
    }
    const dead = peers.slice(0, 50)
    for (const peer of dead) peer.stall()
    for (let i = 0; i < 5; i++) await server.app.rooms.broadcast('chat/1', 'said', { text: String(i), by: 'x' })
    const before = performance.now()
    await server.app.rooms.drain()
    t.ok(performance.now() - before < 10_500)
    await Promise.all(peers.slice(50).map(async ({ ended }) => { await ended }))
    for (const { queue } of peers.slice(50)) t.equal(queue.all.filter(({ type }) => type === 'said').length, 5)
    t.equal((await statsOf(server.app)).connections.total, 0)
    await assertLedger(t, server.app)
  }
)

t.test('a poll that waits is answered at once by the drain, with the time to come back', async (t) => {
  const server = await start(t)
  const first = await poll(server, { rooms: ['chat/1'], token: server.token('ada') })
  const open = fetch(`${server.url}/ws/chat/1?since=${first.cursor}&wait=20000`, {
    headers: { authorization: `Bearer ${server.token('ada')}` }
  })
  await eventually(
    'the poll',
    async () => (await statsOf(server.app)).connections.transports.polling,
    (count) => count === 1
  )
  await new Promise((resolve) => { setTimeout(resolve, 50) })
  await server.app.close()
  const answer = await open
  t.same([answer.status, answer.headers.get('connection')], [200, 'close'])
  t.ok(Number(answer.headers.get('retry-after')) >= 1)
  t.equal((await answer.json() as { cursor: string }).cursor, first.cursor)
})

t.test('what the app listens for on its sockets is heard of those that became WebSockets too', async (t) => {
  let opened = 0
  let closed = 0
  const server = await start(t, {
    before: (app) => {
      app.server.on('connection', (socket: Socket) => {
        opened++
        socket.on('close', () => { closed++ })
      })
    }
  })
  const peer = await connect(server, { token: server.token('ada') })
  await peer.close()
  await eventually('closed sockets', () => closed, (count) => count === opened && count === 1)
})

t.test('nothing that keeps the process is left of an app that has closed: no socket, no timer', async (t) => {
  const count = (): number => process.getActiveResourcesInfo()
    .filter((kind) => kind === 'TCPServerWrap' || kind === 'TCPSocketWrap' || kind === 'Timeout').length
  const before = count()
  const server = await start(t)
  for (const transport of TRANSPORTS) {
    await connect(server, { transport, rooms: [chat.at({ id: '1' }).name], token: server.token('ada') })
  }
  await server.app.close()
  await eventually('handles', count, (now) => now <= before)
})

for (const transport of TRANSPORTS) {
  t.test(`${transport}: onLeave is given the connection that onJoin was given`, async (t) => {
    const joined: string[] = []
    const left: string[] = []
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, {
          onJoin: ({ connection }: { connection: { id: string } }) => { joined.push(connection.id) },
          onLeave: ({ connection }: { connection: { id: string } }) => { left.push(connection.id) }
        })
      }
    })
    const peer = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1'] })
    await peer.close()
    await eventually('the leave', () => left, ({ length }) => length > 0)
    t.same([joined, left], [[peer.id], [peer.id]])
  })
}
