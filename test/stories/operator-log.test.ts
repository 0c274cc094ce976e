import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { LimitWarnings } from '../../lib/errors/limit-warnings.js'
import { Refusal, refusalOf } from '../../lib/errors/refusal.js'
import realtime, { defineRoom, type RealtimeOptions } from '../../lib/index.js'
import { Refusals } from '../../lib/admission/refusals.js'
import { resolveOptions } from '../../lib/options/resolve.js'
import { findRisks } from '../../lib/plugin/guards.js'
import { NodeWatch } from '../../lib/plugin/node-watch.js'
import { codes } from '../../lib/protocol/codes.js'
import { ask, type Answer } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, start, TRANSPORTS, type Running, type StartOptions
} from '../helpers/net.js'
import { missing, startRedis } from '../helpers/servers.js'

interface Line { readonly level: number, readonly msg: string, readonly [field: string]: unknown }

const WARN = 40
const logged = ({ lines }: Running): Line[] => lines.map((line) => JSON.parse(line) as Line)
const warned = (server: Running): Line[] => logged(server).filter(({ level }) => level >= WARN)

/** A misconfiguration, what it makes a peer do, and the one line that names it. */
interface Case {
  readonly options?: StartOptions
  readonly peer: (server: Running) => Promise<Answer>
  readonly code: string
  readonly line: object
}

