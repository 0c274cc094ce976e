import { createHmac } from 'node:crypto'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import jwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import type { RealtimeOptions } from '../../lib/index.js'
import { ask, WAYS, type Way } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import { connect, declareChat, eventually, start, statsOf, type Refused, type Running } from '../helpers/net.js'
import { handshake, RawPeer } from '../helpers/raw.js'

const KEY = 'a test'
const now = (): number => Math.floor(Date.now() / 1_000)
const b64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token of any shape, with a signature that is right for it. */
function forge (payload: unknown, header: object = { alg: 'HS256', typ: 'JWT' }, key = KEY, hash = 'sha256'): string {
  const text = `${b64(header)}.${b64(payload)}`
  return `${text}.${createHmac(hash, key).update(text).digest('base64url')}`
}

const good = { sub: 'ada', exp: now() + 600 }
const [header, payload, signature] = forge(good).split('.') as [string, string, string]

const BAD: Record<string, string> = {
  'alg none': `${b64({ alg: 'none', typ: 'JWT' })}.${payload}.`,
  'alg NONE': `${b64({ alg: 'NONE', typ: 'JWT' })}.${payload}.`,
  'alg none with a signature': forge(good, { alg: 'none', typ: 'JWT' }),
  'no alg': forge(good, { typ: 'JWT' }),
  'an alg that is none of JWT\'s': forge(good, { alg: 'HS1' }),
  'RS256 signed as HMAC': forge(good, { alg: 'RS256' }),
  'another key': forge(good, undefined, 'another'),
  'an empty key': forge(good, undefined, ''),
  'a key with a blank in front': forge(good, undefined, ` ${KEY}`),
  'HS512 by name only': forge(good, { alg: 'HS512' }),
  'a changed payload': `${header}.${b64({ ...good, sub: 'root' })}.${signature}`,
  'a changed header': `${b64({ alg: 'HS256', typ: 'JWT', kid: 'x' })}.${payload}.${signature}`,
  'a cut signature': `${header}.${payload}.${signature.slice(0, -2)}`,
  'no signature': `${header}.${payload}`,
  'an empty signature': `${header}.${payload}.`,
  'four parts': `${forge(good)}.x`,
  padding: `${forge(good)}=`,
  'a payload that is no JSON': forge('{'),
  'a payload that is an array': forge([good]),
  'a payload that is a string': forge('"ada"'),
  'a payload that is null': forge('null'),
  'a payload that is a number': forge('7'),
  'no exp': forge({ sub: 'ada' }),
  'exp null': forge({ sub: 'ada', exp: null }),
  'exp a string': forge({ sub: 'ada', exp: String(now() + 60) }),
  'exp true': forge({ sub: 'ada', exp: true }),
  'exp 0': forge({ sub: 'ada', exp: 0 }),
  'exp negative': forge({ sub: 'ada', exp: -1 }),
  'exp in the past': forge({ sub: 'ada', exp: now() - 60 }),
  'exp beyond a number': forge('{"sub":"ada","exp":1e999}'),
  'nbf in the future': forge({ ...good, nbf: now() + 60 }),
  'nbf a string': forge({ ...good, nbf: 'now' }),
  'an unknown crit': forge(good, { alg: 'HS256', crit: ['x'], x: 1 }),
  'no sub': forge({ exp: good.exp }),
  'sub empty': forge({ ...good, sub: '' }),
  'sub null': forge({ ...good, sub: null }),
  'sub a number': forge({ ...good, sub: 7 }),
  'sub an object': forge({ ...good, sub: { id: 'ada' } }),
  'sub a list': forge({ ...good, sub: ['ada'] }),
  garbage: 'x',
  dots: '..',
  '12 kB of garbage': 'x'.repeat(12_000),
  'a __proto__ with a sub': forge('{"__proto__":{"sub":"ada"},"exp":99999999999}')
}

async function statusOf (
  server: Running,
  way: Way | 'ticket' | 'admin',
  authorization: string
): Promise<[number, unknown]> {
  if (way === 'ticket' || way === 'admin') {
    const answer = await server.app.inject({
      method: way === 'ticket' ? 'POST' : 'GET',
      url: way === 'ticket' ? '/ws/ticket' : '/ws/stats',
      headers: { authorization }
    })
    return [answer.statusCode, answer.json<{ code: string }>().code]
  }
  const { status, body } = await ask(server, way, { headers: { authorization } })
  return [status, body.code]
}

