import { Writable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { resolveConfig, type HooksSettings } from '../../lib/gateway/config/resolve.js'
import { createGateway } from '../../lib/gateway/gateway.js'
import { Backend } from '../../lib/gateway/hooks/backend.js'
import { Circuit } from '../../lib/gateway/hooks/circuit.js'
import { HookCounts } from '../../lib/gateway/hooks/counts.js'
import { Notices } from '../../lib/gateway/hooks/notices.js'
import { RoomHooks } from '../../lib/gateway/hooks/room-hooks.js'
import { FairTurns } from '../../lib/gateway/hooks/fair-turns.js'
import { readKey, signedHeaders } from '../../lib/gateway/hooks/signature.js'
import { createPeer } from '../../lib/testing/index.js'
import { matchList } from '../helpers/match-list.js'
import { freePort, until } from '../helpers/servers.js'
import { FakeBackend, isSigned, KEY, startBackend, WHSEC, type Behaviour } from './backend.js'

const Text = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }
const TIMES = { again: 1, failures: 3, users: 2, pause: 60, longest: 120 }

interface Gateway {
  readonly app: FastifyInstance
  readonly lines: Array<Record<string, unknown>>
  /** Sends a message as ada. */
  send (text: string, id?: string): Promise<{ status: number, body: Record<string, unknown> }>
  join (user?: string): ReturnType<typeof createPeer>
  counted (hook: string, outcome: string): Promise<number>
}

async function start (t: Test, backend: FakeBackend, hooks: object = {}): Promise<Gateway> {
  const lines: Array<Record<string, unknown>> = []
  const stream = new Writable({
    write (chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)) as Record<string, unknown>)
      done()
    }
  })
  const settings = resolveConfig({
    jwt: { secret: 'a secret that has at least 32 bytes' },
    stats: { token: 'the-token-of-whoever-scrapes-the-stats' },
    presence: { grace: 0 },
    hooks: { url: backend.url, secret: WHSEC, timeout: 2_000, ...hooks },
    rooms: {
      'chat/:id': {
        messages: { say: { data: Text, reply: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] } } },
        events: { said: { data: Text } }
      }
    }
  }, { env: {}, directory: '.' })
  const app = await createGateway(settings, { logger: { level: 'info', stream }, times: TIMES })
  t.teardown(async () => { await app.close() })
  await app.ready()
  const token = (sub: string): string => app.jwt.sign({ sub, role: 'tester' } as object, { expiresIn: '1m' })
  return {
    app,
    lines,
    join: async (user = 'ada') => await createPeer(app, { room: 'chat/1', token: token(user) }),
    async send (text, id) {
      const answer = await app.inject({
        method: 'POST',
        url: '/ws/chat/1',
        headers: { authorization: `Bearer ${token('ada')}`, 'content-type': 'application/json' },
        payload: JSON.stringify({ type: 'say', ...(id === undefined ? {} : { id }), data: { text } })
      })
      return { status: answer.statusCode, body: answer.json() }
    },
    async counted (hook, outcome) {
      const { payload } = await app.inject({
        url: '/ws/stats?format=prometheus', headers: { authorization: 'Bearer the-token-of-whoever-scrapes-the-stats' }
      })
      return countOf(payload, hook, outcome)
    }
  }
}

function countOf (metrics: string, hook: string, outcome: string): number {
  const line = `gateway_hooks_total{hook="${hook}",outcome="${outcome}"} `
  return Number(metrics.split('\n').find((each) => each.startsWith(line))?.slice(line.length) ?? 0)
}

/** A backend that lets everybody in, and does something else with messages. */
function answering (behave: Behaviour): Behaviour {
  return (asked, response) => asked.type === 'message' ? behave(asked, response) : { status: 200, body: { allow: true } }
}

t.test('the backend decides who enters, answers messages, and hears who comes and goes, each request signed', async (t) => {
  const backend = await startBackend(t)
  backend.behave = ({ type, data }) => type === 'authorize'
    ? { status: 200, body: { allow: data.userId !== 'eve' } }
    : type === 'message' ? { status: 200, body: { n: 7 } } : { status: 204 }
  const { send, join } = await start(t, backend)
  await t.rejects(join('eve'), { statusCode: 403, code: 'forbidden' })
  const ada = await join()
  t.match(await send('hello', 'one'), { status: 200, body: { type: 'ack', data: { n: 7 } } })
  const [joined] = await backend.heard('join')
  t.match(joined!.data, { room: 'chat/1', params: { id: '1' }, userId: 'ada', resumed: false, user: { role: 'tester' } })
  t.match((await backend.heard('message'))[0]!.data, { room: 'chat/1', userId: 'ada', message: 'say', data: { text: 'hello' }, messageId: 'one' })
  t.match((await backend.heard('online'))[0]!.data, { userId: 'ada' })
  await ada.close()
  t.match((await backend.heard('leave'))[0]!.data, { room: 'chat/1', userId: 'ada', code: 'left' })
  t.match((await backend.heard('offline'))[0]!.data, { userId: 'ada' })
  t.same(backend.asked.filter((asked) => !isSigned(asked)), [])
})

