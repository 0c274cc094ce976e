import http, { type IncomingMessage } from 'node:http'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Type } from '@sinclair/typebox'
import { redis } from '../../lib/adapters/redis/adapter.js'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { gatedAdapter, Gates } from '../helpers/gates.js'
import { connect, eventually, start, statsOf, TRANSPORTS, type Running, type TransportName } from '../helpers/net.js'
import { within } from '../helpers/raw.js'
import { missing, startRedis } from '../helpers/servers.js'

const room = defineRoom('room/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ text: Type.String() }) } },
  events: { said: Type.Object({ text: Type.String() }) }
})
const SECRET = 'a test'

interface Story extends Running { readonly gates: Gates, readonly handled: string[], rights: Set<string> }

/** An app in which everything that somebody may have to wait for waits at its gate. */
async function startGated (
  t: Test,
  { gates = new Gates(), adapter = gatedAdapter(gates), connections = 20 }: {
    gates?: Gates
    adapter?: Adapter
    connections?: number
  } = {}
): Promise<Story> {
  const handled: string[] = []
  const rights = new Set(['room/1', 'room/2'])
  const server = await start(t, {
    adapter,
    jwt: { secret: SECRET },
    limits: { user: { connections, then: 'replace' } },
    drain: { timeout: 2_000 },
    presence: { grace: 50 },
    authenticate: async (request, token) => {
      const user: unknown = request.server.jwt.verify(token!)
      await gates.pass('authenticate')
      return user as { sub: string }
    },
    before: (app) => {
      app.addHook('preHandler', async () => { await gates.pass('preHandler') })
    },
    declare: (app) => {
      app.room(room, {
        presence: true,
        authorize: async ({ params, user }) => {
          await gates.pass('authorize')
          return rights.has(`room/${params.id}`) && (user as { rights?: string }).rights !== 'none'
        },
        onJoin: async () => { await gates.pass('onJoin') },
        on: {
          async say ({ data }) {
            handled.push(data.text)
            await gates.pass('handler')
            return data
          }
        }
      })
    }
  })
  return { ...server, gates, handled, rights }
}

interface Way { readonly outcome: Promise<string>, readonly heard: () => string, cut (): void }

/** Asks to be let in. The outcome is `open`, or the word with which it was not. */
function enter (server: Running, transport: TransportName | 'uplink', token: string, path = '/ws/room/1'): Way {
  let heard = ''
  const headers: Record<string, string> = { authorization: `Bearer ${token}` }
  if (transport === 'websocket') {
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, { headers })
    const outcome = new Promise<string>((resolve) => {
      ws.on('message', (data) => {
        heard += String(data)
        if (heard.includes('"welcome"')) {
          setImmediate(() => { resolve(ws.readyState === WebSocket.OPEN ? wordOf(heard) ?? 'open' : 'closed') })
        }
      })
      ws.on('unexpected-response', (_request, answer) => {
        textOf(answer).then((text) => { resolve(codeOf(text)) }, () => { resolve('gone') })
      })
      ws.on('close', (_code, reason) => { resolve(String(reason) === '' ? 'gone' : String(reason)) })
      ws.on('error', () => { setImmediate(() => { resolve('gone') }) })
    })
    return { outcome, heard: () => heard, cut: () => { ws.terminate() } }
  }
  if (transport === 'sse') headers.accept = 'text/event-stream'
  if (transport === 'uplink') headers['content-type'] = 'application/json'
  const request = http.request({
    port: server.port,
    path,
    headers,
    agent: false,
    method: transport === 'uplink' ? 'POST' : 'GET'
  })
  const outcome = new Promise<string>((resolve) => {
    request.on('error', () => { resolve('gone') })
    request.on('response', (answer: IncomingMessage) => {
      answer.on('error', () => { resolve('gone') })
      answer.on('data', (chunk) => {
        heard += String(chunk)
        if (transport === 'sse' && answer.statusCode === 200 && heard.includes('"welcome"')) {
          setImmediate(() => { resolve(wordOf(heard) ?? 'open') })
        }
      })
      answer.on('end', () => { resolve(answer.statusCode === 200 ? wordOf(heard) ?? 'open' : codeOf(heard)) })
    })
  })
  request.end(transport === 'uplink' ? JSON.stringify({ type: 'say', id: 'm1', data: { text: 'mine' } }) : undefined)
  return { outcome, heard: () => heard, cut: () => { request.destroy() } }
}