t.test('every bad token is 401 on every way in, never 500, and only the word tells it', async (t) => {
  const server = await start(t)
  for (const [what, token] of Object.entries(BAD)) {
    const outcomes: Record<string, unknown> = {}
    for (const way of [...WAYS, 'ticket', 'admin'] as const) {
      outcomes[way] = (await statusOf(server, way, `Bearer ${token}`)).join(' ')
    }
    const word = /^exp (in the past|0|negative)$/.test(what) ? '401 token_expired' : '401 unauthorized'
    t.same(outcomes, Object.fromEntries([...WAYS, 'ticket', 'admin'].map((way) => [way, word])), what)
  }
  for (const [what, authorization] of [
    ['no token', 'Bearer'],
    ['blanks', 'Bearer   '],
    ['another scheme', `Basic ${b64('ada:x')}`],
    ['two words', `Bearer ${forge(good)} x`],
    ['no scheme', forge(good)]
  ] as const) {
    for (const way of WAYS) {
      t.same(await statusOf(server, way, authorization), [401, 'unauthorized'], `${what} over ${way}`)
    }
  }
  t.same(server.loud, [])
  for (const authorization of [`Bearer ${forge(good)}`, `bearer ${forge(good)}`, `BEARER   ${forge(good)}`]) {
    t.equal((await statusOf(server, 'verdict', authorization))[0], 200)
  }
})

t.test('an algorithm that jwt.verify does not allow, and a missing claim that it requires, are 401', async (t) => {
  const server = await start(t, {
    jwt: { secret: KEY, verify: { algorithms: ['HS256'], allowedIss: 'us', requiredClaims: ['iss'] } } as never
  })
  for (const token of [
    forge({ ...good, iss: 'us' }, { alg: 'HS512' }, KEY, 'sha512'),
    forge({ ...good, iss: 'them' }),
    forge(good)
  ]) {
    t.same(await statusOf(server, 'verdict', `Bearer ${token}`), [401, 'unauthorized'])
  }
  t.equal((await statusOf(server, 'verdict', `Bearer ${forge({ ...good, iss: 'us' })}`))[0], 200)
})

const CACHED = { secret: KEY, verify: { cache: true, clockTolerance: 0 } }

for (const [who, given] of Object.entries({
  'options.jwt': { jwt: CACHED },
  'the app': { before: async (app: FastifyInstance) => { await app.register(jwt, CACHED) } }
})) {
  t.test(`a verification that ${who} has cached is used again, and not after exp or a revocation`, async (t) => {
    const users = new Set<unknown>()
    const server = await start(t, {
      ...given,
      declare: (app) => { declareChat(app, { authorize: ({ user }: { user: unknown }) => users.add(user) === users }) }
    })
    const bearer = `Bearer ${forge({ sub: 'ada', exp: now() + 2 })}`
    for (let i = 0; i < 3; i++) t.equal((await statusOf(server, 'verdict', bearer))[0], 200)
    t.equal(users.size, 1)
    await eventually(
      'the expiry',
      async () => await statusOf(server, 'verdict', bearer),
      ([status]) => status === 401,
      10_000
    )
    t.same(await statusOf(server, 'verdict', bearer), [401, 'token_expired'])
    const other = `Bearer ${forge({ ...good, sub: 'bob', jti: 'b-1' })}`
    t.equal((await statusOf(server, 'verdict', other))[0], 200)
    await server.app.rooms.revoke({ tokenId: 'b-1' })
    t.same(await statusOf(server, 'verdict', other), [403, 'revoked'])
  })
}

t.test(
  'what @fastify/jwt decides by the request holds: trusted, formatUser, a secret by token, a token that it would not find itself',
  async (t) => {
    const odd = {
      trusted: (_request: unknown, { sub }: { sub?: string }) => sub !== 'eve',
      formatUser: ({ sub, exp }: { sub: string, exp: number }) => ({ sub: `formatted ${sub}`, exp })
    }
    for (const options of [
      { secret: KEY, ...odd },
      { secret: async () => KEY, ...odd },
      { secret: KEY, ...odd, verify: { extractToken: () => 'another' } }
    ]) {
      const server = await start(t, { jwt: options as never })
      t.same(await statusOf(server, 'verdict', `Bearer ${forge({ ...good, sub: 'eve' })}`), [401, 'unauthorized'])
      for (const carried of [
        { authorization: `Bearer ${forge(good)}` },
        { authorization: `bearer   ${forge(good)}` },
        { 'sec-websocket-protocol': `realtime.v1, bearer.${forge(good)}` }
      ]) {
        t.match(await ask(server, 'verdict', { headers: carried }), { status: 200, body: { userId: 'formatted ada' } })
      }
    }
  }
)