t.test('a backend hears who comes and goes also where no room is of anybody else', async (t) => {
  const backend = await startBackend(t)
  const settings = resolveConfig({
    jwt: { secret: 'a secret that has at least 32 bytes' },
    presence: { grace: 0 },
    hooks: { url: backend.url, secret: WHSEC },
    rooms: { '@user/:id': { events: { said: { data: Text } } } }
  }, { env: {}, directory: '.' })
  const app = await createGateway(settings, { logger: false, times: TIMES })
  t.teardown(async () => { await app.close() })
  const peer = await createPeer(app, { token: app.jwt.sign({ sub: 'ada' } as object, { expiresIn: '1m' }) })
  t.match((await backend.heard('online'))[0]!.data, { userId: 'ada' })
  await peer.close()
  t.match((await backend.heard('offline'))[0]!.data, { userId: 'ada' })
})

t.test('a refusal of the backend reaches the client with its code, and is not tried again', async (t) => {
  const backend = await startBackend(t)
  backend.behave = answering(() => ({ status: 422, body: { code: 'no_move', message: 'that is no move' } }))
  const { send, counted } = await start(t, backend)
  t.match(await send('x'), { status: 422, body: { code: 'no_move', message: 'that is no move' } })
  t.equal(backend.of('message').length, 1)
  t.equal(await counted('message', 'refused'), 1)
})

/** What a backend does, and the reason that is logged and counted for it. */
const FAILURES: ReadonlyArray<readonly [string, Behaviour, string, { code: string, data?: object }]> = [
  ['hangs', () => 'hang', 'timeout', { code: 'unavailable', data: { retryAfter: 1_000 } }],
  ['stops in its answer', (_asked, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('{')
    return 'hang'
  }, 'timeout', { code: 'unavailable' }],
  ['cuts the link', () => 'cut', 'unreachable', { code: 'unavailable' }],
  ['answers 500', () => ({ status: 500 }), 'status', { code: 'unavailable' }],
  ['does not know our signature', () => ({ status: 401 }), 'status', { code: 'unavailable' }],
  ['is somewhere else', () => ({ status: 302, headers: { location: '/' } }), 'status', { code: 'unavailable' }],
  ['is overloaded', () => ({ status: 429, headers: { 'retry-after': '7' } }), 'status', { code: 'unavailable', data: { retryAfter: 7_000 } }],
  ['answers nonsense', () => ({ status: 200, body: '<html>' }), 'nonsense', { code: 'internal' }],
  ['answers too much', () => ({ status: 200, body: 'x'.repeat(1_048_577) }), 'too_large', { code: 'internal' }]
]

interface Asking {
  readonly notices: Notices
  readonly hooks: RoomHooks
  readonly lines: Array<readonly [level: string, detail: object, message: string]>
  counted (hook: string, outcome: string): Promise<number>
}

/** The hooks of a room without a gateway around them. */
function ask (t: Test, { url }: FakeBackend, more: Partial<HooksSettings> = {}): Asking {
  const lines: Array<readonly [string, object, string]> = []
  const writes = (level: string) => (detail: object, message: string): void => { lines.push([level, detail, message]) }
  const log = { debug: () => undefined, info: writes('info'), warn: writes('warn'), error: writes('error') }
  const register = new Registry()
  const settings: HooksSettings = {
    url, keys: [KEY], on: new Set(['authorize', 'message']), timeout: 2_000, retries: 0, concurrency: 64, perUser: 8, queue: 10, ...more
  }
  const backend = new Backend(settings, log as never, new HookCounts(register), TIMES)
  t.teardown(() => { backend.close() })
  const notices = new Notices(backend)
  return {
    hooks: new RoomHooks(backend, notices),
    notices,
    lines,
    counted: async (hook, outcome) => countOf(await register.metrics(), hook, outcome)
  }
}