const CASES: Record<string, Case> = {
  'tokens are signed with another secret': {
    peer: async (server) => {
      const other = Fastify()
      await other.register(realtime, { jwt: { secret: 'another' } })
      await other.ready()
      return await ask(server, 'websocket', { token: other.jwt.sign({ sub: 'ada' }, { expiresIn: 60 }) })
    },
    code: 'unauthorized',
    line: { reason: 'FAST_JWT_INVALID_SIGNATURE', msg: /compare the secret/ }
  },
  'tokens have no exp': {
    peer: async (server) => await ask(server, 'sse', { token: server.app.jwt.sign({ sub: 'ada' }) }),
    code: 'unauthorized',
    line: { msg: /no expiry.*auth\.requireExp/ }
  },
  'users have another id than sub': {
    peer: async (server) => await ask(server, 'websocket', {
      token: server.app.jwt.sign({ id: 7 }, { expiresIn: 60 })
    }),
    code: 'unauthorized',
    line: { msg: /names no user.*options\.userId/ }
  },
  'the client sends its token where nobody looks': {
    peer: async (server) => await ask(server, 'websocket', { path: `/ws/chat/1?token=${server.token('ada')}` }),
    code: 'unauthorized',
    line: { reason: 'no credential was found', carriers: ['header', 'subprotocol', 'ticket'], msg: /auth\.carriers/ }
  },
  'the app\'s own authenticate knows no such user': {
    options: { authenticate: () => null },
    peer: async (server) => await ask(server, 'websocket', { token: server.token('ada') }),
    code: 'unauthorized',
    line: { reason: 'authenticate returned null', msg: /the session is over or unknown; where it should be known, authenticate has to return its user/ }
  },
  'a scraper sends another token than stats.token': {
    options: { authenticate: () => null, stats: { token: 'scraper' } },
    peer: async (server) => await ask(server, 'polling', { path: '/ws/stats?format=prometheus', token: 'scrapper' }),
    code: 'unauthorized',
    line: { reason: 'authenticate returned null', msg: /stats\.token as Authorization: Bearer.*stats\.authorize/ }
  },
  'a scraper sends another token than stats.token, where users have tokens of @fastify/jwt': {
    options: { stats: { token: 'scraper' } },
    peer: async (server) => await ask(server, 'polling', { path: '/ws/stats/rooms', token: 'scrapper' }),
    code: 'unauthorized',
    line: { reason: 'FAST_JWT_MALFORMED', msg: /stats\.token as Authorization: Bearer/ }
  },
  'a scraper sends a token, and stats.token is not set': {
    peer: async (server) => await ask(server, 'polling', { path: '/ws/stats/nodes', token: 'scraper' }),
    code: 'unauthorized',
    line: { msg: /set stats\.token/ }
  },
  'the app\'s own authenticate throws a 401': {
    options: {
      authenticate: () => { throw Object.assign(new Error('no session'), { statusCode: 401, code: 'NO_SESSION' }) }
    },
    peer: async (server) => await ask(server, 'websocket', { token: 'x' }),
    code: 'unauthorized',
    line: { reason: 'NO_SESSION', msg: /; options\.authenticate has thrown it/ }
  },
  'options.userId throws a 401': {
    options: {
      authenticate: () => ({ sub: 'ada', exp: 4e9 }) as never,
      userId: () => { throw Object.assign(new Error('no id'), { statusCode: 401, code: 'NO_ID' }) }
    },
    peer: async (server) => await ask(server, 'websocket', { token: 'x' }),
    code: 'unauthorized',
    line: { reason: 'NO_ID', msg: /; options\.userId has thrown it/ }
  },
  'a page takes a ticket for each thing that it does': {
    peer: async (server) => {
      const take = async (): Promise<Answer> =>
        await ask(server, 'uplink', { path: '/ws/ticket', token: server.token('ada') })
      let answer = await take()
      while (answer.status === 200) answer = await take()
      return answer
    },
    code: 'rate_limited',
    line: { msg: /; at most 10 tickets of a user are open.*auth\.ticket\.ttl/ }
  },
  'a stream asks for more rooms than any stream may have': {
    peer: async (server) => await ask(server, 'sse', {
      path: `/ws/chat/1?${Array.from({ length: 40 }, (_, n) => `room=chat/${n}`).join('&')}`,
      token: server.token('ada')
    }),
    code: 'room_limit',
    line: { value: 32, msg: /no option raises it.*WebSocket/ }
  },
  'a WebSocket asks for more rooms than limits.rooms': {
    options: { limits: { rooms: 2 } },
    peer: async (server) => await ask(server, 'websocket', {
      path: '/ws/chat/1?room=chat/2&room=chat/3',
      token: server.token('ada')
    }),
    code: 'room_limit',
    line: { limit: 'limits.rooms', value: 2, msg: /raise it/ }
  },
  'more frames of a connection wait for a room than its handlers get done': {
    options: {
      limits: { rate: { messages: 100_000, burst: 64 } },
      timeouts: { handler: 500 },
      declare: (app) => { app.room(chat, { on: { say: async () => await new Promise<never>(() => {}), type () {} } }) }
    },
    peer: async (server) => {
      const peer = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
      for (let n = 0; n < 70; n++) {
        peer.send({ type: 'say', room: 'chat/1', id: `${n}`, data: { text: 'x' } })
        await peer.sync()
      }
      return { body: (await peer.next('error')).data } as never
    },
    code: 'rate_limited',
    line: { room: 'chat/1', userId: 'ada', msg: /; the handlers of this room.*concurrent/ }
  },
  'a program asks the stats for a room in which nobody is': {
    options: { stats: { token: 'scraper' } },
    peer: async (server) => await ask(server, 'polling', { path: '/ws/stats/rooms/chat/1', token: 'scraper' }),
    code: 'room_unknown',
    line: { msg: /; nobody is in it now; .*all nodes/ }
  },
  'a ticket is used twice': {
    peer: async (server) => await ask(server, 'websocket', { path: '/ws/chat/1?ticket=spent' }),
    code: 'unauthorized',
    line: { msg: /the ticket is spent, expired or unknown; .*take a new one for each try/ }
  },
  'the page has a foreign origin': {
    options: { origins: ['https://app.example.com'] },
    peer: async (server) => await ask(server, 'websocket', {
      token: server.token('ada'),
      headers: { origin: 'https://www.example.com' }
    }),
    code: 'origin_refused',
    line: { origin: 'https://www.example.com', origins: ['https://app.example.com'], msg: /options\.origins/ }
  },
  'the proxy passes no Host': {
    peer: async (server) => await ask(server, 'websocket', {
      token: server.token('ada'),
      headers: { origin: 'https://app.example.com' }
    }),
    code: 'origin_refused',
    line: { origin: 'https://app.example.com', host: /^127\.0\.0\.1:\d+$/, msg: /pass Host on/ }
  },
  'trustProxy is forgotten, and the proxy says the host': {
    peer: async (server) => await ask(server, 'websocket', {
      token: server.token('ada'),
      headers: { origin: 'https://app.example.com', 'x-forwarded-host': 'app.example.com' }
    }),
    code: 'origin_refused',
    line: { forwarded: 'app.example.com', msg: /set trustProxy/ }
  },
  'trustProxy is forgotten, and all clients are one address': {
    options: { limits: { address: 1 } },
    peer: async (server) => {
      await connect(server, { token: server.token('ada'), headers: { 'x-forwarded-for': '192.0.2.1' } })
      return await ask(server, 'websocket', { token: server.token('bob'), headers: { 'x-forwarded-for': '192.0.2.2' } })
    },
    code: 'address_limit',
    line: { address: '127.0.0.1', limit: 'limits.address', value: 1, msg: /set trustProxy/ }
  },
  'the cookie comes without an origin': {
    options: { origins: 'same', auth: { carriers: ['cookie'], cookie: 'session' } },
    peer: async (server) => await ask(server, 'websocket', { headers: { cookie: `session=${server.token('ada')}` } }),
    code: 'origin_refused',
    line: { msg: /needs an Origin/ }
  },
  'the client names a room that nobody declared': {
    peer: async (server) => await ask(server, 'websocket', { path: '/ws/chats/1', token: server.token('ada') }),
    code: 'room_unknown',
    line: { userId: 'ada', room: 'chats/1', declared: ['chat/:id'], msg: /app\.room/ }
  },
  'authorize answers something else than true': {
    options: { declare: (app) => { declareChat(app, { authorize: (async () => 1) as never }) } },
    peer: async (server) => await ask(server, 'polling', { token: server.token('ada') }),
    code: 'forbidden',
    line: { userId: 'ada', room: 'chat/1', definition: 'chat/:id', authorize: '1', msg: /authorize.*true/ }
  },
  'the server is full': {
    options: { capacity: 1 },
    peer: async (server) => {
      await connect(server, { token: server.token('ada') })
      return await ask(server, 'websocket', { token: server.token('bob') })
    },
    code: 'server_full',
    line: { limit: 'capacity', value: 1 }
  },
  'a room is full': {
    options: { declare: (app) => { declareChat(app, { capacity: 1 }) } },
    peer: async (server) => {
      await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
      return await ask(server, 'sse', { token: server.token('bob') })
    },
    code: 'room_full',
    line: { userId: 'bob', room: 'chat/1', limit: 'capacity of the room', value: 1 }
  },
  'a user has too many connections': {
    options: { limits: { user: { connections: 1, then: 'reject' } } },
    peer: async (server) => {
      await connect(server, { token: server.token('ada') })
      return await ask(server, 'websocket', { token: server.token('ada') })
    },
    code: 'user_limit',
    line: { userId: 'ada', limit: 'limits.user.connections', value: 1 }
  }
}