t.test('clocks may differ by five seconds, not by ten', async (t) => {
  const server = await start(t)
  t.equal((await statusOf(server, 'verdict', `Bearer ${forge({ sub: 'ada', exp: now() - 2 })}`))[0], 200)
  t.same(await statusOf(server, 'verdict', `Bearer ${forge({ sub: 'ada', exp: now() - 10 })}`), [401, 'token_expired'])
})

t.test('a token without exp opens only where requireExp is false, and does not expire', async (t) => {
  const server = await start(t, { auth: { requireExp: false } })
  const peer = await connect(server, { token: forge({ sub: 'ada' }) })
  t.notOk('expires' in (peer.welcome.data as object))
  t.equal((await statusOf(server, 'verdict', `Bearer ${forge({ sub: 'ada', exp: 'soon' })}`))[0], 401)
})

t.test('userId names the user; what it answers must be a string', async (t) => {
  const server = await start(t, { userId: (user) => (user as { account?: string }).account as string })
  const peer = await connect(server, { token: forge({ account: 'a-1', exp: good.exp }) })
  t.equal((peer.welcome.data as { userId: string }).userId, 'a-1')
  for (const account of [undefined, '', 7, {}]) {
    t.same(await statusOf(server, 'verdict', `Bearer ${forge({ account, exp: good.exp })}`), [401, 'unauthorized'])
  }
  const thrower = await start(t, { userId: () => { throw new Error('secret') } })
  t.same(await statusOf(thrower, 'verdict', `Bearer ${forge(good)}`), [503, 'unavailable'])
  matchList(t, thrower.loud, [{ level: 50, err: { message: 'secret' } }])
})

t.test(
  'the carriers are looked through in their order, and the first that is there decides, good or bad',
  async (t) => {
    const server = await start(t)
    const [ada, bob] = [server.token('ada'), server.token('bob')]
    const ticketOf = async (token: string): Promise<string> => (await server.app.inject({
      method: 'POST',
      url: '/ws/ticket',
      headers: { authorization: `Bearer ${token}` }
    })).json<{ ticket: string }>().ticket
    const who = async (options: Parameters<typeof connect>[1]): Promise<string> => await connect(server, options).then(
      ({ welcome }) => (welcome.data as { userId: string }).userId,
      ({ code }: Refused & { code: string }) => code
    )
    t.equal(await who({ token: ada, protocols: ['realtime.v1', `bearer.${bob}`] }), 'ada')
    t.equal(await who({ token: 'x', protocols: ['realtime.v1', `bearer.${bob}`] }), 'unauthorized')
    t.equal(await who({ protocols: ['realtime.v1', `bearer.${ada}`], query: { ticket: await ticketOf(bob) } }), 'ada')
    t.equal(await who({ query: { ticket: await ticketOf(bob) } }), 'bob')
    t.equal(await who({ query: { ticket: await ticketOf(bob), token: ada } }), 'bob')
    t.equal(await who({}), 'unauthorized')
  }
)

t.test('a credential that cannot be used hides none that can, and is the reason where there is no other', async (t) => {
  const server = await start(t, {
    auth: { carriers: ['cookie', 'header', 'subprotocol', 'ticket', 'query'], cookie: 'session' },
    origins: 'same'
  })
  const ada = server.token('ada')
  const other = { authorization: 'Basic dTpw' }
  const empty = { cookie: 'session=' }
  const { ticket } = (await server.app.inject({
    method: 'POST', url: '/ws/ticket', headers: { authorization: `Bearer ${ada}`, ...empty }
  })).json<{ ticket: string }>()
  t.equal((await ask(server, 'websocket', { path: `/ws?ticket=${ticket}`, headers: other })).status, 101)
  for (const [query, headers] of [
    ['', { authorization: `Bearer ${ada}`, ...empty }],
    [`&token=${ada}`, { ...other, ...empty }],
    [`&ticket=&token=${ada}`, {}],
    ['', { cookie: `session=${ada}`, ...other }]
  ] as const) {
    t.equal((await server.app.inject({ url: `/ws?verdict=1${query}`, headers })).statusCode, 200, JSON.stringify(headers))
  }
  const isRefused = async (query: string, headers: Record<string, string>): Promise<unknown> => {
    return (await server.app.inject({ url: `/ws?verdict=1${query}`, headers })).json<{ code: string }>().code
  }
  server.lines.length = 0
  t.equal(await isRefused('', empty), 'unauthorized')
  t.match(server.lines.join(''), 'the credential in \\"cookie\\" is empty')
  server.lines.length = 0
  t.equal(await isRefused('&ticket=', other), 'unauthorized')
  t.match(server.lines.join(''), 'the header authorization is not')
  t.equal(
    await isRefused('', { cookie: `session=${ada}`, ...other, 'sec-fetch-site': 'cross-site' }), 'origin_refused',
    'a cookie behind what cannot be used has to come from an allowed page all the same'
  )
  t.equal(
    (await server.app.inject({ method: 'POST', url: '/ws/ticket?ticket=x', headers: { cookie: `session=${ada}` } })).statusCode,
    403, 'as has one behind a ticket, which is not looked at there'
  )
})

