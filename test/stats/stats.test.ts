import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Ajv } from 'ajv'
import formats from 'ajv-formats'
import specs from '@asyncapi/specs'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { asyncApi } from '../../lib/asyncapi.js'
import realtime, { defineRoom, type RealtimeOptions } from '../../lib/index.js'
import { Ledger } from '../../lib/stats/ledger.js'
import { Metrics } from '../../lib/stats/metrics.js'
import { negotiate } from '../../lib/stats/negotiate.js'
import { snapshot, type StatsSource } from '../../lib/stats/snapshot.js'
import { createPeer } from '../../lib/testing/index.js'
import { VERSION } from '../../lib/version.js'

const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ id: Type.String() }) } },
  events: { said: Type.Object({ text: Type.String() }) }
})
const PROMETHEUS = 'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'

async function start (test: Test, options: RealtimeOptions = {}): Promise<{ app: FastifyInstance, admin: string, user: string }> {
  const app = Fastify()
  test.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'stats' }, ...options })
  app.room(chat, { on: { async say ({ data, room }) { await room.broadcast('said', data); return { id: '1' } } } })
  await app.ready()
  const sign = (payload: object): string => app.jwt.sign(payload, { expiresIn: 60 })
  return { app, admin: sign({ sub: 'root', role: 'admin' }), user: sign({ sub: 'ada' }) }
}

const bearer = (token: string, accept = 'application/json'): Record<string, string> => ({ authorization: `Bearer ${token}`, accept })

function source (rooms = 0): StatsSource {
  return {
    connections: { total: 333, users: 200, transports: { websocket: 300, sse: 30, polling: 3 } },
    outbox: () => ({ frames: 4, bytes: 1_000, events: 3 }),
    activeRooms: rooms,
    byDefinition: () => new Map([['chat/:id', { rooms, members: rooms * 2 }]])
  }
}

const facts = { node: 'n1', version: VERSION, capacity: 1_000, isAccepting: true, published: 9, gaps: 0, loop: { p50: 0, p99: 1.5, max: 3 }, adapter: { name: 'memory' }, uptime: 10 }

for (const [accept, format] of [
  [undefined, 'json'],
  ['*/*', 'json'],
  ['application/json', 'json'],
  ['application/json, text/plain, */*', 'json'],
  ['text/plain', 'prometheus'],
  [PROMETHEUS, 'prometheus'],
  ['application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,*/*;q=0.1', 'prometheus'],
  ['text/plain;q=0.5, application/json', 'json'],
  ['text/*', 'prometheus'],
  ['application/*;q=0.9, text/plain;q=0.8', 'json'],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'html'],
  ['text/plain;q=0', 'json']
] as const) {
  t.test(`Accept: ${accept ?? '(none)'} is answered with ${format}`, async (t) => { t.equal(negotiate(accept), format) })
}

t.test('the query decides the format against Accept, unless it names none', async (t) => {
  t.equal(negotiate('application/json', 'prometheus'), 'prometheus')
  t.equal(negotiate('text/html', 'json'), 'json')
  t.equal(negotiate('text/html', 'yaml'), 'html')
})

t.test('the stats say how full the node is with one decimal', async (t) => {
  const stats = snapshot(new Ledger(), source(), facts)
  t.match(stats.connections, { total: 333, max: 1_000, capacityPercent: 33.3, transports: { websocket: 300, sse: 30, polling: 3 } })
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
  t.same(before, { ...(await app.rooms.stats()), uptime: before.uptime, eventLoop: before.eventLoop }, 'app.rooms.stats() is the same object')
  await ada.close()
  await sse.close()
  const after = (await app.inject({ url: '/ws/stats', headers: bearer(admin) })).json()
  t.equal(after.connections.total, 0)
  t.equal(Object.values(after.closes as Record<string, number>).reduce((a, b) => a + b), 2)
})

t.test('only admins and the scrape token read the stats', async (t) => {
  const { app, admin, user } = await start(t, { stats: { token: 'scrape-me' } })
  for (const url of ['/ws/stats', '/ws/stats/rooms', '/ws/stats/connections', '/ws/stats/rooms/chat/1']) {
    t.match((await app.inject({ url })).json(), { statusCode: 401, code: 'unauthorized' }, `${url} without a credential`)
    t.match((await app.inject({ url, headers: bearer(user) })).json(), { statusCode: 403, code: 'forbidden' }, `${url} as a user`)
    t.not((await app.inject({ url, headers: bearer(admin) })).statusCode, 403, `${url} as an admin`)
    t.not((await app.inject({ url, headers: bearer('scrape-me') })).statusCode, 401, `${url} with the scrape token`)
  }
})

t.test('stats.authorize decides in place of the role', async (t) => {
  const { app, admin, user } = await start(t, { stats: { authorize: (who) => (who as { sub: string }).sub === 'ada' } })
  t.equal((await app.inject({ url: '/ws/stats', headers: bearer(admin) })).statusCode, 403)
  t.equal((await app.inject({ url: '/ws/stats', headers: bearer(user) })).statusCode, 200)
})