for (const [what, { options, peer, code, line }] of Object.entries(CASES)) {
  t.test(`when ${what}, one warning names it and what helps`, async (t) => {
    const server = await start(t, options)
    const answer = await peer(server)
    t.equal(answer.body.code, code)
    const lines = warned(server).filter(({ msg }) => msg.startsWith('refused with'))
    matchList(t, lines, [{ level: WARN, code, address: '127.0.0.1', ...line }])
    t.equal(lines.length, 1)
  })
}

t.test('an error of the app, whatever its code, is no warning, and has no advice that is for a refusal of this package', (t) => {
  let now = 0
  const told: Array<readonly [string, string]> = []
  const line = (level: string) => (_fields: object, msg: string): void => { told.push([level, msg]) }
  const refusals = new Refusals({ warn: line('warn'), info: line('info') } as never, undefined, () => {
    now += 1_000
    return now
  })
  for (const code of [...Object.keys(codes), 'agents_only']) {
    for (const statusCode of [400, 401, 403, 429]) {
      const { refusal } = refusalOf(Object.assign(new Error('not so'), { statusCode, code }))
      for (const each of [refusal, refusal.in('chat/1')]) refusals.note(each, { address: '192.0.2.1' })
      t.same(new Set(told.splice(0).map(String)), new Set([`info,refused with ${code}: not so`]), `${statusCode} ${code}`)
    }
  }
  t.end()
})