t.test('a jti that is a whole number is revoked by its digits, and any other that is no text is refused', async (t) => {
  const server = await start(t)
  const token = forge({ ...good, jti: 42 })
  await connect(server, { token })
  t.equal(await server.app.rooms.revoke({ tokenId: '42' }), 1)
  t.same(await statusOf(server, 'verdict', `Bearer ${token}`), [403, 'revoked'])
  for (const jti of [1.5, 2 ** 53, true, ['a'], { id: 'a' }]) {
    t.same(await statusOf(server, 'verdict', `Bearer ${forge({ ...good, jti })}`), [401, 'unauthorized'], String(jti))
  }
  t.match(server.lines.join(''), 'let jti be a string or a whole number')
  t.equal((await statusOf(server, 'verdict', `Bearer ${forge({ ...good, jti: null })}`))[0], 200)
})

t.test('who is known and gets no ticket or no stats is named in the log and to onRefused', async (t) => {
  const told: unknown[] = []
  const server = await start(t, { onRefused: ({ code, userId }) => { told.push([code, userId]) } })
  const authorization = `Bearer ${server.token('ada')}`
  await statusOf(server, 'admin', authorization)
  t.same(told.splice(0), [['forbidden', 'ada']])
  while (told.length === 0) await server.app.inject({ method: 'POST', url: '/ws/ticket', headers: { authorization } })
  t.same(told, [['rate_limited', 'ada']])
  t.equal(server.lines.filter((line) => /"userId":"ada".*refused with/.test(line)).length, 2)
})

for (const withPlugin of [true, false]) {
  t.test(
    `the cookie carrier reads its cookie ${withPlugin ? 'as @fastify/cookie parsed it' : 'where no plugin has parsed it'}`,
    async (t) => {
      const server = await start(t, {
        auth: { carriers: ['cookie'], cookie: 'session' },
        origins: 'same',
        before: async (app) => { if (withPlugin) await app.register(cookie) }
      })
      const [ada, bob] = [server.token('ada'), server.token('bob')]
      const who = async (text: string): Promise<unknown> => {
        const { body } = await ask(server, 'verdict', { headers: { cookie: text } })
        return body.userId ?? body.code
      }
      t.equal(await who(`a=b; session=${ada}; c`), 'ada')
      t.equal(await who(`session=${ada}; session=${bob}`), 'ada', 'of two the first counts')
      t.equal(await who(`xsession=${ada}`), 'unauthorized')
      t.equal(await who('session='), 'unauthorized')
      t.equal(await who('session'), 'unauthorized')
      t.same(await statusOf(server, 'verdict', `Bearer ${ada}`), [401, 'unauthorized'], 'carriers replaces the list')
    }
  )
}

t.test('1 000 uses of one ticket at once open one connection', async (t) => {
  const server = await start(t, {
    fastify: { logger: false },
    limits: { user: { connections: 2_000, then: 'reject' } }
  })
  const { ticket } = (await server.app.inject({
    method: 'POST',
    url: '/ws/ticket',
    headers: { authorization: `Bearer ${server.token('ada')}` }
  })).json<{ ticket: string }>()
  const tries = await Promise.all(Array.from(
    { length: 1_000 },
    async (_, i) => (await ask(server, i % 2 === 0 ? 'websocket' : 'sse', {
      path: `/ws/chat/1?ticket=${ticket}`
    })).status
  ))
  t.equal(tries.filter((status) => status === 101 || status === 200).length, 1)
  t.equal(tries.filter((status) => status === 401).length, 999)
})

t.test(
  'a ticket opens a WebSocket or a stream: a poll, a post or a verdict with it is 401 and does not spend it',
  async (t) => {
    const server = await start(t)
    const { ticket } = (await server.app.inject({
      method: 'POST',
      url: '/ws/ticket',
      headers: { authorization: `Bearer ${server.token('ada', { name: 'Ada' })}` }
    })).json<{ ticket: string }>()
    for (const way of ['polling', 'uplink', 'verdict'] as const) {
      t.match(
        await ask(server, way, { path: `/ws/chat/1?ticket=${ticket}` }),
        { status: 401, body: { code: 'unauthorized', message: /one WebSocket or one stream/ } },
        way
      )
    }
    const peer = await connect(server, { query: { ticket } })
    t.match(peer.welcome.data, { userId: 'ada', expires: Number })
  }
)