async function sockets ({ app }: Running): Promise<number> {
  return await new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => { if (error === null) resolve(count); else reject(error) })
  })
}

async function textOf (answer: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of answer) text += String(chunk)
  return text
}

function codeOf (text: string): string { return (JSON.parse(text) as { code: string }).code }
/** the code of an error frame */
function wordOf (text: string): string | undefined { return /"type":"error".*?"code":"(\w+)"/.exec(text)?.[1] }

/** What may happen while somebody waits, and the words with which he may be sent away then. */
const EVENTS: Record<string, {
  readonly happens: (server: Story, user: string, way: Way) => unknown
  readonly words: RegExp
}> = {
  'revoke of the user': { happens: async ({ app }, user) => await app.rooms.revoke({ user }), words: /^revoked$/ },
  'revoke of the token': {
    happens: async ({ app }, user) => await app.rooms.revoke({ tokenId: `token of ${user}` }),
    words: /^revoked$/
  },
  'revoke that keeps nobody out': {
    happens: async ({ app }, user) => await app.rooms.revoke({ user }, { until: Date.now() }),
    words: /^revoked$/
  },
  'revoke of the room': {
    happens: async ({ app }, user) => await app.rooms.revoke({ user, room: 'room/1' }),
    words: /^revoked$/
  },
  'leave of the room\'s members': {
    happens: async ({ app }) => await app.rooms.leave({ room: 'room/1' }, 'room/1'),
    words: /^forbidden$/
  },
  leave: { happens: async ({ app }, user) => await app.rooms.leave({ user }, 'room/1'), words: /^forbidden$/ },
  'the end of the peer': { happens: (_server, _user, way) => { way.cut() }, words: /^gone$/ },
  // The last one: nobody is let in after it.
  drain: { happens: ({ app }) => { void app.rooms.drain() }, words: /^(draining|open)$/ }
}

/** Every wait between the decision to let a connection in and its effect. */
const WAITS = ['authenticate', 'denials', 'authorize', 'leases', 'preHandler', 'subscribe', 'onJoin', 'presence']

for (const transport of TRANSPORTS) {
  for (const wait of WAITS) {
    t.test(`whoever waits at ${wait} by ${transport} is found by ${Object.keys(EVENTS).join(', ')}`, async (t) => {
      const server = await startGated(t)
      for (const [index, [name, { happens, words }]] of Object.entries(EVENTS).entries()) {
        const user = `user-${index}`
        server.gates.close(wait)
        const way = enter(server, transport, server.token(user, { jti: `token of ${user}` }))
        await server.gates.reached()
        await happens(server, user, way)
        server.gates.open()
        t.match(await within(`an outcome of ${name}`, 4_000, way.outcome), words, name)
        const { app } = server
        if (app.rooms.isAccepting()) {
          await eventually(
            'nobody is in the room',
            async () => await app.rooms.broadcast('room/1', 'said', { text: 'secret' }),
            ({ recipients }) => recipients === 0
          )
        }
        t.notOk(way.heard().includes('secret'), `${name}: nothing is heard`)
        // A connection that was taken out of the room stands.
        if (!/leave|room/.test(name)) {
          await eventually(
            `no connection of ${user} is left after ${name}`,
            async () => await app.rooms.isOnline(user),
            (isOnline) => !isOnline
          )
        }
        way.cut()
      }
      t.same(server.loud.filter((line) => (line as { level: number }).level > 40), [], 'nothing is an error')
    })
  }
}

/** Every wait between a POST and its effect, and what is heard of it. */
const POSTED = ['authenticate', 'denials', 'authorize', 'preHandler', 'claim', 'handler']

