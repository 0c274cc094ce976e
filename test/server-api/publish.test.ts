import type { FastifyServerOptions } from 'fastify'
import t from 'tap'
import { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import type { Publication, Published, RoomSettings } from '../../lib/adapters/adapter.js'
import type { Awaitable } from '../../lib/structures/awaitable.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { matchList } from '../helpers/match-list.js'
import { connect } from '../helpers/net.js'
import { ROOT, SHOP, startApi, type Api } from './api.js'

const created = (n: number, room = 'orders/1'): object => ({ room, event: 'created', data: { n } })

/** The numbers that a room keeps, in its order. */
async function kept ({ app }: Api, room = 'orders/1'): Promise<number[]> {
  return (await app.rooms.history(room)).events.map(({ data }) => (data as { n: number }).n)
}

t.test('an event that another program publishes reaches the members, and its answer has its position', async (t) => {
  const api = await startApi(t)
  const ada = await connect(api, { rooms: ['orders/1'], token: api.token('ada') })
  const bob = await connect(api, { rooms: ['orders/1'], token: api.token('bob') })
  const { status, body } = await api.post('publish', { ...created(1), except: bob.id }, SHOP)
  matchList(t, [status, body], [200, { results: [{ position: { epoch: String, offset: 1 }, recipients: 1 }] }])
  t.match(await ada.next('created'), { room: 'orders/1', data: { n: 1 }, offset: 1 })
  await bob.fence()
  const price = { room: 'orders/1', event: 'price', data: { item: 'tea', euro: 3 } }
  t.same((await api.post('publish', [price, { room: 'bare/1', event: 'tick', data: {} }])).body, {
    results: [{ recipients: 2 }, { recipients: 0 }]
  })
  await ada.close()
  await bob.close()
})

t.test('an event leaves out connections, users and the members of rooms, and who is wrongly left out is refused', async (t) => {
  const api = await startApi(t)
  const peers = await Promise.all(['ada', 'bob', 'cy', 'dan'].map(async (user) => await connect(api, {
    rooms: user === 'cy' ? ['bare/1', 'bare/2'] : ['bare/1'],
    token: api.token(user)
  })))
  const [ada, bob, cy, dan] = peers as [typeof peers[0], typeof peers[0], typeof peers[0], typeof peers[0]]
  const publish = async (except: unknown): Promise<object> =>
    (await api.post('publish', { room: 'bare/1', event: 'tick', data: {}, except })).body
  matchList(t, await publish([ada.id, { user: 'bob' }, { room: 'bare/2' }]), { results: [{ recipients: 1 }] })
  await dan.next('tick')
  for (const peer of [ada, bob, cy]) await peer.fence()
  matchList(t, await publish({ user: 'bob' }), { results: [{ recipients: 3 }] })
  for (const peer of [ada, cy, dan]) await peer.next('tick')
  matchList(t, await publish([]), { results: [{ recipients: 4 }] })
  for (const peer of peers) await peer.next('tick')
  const both = { user: 'ada', room: 'bare/2' }
  for (const except of [5, null, {}, { user: 5 }, both, [[]], [''], { tokenId: 'x' }, Array(33).fill('a')]) {
    t.match(await publish(except), { statusCode: 400, code: 'invalid_message' }, JSON.stringify(except))
  }
  const foreign = await api.post('publish', { ...created(1), except: { room: 'lobby' } }, SHOP)
  t.match(foreign.body, { statusCode: 403, code: 'forbidden', room: 'lobby' })
  for (const peer of peers) {
    await peer.fence()
    peer.cut()
  }
})

t.test('a list is answered thing by thing: what is wrong with one harms no other', async (t) => {
  const api = await startApi(t, {}, { history: { size: 1_000 } })
  const list = Array.from({ length: 1_000 }, (_, n) => created(n))
  list[7] = { room: 'orders/1', event: 'created', data: { n: 'seven' } }
  list[8] = { room: 'order/1', event: 'created', data: { n: 8 } }
  list[9] = { room: 'orders/1', event: 'creatd', data: { n: 9 } }
  list[10] = { room: 'orders/1', event: 'created', data: { n: 10 }, idempotencykey: 'a' }
  list[11] = 11 as never
  list[12] = { room: 'orders/.', event: 'created', data: { n: 12 } }
  list[13] = { room: 'orders/1', event: 'note', data: { text: 'x'.repeat(262_144) } }
  list[14] = { room: 'orders/1', event: 'created' }
  const { status, body } = await api.post('publish', list)
  t.equal(status, 200)
  const { results } = body as { results: Array<{ position?: { offset: number }, error?: object }> }
  t.equal(results.length, 1_000)
  const errors = new Map(results.flatMap(({ error }, index) => error === undefined ? [] : [[index, error]]))
  matchList(t, Object.fromEntries(errors), {
    7: { code: 'invalid_message', retry: 'never', details: [{ path: '/n' }] },
    8: { code: 'room_unknown', retry: 'never' },
    9: { code: 'invalid_message', message: /declares no event "creatd"/ },
    10: { code: 'invalid_message', message: /"idempotencykey" is no field/ },
    11: { code: 'invalid_message', message: /an event is an object/ },
    12: { code: 'room_invalid' },
    13: { code: 'message_too_large' },
    14: { code: 'invalid_message' }
  })
  t.same([...errors.keys()], [7, 8, 9, 10, 11, 12, 13, 14])
  t.same(await kept(api), [...Array(1_000).keys()].filter((n) => !errors.has(n)), 'the others, in their order')
  const offsets = results.flatMap(({ position }) => position === undefined ? [] : [position.offset])
  t.same(offsets, [...offsets].sort((a, b) => a - b))
})

t.test('an event that comes alone and is refused is answered with its status, in a list of one it is not', async (t) => {
  const { post } = await startApi(t)
  const wrong = { room: 'orders/1', event: 'created', data: { n: 'x' } }
  const alone = await post('publish', wrong)
  matchList(
    t,
    [alone.status, alone.body],
    [400, { statusCode: 400, code: 'invalid_message', details: [{ path: '/n' }] }]
  )
  t.match((await post('publish', created(1, 'unknown/1'))).body, { statusCode: 404, code: 'room_unknown' })
  t.match((await post('publish', { room: 'orders/1', event: 'note', data: { text: 'x'.repeat(262_144) } })).body, {
    statusCode: 413,
    code: 'message_too_large'
  })
  const list = await post('publish', [wrong])
  matchList(t, [list.status, list.body], [200, { results: [{ error: { code: 'invalid_message' } }] }])
})

t.test('a request is refused as a whole before any of it is published', async (t) => {
  const api = await startApi(t)
  const { post } = api
  const good = JSON.stringify(created(1))
  const mebibyte = (more: number): string => `[${good}]`.padEnd(1_048_576 + more)
  for (const [what, body, status, code] of [
    ['a byte too many', mebibyte(1), 413, 'message_too_large'],
    ['too many events', `[${Array.from({ length: 1_001 }, () => good).join()}]`, 413, 'message_too_large'],
    ['no end', `[${good}`, 400, 'invalid_message'],
    ['something behind it', `[${good}] 1`, 400, 'invalid_message'],
    ['a comma too many', `[${good},]`, 400, 'invalid_message'],
    ['a comma too many', `[,${good}]`, 400, 'invalid_message'],
    ['a wrong bracket', `[${good},{]`, 400, 'invalid_message'],
    ['an open text', `[${good},"]`, 400, 'invalid_message'],
    ['a prototype', `[${good},{"__proto__":{"room":"orders/1"}}]`, 400, 'invalid_message'],
    ['great depth', `[${good},${'['.repeat(40)}${']'.repeat(40)}]`, 400, 'invalid_message'],
    ['no event', '[ ]', 400, 'invalid_message'],
    ['nothing', '', 400, 'invalid_message'],
    ['no JSON', 'room=orders', 400, 'invalid_message']
  ] as const) {
    const answer = await post('publish', body)
    matchList(t, [answer.status, answer.body], [status, { statusCode: status, code }], what)
  }
  const form = await post('publish', good, ROOT, { 'content-type': 'text/plain' })
  matchList(t, [form.status, form.body], [415, { code: 'invalid_message', message: 'send application/json' }])
  t.same(await kept(api), [])
  t.equal((await post('publish', mebibyte(0))).status, 200, 'a mebibyte is not too much')
  const text = { room: 'orders/1', event: 'note', data: { text: 'a "]}, \\ b\\\\' } }
  matchList(t, (await post('publish', ` [ ${JSON.stringify(text)} , ${good} ] `)).body, { results: [{ position: {} }, { position: {} }] })
})

t.test('what other programs send is checked in production too, where the application is trusted', async (t) => {
  const { post, app } = await startApi(t, {}, { validateOutput: false })
  const wrong = { room: 'orders/1', event: 'created', data: { n: 'x' } }
  matchList(t, (await post('publish', wrong)).body, { code: 'invalid_message', details: [{ path: '/n' }] })
  t.match(await app.rooms.broadcast('orders/1', 'created', { n: 'x' }), { recipients: 0 })
})

t.test('a list gives way to others between its events', async (t) => {
  const { post } = await startApi(t)
  let turns = 0
  let next: NodeJS.Immediate
  const count = (): void => { next = setImmediate(() => { turns++; count() }) }
  count()
  await post('publish', Array.from({ length: 1_000 }, (_, n) => created(n)))
  clearImmediate(next!)
  t.ok(turns >= 35, `${turns} turns for 1 000 events that are parsed and published, 50 of one step in each at most`)
})

t.test('an Idempotency-Key makes a request that is sent again add nothing, and refuses another one under it', async (t) => {
  const api = await startApi(t)
  const { post } = api
  const list = [created(1), created(2, 'orders/2'), created(3)]
  const headers = { 'idempotency-key': 'import-7' }
  const first = await post('publish', list, ROOT, headers)
  const again = await post('publish', list, ROOT, headers)
  t.same([again.status, again.body], [200, first.body])
  t.same([await kept(api), await kept(api, 'orders/2')], [[1, 3], [2]])
  const other = await post('publish', [created(1)], ROOT, headers)
  matchList(t, [other.status, other.body], [409, { code: 'duplicate', retry: 'never' }])
  t.equal((await post('publish', created(4), SHOP, headers)).status, 200, 'it is the key\'s own')
  t.same(await kept(api), [1, 3, 4])
  t.equal((await post('publish', created(5), ROOT, { 'idempotency-key': 'k'.repeat(256) })).status, 400)
})

t.test('requests with one Idempotency-Key that run at the same time add each event once, in order', async (t) => {
  const api = await startApi(t)
  const list = Array.from({ length: 90 }, (_, n) => created(n))
  const answers = await Promise.all([1, 2, 3].map(() => api.post('publish', list, ROOT, { 'idempotency-key': 'one' })))
  t.same(answers.map(({ status }) => status), [200, 200, 200])
  t.same(await kept(api), [...Array(90).keys()])
})

t.test('an event\'s own key goes before that of the request, and counts in its room', async (t) => {
  const api = await startApi(t)
  const event = { ...created(1), idempotencyKey: 'n-1' }
  await api.post('publish', event)
  await api.post('publish', [event, { ...created(1, 'orders/2'), idempotencyKey: 'n-1' }], ROOT, { 'idempotency-key': 'x' })
  t.same([await kept(api), await kept(api, 'orders/2')], [[1], [1]])
  t.equal((await api.post('publish', { ...event, idempotencyKey: 1 })).status, 400)
})

/** Fails to publish the numbers that it is told, before or behind the publication. */
class Flaky extends MemoryAdapter {
  readonly refused = new Set<number>()
  readonly lost = new Set<number>()

  override publish (room: string, publication: Publication, settings: RoomSettings): Awaitable<Published> {
    const { n } = JSON.parse(publication.data) as { n: number }
    if (this.refused.delete(n)) return Promise.reject(new Refusal('unavailable', { retryAfter: 1_000 }))
    const published = super.publish(room, publication, settings)
    if (!this.lost.delete(n)) return published
    return Promise.reject(new Refusal('unavailable', { outcome: 'unknown', idempotencyKey: publication.idempotencyKey }))
  }
}

t.test('what cannot be published now is not overtaken by later events of its room, so that asking again keeps the order', async (t) => {
  const adapter = new Flaky()
  const api = await startApi(t, {}, { adapter })
  const list = [0, 1, 2, 3].flatMap((n) => [created(n), created(n, 'orders/2')])
  adapter.refused.add(1)
  const headers = { 'idempotency-key': 'again' }
  const { status, body } = await api.post('publish', list, ROOT, headers)
  const { results } = body as { results: Array<{ error?: { code: string, retryAfter: number } }> }
  t.equal(status, 200)
  const held = results.flatMap(({ error }, index) => error === undefined ? [] : [[index, error.code, error.retryAfter]])
  t.same(held, [[2, 'unavailable', 1_000], [4, 'unavailable', 1_000], [6, 'unavailable', 1_000]])
  t.same([await kept(api), await kept(api, 'orders/2')], [[0], [0, 1, 2, 3]])
  const again = (await api.post('publish', list, ROOT, headers)).body as { results: Array<{ error?: object }> }
  t.same(again.results.filter(({ error }) => error !== undefined), [])
  t.same([await kept(api), await kept(api, 'orders/2')], [[0, 1, 2, 3], [0, 1, 2, 3]])
})

t.test('an outcome that nobody knows is told as such, with the key to ask again', async (t) => {
  const adapter = new Flaky()
  const api = await startApi(t, {}, { adapter })
  adapter.lost.add(1).add(2).add(3)
  const alone = await api.post('publish', { ...created(1), idempotencyKey: '100%\n' })
  matchList(t, [alone.status, alone.body], [503, {
    code: 'unavailable',
    retry: 'backoff',
    outcome: 'unknown',
    idempotencyKey: '100%\n'
  }])
  t.equal((await api.post('publish', { ...created(1), idempotencyKey: '100%\n' })).status, 200)
  const list = await api.post('publish', [created(2)], ROOT, { 'idempotency-key': 'all' })
  const [{ error }] = (list.body as { results: [{ error: { outcome: string, idempotencyKey: string } }] }).results
  t.equal(error.outcome, 'unknown')
  t.equal((await api.post('publish', { ...created(2), idempotencyKey: error.idempotencyKey })).status, 200)
  t.same(await kept(api), [1, 2], 'each once')
})

t.test('a handlerTimeout of the app cuts no list, of which nobody would know what was published', async (t) => {
  const authorize = async (): Promise<boolean> => await new Promise((resolve) => { setTimeout(resolve, 40, true) })
  const api = await startApi(t, { authorize }, { fastify: { handlerTimeout: 100 } as FastifyServerOptions })
  const { status, body } = await api.post('publish', [0, 1, 2, 3, 4].map((n) => created(n)))
  t.equal(status, 200)
  matchList(
    t,
    (body as { results: object[] }).results,
    Array.from({ length: 5 }, () => ({ position: { epoch: String } }))
  )
})

t.test('a node that drains refuses with its code, and says when to come again', async (t) => {
  const api = await startApi(t)
  await api.app.rooms.drain()
  const answer = await api.post('publish', created(1))
  matchList(t, [answer.status, answer.body], [503, { code: 'draining', retry: 'now' }])
  t.match(answer.headers, { 'retry-after': /^\d+$/ })
})