t.test(
  'a ticket is not refused for its carrier before the room name was looked at, nor spent by an origin that is refused',
  async (t) => {
    const server = await start(t)
    const { ticket } = (await server.app.inject({
      method: 'POST',
      url: '/ws/ticket',
      headers: { authorization: `Bearer ${server.token('ada')}` }
    })).json<{ ticket: string }>()
    t.equal((await ask(server, 'verdict', { path: `/ws/a//b?ticket=${ticket}` })).body.code, 'room_invalid')
    t.equal(
      (await ask(server, 'websocket', {
        path: `/ws?ticket=${ticket}`,
        headers: { origin: 'https://evil.example' }
      })).body.code,
      'origin_refused'
    )
    await connect(server, { query: { ticket } })
  }
)

t.test('a ticket is good for its time, and not for a user who has been revoked since', async (t) => {
  const server = await start(t, { auth: { ticket: { ttl: 40 } } })
  const issue = async (token: string): Promise<string> => (await server.app.inject({
    method: 'POST',
    url: '/ws/ticket',
    headers: { authorization: `Bearer ${token}` }
  })).json<{ ticket: string }>().ticket
  const late = await issue(server.token('ada'))
  await new Promise((resolve) => { setTimeout(resolve, 60) })
  t.same((await ask(server, 'websocket', { path: `/ws?ticket=${late}` })).body.code, 'unauthorized')
  for (let i = 0; i < 12; i++) {
    t.ok(await issue(server.token('bob')), 'tickets that have expired are not counted as open')
    await new Promise((resolve) => { setTimeout(resolve, 8) })
  }
  const longer = await start(t)
  const { ticket } = (await longer.app.inject({
    method: 'POST',
    url: '/ws/ticket',
    headers: { authorization: `Bearer ${longer.token('ada')}` }
  })).json<{ ticket: string }>()
  await longer.app.rooms.revoke({ user: 'ada' })
  t.equal((await ask(longer, 'websocket', { path: `/ws?ticket=${ticket}` })).body.code, 'revoked')
})

t.test('tickets are asked for at the rate of messages, from an allowed origin, by who has a credential', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 0.001, burst: 3 } } })
  const issue = async (headers: Record<string, string>): Promise<[number, unknown]> => {
    const answer = await server.app.inject({ method: 'POST', url: '/ws/ticket', headers })
    return [answer.statusCode, answer.json<{ code?: string }>().code]
  }
  const authorization = `Bearer ${server.token('ada')}`
  t.same(await issue({ authorization, origin: 'https://evil.example' }), [403, 'origin_refused'])
  t.same(await issue({}), [401, 'unauthorized'])
  for (let i = 0; i < 3; i++) t.equal((await issue({ authorization }))[0], 200)
  t.same(await issue({ authorization }), [429, 'rate_limited'])
  t.equal((await issue({ authorization: `Bearer ${server.token('bob')}` }))[0], 200)
})

t.test('upgrades whose authentication never settles are refused at its timeout and hold nothing', async (t) => {
  const server = await start(t, {
    fastify: { logger: false },
    timeouts: { authentication: 200 },
    authenticate: async () => await new Promise<never>(() => undefined)
  })
  const answers = await Promise.all(Array.from(
    { length: 50 },
    async () => await ask(server, 'websocket', { token: 'x' })
  ))
  for (const { status, body, headers } of answers) {
    t.same([status, body.code, headers['retry-after'] !== undefined], [503, 'unavailable', true])
  }
  const { connections } = await statsOf(server.app)
  t.equal(connections.total, 0)
})

t.test('a secret that is fetched and never comes is 503 at the timeout on every way in', async (t) => {
  const server = await start(t, {
    timeouts: { authentication: 100 },
    jwt: { secret: async () => await new Promise<never>(() => undefined) } as never
  })
  for (const way of WAYS) {
    t.match(await ask(server, way, { token: forge(good) }), { status: 503, body: { code: 'unavailable' } }, way)
  }
})

t.test('a user id that never comes is 503 at the timeout on every way in', async (t) => {
  const server = await start(t, {
    timeouts: { authentication: 100 },
    userId: (async () => await new Promise<never>(() => undefined)) as never
  })
  for (const way of WAYS) {
    t.match(await ask(server, way, { token: forge(good) }), { status: 503, body: { code: 'unavailable' } }, way)
  }
})