t.test('a handler that lets only some do something is not answered with advice on who may enter', async (t) => {
  const server = await start(t, {
    declare: (app) => {
      app.room(chat, {
        authorize: () => true,
        on: {
          say () { throw Object.assign(new Error('only agents do this'), { statusCode: 403, code: 'agents_only' }) },
          type () {}
        }
      })
    }
  })
  const peer = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
  peer.send({ type: 'say', room: 'chat/1', id: '1', data: { text: 'x' } })
  t.match(await peer.next('error'), { data: { code: 'agents_only' } })
  const lines = logged(server).filter(({ code }) => code === 'agents_only')
  t.same(lines.map(({ level, msg }) => [level, msg]), [[30, 'refused with agents_only: only agents do this']])
})

t.test(
  'when the cookie carrier comes without origins, the start is refused and the error names the option',
  async (t) => {
    const app = Fastify()
    await t.rejects(
      async () => {
        await app.register(realtime, { jwt: { secret: 'x' }, auth: { carriers: ['cookie'], cookie: 'session' } })
      },
      { code: 'REALTIME_ERR_OPTIONS', message: /options\.origins/ }
    )
  }
)

t.test('when the adapter is away, the log says so, and of the first refusal what is away', {
  skip: missing('redis-server'),
  timeout: 60_000
}, async (t) => {
  const broker = await startRedis(t)
  const server = await start(t, {
    adapter: redis({ url: broker.url, timeout: 300 }),
    limits: { whenUnavailable: 'refuse' }
  })
  await broker.stop()
  await eventually(
    'a warning',
    () => warned(server),
    (lines) => lines.some(({ msg }) => msg === 'the adapter is disconnected')
  )
  const deep = await fetch(`${server.url}/ws/health?deep=1`)
  t.equal(deep.status, 503)
  t.match(await deep.json(), {
    status: 'unavailable',
    accepting: true,
    checks: { adapter: 'away', loopDelay: 'ok', capacity: 'ok' },
    reason: 'the adapter is away from its broker'
  })
  t.equal((await fetch(`${server.url}/ws/health`)).status, 200, 'it accepts all the same')
  t.equal((await ask(server, 'websocket', { token: server.token('ada') })).body.code, 'unavailable')
  matchList(t, warned(server).filter(({ code }) => code === 'unavailable'), [{ level: WARN, msg: /adapter's server/ }])
})

t.test('before a limit refuses somebody, one warning comes at 80 % of it and one when all is used, with what helps', async (t) => {
  const server = await start(t, {
    capacity: 11,
    limits: { user: { connections: 10, then: 'reject' } },
    declare: (app) => { declareChat(app, { capacity: 10 }) }
  })
  const token = server.token('ada')
  for (let each = 0; each < 7; each++) await connect(server, { token, rooms: ['chat/1'] })
  t.same(warned(server), [])
  for (let each = 0; each < 3; each++) await connect(server, { token, rooms: ['chat/1'] })
  const lines = warned(server)
  matchList(t, lines, [
    { limit: 'capacity of the room', value: 10, used: 8, room: 'chat/1', msg: /^80 % of .*: raise it/ },
    { limit: 'limits.user.connections', used: 8, userId: 'ada', msg: /^80 % of/ },
    { limit: 'capacity', value: 11, used: 9, msg: /^80 % of capacity is used: raise it, or add a node/ },
    { limit: 'capacity of the room', used: 10, msg: /^all of/ },
    { limit: 'limits.user.connections', used: 10, msg: /^all of/ }
  ])
  t.equal(lines.length, 5)
})

t.test('an adapter that stays away is warned of each minute, and events that are lost to a budget once a minute', async (t) => {
  const lines: string[] = []
  const log = { warn: (_fields: object, msg: string) => { lines.push(msg) } }
  let facts: Record<string, unknown> = { isUp: true, historyEvicted: 3 }
  const adapter = { name: 'redis', stats: () => facts }
  const watch = new NodeWatch({
    app: { log },
    adapter,
    options: { adapter },
    settings: resolveOptions({}),
    limitWarnings: new LimitWarnings(log as never)
  } as never, () => 0)
  watch.look(0)
  matchList(t, lines.splice(0), [/^all of history\.bytes is used: rooms lose their oldest/])
  facts = { isUp: false, historyEvicted: 4 }
  for (let now = 5_000; now < 180_000; now += 5_000) watch.look(now)
  const away = lines.splice(0)
  matchList(t, away, [/^the adapter is still away/, /^the adapter is still away/])
  t.equal(away.length, 2)
  facts = { isUp: true, historyEvicted: 4 }
  watch.look(180_000)
  facts = { isUp: false, historyEvicted: 4 }
  watch.look(185_000)
  watch.look(240_000)
  t.same(lines, [], 'the next outage has a minute of its own')
})

t.test('latest values that rooms of a node lose to its budget, and its broker keeps, are counted and warned of', async (t) => {
  const adapter = memory()
  const board = defineRoom('board/:id', {
    events: { score: { data: Type.Object({ id: Type.String() }), delivery: 'latest', key: 'id' } }
  })
  const server = await start(t, { adapter, history: { bytes: 4_000 }, declare: (app) => { app.room(board, {}) } })
  const peer = await connect(server, { token: server.token('ada'), rooms: ['board/1'] })
  for (let n = 0; n < 20; n++) await server.app.rooms.broadcast('board/1', 'score', { id: `${n}` })
  for (let n = 0; n < 20; n++) await peer.next('score')
  t.equal(adapter.stats!().historyEvicted, 0)
  const { historyEvicted } = (await server.app.rooms.stats()).adapter as { historyEvicted: number }
  t.ok(historyEvicted > 5 && historyEvicted < 20, `${historyEvicted} of 20`)
  const line = (): Line | undefined => warned(server).find(({ limit }) => limit === 'history.bytes')
  t.match(await eventually('a warning', line, (found) => found !== undefined, 10_000), {
    evicted: historyEvicted,
    msg: /^all of history\.bytes is used: rooms lose their oldest events and values before their time; raise it/
  })
})

t.test('what starts well and goes wrong later is one warning each at start, with what helps', async (t) => {
  interface Given { readonly size?: number, readonly isWorker?: boolean, readonly instance?: string }
  const risksOf = (
    options: RealtimeOptions,
    { size = 100, isWorker = false, instance }: Given = {}
  ): string[] => findRisks(
    { options, settings: resolveOptions(options), adapter: options.adapter ?? memory() },
    [{ pattern: { source: 'chat/:id' }, settings: { history: { size, ttl: 1 } } } as never],
    { isWorker, instance }
  )
  t.same(risksOf({}), [])
  t.same(risksOf({ limits: { user: { connections: 20, then: 'reject' } } }), [])
  matchList(t, risksOf({}, { isWorker: true }), [/^each worker of the cluster.*options\.adapter, cluster\(\)/])
  matchList(t, risksOf({}, { instance: '1' }), [/^NODE_APP_INSTANCE \(1\).*options\.adapter/])
  t.same(risksOf({}, { instance: '0' }), [], 'the first one may be the only one')
  t.same(risksOf({}, { instance: 'staging' }), [], 'a name is no number of a process')
  t.equal(risksOf({}, { isWorker: true, instance: '1' }).length, 1)
  t.same(risksOf({ adapter: Object.assign(memory(), { name: 'redis' }) }, { isWorker: true, instance: '1' }), [])
  const cookie = { carriers: ['cookie' as const], cookie: 'session' }
  matchList(t, risksOf({ auth: cookie, origins: () => true }), [/options\.origins is a function/])
  t.same(risksOf({ auth: cookie, origins: 'same' }), [])
  matchList(t, risksOf({ capacity: 10, limits: { user: { connections: 10, then: 'reject' } } }), [/not below options\.capacity/])
  matchList(t, risksOf({}, { size: 100_000 }), [/^history\.size of "chat\/:id" \(100000\).*raise the bytes/])
  const server = await start(t, { capacity: 10, limits: { user: { connections: 10, then: 'reject' } } })
  matchList(t, warned(server), [{ level: WARN, msg: /^one user may take all connections/ }], 'the log has it')
  t.equal(warned(server).length, 1)
})

t.test('two apps of one process with rooms of their own that listen on one port are warned of, once the second does', async (t) => {
  const first = await start(t)
  const app = Fastify({ logger: { stream: { write: (line: string) => { lines.push(line) } } } })
  const lines: string[] = []
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'x' } })
  await app.listen({ port: first.port, host: '127.0.0.2' })
  matchList(t, lines.filter((line) => line.includes('"level":40')), [new RegExp(`port ${first.port} too.*options\\.adapter`)])
  t.same(warned(first), [])
  await first.app.close()
  const third = await start(t)
  t.same(warned(third), [], 'one that listens alone is not')
})

