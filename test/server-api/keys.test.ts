import { mock } from 'node:test'
import Fastify from 'fastify'
import t from 'tap'
import { LimitWarnings } from '../../lib/errors/limit-warnings.js'
import { Refusal } from '../../lib/errors/refusal.js'
import realtime, { type ApiOptions } from '../../lib/index.js'
import { Caller } from '../../lib/server-api/keys.js'
import { canCover, covers, roomPattern } from '../../lib/server-api/room-patterns.js'
import { parsePattern } from '../../lib/contract/names.js'
import { declareOrders, KEYS, ROOT, SHOP, startApi, VIEW } from './api.js'
import { matchList } from '../helpers/match-list.js'

const key = { key: ROOT, name: 'root', rooms: ['*'], may: ['publish'] }

for (const [what, api, message] of [
  ['a key that is short', { keys: [{ ...key, key: 'too-short-for-this' }] }, /keys\.0\.key is a string of 32 .*openssl rand/],
  ['a key with a space', { keys: [{ ...key, key: `two ${ROOT}` }] }, /keys\.0\.key/],
  ['a key without a name', { keys: [{ ...key, name: undefined }] }, /keys\.0\.name/],
  ['an empty name', { keys: [{ ...key, name: '' }] }, /keys\.0\.name/],
  ['twice one name', { keys: [key, { ...key, key: SHOP }] }, /keys\.1\.name is that of options\.api\.keys\.0 too; give/],
  ['twice one key', { keys: [key, { ...key, name: 'other' }] }, /keys\.1\.key is that of options\.api\.keys\.0 too/],
  ['an unknown scope', { keys: [{ ...key, may: ['write'] }] }, /keys\.0\.may\.0: expected "publish" or "read"/],
  ['no scope', { keys: [{ ...key, may: [] }] }, /keys\.0\.may/],
  ['no room', { keys: [{ ...key, rooms: [] }] }, /keys\.0\.rooms/],
  ['a pattern within a segment', { keys: [{ ...key, rooms: ['orders/a*'] }] }, /"orders\/a\*" is no name of rooms/],
  ['a room that is not declared', { keys: [{ ...key, rooms: ['order/*'] }] }, /"root" is for the rooms "order\/\*", .*"orders\/:id"/],
  ['a definition in place of a pattern', { keys: [{ ...key, rooms: ['orders/:id'] }] }, /write "\*" where/],
  ['no keys', { keys: [] }, /options\.api\.keys/],
  ['a misspelt option', { keys: [key], authorise: () => true }, /did you mean "authorize"/],
  ['a misspelt field', { keys: [{ ...key, room: ['*'] }] }, /did you mean "rooms"/],
  ['a key alone', { keys: [ROOT] }, /keys\.0: expected object/],
  ['an authorize that is none', { keys: [key], authorize: true }, /authorize must be a function/],
  ['a rate of nothing', { keys: [key], rate: { messages: 0, burst: 1 } }, /rate\.messages/]
] as const) {
  t.test(`${what} is refused at start, by an error that names the place and shows no key`, async (t) => {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    const begin = async (): Promise<void> => {
      await app.register(realtime, { jwt: { secret: 'keys' }, api: api as unknown as ApiOptions })
      declareOrders(app)
      await app.ready()
    }
    const error = await begin().then(() => undefined, (thrown: { code?: string, message: string }) => thrown)
    t.equal(error?.code, 'REALTIME_ERR_OPTIONS')
    t.match(error?.message, message)
    t.notMatch(error?.message, ROOT)
  })
}

t.test('a pattern covers any one segment, at its end any number of them', async (t) => {
  const all = (pattern: string, names: string[]): boolean[] => names.map((name) => covers(roomPattern(pattern), name))
  t.same(all('orders/*', ['orders/1', 'orders/1/items', 'orders', 'other/1', '@user/1']), [true, true, false, false, false])
  t.same(all('*', ['orders', 'orders/1', '@user/ada']), [true, true, true])
  t.same(all('*/log', ['a/log', 'a/b/log', 'a/logs', 'log']), [true, false, false, false])
  t.same(all('orders/7', ['orders/7', 'orders/71', 'orders/7/x']), [true, false, false])
  const can = (pattern: string, source: string): boolean => canCover(roomPattern(pattern), parsePattern(source))
  t.ok(can('orders/*', 'orders/:id/items'))
  t.ok(can('orders/7', 'orders/:id'))
  t.ok(can('*/1', ':kind/:id'))
  t.notOk(can('orders/*', 'orders'))
  t.notOk(can('orders/@x', 'orders/:id'), 'no param is encoded as this')
})