t.test('without stats the admin routes are not there, health is', async (t) => {
  const { app, admin } = await start(t, { stats: false })
  t.match((await app.inject({ url: '/ws/stats', headers: bearer(admin) })).json(), { code: 'room_invalid' })
  t.equal((await app.inject('/ws/health')).statusCode, 200)
})

t.test('the listings are paged', async (t) => {
  const { app, admin, user } = await start(t)
  for (let i = 0; i < 5; i++) await createPeer(app, { room: `chat/${i}`, token: user })
  const get = async (url: string): Promise<{ total: number, items: Array<{ name: string, members: number, userId: string }>, next?: string }> => (await app.inject({ url, headers: bearer(admin) })).json()
  const first = await get('/ws/stats/rooms?limit=2')
  t.same([first.total, first.items.length, first.next], [5, 2, '2'])
  const last = await get('/ws/stats/rooms?limit=2&after=4')
  t.same([last.items.length, last.next], [1, undefined])
  t.match(await get('/ws/stats/rooms/chat/3'), { name: 'chat/3', definition: 'chat/:id', members: 1 })
  const connections = await get('/ws/stats/connections?limit=3')
  t.same([connections.total, connections.items.length, connections.next], [5, 3, '3'])
  t.match(connections.items[0], { userId: 'ada', transport: 'websocket', rooms: ['chat/0'] })
  t.notOk(JSON.stringify(connections).includes('connectionId'))
  t.match((await app.inject({ url: '/ws/stats/rooms?limit=-1', headers: bearer(admin) })).json(), { statusCode: 400, code: 'invalid_message' })
})

t.test('health is 503 from the beginning of a drain', async (t) => {
  const { app } = await start(t)
  t.match((await app.inject('/ws/health')).json(), { status: 'ok', accepting: true })
  await app.rooms.drain()
  const answer = await app.inject('/ws/health')
  t.equal(answer.statusCode, 503)
  t.match(answer.json(), { accepting: false })
})

t.test('promtool accepts what Prometheus scrapes', async (t) => {
  const { app, user } = await start(t, { stats: { token: 'scrape-me' } })
  const peer = await createPeer(app, { room: 'chat/1', token: user })
  peer.send({ type: 'nope', room: 'chat/1', id: 'm-1' })
  await peer.next('error')
  await t.rejects(createPeer(app, { room: 'chat/1' }), { statusCode: 401 })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/ws/stats`, { headers: bearer('scrape-me', PROMETHEUS) })
  t.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  const text = await answer.text()
  t.match(text, /^realtime_connections\{transport="websocket"\} 1$/m)
  t.match(text, /^realtime_admissions_refused_total\{code="unauthorized"\} [1-9]/m)
  const tool = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  if (tool.error !== undefined) {
    if (process.env.CI === 'true') t.fail('promtool is missing')
    else t.comment('skipped: promtool is not installed')
    return
  }
  t.equal(tool.status, 0, tool.stderr + tool.stdout)
})

t.test('ten thousand rooms and users and codes of the app make no more series', async (t) => {
  const ledger = new Ledger()
  for (let i = 0; i < 1_000; i++) ledger.errored(`app_error_${i}`)
  const metrics = new Metrics(() => snapshot(ledger, source(10_000), facts))
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  t.ok(lines.length < 200, `${lines.length} series`)
  t.ok(lines.includes('realtime_message_errors_total{code="other"} 1000'))
})

t.test('the app\'s own registry holds the metrics while the app is open, and a second app is told to bring its own', async (t) => {
  const register = new Registry()
  const { app } = await start(t, { stats: { register } })
  t.match(await register.metrics(), /realtime_connections/)
  const second = Fastify()
  t.teardown(async () => { await second.close() })
  await t.rejects(async () => { await second.register(realtime, { jwt: { secret: 'x' }, stats: { register } }) }, { code: 'REALTIME_ERR_OPTIONS', message: /Registry of its own/ })
  await app.close()
  t.notMatch(await register.metrics(), /realtime_connections/)
})

t.test('a browser is sent the dashboard, which holds no data and runs nothing but itself', async (t) => {
  const { app } = await start(t)
  const answer = await app.inject({ url: '/ws/stats', headers: { accept: 'text/html,*/*;q=0.8' } })
  t.equal(answer.statusCode, 200)
  t.match(answer.headers['content-security-policy'], /default-src 'none'; script-src 'sha256-/)
  t.match(answer.body, /<!doctype html>/)
})

t.test('the AsyncAPI document of all declared rooms is valid AsyncAPI 3.0', async (t) => {
  const { app } = await start(t)
  const document = (await app.inject('/ws/asyncapi.json')).json()
  const ajv = new Ajv({ meta: false, strict: false, logger: false })
  formats.default(ajv)
  const schemas = ((specs as { default?: typeof specs }).default ?? specs).schemas as unknown as Record<string, object>
  const schema = schemas['3.0.0']!
  const validate = ajv.compile(schema)
  t.ok(validate(document), JSON.stringify(validate.errors?.slice(0, 3)))
  t.same(Object.keys(document.channels), ['chat_id'])
  t.equal(document.channels.chat_id.address, '/ws/chat/{id}')
  t.same(asyncApi([], { title: 'x', version: '1' }, '/ws') !== undefined, true)
})

t.test('the version is that of the package', async (t) => {
  t.equal(VERSION, JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
})