t.test('frames that are refused are warned of like requests', async (t) => {
  const server = await start(t, {
    declare: (app) => { declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id === '1' }) }
  })
  const ada = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
  ada.send({ type: 'join', room: 'chat/2', id: '1' })
  await ada.next('error')
  ada.send({ type: 'join', room: 'nope/2', id: '2' })
  await ada.next('error')
  matchList(
    t,
    warned(server),
    [{ code: 'forbidden', room: 'chat/2', userId: 'ada' }, { code: 'room_unknown', room: 'nope/2', userId: 'ada' }]
  )
})

t.test('stats that are refused to who is no admin are warned of', async (t) => {
  const server = await start(t)
  await server.app.inject({ url: '/ws/stats/rooms', headers: { authorization: `Bearer ${server.token('ada')}` } })
  matchList(t, warned(server), [{ code: 'forbidden', msg: /only for admins/ }])
})

t.test(
  'a code is warned of once a minute with the number that was held back; the rest is at info level, and that has its bound too',
  async (t) => {
    const levels: Array<{ level: string, fields: Record<string, unknown> }> = []
    const write = (level: string) => (fields: Record<string, unknown>): void => { levels.push({ level, fields }) }
    let now = 0
    const log = { warn: write('warn'), info: write('info'), debug: write('debug'), error: write('error') }
    const refusals = new Refusals(log as never, undefined, () => now)
    const note = (word: 'room_full' | 'draining' | 'room_unknown'): void => {
      refusals.note(new Refusal(word), { address: '::1' })
    }
    for (let i = 0; i < 5; i++) note('room_full')
    note('room_unknown')
    note('draining')
    t.same(
      levels.map(({ level, fields }) => `${level} ${String(fields.code)}`),
      ['warn room_full', ...Array<string>(4).fill('info room_full'), 'warn room_unknown', 'info draining']
    )
    now = 60_000
    note('room_full')
    t.match(levels.at(-1), { level: 'warn', fields: { code: 'room_full', suppressed: 4 } })
    levels.length = 0
    for (let i = 0; i < 1_000; i++) note('draining')
    t.equal(levels.length, 20)
    now = 61_000
    note('draining')
    t.match(levels.at(-1), { level: 'info', fields: { unlogged: 980 } })
  }
)