t.test('without a key, with a wrong one, and with a token of a user there is no server API', async (t) => {
  const { post, get, token, lines, app } = await startApi(t)
  const refused = [401, { code: 'unauthorized', statusCode: 401, retry: 'refresh' }]
  for (const given of ['', 'wrong-'.padEnd(40, 'k'), `${ROOT}k`, token('ada', { role: 'admin' })]) {
    const answer = await post('publish', { room: 'orders/1', event: 'created', data: { n: 1 } }, given)
    matchList(t, [answer.status, answer.body], refused)
    t.match(answer.headers, { 'www-authenticate': 'Bearer' })
    t.equal((await get('rooms/orders/1', given)).status, 401)
  }
  t.equal((await app.inject(`/ws/api/rooms/orders/1?token=${ROOT}`)).statusCode, 401, 'a key is no part of a URL')
  t.same(lines.filter((line) => line.includes(ROOT)), [])
})

t.test('a key is no token of a user', async (t) => {
  const { app } = await startApi(t)
  const answer = await app.inject({ url: '/ws/orders/1', headers: { authorization: `Bearer ${ROOT}` } })
  matchList(t, [answer.statusCode, answer.json()], [401, { code: 'unauthorized' }])
})

t.test('without the option there is no server API, and its name is no room', async (t) => {
  const { post } = await startApi(t, {}, { api: undefined as never })
  const answer = await post('publish', { room: 'orders/1', event: 'created', data: { n: 1 } })
  matchList(t, [answer.status, answer.body], [400, { code: 'room_invalid' }])
})

t.test('a key does what its scopes say, in its rooms, and its refusals say what is missing', async (t) => {
  const { post, get, lines } = await startApi(t)
  const event = { room: 'orders/1', event: 'created', data: { n: 1 } }
  const target = { user: 'ada', room: 'orders/1' }
  const tries: Array<readonly [string, string, number]> = []
  for (const [name, given] of [['shop', SHOP], ['view', VIEW], ['root', ROOT]] as const) {
    tries.push([name, 'publish', (await post('publish', event, given)).status])
    for (const path of ['join', 'leave']) tries.push([name, path, (await post(path, target, given)).status])
    tries.push([name, 'revoke', (await post('revoke', { user: 'nobody' }, given)).status])
    for (const path of ['rooms/orders/1', 'rooms/orders/1/history', 'rooms/orders/1/state', 'users/ada']) {
      tries.push([name, path, (await get(path, given)).status])
    }
  }
  const allowed = tries.filter(([, , status]) => status === 200).map(([name, path]) => `${name} ${path}`)
  t.same(allowed, [
    'shop publish',
    'view rooms/orders/1', 'view rooms/orders/1/history', 'view rooms/orders/1/state', 'view users/ada',
    'root publish', 'root join', 'root leave', 'root revoke',
    'root rooms/orders/1', 'root rooms/orders/1/history', 'root rooms/orders/1/state', 'root users/ada'
  ])
  t.same(tries.filter(([, , status]) => status !== 200 && status !== 403), [])
  t.match((await post('publish', event, VIEW)).body, { code: 'forbidden', retry: 'never', message: 'the key may not publish' })
  const elsewhere = await post('publish', { ...event, room: 'lobby' }, SHOP)
  matchList(t, [elsewhere.status, elsewhere.body], [403, { code: 'forbidden', room: 'lobby' }])
  t.ok(lines.some((line) => line.includes('"apiKey":"view"') && line.includes('add \'publish\' to may')))
  t.same(lines.filter((line) => [ROOT, SHOP, VIEW].some((secret) => line.includes(secret))), [])
})

t.test('the scope members moves connections and sees who is there, and reads nothing else', async (t) => {
  const door = 'door-'.padEnd(40, 'k')
  const { post, get } = await startApi(t, { keys: [{ key: door, name: 'door', rooms: ['orders/*'], may: ['members'] }] })
  t.match((await post('join', { user: 'ada', room: 'orders/1' }, door)).body, { joined: 0 })
  matchList(t, (await get('rooms/orders/1', door)).body, { count: 0, members: [] })
  t.match((await get('users/ada', door)).body, { online: false, connections: 0 })
  t.equal((await get('rooms/orders/1/history', door)).status, 403)
  t.equal((await post('join', { user: 'ada', room: 'lobby' }, door)).status, 403)
})

t.test('authorize is asked for each event and call, and anything but true refuses', async (t) => {
  const asked: object[] = []
  const { post, get, loud } = await startApi(t, {
    authorize: async ({ request, ...call }) => {
      asked.push({ ...call, method: request.method })
      if (call.room === 'orders/late') await new Promise(() => {})
      if (call.room === 'orders/thrown') throw Object.assign(new Error('not on Sundays'), { statusCode: 409, code: 'sunday' })
      if (call.room === 'orders/broken') throw new Error('secret of the application')
      return (call.room === 'orders/yes' || 'yes') as boolean
    }
  }, { timeouts: { authentication: 20 } })
  const event = (room: string): object => ({ room, event: 'created', data: { n: 1 } })
  t.equal((await post('publish', event('orders/yes'))).status, 200)
  t.match((await post('publish', event('orders/no'))).body, { statusCode: 403, code: 'forbidden' })
  t.match((await post('publish', event('orders/thrown'))).body, { statusCode: 409, code: 'sunday', message: 'not on Sundays' })
  t.match((await post('publish', event('orders/late'))).body, { statusCode: 503, code: 'unavailable' })
  t.match((await post('publish', event('orders/broken'))).body, { statusCode: 500, message: 'internal error' })
  t.equal((await get('users/ada')).status, 403)
  t.equal((await post('revoke', { user: 'ada' })).status, 403)
  matchList(t, asked, [
    { name: 'root', action: 'publish', room: 'orders/yes', event: 'created', method: 'POST' },
    {}, {}, {}, {},
    { name: 'root', action: 'read', user: 'ada', method: 'GET' },
    { name: 'root', action: 'revoke', user: 'ada' }
  ])
  t.ok(loud.some((line) => JSON.stringify(line).includes('secret of the application')), 'the fault is logged')
})