t.test('what waits for a backend is bounded in bytes, too', async (t) => {
  const backend = await startBackend(t)
  backend.behave = () => 'hang'
  const { notices, counted } = ask(t, backend, { queue: 1_000 })
  const text = 'x'.repeat(1_048_576)
  for (let i = 0; i < 70; i++) notices.add('join', 'ada', { text })
  t.ok(notices.size < 64 && notices.size > 60, `${notices.size} are kept`)
  t.equal(await counted('join', 'dropped'), 70 - notices.size)
  for (let i = 0; i < 70; i++) notices.add('join', 'ada', { text: 'ж'.repeat(1_048_576) })
  t.ok(notices.size < 34 && notices.size > 28, `${notices.size} are kept of twice the bytes`)
  await notices.close(0)
})

const ADA = { room: 'chat/1', params: { id: '1' }, userId: 'ada', user: {} }
const SAY = { ...ADA, message: 'say', data: { text: 'x' }, messageId: undefined, connectionId: undefined }

for (const [what, behave, reason, told] of FAILURES) {
  t.test(`a backend that ${what}: clients are told so, nobody enters, the reason is logged and counted`, async (t) => {
    const backend = await startBackend(t)
    backend.behave = behave
    const { hooks, lines, counted } = ask(t, backend, reason === 'timeout' ? { timeout: 50 } : {})
    await t.rejects(hooks.message(SAY), told)
    await t.rejects(hooks.authorize(ADA), { code: 'unavailable', statusCode: 503 })
    const says = 'a backend gave no answer'
    matchList(t, lines, [['warn', { hook: 'message', reason }, says], ['warn', { hook: 'authorize', reason }, says]])
    t.equal(await counted('message', reason), 1)
    t.equal(await counted('authorize', reason), 1)
    t.notMatch(JSON.stringify(lines), WHSEC)
  })
}

for (const status of [408, 425, 429, 500, 501, 502, 503, 504, 505, 520, 524]) {
  t.test(`a backend that answers ${status} is tried again under the same id, and its answer counts`, async (t) => {
    const backend = await startBackend(t)
    let tries = 0
    backend.behave = () => ++tries < 3 ? { status } : { status: 200, body: { n: tries } }
    const { hooks } = ask(t, backend, { retries: 2 })
    t.same(await hooks.message(SAY), { n: 3 })
    t.equal(new Set(backend.of('message').map(({ headers }) => headers['webhook-id'])).size, 1)
  })
}

t.test('a message that a client sends again is the same request to the backend, and another one is not', async (t) => {
  const backend = await startBackend(t)
  const { hooks } = ask(t, backend)
  for (const messageId of ['one', 'one', 'two', undefined, undefined]) await hooks.message({ ...SAY, messageId })
  const ids = backend.of('message').map(({ headers }) => headers['webhook-id'])
  t.equal(ids[0], ids[1])
  t.equal(new Set(ids).size, 4)
})

t.test('an answer to authorize that is neither yes nor no lets nobody in, and a refusal is no', async (t) => {
  const backend = await startBackend(t)
  const { hooks } = ask(t, backend)
  for (const body of [{ allow: 'yes' }, true, {}, null, '']) {
    backend.behave = () => ({ status: 200, body })
    await t.rejects(hooks.authorize(ADA), { code: 'unavailable' }, JSON.stringify(body))
  }
  backend.behave = () => ({ status: 403, body: { allow: true } })
  t.equal(await hooks.authorize(ADA), false)
})

t.test('more questions than may wait are refused at once', async (t) => {
  const backend = await startBackend(t)
  backend.behave = () => 'hang'
  const { hooks, counted } = ask(t, backend, { concurrency: 1, perUser: 1, timeout: 200 })
  const all = await Promise.allSettled(Array.from({ length: 20 }, async (_, n) => await hooks.message({ ...SAY, userId: `user ${n}` })))
  t.same(new Set(all.map((each) => (each as PromiseRejectedResult).reason.code as unknown)), new Set(['unavailable']))
  t.equal(await counted('message', 'timeout'), 1)
  t.equal(await counted('message', 'busy'), 19)
  t.equal(backend.asked.length, 1)
})

/** A backend that hangs for eve, and counts how much of hers is under way. */
function slowForEve (backend: FakeBackend): { readonly open: () => number, readonly most: () => number } {
  let [open, most] = [0, 0]
  backend.behave = ({ data, type }, response) => {
    if (data.userId !== 'eve') return { status: type === 'authorize' || type === 'message' ? 200 : 204, body: { allow: true } }
    most = Math.max(most, ++open)
    response.once('close', () => { open-- })
    return 'hang'
  }
  return { open: () => open, most: () => most }
}