t.test('a refusal with another fix has a line of its own, up to 100 kinds; beyond them each code has one', async (t) => {
  const warnings: Array<Record<string, unknown>> = []
  let now = 0
  const log = {
    warn: (fields: Record<string, unknown>) => { warnings.push(fields) },
    info: () => {},
    debug: () => {},
    error: () => {}
  }
  const refusals = new Refusals(log as never, undefined, () => now)
  const note = (fix: string): void => {
    refusals.note(new Refusal('unauthorized', { why: { fix } }), { address: '::1' })
  }
  for (let count = 0; count < 3; count++) {
    note('the session is over')
    note('send stats.token')
  }
  t.same(warnings.map(({ fix }) => fix), ['the session is over', 'send stats.token'])
  now = 60_000
  note('send stats.token')
  t.match(warnings.at(-1), { fix: 'send stats.token', suppressed: 2 })
  warnings.length = 0
  for (let count = 0; count < 200; count++) note(`fix ${count}`)
  t.same(warnings.map(({ fix }) => fix), Array.from({ length: 99 }, (_, index) => `fix ${index}`))
  now = 120_000
  note('fix 1000')
  t.match(warnings.at(-1), { fix: 'fix 1000', suppressed: 101 })
})

t.test('the verifier\'s own words are at debug level, and no credential is in the log at any level', async (t) => {
  const token = 'a-token-that-nobody-may-read'
  const server = await start(t, {
    authenticate: (_request, given) => {
      throw Object.assign(new Error(`${String(given)} was made by another issuer`), {
        statusCode: 401,
        code: 'WRONG_ISSUER'
      })
    },
    auth: { carriers: ['header', 'query', 'subprotocol'] },
    jwt: { secret: 'a test' }
  } as StartOptions)
  await ask(server, 'websocket', { token })
  await ask(server, 'sse', { path: `/ws/chat/1?token=${token}` })
  await ask(server, 'websocket', { headers: { 'sec-websocket-protocol': `realtime.v1, bearer.${token}` } })
  matchList(t, warned(server), [{ code: 'unauthorized', reason: 'WRONG_ISSUER' }])
  matchList(
    t,
    logged(server).filter(({ level, err }) => level === 20 && err !== undefined).map(({ err }) => err),
    Array.from({ length: 3 }, () => ({ message: '[token] was made by another issuer' })),
    'once for each carrier'
  )
  t.notOk(server.lines.some((line) => line.includes(token)))
})