t.test('what authenticate throws is logged once as an error, what it refuses is not', async (t) => {
  let act: () => unknown = () => null
  const server = await start(t, { authenticate: () => act() as never })
  for (const refuse of [
    () => null,
    () => undefined,
    () => { throw Object.assign(new Error('x'), { statusCode: 418 }) },
    () => ({ sub: '' }),
    () => 'ada',
    () => ({ sub: 'ada', exp: 'x' })
  ]) {
    act = refuse
    t.same(await statusOf(server, 'verdict', 'Bearer x'), [401, 'unauthorized'])
  }
  t.same(server.loud, [])
  act = () => { throw new Error('the directory is away') }
  t.same(await statusOf(server, 'verdict', 'Bearer x'), [503, 'unavailable'])
  matchList(t, server.loud, [{ level: 50, err: { message: 'the directory is away' } }])
  t.equal(server.loud.length, 1)
  act = () => ({ sub: 'ada', exp: good.exp, name: 'Ada' })
  t.equal((await statusOf(server, 'verdict', 'Bearer x'))[0], 200)
})

t.test('an authenticate or a userId that fails with the credential in its error logs none of it', async (t) => {
  const TOKEN = 'canary+of/a-token=='
  const failure = (...secrets: string[]): Error => {
    const text = `introspect failed for ${secrets.join(' ')} and ${encodeURIComponent(secrets[0]!)}`
    const config = { headers: { authorization: `Bearer ${secrets[0]!}` } }
    const origin = Object.assign(new TypeError(text), { config })
    const error = Object.assign(new Error(text, { cause: origin }), { config, code: 'ECONNREFUSED' })
    origin.cause = error
    return error
  }
  let act: (token: string | undefined, cookie: string | undefined) => unknown
  let named = false
  const server = await start(t, {
    authenticate: (({ headers }, token) => named ? { sub: 'ada' } : act(token, headers.cookie)) as NonNullable<RealtimeOptions['authenticate']>,
    userId: () => act(TOKEN, undefined) as string,
    auth: { requireExp: false }
  })
  for (const [what, wanted, thrown] of [
    ['an error', 503, (token) => failure(token!)],
    ['a text', 503, (token) => `no ${token!}`],
    ['an object without a prototype', 503, (token) => Object.assign(Object.create(null) as object, { message: token })],
    ['a 4xx', 401, (token) => Object.assign(failure(token!), { statusCode: 401, code: `NO_${token!}` })]
  ] as ReadonlyArray<[string, number, (token: string | undefined) => unknown]>) {
    for (const isNamed of [false, true]) {
      named = isNamed
      act = (token) => { throw thrown(token) }
      t.equal((await statusOf(server, 'verdict', `Bearer ${TOKEN}`))[0], wanted, what)
    }
  }
  named = false
  act = (_token, cookie) => { throw failure(decodeURIComponent(cookie!.split('=')[1]!)) }
  const cookie = `session=${encodeURIComponent(TOKEN)}`
  t.equal((await ask(server, 'verdict', { headers: { cookie } })).status, 503)
  const log = server.lines.join('')
  t.notMatch(log, /canary/)
  t.match(log, /introspect failed for \[token\]/)
  t.match(log, /ECONNREFUSED/)
  t.match(log, /caused by: TypeError/)
})

for (const [how, fails, atOrigins] of [
  ['throws', (step: () => never) => step(), 500],
  // A promise is no answer of this one.
  ['rejects', async (step: () => never) => step(), 403],
  ['is a query that fails', (step: () => never) => ({
    then: (_answered: unknown, failed: (error: unknown) => void) => {
      try {
        step()
      } catch (error) {
        failed(error)
      }
    }
  }), 403]
] as const) {
  t.test(`a function that is given the request and ${how} with its credential in the error logs none of it`, async (t) => {
    const API_KEY = `canary${'-of-a-key'.repeat(4)}`
    const fail = (request: { headers: { authorization?: string | undefined } }): never => fails(() => {
      const text = `no answer for ${request.headers.authorization!}`
      throw Object.assign(new Error(text), { config: { headers: { ...request.headers } } })
    }) as never
    const server = await start(t, {
      authenticate: () => ({ sub: 'ada' }),
      auth: { requireExp: false },
      stats: { authorize: (_user, request) => fail(request) },
      origins: (_origin, request) => fail(request),
      api: { keys: [{ key: API_KEY, name: 'other', rooms: ['chat/*'], may: ['read'] }], authorize: ({ request }) => fail(request) }
    })
    const authorization = `Bearer ${API_KEY}`
    for (const [url, headers, status] of [
      ['/ws/stats?format=json', {}, 500],
      ['/ws/chat/1?verdict=1', { origin: 'https://a.test' }, atOrigins],
      ['/ws/api/rooms/chat/1', {}, 500]
    ] as const) {
      const { statusCode } = await server.app.inject({ url, headers: { ...headers, authorization } })
      t.equal(statusCode, status, url)
    }
    const log = server.lines.join('')
    t.notMatch(log, /canary/)
    t.equal(log.split('no answer for Bearer [token]","stack').length, atOrigins === 500 ? 4 : 3)
  })
}

