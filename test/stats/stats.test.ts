import { spawnSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { Gauge, Registry, type OpenMetricsContentType } from 'prom-client'
import t, { type Test } from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import realtime, { defineRoom, type MessageStep, type RealtimeOptions } from '../../lib/index.js'
import { createAdmin } from '../../lib/stats/admin.js'
import { Ledger } from '../../lib/stats/ledger.js'
import { healthOf, type Health } from '../../lib/stats/health.js'
import { LoopDelayMonitor } from '../../lib/stats/loop-delay.js'
import { Metrics } from '../../lib/stats/metrics.js'
import { negotiate } from '../../lib/stats/negotiate.js'
import { page } from '../../lib/stats/paging.js'
import { snapshot, type StatsSnapshot, type StatsSource } from '../../lib/stats/snapshot.js'
import { createPeer } from '../../lib/testing/index.js'
import { VERSION } from '../../lib/version.js'
import { eventually } from '../helpers/net.js'

const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ id: Type.String() }) } },
  events: { said: Type.Object({ text: Type.String() }) }
})
const PROMETHEUS =
  'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'

async function start (
  test: Test,
  options: RealtimeOptions = {}
): Promise<{ app: FastifyInstance, admin: string, user: string }> {
  const app = Fastify()
  test.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'stats' }, ...options })
  app.room(chat, { on: { async say ({ data, room }) { await room.broadcast('said', data); return { id: '1' } } } })
  await app.ready()
  const sign = (payload: object): string => app.jwt.sign(payload, { expiresIn: 60 })
  return { app, admin: sign({ sub: 'root', role: 'admin' }), user: sign({ sub: 'ada' }) }
}

const bearer = (token: string, accept = 'application/json'): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  accept
})

function source (rooms = 0): StatsSource {
  return {
    connections: { total: 333, users: 200, transports: { websocket: 300, sse: 30, polling: 3 } },
    outbox: () => ({ frames: 4, bytes: 1_000, events: 3 }),
    activeRooms: rooms,
    byDefinition: () => new Map([['chat/:id', { rooms, members: rooms * 2 }]])
  }
}

const facts = {
  node: 'n1',
  version: VERSION,
  capacity: 1_000,
  slots: 334,
  isAccepting: true,
  published: 9,
  gaps: 0,
  gapsTold: 0,
  loop: { p50: 0, p99: 1.5, max: 3 },
  adapter: { name: 'memory' },
  uptime: 10
}