t.test(
  'onRefused is told of every refusal, of requests, frames and upgrades, and what it throws is logged and harms nobody',
  async (t) => {
    const told: Array<Parameters<NonNullable<RealtimeOptions['onRefused']>>[0]> = []
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id === '1' })
      },
      onRefused: (refused) => {
        told.push(refused)
        if (told.length === 1) throw new Error('out of disk')
        if (told.length === 2) return Promise.reject(new Error('the siem is away'))
      }
    })
    const token = server.token('ada')
    await ask(server, 'websocket')
    await ask(server, 'sse', { path: '/ws/chat/2', token })
    await ask(server, 'uplink', { path: '/ws/chat/2', token })
    const ada = await connect(server, { token, rooms: ['chat/1'] })
    ada.send({ type: 'join', room: 'chat/2', id: '1' })
    await ada.next('error')
    matchList(t, told.map(({ code, userId, address, room }) => ({ code, userId, address, room })), [
      { code: 'unauthorized', userId: undefined, address: '127.0.0.1' },
      { code: 'forbidden', userId: 'ada', address: '127.0.0.1', room: 'chat/2' },
      { code: 'forbidden', userId: 'ada', address: '127.0.0.1', room: 'chat/2' },
      { code: 'forbidden', userId: 'ada', address: '127.0.0.1', room: 'chat/2' }
    ])
    t.same(told.map(({ request }) => request?.url), ['/ws/chat/1', '/ws/chat/2', '/ws/chat/2', undefined])
    await eventually(
      'the log',
      () => logged(server).filter(({ msg }) => msg === 'onRefused failed'),
      (lines) => lines.length === 2
    )
    await t.rejects(
      async () => { await Fastify().register(realtime, { jwt: { secret: 'x' }, onRefused: 7 as never }) },
      { code: 'REALTIME_ERR_OPTIONS', message: /options\.onRefused must be a function/ }
    )
  }
)

async function closing (t: Test, server: Running): Promise<Line> {
  return (await eventually(
    'the line',
    () => logged(server).filter(({ msg }) => msg === 'connection closed'),
    (lines) => lines.length > 0
  ))[0]!
}