t.test('slow questions of one user take no more than a share of a backend, and everybody else is answered', async (t) => {
  const backend = await startBackend(t)
  const eve = slowForEve(backend)
  const { hooks, notices, lines, counted } = ask(t, backend, { concurrency: 8, perUser: 2, timeout: 5_000 })
  const asked = Array.from({ length: 40 }, async () => await hooks.message({ ...SAY, userId: 'eve' }))
  const ends = Promise.allSettled(asked)
  await until('her share is taken', () => eve.open() === 2)
  t.equal(await counted('message', 'user_busy'), 8, '16 times her share may wait')
  await t.rejects(hooks.authorize({ ...ADA, userId: 'eve' }), { code: 'rate_limited', statusCode: 429, data: { retryAfter: 1_000 } })
  const says = 'a backend gave no answer'
  const fields = { reason: 'user_busy' }
  matchList(t, lines, [['warn', { hook: 'message', ...fields }, says], ['warn', { hook: 'authorize', ...fields }, says]])
  const start = performance.now()
  for (let i = 0; i < 20; i++) {
    t.same(await hooks.message(SAY), { allow: true })
    t.equal(await hooks.authorize({ ...ADA, userId: `user ${i}` }), true)
    notices.add('join', `user ${i}`, { userId: `user ${i}` })
  }
  await until('what is told arrives', async () => await counted('join', 'ok') === 20)
  t.ok(performance.now() - start < 4_000, 'nobody waits until her questions end')
  await backend.stop()
  await ends
  t.equal(eve.most(), 2)
})

t.test('those who wait for a backend go in turn, one request of each, also where it takes one at a time', async (t) => {
  const backend = await startBackend(t)
  const order: unknown[] = []
  const held: Array<() => void> = []
  backend.behave = ({ data }, response) => {
    order.push(data.userId)
    held.push(() => { response.writeHead(200).end('{}') })
    return 'hang'
  }
  const { hooks } = ask(t, backend, { concurrency: 1, perUser: 1 })
  const all = ['eve', 'eve', 'eve', 'eve', 'ada', 'bob', 'ada'].map(async (userId) => await hooks.message({ ...SAY, userId }))
  for (let n = 0; n < all.length; n++) {
    await until('the next one is asked', () => held.length > n)
    held[n]!()
  }
  await Promise.all(all)
  t.same(order, ['eve', 'ada', 'bob', 'eve', 'ada', 'eve', 'eve'])
})

t.test('turns remember nobody who has gone', async (t) => {
  const turns = new FairTurns({ most: 2, perUser: 1, notices: 1 })
  const ends = await Promise.all([turns.take('ada', 1_000), turns.take(undefined, 1_000)])
  const late = [turns.take('ada', 1), turns.take('bob', 1)]
  matchList(t, await Promise.allSettled(late), [{ reason: { reason: 'user_busy' } }, { reason: { reason: 'busy' } }])
  t.equal(turns.size, 2)
  const next = turns.take('bob', 1_000)
  for (const end of ends) end()
  const end = await next
  t.equal(turns.size, 1)
  end()
  t.equal(turns.size, 0)
})

t.test('a backend that is kept busy is not away: who got no turn in time is told so, and it is asked on', async (t) => {
  const backend = await startBackend(t)
  backend.behave = () => 'hang'
  const { hooks, counted } = ask(t, backend, { concurrency: 1, perUser: 1, timeout: 100 })
  const all = Array.from({ length: 10 }, async (_, n) => await hooks.message({ ...SAY, userId: `user ${n}` }))
  t.match(await Promise.allSettled(all), all.map(() => ({ reason: { code: 'unavailable' } })))
  backend.behave = () => ({ status: 200, body: { n: 1 } })
  t.same(await hooks.message(SAY), { n: 1 })
  t.equal(await counted('message', 'open'), 0)
})

t.test('while a backend is kept busy, all that is told of takes half of its places at most', async (t) => {
  const backend = await startBackend(t)
  backend.behave = ({ type }) => type === 'join' ? 'hang' : { status: 200, body: {} }
  const { hooks, notices } = ask(t, backend, { concurrency: 4, perUser: 1, timeout: 5_000 })
  for (let i = 0; i < 8; i++) notices.add('join', `user ${i}`, { userId: `user ${i}` })
  await backend.heard('join', 2)
  t.same(await hooks.message(SAY), {})
  t.equal(backend.of('join').length, 2)
  await backend.stop()
  await notices.close(0)
})