t.test(
  'an authenticate that finds its user without a token is asked, and then silence about the origin is no consent',
  async (t) => {
    const seen: unknown[] = []
    const server = await start(t, {
      authenticate: (_request, token) => { seen.push(token); return { sub: 'ada', exp: good.exp } as never }
    })
    t.equal((await ask(server, 'websocket')).body.code, 'origin_refused')
    const { body } = await ask(server, 'uplink')
    matchList(t, [body.code, body.message], ['origin_refused', /Origin is missing/])
    const origin = `http://127.0.0.1:${server.port}`
    t.equal((await ask(server, 'websocket', { headers: { origin } })).status, 101)
    t.same(seen, [undefined])
  }
)

const SITE = 'https://app.example.com'

for (const [what, origins, allowed, refused] of [
  ['a list', [SITE, 'http://localhost:3000'], [SITE, 'http://localhost:3000'],
    [
      'null',
      '',
      'https://app.example.com/',
      'https://app.example.com:443',
      'https://app.example.com:8443',
      'http://app.example.com',
      'https://APP.example.com',
      'HTTPS://app.example.com',
      'https://app.example.com.evil.example',
      'https://evil-app.example.com',
      'https://example.com',
      'https://x.app.example.com',
      'https://app.example.com@evil.example',
      'https://evil.example#https://app.example.com',
      'https://app.example.com https://evil.example',
      'file://',
      'http://localhost',
      'http://localhost:3001',
      'http://127.0.0.1:3000',
      'chrome-extension://app.example.com',
      '*'
    ]],
  [
    'a function',
    (origin: string) => origin.endsWith('.example.com'),
    [SITE, 'https://x.example.com'],
    ['null', 'https://evil.example']
  ],
  ['any', 'any', [SITE, 'null', 'https://evil.example'], []]
] as const) {
  t.test(`origins as ${what}: what is on it may, everything that looks like it may not, on every way in`, async (t) => {
    const server = await start(t, { origins: origins as NonNullable<RealtimeOptions['origins']> })
    const token = server.token('ada')
    for (const origin of allowed) {
      for (const way of WAYS) {
        t.ok(
          [101, 200].includes((await ask(server, way, { token, headers: { origin } })).status),
          `${origin} over ${way}`
        )
      }
    }
    for (const origin of refused) {
      for (const way of WAYS) {
        t.equal(
          (await ask(server, way, { token: 'not looked at', headers: { origin } })).body.code,
          'origin_refused',
          `${origin} over ${way}`
        )
      }
    }
    t.equal((await ask(server, 'websocket', { token })).status, 101, 'no page, no origin')
  })
}

t.test('behind a proxy that is trusted the own origin is the one that the page sees', async (t) => {
  const server = await start(t, { fastify: { trustProxy: true } })
  const token = server.token('ada')
  const proxied = { 'x-forwarded-host': 'app.example.com', 'x-forwarded-proto': 'https' }
  t.equal((await ask(server, 'websocket', { token, headers: { ...proxied, origin: SITE } })).status, 101)
  for (const origin of ['http://app.example.com', `http://127.0.0.1:${server.port}`]) {
    t.equal(
      (await ask(server, 'websocket', { token, headers: { ...proxied, origin } })).body.code,
      'origin_refused',
      origin
    )
  }
})

t.test('an origins function that throws refuses nobody by accident: 500, logged, no slot', async (t) => {
  const server = await start(t, { origins: () => { throw new Error('secret') } })
  const { status, body } = await ask(server, 'websocket', { token: server.token('ada'), headers: { origin: SITE } })
  t.same([status, body.code, body.message], [500, 'internal', 'internal error'])
  matchList(t, server.loud, [{ level: 50, err: { message: 'secret' } }])
})