for (const transport of TRANSPORTS) {
  t.test(
    `over ${transport} a connection has one line when it opens and one when it ends, with who, how, how long, why and how much`,
    async (t) => {
      const server = await start(t)
      const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1'] })
      matchList(
        t,
        logged(server).filter(({ msg }) => msg === 'connection opened'),
        [{ level: 30, userId: 'ada', transport, address: '127.0.0.1', connectionId: ada.id }]
      )
      ada.send({ type: 'say', room: 'chat/1', id: '1', data: { text: 'hello' } })
      await ada.next('said')
      await server.app.rooms.revoke({ connection: ada.id })
      const line = await closing(t, server)
      t.match(line, { level: 30, userId: 'ada', transport, reason: 'revoked', connectionId: ada.id, lag: 0 })
      const { duration, bytes } = line as unknown as { duration: number, bytes: { in: number, out: number } }
      t.ok(duration >= 0 && bytes.in > 60 && bytes.out > 60, JSON.stringify(line))
      const told = logged(server).map(({ msg }) => msg).filter((msg) => /^connection (?:opened|closed)$/.test(msg))
      t.same(told, ['connection opened', 'connection closed'])
    }
  )
}

t.test('a peer that breaks the rules of the transport has that as its reason, and one that only says so has left', async (t) => {
  const reasonOf = async (end: (peer: Awaited<ReturnType<typeof connect>>) => unknown): Promise<unknown> => {
    const server = await start(t, { limits: { message: 1_000 } })
    const peer = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
    await end(peer)
    return (await closing(t, server)).reason
  }
  t.equal(await reasonOf((peer) => { peer.send('x'.repeat(2_000) as never) }), 'message_too_large')
  t.equal(await reasonOf((peer) => { peer.send(Buffer.from('binary')) }), 'protocol')
  t.equal(await reasonOf(async (peer) => { await peer.close(1009) }), 'left')
})

t.test('a peer that closes, one that vanishes, one that is silent and one that is cut have four reasons', async (t) => {
  const reasons: string[] = []
  const declare = (app: Parameters<NonNullable<StartOptions['declare']>>[0]): void => {
    app.room(chat, { on: { say: () => ({ id: '' }), type: () => {} }, onLeave: ({ code }) => { reasons.push(code) } })
  }
  const one = async (options: StartOptions, end: (
    peer: Awaited<ReturnType<typeof connect>>,
    server: Running
  ) => unknown): Promise<unknown> => {
    const server = await start(t, { declare, ...options })
    const peer = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
    await end(peer, server)
    return (await closing(t, server)).reason
  }
  t.equal(await one({}, async (peer) => { await peer.close() }), 'left', 'a close frame')
  t.equal(await one({}, (peer) => { peer.cut() }), 'gone', 'the link breaks')
  t.equal(await one({ heartbeat: 100 }, (peer) => { peer.stall() }), 'heartbeat_timeout', 'no answer')
  let cut: Running | undefined
  t.equal(await one({ limits: { outbox: 100_000, event: 90_000 } }, async (peer, server) => {
    cut = server
    const { app } = server
    peer.stall()
    await eventually(
      'the cut',
      async () => { await app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(80_000), by: 'ada' }) },
      () => reasons.length === 4
    )
  }), 'slow_consumer', 'a reader that is too slow')
  t.same(reasons, ['left', 'gone', 'heartbeat_timeout', 'slow_consumer'])
  t.match(warned(cut!).at(-1), { limit: 'limits.outbox', value: 100_000, userId: 'ada', msg: /reads too slowly/ })
})

for (const transport of TRANSPORTS) {
  const says = transport === 'polling' ? ' and says that the app did it' : ''
  t.test(`over ${transport} the log of a connection that the app has closed blames no broker${says}`, async (t) => {
    const server: Running = await start(t, {
      declare: (app) => {
        app.room(chat, {
          onJoin: async ({ connection }) => {
            await app.rooms.close({ connection: connection.id }, { code: 'unavailable', message: 'come later' })
          },
          on: { say: async () => ({ id: '' }), type: async () => {} }
        })
      }
    })
    await ask(server, transport, { token: server.token('ada'), path: '/ws/chat/1' }).catch(() => {})
    if (transport === 'polling') {
      const [line, ...more] = server.lines.filter((line) => line.includes('come later'))
      t.match(line, /; the app has closed it, by app\.rooms\.close/)
      t.same(more, [])
    } else t.equal((await closing(t, server)).reason, 'unavailable')
    t.same(server.lines.filter((line) => line.includes('adapter\'s server')), [])
  })
}