t.test('a reply that does not fit its schema is none', async (t) => {
  const backend = await startBackend(t)
  backend.behave = answering(() => ({ status: 200, body: { n: 'seven' } }))
  const { send } = await start(t, backend)
  t.match(await send('x'), { status: 500, body: { code: 'internal' } })
})

/** Asks for users in turn, all of whom are told that the backend is away, until it is spared. */
async function opened (t: Test, { hooks, counted }: Asking, users = ['ada', 'bob']): Promise<void> {
  for (let i = 0; i < TIMES.failures; i++) {
    await t.rejects(hooks.message({ ...SAY, userId: users[i % users.length]! }), { code: 'unavailable' })
  }
  await t.rejects(hooks.message(SAY), { code: 'unavailable' })
  t.equal(await counted('message', 'open'), 1)
}

for (const [what, behave] of [
  ['cuts links', () => 'cut'],
  ['hangs', () => 'hang'],
  ...[502, 503, 504, 520].map((status) => [`answers ${status}`, () => ({ status })] as const)
] as ReadonlyArray<readonly [string, Behaviour]>) {
  t.test(`a backend that ${what} for several users is spared, and asked again once it may be back`, async (t) => {
    const backend = await startBackend(t)
    backend.behave = behave
    const asking = ask(t, backend, { timeout: 50 })
    const { hooks, lines } = asking
    await opened(t, asking)
    t.equal(backend.asked.length, TIMES.failures, 'it was not asked while it was spared')
    backend.behave = () => ({ status: 200, body: { n: 1 } })
    await until('it answers again', async () => await hooks.message(SAY).then(() => true, () => false))
    t.same(lines.filter(([level]) => level !== 'warn').map(([level]) => level), ['error', 'info'])
  })
}

for (const [what, behave] of [
  ['answered 500', () => ({ status: 500 })],
  ['answered 401', () => ({ status: 401 })],
  ['answered nonsense', () => ({ status: 200, body: '<html>' })],
  ['not answered', () => 'hang'],
  ['cut', () => 'cut']
] as ReadonlyArray<readonly [string, Behaviour]>) {
  t.test(`where only what one user says is ${what}, all others enter and are answered`, async (t) => {
    const backend = await startBackend(t)
    backend.behave = (asked, response) => asked.data.userId === 'eve'
      ? behave(asked, response)
      : { status: 200, body: { allow: true } }
    const { hooks, counted } = ask(t, backend, { timeout: 20 })
    for (let i = 0; i < 2 * TIMES.failures; i++) await t.rejects(hooks.message({ ...SAY, userId: 'eve' }))
    t.same(await hooks.message(SAY), { allow: true })
    t.equal(await hooks.authorize(ADA), true)
    t.equal(await counted('message', 'open'), 0)
  })
}

t.test('a backend that answers 500 to everybody is asked on, since it is not away', async (t) => {
  const backend = await startBackend(t)
  backend.behave = () => ({ status: 500 })
  const { hooks, counted } = ask(t, backend)
  for (let i = 0; i < 2 * TIMES.failures; i++) await t.rejects(hooks.message({ ...SAY, userId: `user ${i}` }))
  t.equal(await counted('message', 'open'), 0)
})

t.test('of whom the try has failed whether the backend is back goes behind others', async (t) => {
  const circuit = new Circuit({ failures: 2, users: 2, pause: 300, longest: 300, onChange: () => undefined })
  for (const user of ['ada', 'eve']) circuit.failed(user)
  await until('eve may try', () => circuit.enter('eve') === 0)
  circuit.failed('eve')
  let wait = 0
  await until('bob may try', () => {
    wait = circuit.enter('eve')
    return circuit.enter('bob') === 0
  })
  t.ok(wait > 0, 'eve may not')
  circuit.answered()
  t.equal(circuit.enter('eve'), 0)
})