for (const wait of POSTED) {
  t.test(
    `a POST that waits at ${wait} is ended by a revocation, and handled only when that came after the handler`,
    async (t) => {
      const server = await startGated(t)
      for (const by of ['user', 'tokenId', 'until', 'room'] as const) {
        const user = `user-${by}`
        server.gates.close(wait)
        const way = enter(server, 'uplink', server.token(user, { jti: `token of ${user}` }))
        await server.gates.reached()
        await server.app.rooms.revoke(
          by === 'tokenId' ? { tokenId: `token of ${user}` } : by === 'room' ? { user, room: 'room/1' } : { user },
          by === 'until' ? { until: Date.now() } : {}
        )
        server.gates.open()
        t.equal(await within('an answer', 4_000, way.outcome), 'revoked', by)
        t.same(server.handled.splice(0), wait === 'handler' ? ['mine'] : [], by)
      }
      t.same(server.loud.filter((line) => (line as { level: number }).level > 40), [])
    }
  )
}

t.test('a message that was not handled because its sender was sent away can be sent again by him', async (t) => {
  const server = await startGated(t)
  server.gates.close('claim')
  const way = enter(server, 'uplink', server.token('ada'))
  await server.gates.reached()
  await server.app.rooms.revoke({ user: 'ada' }, { until: Date.now() })
  server.gates.open()
  t.equal(await way.outcome, 'revoked')
  const again = enter(server, 'uplink', server.token('ada'))
  t.equal(await again.outcome, 'open', again.heard())
  t.same(server.handled, ['mine'])
})

for (const wait of ['claim', 'handler']) {
  for (const event of ['revoke', 'revoke of the room', 'leave'] as const) {
    t.test(`a message over WebSocket that waits at ${wait} is met by ${event}`, async (t) => {
      const server = await startGated(t)
      const peer = await connect(server, { rooms: ['room/1'], token: server.token('ada') })
      server.gates.close(wait)
      peer.send({ type: 'say', room: 'room/1', id: '1', data: { text: 'mine' } })
      await server.gates.reached()
      if (event === 'revoke') t.equal(await server.app.rooms.revoke({ user: 'ada' }), 1)
      else if (event === 'revoke of the room') t.equal(await server.app.rooms.revoke({ user: 'ada', room: 'room/1' }), 1)
      else t.equal(await server.app.rooms.leave({ user: 'ada' }, 'room/1'), 1)
      server.gates.open()
      if (event === 'revoke') await peer.ended
      else await peer.next(wait === 'claim' ? 'error' : 'ack')
      t.same(server.handled, wait === 'handler' ? ['mine'] : [])
      peer.cut()
    })
  }
}

/** Every wait of a join by frame, or by the server. */
const JOINING = ['authorize', 'subscribe', 'onJoin', 'presence']

for (const wait of JOINING) {
  t.test(
    `a join frame that waits at ${wait} is met by revoke, leave, fewer rights and the end of the peer`,
    async (t) => {
      const server = await startGated(t)
      const met: Record<string, {
        meet: (peer: Awaited<ReturnType<typeof connect>>, user: string) => Promise<unknown>
        word?: string
      }> = {
        revoke: { meet: async (_peer, user) => await server.app.rooms.revoke({ user }) },
        leave: { meet: async (_peer, user) => await server.app.rooms.leave({ user }, 'room/2'), word: 'forbidden' },
        'revoke of the room': {
          meet: async (_peer, user) => await server.app.rooms.revoke({ user, room: 'room/2' }),
          word: 'revoked'
        },
        'leave by connection': {
          meet: async (peer) => await server.app.rooms.leave({ connection: peer.id }, 'room/2'),
          word: 'forbidden'
        },
        'fewer rights': {
          meet: async (peer, user) => {
            const ticket = await fetch(`${server.url}/ws/ticket`, {
              method: 'POST',
              headers: { authorization: `Bearer ${server.token(user, { rights: 'none' })}` }
            })
            peer.send({ type: 'auth', id: 'a', data: await ticket.json() as object })
            await peer.next('ack', ({ type, id }) => type === 'ack' && id === 'a')
          },
          word: 'forbidden'
        },
        'the end of the peer': { meet: async (peer) => { peer.cut() } }
      }
      for (const [index, [name, { meet, word }]] of Object.entries(met).entries()) {
        const user = `user-${index}`
        const peer = await connect(server, { token: server.token(user) })
        server.gates.close(wait)
        peer.send({ type: 'join', room: 'room/2', id: 'j' })
        await server.gates.reached()
        await meet(peer, user)
        server.gates.open()
        if (word === undefined) await peer.ended
        else t.equal((await peer.next('error', ({ id }) => id === 'j')).data.code, word, name)
        await eventually(
          `nobody is in the room after ${name}`,
          async () => await server.app.rooms.broadcast('room/2', 'said', { text: 'secret' }),
          ({ recipients }) => recipients === 0
        )
        if (word !== undefined) await peer.sync()
        t.notOk(peer.queue.all.some(({ type }) => type === 'said'), name)
        peer.cut()
      }
      await eventually(
        'nobody is announced',
        async () => await server.app.rooms.count('room/2'),
        (count) => count === 0,
        20_000
      )
    }
  )
}