t.test('the headers of @fastify/cors are kept on a stream, on answers and on refusals', async (t) => {
  const server = await start(t, {
    origins: [SITE],
    before: async (app) => {
      await app.register(cors, { origin: SITE, credentials: true, exposedHeaders: ['retry-after'] })
    }
  })
  const token = server.token('ada')
  for (const way of ['sse', 'polling', 'uplink', 'verdict'] as const) {
    for (const credential of [token, undefined]) {
      const { headers, status } = await ask(server, way, { token: credential, headers: { origin: SITE } })
      t.equal(status, credential === undefined ? 401 : 200)
      t.match(
        headers,
        {
          'access-control-allow-origin': SITE,
          'access-control-allow-credentials': 'true',
          'access-control-expose-headers': 'retry-after',
          vary: /Origin/,
          'cache-control': /no-store/
        },
        `${way} ${status}`
      )
    }
  }
  const preflight = await server.app.inject({
    method: 'OPTIONS',
    url: '/ws/chat/1',
    headers: {
      origin: SITE,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,x-connection-id'
    }
  })
  t.equal(preflight.statusCode, 204)
  t.match(preflight.headers['access-control-allow-headers'], /authorization/)
})

t.test('canaries: no token and no ticket of any carrier is in a log line at any level, nor in the body of an answer', async (t) => {
  const server = await start(t, {
    auth: { carriers: ['header', 'subprotocol', 'ticket', 'cookie', 'query'], cookie: 'session' },
    origins: 'same',
    declare: (app) => {
      declareChat(app, { authorize: ({ params }: { params: { id: string } }) => params.id !== 'secret' })
    }
  })
  const canaries: string[] = []
  const bird = (): string => {
    const token = server.token(`canary-${canaries.length}`)
    canaries.push(token.split('.')[2]!)
    return token
  }
  let bodies = ''
  const paths = [
    '/ws', '/ws/chat/1', '/ws/chat/secret', '/ws/nowhere', '/ws/chat//1', '/ws/chat/%00', '/ws/%zz', '/ws/stats',
    '/ws/stats/rooms', '/ws/ticket', '/ws/health', '/ws/asyncapi.json'
  ]
  for (const path of paths) {
    for (const method of ['GET', 'POST', 'DELETE'] as const) {
      for (const carry of [
        (token: string) => ({ url: path, headers: { authorization: `Bearer ${token}x` } }),
        (token: string) => ({ url: path, headers: { cookie: `session=${token}x` } }),
        (token: string) => ({ url: `${path}?token=${token}&wait=1`, headers: {} }),
        (token: string) => ({ url: `${path}?a=1&ticket=${token}`, headers: {} }),
        (token: string) => ({ url: path, headers: { 'sec-websocket-protocol': `realtime.v1, bearer.${token}x` } })
      ]) {
        const { url, headers } = carry(bird())
        const answer = await ask(server, 'polling', { method, path: url, headers: headers as Record<string, string> })
        bodies += answer.text + JSON.stringify(answer.headers)
      }
    }
  }
  for (const path of paths) {
    const peer = new RawPeer(server.port)
    t.teardown(() => { peer.destroy() })
    peer.send(handshake(`${path}?token=${bird()}`, {
      headers: { 'Sec-WebSocket-Protocol': `bearer.${bird()}, realtime.v1`, Authorization: `Bearer ${bird()}x` }
    }))
    const { headers, body } = await peer.answered()
    bodies += body + JSON.stringify(headers)
  }
  // The ticket of an auth frame, and one in the query of an upgrade.
  const { ticket } = (await server.app.inject({
    method: 'POST',
    url: '/ws/ticket',
    headers: { authorization: `Bearer ${server.token('ada')}` }
  })).json<{ ticket: string }>()
  canaries.push(ticket)
  const ada = await connect(server, { token: server.token('ada') })
  ada.send({ type: 'auth', id: 'a', data: { ticket } })
  await ada.next('ack')
  ada.send({ type: 'auth', id: 'b', data: { ticket } })
  bodies += JSON.stringify(await ada.next('error'))
  t.ok(server.lines.length > canaries.length)
  const log = server.lines.join('')
  t.same(canaries.filter((canary) => log.includes(canary)), [], 'in the log')
  t.same(canaries.filter((canary) => bodies.includes(canary)), [], 'in an answer')
})

t.test(
  'a page reads its own refusal only over HTTP: the upgrade is refused with a body, the verdict says the same',
  async (t) => {
    const server = await start(t)
    const { status, body } = await ask(server, 'websocket', { token: 'x' })
    t.same((await ask(server, 'verdict', { token: 'x' })).body, body)
    t.equal(status, 401)
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/ws`)
    t.teardown(() => { ws.terminate() })
    const error = await new Promise<Error>((resolve) => { ws.on('error', resolve) })
    t.match(error.message, /401/)
  }
)