for (const [accept, format] of [
  [undefined, 'json'],
  ['*/*', 'json'],
  ['application/json', 'json'],
  ['application/json, text/plain, */*', 'json'],
  ['text/plain', 'prometheus'],
  [PROMETHEUS, 'prometheus'],
  [
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,*/*;q=0.1',
    'prometheus'
  ],
  ['text/plain;q=0.5, application/json', 'json'],
  ['text/*', 'prometheus'],
  ['application/*;q=0.9, text/plain;q=0.8', 'json'],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'html'],
  ['text/plain;q=0', 'json']
] as const) {
  t.test(`Accept: ${accept ?? '(none)'} is answered with ${format}`, async (t) => {
    t.equal(negotiate(accept), format)
  })
}

t.test('the query decides the format against Accept, unless it names none', async (t) => {
  t.equal(negotiate('application/json', 'prometheus'), 'prometheus')
  t.equal(negotiate('text/html', 'json'), 'json')
  t.equal(negotiate('text/html', 'yaml'), 'html')
})

t.test('the stats say how full the node is with one decimal', async (t) => {
  const stats = snapshot(new Ledger(), source(), facts)
  t.match(stats.connections, {
    total: 333,
    max: 1_000,
    capacityPercent: 33.3,
    transports: { websocket: 300, sse: 30, polling: 3 }
  })
})

t.test('the stats of a node tell connections, messages, events, refusals and closes', async (t) => {
  const { app, admin, user } = await start(t, { capacity: 8 })
  const ada = await createPeer(app, { room: 'chat/1', token: user })
  ada.send({ type: 'say', room: 'chat/1', id: 'm-1', data: { text: 'hi' } })
  await ada.next('ack')
  await ada.next('said')
  await t.rejects(createPeer(app, { room: 'nowhere', token: user }), { statusCode: 404, code: 'room_unknown' })
  const sse = await createPeer(app, { room: 'chat/1', token: user, transport: 'sse' })
  const before = (await app.inject({ url: '/ws/stats', headers: bearer(admin) })).json()
  t.match(before, {
    accepting: true,
    connections: { total: 2, max: 8, capacityPercent: 25, transports: { websocket: 1, sse: 1, polling: 0 } },
    users: 1,
    rooms: { active: 1, definitions: { 'chat/:id': { rooms: 1, members: 2 } } },
    events: { published: 1 },
    ledger: { meant: 1, delivered: 1, queued: 0 },
    outbox: { bytes: 0 },
    eventLoop: { p99: Number }
  })
  t.ok(before.refusals.room_unknown >= 1)
  t.same(
    before,
    { ...(await app.rooms.stats()), uptime: before.uptime, eventLoop: before.eventLoop },
    'app.rooms.stats() is the same object'
  )
  await ada.close()
  await sse.close()
  const after = (await app.inject({ url: '/ws/stats', headers: bearer(admin) })).json()
  t.equal(after.connections.total, 0)
  t.equal(Object.values(after.closes as Record<string, number>).reduce((a, b) => a + b), 2)
})

t.test('only admins and the scrape token read the stats', async (t) => {
  const { app, admin, user } = await start(t, { stats: { token: 'scrape-me' } })
  for (const url of ['/ws/stats', '/ws/stats/rooms', '/ws/stats/connections', '/ws/stats/rooms/chat/1']) {
    t.match(
      (await app.inject({ url })).json(),
      { statusCode: 401, code: 'unauthorized' },
      `${url} without a credential`
    )
    t.match(
      (await app.inject({ url, headers: bearer(user) })).json(),
      { statusCode: 403, code: 'forbidden' },
      `${url} as a user`
    )
    t.not((await app.inject({ url, headers: bearer(admin) })).statusCode, 403, `${url} as an admin`)
    t.not((await app.inject({ url, headers: bearer('scrape-me') })).statusCode, 401, `${url} with the scrape token`)
  }
})

t.test('stats.authorize decides in place of the role', async (t) => {
  const { app, admin, user } = await start(t, { stats: { authorize: (who) => (who as { sub: string }).sub === 'ada' } })
  t.equal((await app.inject({ url: '/ws/stats', headers: bearer(admin) })).statusCode, 403)
  t.equal((await app.inject({ url: '/ws/stats', headers: bearer(user) })).statusCode, 200)
})

t.test(
  'a credential that is refused is told how to come back, with what hooks have added, and on a connection that stays',
  async (t) => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    app.addHook('onRequest', async (_request, reply) => { void reply.header('vary', 'Origin') })
    await app.register(realtime, { jwt: { secret: 'stats' } })
    for (const url of ['/ws/stats', '/ws/stats/rooms', '/ws/stats/rooms/chat/1', '/ws/stats/connections']) {
      const { statusCode, headers } = await app.inject({ url, headers: { accept: 'application/json' } })
      t.match(
        { statusCode, ...headers },
        {
          statusCode: 401,
          'www-authenticate': 'Bearer',
          'cache-control': 'no-store',
          vary: /^Origin, .*Authorization$/
        },
        url
      )
      t.not(headers.connection, 'close')
    }
  }
)

t.test(
  'an authentication that fails by itself is 503 to who reads the stats, and an error to who reads the log',
  async (t) => {
    const lines: string[] = []
    const app = Fastify({ logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } })
    t.teardown(async () => { await app.close() })
    await app.register(realtime, { authenticate: () => { throw new Error('the directory is down') } })
    const answer = await app.inject({ url: '/ws/stats', headers: bearer('any') })
    t.match(answer.json(), { statusCode: 503, code: 'unavailable' })
    t.notMatch(answer.body, /directory/)
    t.match(lines.join(''), /the directory is down/)
  }
)

t.test('what a hook of the app refuses for a while is told so on every route, counted, and is no fault', async (t) => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(async () => { await app.close() })
  let isBusy = true
  app.addHook('onRequest', async (_request, reply) => {
    if (!isBusy) return
    reply.header('retry-after', '7')
    throw Object.assign(new Error('Service Unavailable'), { statusCode: 503, code: 'FST_UNDER_PRESSURE' })
  })
  const routes: Array<readonly [string, string]> = []
  app.addHook('onRoute', ({ method, url }) => { for (const each of [method].flat()) routes.push([each, url]) })
  await app.register(realtime, {
    jwt: { secret: 'stats' },
    stats: { actions: true },
    api: { keys: [{ key: 'k'.repeat(40), name: 'other', rooms: ['chat/*'], may: ['read'] }] }
  })
  app.room(chat, { on: { say: () => ({ id: '1' }) } })
  await app.ready()
  t.ok(routes.length > 20)
  for (const [method, url] of routes) {
    const { statusCode, headers, body } = await app.inject({
      method: method as 'GET', url: url.replaceAll('*', 'a').replaceAll(/:\w+/g, 'a')
    })
    t.same([statusCode, headers['retry-after']], [503, '7'], `${method} ${url}`)
    if (method !== 'HEAD') t.match(JSON.parse(body), { code: 'FST_UNDER_PRESSURE', message: 'Service Unavailable' }, url)
  }
  t.notMatch(lines.join(''), /"level":50/)
  isBusy = false
  const { refusals } = (await app.inject({
    url: '/ws/stats', headers: bearer(app.jwt.sign({ sub: 'root', role: 'admin' }, { expiresIn: 60 }))
  })).json<{ refusals: Record<string, number> }>()
  t.equal(refusals.unavailable, routes.length)
})

t.test('a POST of an admin that cannot be used is refused with what is wrong, and counted', async (t) => {
  const { app, admin } = await start(t, { stats: { actions: true }, limits: { message: 1_000 } })
  for (const [type, payload, status, code] of [
    ['text/plain', 'x', 415, 'invalid_message'],
    ['application/json', `"${'x'.repeat(2_000)}"`, 413, 'message_too_large'],
    ['application/json', '{"action":"revoke","user":"\\ud800"}', 400, 'invalid_message'],
    ['application/json', '{"action":"fly"}', 400, 'invalid_message']
  ] as const) {
    const answer = await app.inject({
      method: 'POST', url: '/ws/stats/actions', payload, headers: { ...bearer(admin), 'content-type': type }
    })
    t.match(answer.json(), { statusCode: status, code, message: /./ }, payload.slice(0, 40))
  }
  const { refusals } = (await app.inject({ url: '/ws/stats', headers: bearer(admin) })).json<{ refusals: object }>()
  t.match(refusals, { invalid_message: 3, message_too_large: 1 })
})

t.test('an authorize that never settles is answered with unavailable at the timeout', async (t) => {
  const { app, admin } = await start(t, {
    timeouts: { authentication: 50 },
    stats: { authorize: async () => await new Promise<never>(() => undefined) }
  })
  const answer = await app.inject({ url: '/ws/stats/rooms', headers: { authorization: `Bearer ${admin}` } })
  t.equal(answer.statusCode, 503)
  t.match(answer.json(), { code: 'unavailable', retryAfter: 1_000 })
})

t.test('an authorize that throws hides its text', async (t) => {
  const { app, admin } = await start(t, { stats: { authorize: () => { throw new Error('secret') } } })
  const answer = await app.inject({ url: '/ws/stats', headers: bearer(admin) })
  t.match(answer.json(), { statusCode: 500, code: 'internal' })
  t.notMatch(answer.body, /secret/)
})

t.test('the scrape token is compared whole, and authenticate is not asked about it', async (t) => {
  let asked = 0
  const authorize = createAdmin({
    token: 'scrape-me',
    authorize: undefined,
    timeout: 5_000,
    authenticate: async () => { asked++; return { role: 'user' } }
  })
  const as = (authorization?: string): FastifyRequest => ({ headers: { authorization } } as FastifyRequest)
  await authorize(as('Bearer scrape-me'))
  await authorize(as('bearer  scrape-me '))
  t.equal(asked, 0)
  for (const wrong of [
    'Bearer scrape-m',
    'Bearer scrape-me2',
    'Bearer SCRAPE-ME',
    'Basic scrape-me',
    'scrape-me',
    undefined
  ]) {
    await t.rejects(authorize(as(wrong)), { code: 'forbidden' }, String(wrong))
  }
  t.equal(asked, 6)
})

t.test('HEAD is answered as GET even when the app turned it off for its own routes', async (t) => {
  const app = Fastify({ exposeHeadRoutes: false })
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'stats' }, stats: { token: 'scrape-me' } })
  t.equal((await app.inject({ method: 'HEAD', url: '/ws/health' })).statusCode, 200)
  t.equal((await app.inject({ method: 'HEAD', url: '/ws/stats', headers: bearer('scrape-me') })).statusCode, 200)
  t.equal((await app.inject({ method: 'HEAD', url: '/ws/stats', headers: { accept: '*/*' } })).statusCode, 401)
})

t.test('without stats the admin routes are not there, health is', async (t) => {
  const { app, admin } = await start(t, { stats: false })
  t.match((await app.inject({ url: '/ws/stats', headers: bearer(admin) })).json(), { code: 'room_invalid' })
  t.equal((await app.inject('/ws/health')).statusCode, 200)
})

t.test('the listings are paged', async (t) => {
  const { app, admin, user } = await start(t)
  for (let i = 0; i < 5; i++) await createPeer(app, { room: `chat/${i}`, token: user })
  const get = async (url: string): Promise<{
    total: number
    items: Array<{ name: string, members: number, userId: string }>
    next?: string
  }> => (await app.inject({ url, headers: bearer(admin) })).json()
  const first = await get('/ws/stats/rooms?limit=2')
  t.same([first.total, first.items.length, first.next], [5, 2, '2'])
  const last = await get('/ws/stats/rooms?limit=2&after=4')
  t.same([last.items.length, last.next], [1, undefined])
  t.match(await get('/ws/stats/rooms/chat/3'), { name: 'chat/3', definition: 'chat/:id', members: 1 })
  const connections = await get('/ws/stats/connections?limit=3')
  t.same([connections.total, connections.items.length, connections.next], [5, 3, '3'])
  t.match(connections.items[0], { userId: 'ada', transport: 'websocket' })
  const others = await get('/ws/stats/connections?after=3')
  const listed = [...connections.items, ...others.items] as unknown as Array<{ rooms: string[] }>
  t.same(listed.flatMap(({ rooms }) => rooms).sort(), ['chat/0', 'chat/1', 'chat/2', 'chat/3', 'chat/4'])
  t.notOk(JSON.stringify(connections).includes('connectionId'))
  t.match((await app.inject({ url: '/ws/stats/rooms?limit=-1', headers: bearer(admin) })).json(), {
    statusCode: 400,
    code: 'invalid_message'
  })
})

t.test('a room is found by its name as it stands in the URL, under any prefix', async (t) => {
  const { app, admin, user } = await start(t, { prefix: '/stats/rooms' })
  const name = chat.at({ id: 'Gr\u00fc\u00dfe/\u{1f600}' }).name
  await createPeer(app, { room: name, token: user, prefix: '/stats/rooms' })
  const get = async (room: string): Promise<unknown> => (await app.inject({
    url: `/stats/rooms/stats/rooms/${room}`,
    headers: bearer(admin)
  })).json()
  t.match(await get(name), { name, members: 1 })
  t.match(await get(`${name}?x=1`), { name, members: 1 })
  t.match(await get('chat/nobody'), { statusCode: 404, code: 'room_unknown' })
  t.match(await get('..%2f..'), { statusCode: 404, code: 'room_unknown' })
})

t.test('a page holds at most 1 000 items, and what is no whole number is refused', async (t) => {
  const items = Array.from({ length: 2_500 }, (_, i) => i)
  t.equal(page(items, 2_500, {}).items.length, 100)
  const last = page(items, 2_500, { limit: '5000', after: '2000' })
  t.same([last.items.length, last.items[0], last.next], [500, 2_000, undefined])
  t.same(
    [page(items, 2_500, { limit: '5000' }).items.length, page(items, 2_500, { limit: '5000' }).next],
    [1_000, '1000']
  )
  t.same(page(items, 2_500, { after: '9000' }), { total: 2_500, items: [] })
  for (const query of [{ limit: '1.5' }, { limit: '' }, { after: '-1' }, { after: 'x' }, { limit: ['1', '2'] }]) {
    t.throws(() => page(items, 2_500, query), { code: 'invalid_message' })
  }
})

t.test('the event loop delay is what it was late by, and forgets it', async (t) => {
  const monitor = new LoopDelayMonitor(300)
  t.teardown(() => { monitor.stop() })
  t.same(monitor.read(), { p50: 0, p99: 0, max: 0 })
  monitor.start()
  await setTimeout(100)
  const until = performance.now() + 250
  while (performance.now() < until);
  await setTimeout(60)
  const late = monitor.read()
  t.ok(late.max >= 200 && late.max < 2_000, `max ${late.max} ms`)
  t.ok(late.p50 < late.max)
  const deadline = performance.now() + 5_000
  while (monitor.read().max >= 200 && performance.now() < deadline) await setTimeout(50)
  t.ok(monitor.read().max < 200, 'the pause is forgotten')
  monitor.stop()
})

t.test('health is 503 from the beginning of a drain', async (t) => {
  const { app } = await start(t)
  t.match((await app.inject('/ws/health')).json(), { status: 'ok', accepting: true })
  await app.rooms.drain()
  const answer = await app.inject('/ws/health')
  t.equal(answer.statusCode, 503)
  t.match(answer.json(), { accepting: false })
})

t.test('asked deeply, health is 503 with what is over its limit, and without figures', async (t) => {
  const { app, user } = await start(t, { capacity: 4, health: { capacity: 50, loopDelay: 60_000 } })
  const deep = async (): Promise<{ status: number, body: Health }> => {
    const { statusCode, body } = await app.inject('/ws/health?deep=1')
    return { status: statusCode, body: JSON.parse(body) as Health }
  }
  const ok = { adapter: 'ok', loopDelay: 'ok', capacity: 'ok' }
  t.same(await deep(), { status: 200, body: { status: 'ok', accepting: true, checks: ok } })
  for (let each = 0; each < 2; each++) await createPeer(app, { room: 'chat/1', token: user })
  t.same(await deep(), {
    status: 503,
    body: {
      status: 'unavailable',
      accepting: true,
      checks: { ...ok, capacity: 'full' },
      reason: 'as many slots are taken as health.capacity allows (50 %)'
    }
  })
  t.same((await app.inject('/ws/health')).json(), { status: 'ok', accepting: true }, 'and as it was where it is not')
  const facts = { isAccepting: false, isAdapterUp: undefined, loopDelay: 5.1, slots: 0, max: 10 }
  t.match(healthOf(facts, { loopDelay: 5, capacity: 100 }), {
    status: 'unavailable',
    checks: { adapter: 'ok', loopDelay: 'late', capacity: 'ok' },
    reason: /does not accept.*; the event loop is late by more than health\.loopDelay \(5 ms\)/
  })
  t.match(healthOf({ ...facts, isAccepting: true }, { loopDelay: 6, capacity: 100 }), { status: 'ok' })
})

t.test('a node whose event loop stands still answers 503 to a deep question over HTTP, and says what is late', async (t) => {
  const { app } = await start(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const ask = async (path: string, method = 'GET'): Promise<{ status: number, type: string | null, text: string }> => {
    const answer = await fetch(`${url}${path}`, { method, headers: { connection: 'close' } })
    return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() }
  }
  t.equal((await ask('/ws/health?deep=1')).status, 200)
  const { status, type, text } = await eventually('the measurement', async () => {
    // What happens before the first sample of the measurement is in none.
    const until = performance.now() + 1_300
    while (performance.now() < until);
    return await ask('/ws/health?deep=1')
  }, (each) => each.status !== 200)
  t.equal(status, 503)
  t.equal(type, 'application/json; charset=utf-8')
  t.same(JSON.parse(text), {
    status: 'unavailable',
    accepting: true,
    checks: { adapter: 'ok', loopDelay: 'late', capacity: 'ok' },
    reason: 'the event loop is late by more than health.loopDelay (1000 ms)'
  })
  t.match(await ask('/ws/health?deep=1', 'HEAD'), { status: 503, text: '' })
  t.match(await ask('/ws/health'), { status: 200, text: '{"status":"ok","accepting":true}' }, 'a balancer is not told')
})

t.test('promtool accepts what Prometheus scrapes', async (t) => {
  const { app, user } = await start(t, { stats: { token: 'scrape-me' } })
  const peer = await createPeer(app, { room: 'chat/1', token: user })
  peer.send({ type: 'nope', room: 'chat/1', id: 'm-1' })
  await peer.next('error')
  await t.rejects(createPeer(app, { room: 'chat/1' }), { code: 'unauthorized' })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/ws/stats`, { headers: bearer('scrape-me', PROMETHEUS) })
  t.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const text = await answer.text()
  t.match(text, /^realtime_connections\{transport="websocket"\} 1$/m)
  t.match(text, /^realtime_admissions_refused_total\{code="unauthorized"\} [1-9]/m)
  const tool = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  if (tool.error !== undefined) {
    if (process.env.CI !== undefined) t.fail('promtool is missing')
    else t.comment('skipped: promtool is not installed (Debian package prometheus)')
    return
  }
  t.equal(tool.status, 0, tool.stderr + tool.stdout)
})

t.test('a scrape has each code before it occurs, so that the first of its kind is an increase', async (t) => {
  const { text } = await new Metrics(() => snapshot(new Ledger(), source(0), facts)).scrape()
  for (const code of ['unauthorized', 'room_full', 'rate_limited', 'server_full']) {
    t.ok(text.includes(`realtime_admissions_refused_total{code="${code}"} 0\n`), code)
    t.ok(text.includes(`realtime_message_errors_total{code="${code}"} 0\n`), code)
  }
  for (const code of ['slow_consumer', 'heartbeat_timeout', 'left', 'gone']) {
    t.ok(text.includes(`realtime_connections_closed_total{code="${code}"} 0\n`), code)
  }
})

t.test('ten thousand rooms and users and codes of the app make no more series', async (t) => {
  const ledger = new Ledger()
  for (let i = 0; i < 1_000; i++) ledger.errored(`app_error_${i}`)
  const metrics = new Metrics(() => snapshot(ledger, source(10_000), facts))
  const lines = (await metrics.scrape()).text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  t.ok(lines.length < 300, `${lines.length} series`)
  t.ok(lines.includes('realtime_message_errors_total{code="other"} 1000'))
})

t.test('handlers, events, refusals and resumes are counted by declared names alone, whatever clients send', async (t) => {
  const { app, admin, user } = await start(t)
  const ada = await createPeer(app, { room: 'chat/1', token: user })
  for (const id of ['a', 'b']) {
    ada.send({ type: 'say', room: 'chat/1', id, data: { text: 'hi' } })
    await ada.next('ack')
    await ada.next('said')
  }
  for (const [type, data] of [['say', { text: 7 }], ['undeclared', {}]] as const) {
    ada.send({ type, room: 'chat/1', id: type, data })
    await ada.next('error')
  }
  const [, { epoch }] = Object.entries(ada.welcome.data.rooms as Record<string, { epoch: string }>)[0]!
  const bob = await createPeer(app, { token: user })
  bob.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: { epoch, offset: 0 } } })
  for (let each = 0; each < 2; each++) await bob.next('said')
  const text = (await app.inject({ url: '/ws/stats?format=prometheus', headers: bearer(admin) })).body
  for (const line of [
    'realtime_messages_total{definition="chat/:id",message="say"} 2',
    'realtime_message_duration_seconds_count{definition="chat/:id",message="say"} 1',
    'realtime_message_duration_seconds_bucket{definition="chat/:id",message="say",le="+Inf"} 1',
    'realtime_message_refusals_total{definition="chat/:id",message="say"} 1',
    'realtime_events_total{definition="chat/:id",event="said"} 2',
    'realtime_resume_events_bucket{definition="chat/:id",le="1"} 0',
    'realtime_resume_events_bucket{definition="chat/:id",le="5"} 1',
    'realtime_resume_events_sum{definition="chat/:id"} 2',
    'realtime_fanout_duration_seconds_count{definition="chat/:id"} 0',
    'realtime_adapter_call_duration_seconds_count{call="publish"} 0'
  ]) t.ok(text.split('\n').includes(line), line)
  t.notMatch(text, 'undeclared')
})

t.test('a registry of OpenMetrics has the trace of a message beside its duration, of one in sixteen', async (t) => {
  const register = new Registry<OpenMetricsContentType>()
  register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const { app, admin, user } = await start(t, { stats: { register } })
  const ids = ['00f067aa0ba902b7', '00f067aa0ba902b8']
  let traced = 0
  const follow = (step: unknown): void => {
    const id = ids[traced++ === 16 ? 1 : 0]!
    ;(step as MessageStep).traceparent = `00-4bf92f3577b34da6a3ce929d0e0e4736-${id}-01`
  }
  subscribe('tracing:fastify-realtime:message:start', follow)
  t.teardown(() => { unsubscribe('tracing:fastify-realtime:message:start', follow) })
  const ada = await createPeer(app, { room: 'chat/1', token: user })
  for (let each = 0; each < 17; each++) {
    ada.send({ type: 'say', room: 'chat/1', id: String(each), data: { text: 'hi' } })
    await ada.next('ack')
  }
  const text = (await app.inject({ url: '/ws/stats?format=prometheus', headers: bearer(admin) })).body
  t.match(text, /^realtime_message_duration_seconds_count\{.*\} 2$/m)
  t.match(
    text,
    /^realtime_message_duration_seconds_bucket\{.*\} \d # \{trace_id="4bf92f3577b34da6a3ce929d0e0e4736",span_id="00f067aa0ba902b8"\} \S+ 1\d{9}/m
  )
})

t.test('an adapter that is down is told as down', async (t) => {
  const line = async (adapter: Record<string, unknown>): Promise<string | undefined> => {
    const metrics = new Metrics(() => snapshot(new Ledger(), source(), { ...facts, adapter }))
    return (await metrics.scrape()).text.split('\n').find((each) => each.startsWith('realtime_adapter_up'))
  }
  t.equal(await line({ name: 'memory' }), 'realtime_adapter_up 1')
  t.equal(await line({ name: 'redis', isUp: true }), 'realtime_adapter_up 1')
  t.equal(await line({ name: 'redis', isUp: false }), 'realtime_adapter_up 0')
})

t.test('one scrape reads one snapshot, and the next another', async (t) => {
  let reads = 0
  const metrics = new Metrics(() => { reads++; return snapshot(new Ledger(), source(), facts) })
  await metrics.scrape()
  t.equal(reads, 1)
  await metrics.scrape()
  t.equal(reads, 2)
})

t.test('counters do not grow by being scraped, and times are seconds', async (t) => {
  const ledger = new Ledger()
  ledger.messagesIn = 7
  const metrics = new Metrics(() => snapshot(ledger, source(), facts))
  await metrics.scrape()
  ledger.messagesIn++
  const lines = (await metrics.scrape()).text.split('\n')
  t.ok(lines.includes('realtime_messages_received_total 8'))
  t.ok(lines.includes('realtime_event_loop_delay_seconds{statistic="p99"} 0.0015'))
})

t.test(
  'a metric of the app that has one of our names is named, and nothing of ours is left in its registry',
  async (t) => {
    const register = new Registry()
    void new Gauge({ name: 'realtime_users', help: 'of the app', registers: [register] })
    t.throws(() => new Metrics(() => snapshot(new Ledger(), source(), facts), register), {
      code: 'REALTIME_ERR_OPTIONS',
      message: /realtime_users/
    })
    t.same(register.getMetricsAsArray().map(({ name }) => name), ['realtime_users'])
  }
)

/** What the metrics say in other numbers. */
const DERIVED: Record<string, (stats: StatsSnapshot) => number> = {
  'connections.total': ({ connections: { transports } }) => transports.websocket + transports.sse + transports.polling,
  'connections.capacityPercent': ({ connections: { total, max } }) => Math.round(total / max * 1_000) / 10,
  'rooms.active': ({ rooms: { definitions } }) => definitions['chat/:id']!.rooms,
  'events.out': ({ ledger: { delivered, resumed } }) => delivered + resumed
}

function numbersOf (value: unknown, path = ''): Array<[path: string, value: number]> {
  if (typeof value === 'number') return [[path, value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, each]) => numbersOf(each, path === '' ? key : `${path}.${key}`))
}

t.test(
  'each number of the stats is in the metrics, those of every adapter included, or is made of some that are',
  async (t) => {
    let next = 7_001
    const number = (): number => (next += 2)
    const ledger = new Ledger()
    for (const [key, value] of Object.entries(ledger)) {
      if (typeof value === 'number') (ledger as unknown as Record<string, number>)[key] = number()
    }
    for (const map of [ledger.refusals, ledger.errors, ledger.closes]) map.set('server_full', number())
    Object.assign(ledger.opened, { websocket: number(), sse: number(), polling: number() })
    const keys = [
      memory(),
      redis(),
      nats()
    ].flatMap((adapter) => Object.entries(adapter.stats!()).flatMap(([key, value]) => typeof value === 'number'
      ? [key]
      : []))
    const adapter = Object.fromEntries([...new Set(keys)].map((key) => [key, number()]))
    const rooms = number()
    const transports = { websocket: number(), sse: number(), polling: number() }
    const stats = snapshot(ledger, {
      connections: { total: transports.websocket + transports.sse + transports.polling, users: number(), transports },
      outbox: () => ({ frames: number(), bytes: number(), events: number() }),
      activeRooms: rooms,
      byDefinition: () => new Map([['chat/:id', { rooms, members: number() }]])
    }, {
      ...facts,
      capacity: number(),
      slots: number(),
      published: number(),
      gaps: number(),
      gapsTold: number(),
      loop: { p50: number(), p99: number(), max: number() },
      adapter,
      uptime: number()
    })
    const { text } = await new Metrics(() => stats).scrape()
    const samples = new Set([...text.matchAll(/^realtime_\S+(?: \S+)*? (\S+)$/gm)].map(([, value]) => Number(value)))
    for (const [path, value] of numbersOf(stats)) {
      const derived = DERIVED[path]
      if (derived !== undefined) t.equal(value, derived(stats), path)
      else t.ok(samples.has(value) || samples.has(value / 1_000), `${path} is in the metrics`)
    }
    t.ok(keys.includes('forgotten') && keys.includes('historyEvicted') && keys.includes('repairs'))
  }
)

t.test('the answer is named as the app\'s registry writes it', async (t) => {
  const register = new Registry<OpenMetricsContentType>()
  register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const { app } = await start(t, { stats: { register, token: 'scrape-me' } })
  const { headers, body } = await app.inject({ url: '/ws/stats', headers: bearer('scrape-me', PROMETHEUS) })
  t.equal(headers['content-type'], 'application/openmetrics-text; version=1.0.0; charset=utf-8')
  t.match(body, /# EOF\n$/)
  await app.close()
  t.same(register.getMetricsAsArray(), [])
})

t.test(
  'the app\'s own registry holds the metrics while the app is open, and a second app is told to bring its own',
  async (t) => {
    const register = new Registry()
    const { app } = await start(t, { stats: { register } })
    t.match(await register.metrics(), /realtime_connections/)
    const second = Fastify()
    t.teardown(async () => { await second.close() })
    await t.rejects(async () => { await second.register(realtime, { jwt: { secret: 'x' }, stats: { register } }) }, {
      code: 'REALTIME_ERR_OPTIONS',
      message: /already holds realtime_\w+: give each app a Registry of its own/
    })
    await app.close()
    t.notMatch(await register.metrics(), /realtime_connections/)
  }
)

t.test('the version is that of the package', async (t) => {
  t.equal(VERSION, JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
})