t.test('a key has a rate of its own, of which each event costs one, and its refusal says when to come again', async (t) => {
  const { post } = await startApi(t, { rate: { messages: 0.001, burst: 10 } })
  const event = { room: 'orders/1', event: 'created', data: { n: 1 } }
  t.equal((await post('publish', Array.from({ length: 8 }, () => event), SHOP)).status, 200)
  t.equal((await post('publish', event, SHOP)).status, 200)
  const refused = await post('publish', [event, event], SHOP)
  matchList(t, [refused.status, refused.body], [429, { code: 'rate_limited', retry: 'backoff', retryAfter: Number }])
  t.match(refused.headers, { 'retry-after': /^\d+$/ })
  t.equal((await post('publish', Array.from({ length: 1_000 }, () => event), ROOT)).status, 200, 'another key, and a batch costs the burst at most')
})

for (const [rate, sizes] of [
  [{ messages: 1, burst: 100 }, [50]],
  [{ messages: 1, burst: 100 }, [99, 100, 1_000]],
  [{ messages: 3, burst: 7 }, [1, 2, 5, 7, 8]],
  [{ messages: 0.25, burst: 1 }, [1, 50]],
  [{ messages: 1_000, burst: 10_000 }, [1_000]]
] as const) {
  const { messages, burst } = rate
  t.test(`who waits as told gets lists of ${sizes.join(', ')} through, at ${messages} a second and ${burst} at once`, (t) => {
    let now = 0
    mock.method(performance, 'now', () => now)
    t.teardown(() => { mock.restoreAll() })
    const caller = new Caller({ key: ROOT, name: 'root', rooms: ['*'], may: ['publish'] }, rate, new LimitWarnings({ warn () {} }))
    const waitOf = (events: number): number => {
      try {
        caller.begin()
        caller.spend(events)
        return 0
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        return Number(error.data?.retryAfter)
      }
    }
    for (let request = 0; request < 100; request++) {
      const events = sizes[request % sizes.length]!
      const waits: number[] = []
      // A request that is refused before its list is counted is told of its own cost alone, so there may be two.
      for (let wait; waits.length < 3 && (wait = waitOf(events)) > 0; now += wait) waits.push(wait)
      t.ok(waits.length < 3, `request ${request} was told to wait ${waits.join(', ')} ms`)
    }
    t.ok(now > 0, 'it had to wait')
    t.end()
  })
}

t.test('a page of a foreign origin is refused also with a key, other programs send none', async (t) => {
  const { post, url } = await startApi(t)
  const event = { room: 'orders/1', event: 'created', data: { n: 1 } }
  const answer = await post('publish', event, ROOT, { origin: 'https://evil.example.com' })
  matchList(t, [answer.status, answer.body], [403, { code: 'origin_refused' }])
  t.equal((await post('publish', event, ROOT, { origin: url, host: new URL(url).host })).status, 200)
})

t.test('the stats count what each key has published and was refused, by its name', async (t) => {
  const { app, post, token } = await startApi(t)
  const event = { room: 'orders/1', event: 'created', data: { n: 1 } }
  await post('publish', [event, { ...event, event: 'nothing' }, event], SHOP)
  await post('publish', event, VIEW)
  await post('publish', event, 'nobody-'.padEnd(40, 'k'))
  t.match((await app.rooms.stats()).api, {
    root: { published: 0 },
    shop: { published: 2, refused: { invalid_message: 1 } },
    view: { published: 0, refused: { forbidden: 1 } },
    '': { published: 0, refused: { unauthorized: 1 } }
  })
  const { body } = await app.inject({
    url: '/ws/stats?format=prometheus',
    headers: { authorization: `Bearer ${token('root', { role: 'admin' })}` }
  })
  t.match(body, /^realtime_api_published_total\{key="shop"\} 2$/m)
  t.match(body, /^realtime_api_refused_total\{key="shop",code="invalid_message"\} 1$/m)
  t.match(body, /^realtime_api_refused_total\{key="",code="unauthorized"\} 1$/m)
  t.same(KEYS.filter(({ key: secret }) => body.includes(secret)), [])
})