t.test('a backend that fails to take what it is told of one user hears of all others at once, and in order', async (t) => {
  const backend = await startBackend(t)
  backend.behave = ({ data }) => ({ status: data.userId === 'eve' ? 500 : 204 })
  const { notices, counted } = ask(t, backend, { queue: 1_000 })
  notices.add('join', 'eve', { userId: 'eve', n: 0 })
  await until('it has failed', async () => await counted('join', 'status') > 3)
  for (let i = 0; i < 200; i++) {
    notices.add('join', `user ${i % 100}`, { userId: `user ${i % 100}`, n: i })
    notices.add('leave', 'eve', { userId: 'eve', n: i })
  }
  await until('all others are told of', async () => await counted('join', 'ok') === 200)
  for (let user = 0; user < 100; user++) {
    const told = backend.asked.filter(({ data }) => data.userId === `user ${user}`).map(({ data }) => data.n)
    t.same(told, [user, user + 100], 'in order')
  }
  t.equal(notices.size, 201)
  backend.behave = () => ({ status: 204 })
  t.equal(await notices.close(5_000), 0)
  const rest = backend.asked.filter(({ type, data }) => type === 'leave' && data.userId === 'eve').map(({ data }) => data.n)
  t.same(rest, Array.from({ length: 200 }, (_, n) => n), 'and the rest is told in order')
})

t.test('a backend that is down at the start is told of everything once it is up, in order for each user', async (t) => {
  const backend = new FakeBackend()
  backend.port = await freePort()
  const { join, counted } = await start(t, backend, { on: ['message', 'join', 'leave', 'online', 'offline'] })
  for (const user of ['ada', 'bob']) {
    const peer = await join(user)
    await peer.close()
  }
  await until('it was tried', async () => await counted('online', 'unreachable') > 0)
  await backend.start()
  t.teardown(async () => { await backend.stop() })
  await backend.heard('offline', 2)
  for (const user of ['ada', 'bob']) {
    const heard = backend.asked.filter(({ data }) => data.userId === user).map(({ type }) => type)
    t.same(heard.filter((type) => type === 'join' || type === 'leave'), ['join', 'leave'])
    t.same(heard.filter((type) => type === 'online' || type === 'offline'), ['online', 'offline'])
  }
})

t.test('what waits for a backend is bounded: the oldest is given up and counted', async (t) => {
  const backend = await startBackend(t)
  backend.behave = () => 'hang'
  const { join, counted, lines } = await start(t, backend, { on: ['message', 'join'], queue: 2, timeout: 5_000 })
  for (let i = 0; i < 4; i++) await join()
  await until('one is given up', async () => await counted('join', 'dropped') > 0)
  matchList(
    t,
    lines.filter(({ msg }) => String(msg).includes('was not told of something')),
    [{ level: 40, hook: 'join' }]
  )
  backend.behave = () => ({ status: 204 })
  await backend.stop()
  await backend.start()
  await backend.heard('join', 2)
})

t.test('whoever leaves because the gateway ends is told to the backend', async (t) => {
  const backend = await startBackend(t)
  const { app, join } = await start(t, backend)
  await join()
  await backend.heard('join')
  await app.rooms.drain({ timeout: 0 })
  await app.close()
  t.equal(backend.of('leave').length, 1)
})

/** The vector of the Standard Webhooks libraries. The prefix stands apart for scanners that look for leaked secrets. */
const VECTOR_SECRET = `${'whsec_'}MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`
const VECTOR_ID = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
const VECTOR_TIME = 1_614_265_330
const VECTOR_BODY = '{"test": 2432232314}'
const VECTOR_SIGNATURE = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

t.test('a request is signed as the vector of Standard Webhooks says', async (t) => {
  t.same(signedHeaders(VECTOR_ID, VECTOR_TIME, VECTOR_BODY, [readKey(VECTOR_SECRET) as Buffer]), {
    'webhook-id': VECTOR_ID, 'webhook-timestamp': String(VECTOR_TIME), 'webhook-signature': VECTOR_SIGNATURE
  })
})

t.test('while a secret is changed, each of both signs', async (t) => {
  const other = Buffer.alloc(24, 1)
  const { 'webhook-signature': both } = signedHeaders(VECTOR_ID, VECTOR_TIME, VECTOR_BODY, [other, readKey(VECTOR_SECRET) as Buffer])
  t.match(both, /^v1,\S{44} v1,\S{44}$/)
  t.equal(both.split(' ')[1], VECTOR_SIGNATURE)
})

t.test('a secret that is none of Standard Webhooks is refused in words that do not hold it', async (t) => {
  for (const [secret, says] of [
    ['MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', /begins with whsec_/],
    [`${'whsec_'}not base64!`, /not base64/],
    [`${'whsec_'}c2hvcnQ=`, /has 5 bytes and needs 24 at least/],
    [`${'whsec_'}${Buffer.alloc(65).toString('base64')}`, /has 65 bytes of at most 64/]
  ] as const) {
    const fault = readKey(secret)
    t.match(fault, says)
    t.notMatch(fault, secret.replace('whsec_', ''))
  }
})