for (const wait of JOINING.slice(1)) {
  t.test(`a join by the server that waits at ${wait} is met by revoke and leave`, async (t) => {
    const server = await startGated(t)
    for (const event of ['revoke', 'leave'] as const) {
      const peer = await connect(server, { token: server.token(event) })
      server.gates.close(wait)
      const joined = server.app.rooms.join({ user: event }, 'room/2')
      await server.gates.reached()
      if (event === 'revoke') await server.app.rooms.revoke({ user: event })
      else await server.app.rooms.leave({ user: event }, 'room/2')
      server.gates.open()
      t.equal(await joined, 0, event)
      t.equal((await server.app.rooms.broadcast('room/2', 'said', { text: 'secret' })).recipients, 0)
      peer.cut()
    }
  })
}

t.test(
  'a join by the server into the room that a connection is just entering by its URL makes one member of it',
  async (t) => {
    const server = await startGated(t)
    server.gates.close('onJoin')
    const way = enter(server, 'websocket', server.token('ada'))
    await server.gates.reached()
    const joined = server.app.rooms.join({ user: 'ada' }, 'room/1')
    server.gates.open()
    t.equal(await joined, 0, 'it is there already')
    t.equal(await way.outcome, 'open')
    t.equal((await server.app.rooms.broadcast('room/1', 'said', { text: 'x' })).recipients, 1)
    way.cut()
  }
)

for (const wait of ['take', 'denials']) {
  t.test(
    `a renewal that waits at ${wait} is met by the revocation of its token, and leaves the old credential in force`,
    async (t) => {
      const server = await startGated(t)
      const peer = await connect(server, { rooms: ['room/1'], token: server.token('ada', { jti: 'old' }) })
      const answer = await fetch(`${server.url}/ws/ticket`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.token('ada', { jti: 'new' })}` }
      })
      server.gates.close(wait)
      peer.send({ type: 'auth', id: 'a', data: await answer.json() as object })
      await server.gates.reached()
      await server.app.rooms.revoke({ tokenId: 'new' })
      server.gates.open()
      t.equal((await peer.next('error')).data.code, 'revoked')
      await peer.fence()
      t.equal(await server.app.rooms.revoke({ tokenId: 'old' }), 1)
      await peer.ended
    }
  )
}

t.test('of two renewals the one that was sent last holds, whichever is found sooner', async (t) => {
  const server = await startGated(t)
  const peer = await connect(server, { rooms: ['room/1'], token: server.token('ada') })
  const tickets = await Promise.all(['all', 'none'].map(async (rights) => {
    const answer = await fetch(`${server.url}/ws/ticket`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.token('ada', { rights })}` }
    })
    return await answer.json() as object
  }))
  server.gates.close('take')
  peer.send({ type: 'auth', id: '1', data: tickets[0] })
  await server.gates.reached()
  peer.send({ type: 'auth', id: '2', data: tickets[1] })
  server.gates.open()
  await peer.next('ack', ({ id }) => id === '1')
  t.match(await peer.next('left'), { room: 'room/1', data: { code: 'forbidden' } })
  await peer.next('ack', ({ id }) => id === '2')
  peer.cut()
})

t.test('a ticket is not given to somebody who was revoked while it was being made', async (t) => {
  const server = await startGated(t)
  for (const wait of ['authenticate', 'denials', 'put']) {
    server.gates.close(wait)
    const answer = fetch(`${server.url}/ws/ticket`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.token(wait)}`, connection: 'close' }
    })
    await server.gates.reached()
    await server.app.rooms.revoke({ user: wait }, { until: Date.now() })
    server.gates.open()
    const response = await answer
    t.equal(response.status, 403, wait)
    t.match(await response.json(), { code: 'revoked' })
  }
})

t.test('a poll of a connection that ends while the poll is let in is told why', async (t) => {
  const server = await startGated(t)
  const first = await fetch(`${server.url}/ws/room/1`, {
    headers: { authorization: `Bearer ${server.token('ada')}`, connection: 'close' }
  })
  const { cursor, connectionId } = await first.json() as { cursor: string, connectionId: string }
  for (const wait of ['denials', 'authorize', 'preHandler']) {
    server.gates.close(wait)
    const way = enter(server, 'polling', server.token('ada'), `/ws/room/1?since=${cursor}&wait=10`)
    await server.gates.reached()
    await server.app.rooms.revoke({ connection: connectionId })
    server.gates.open()
    t.equal(await way.outcome, 'revoked', wait)
    // The poll after it may be told as well: nobody knows whether the peer has read the first answer.
    await eventually(
      'a connection is closed and not kept out',
      async () => await enter(server, 'polling', server.token('ada'), `/ws/room/1?since=${cursor}&wait=10`).outcome,
      (outcome) => outcome === 'open'
    )
  }
})

t.test(
  'a connection is replaced once the newer one stands, and keeps its slot and its place when that is refused',
  async (t) => {
    const server = await startGated(t, { connections: 1 })
    const old = await connect(server, { rooms: ['room/1'], token: server.token('ada') })
    for (const wait of ['leases', 'preHandler']) {
      server.gates.close(wait)
      const way = enter(server, 'websocket', server.token('ada', { jti: 'j' }))
      await server.gates.reached()
      const second = enter(server, 'sse', server.token('ada'))
      if (wait === 'preHandler') {
        t.equal(await within('a word', 3_000, second.outcome), 'user_limit', 'one connection is not replaced twice')
      } else second.cut()
      way.cut()
      await eventually('the server sees that it has gone', async () => await sockets(server), (count) => count === 1)
      server.gates.open()
      t.equal(await way.outcome, 'gone')
      await old.fence()
    }
    server.gates.close('leases')
    const refused = enter(server, 'websocket', server.token('ada', { jti: 'j' }))
    await server.gates.reached()
    await server.app.rooms.revoke({ tokenId: 'j' })
    server.gates.open()
    t.equal(await refused.outcome, 'revoked')
    await old.fence()
    const next = enter(server, 'websocket', server.token('ada'))
    t.equal(await next.outcome, 'open')
    await old.ended
    t.equal((await statsOf(server.app)).connections.total, 1)
    next.cut()
  }
)

const lacking = missing('redis-server')
t.test('a revocation or a leave on one node finds whoever is being let in by another', { skip: lacking }, async (t) => {
  const { url } = await startRedis(t)
  const [here, there] = await Promise.all([
    startGated(t, { adapter: redis({ url }) }),
    startGated(t, { adapter: redis({ url }) })
  ])
  for (const transport of [...TRANSPORTS, 'uplink'] as const) {
    for (const wait of transport === 'uplink'
      ? ['authorize', 'preHandler']
      : ['authenticate', 'authorize', 'preHandler', 'onJoin']) {
      for (const event of transport === 'uplink' ? ['revoke', 'expel'] : ['revoke', 'expel', 'leave']) {
        const user = `${transport}-${wait}-${event}`
        const fence = await connect(there, { token: there.token(`fence of ${user}`) })
        there.gates.close(wait)
        const way = enter(there, transport, there.token(user))
        await there.gates.reached()
        if (event === 'revoke') await here.app.rooms.revoke({ user })
        else if (event === 'expel') await here.app.rooms.revoke({ user, room: 'room/1' })
        else await here.app.rooms.leave({ user }, 'room/1')
        // What `here` says next comes behind: once it is heard, so is the revocation.
        await here.app.rooms.revoke({ connection: fence.id })
        await fence.ended
        there.gates.open()
        t.match(await within('an outcome', 4_000, way.outcome), event === 'leave' ? 'forbidden' : 'revoked', user)
        t.equal((await there.app.rooms.broadcast('room/1', 'said', { text: 'secret' })).recipients, 0, user)
        way.cut()
      }
    }
  }
})
