import cookie from '@fastify/cookie'
import jwt from '@fastify/jwt'
import websocket from '@fastify/websocket'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import * as entry from '../../lib/index.js'
import realtime, { defineRoom, type RealtimeOptions } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { ask, WAYS } from '../helpers/ask.js'
import { matchList } from '../helpers/match-list.js'
import { chat, connect, declareChat, eventually, poll, start, statsOf, TRANSPORTS } from '../helpers/net.js'

function bare (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  return app
}

const board = defineRoom('board', { events: { metric: Type.Object({ value: Type.Number() }) } })

// Options

for (const [what, options, message] of [
  ['a typo', { hartbeat: 5 }, /options\.hartbeat is no option; did you mean "heartbeat"\?/],
  ['a key like none', { quux: 5 }, /options\.quux is no option; known here: prefix, jwt,/],
  ['a typo below', { timeouts: { handlers: 5 } }, /options\.timeouts\.handlers is no option; did you mean "handler"\?/],
  ['a route option that would not be merged', { route: { handler () {} } }, /options\.route\.handler is no option/],
  ['a schema of the routes', { route: { schema: { body: {} } } }, /options\.route\.schema\.body is no option/],
  ['a heartbeat of 0', { heartbeat: 0 }, /options\.heartbeat: .*1, got 0/],
  ['a time beyond a timer', { timeouts: { handler: 2 ** 31 } }, /options\.timeouts\.handler/],
  ['a fraction of a connection', { capacity: 1.5 }, /options\.capacity: expected integer, got 1\.5/],
  ['no capacity', { capacity: 0 }, /options\.capacity/],
  ['null', { capacity: null }, /options\.capacity: .*got null/],
  ['an unknown carrier', { auth: { carriers: ['smoke'] } }, /options\.auth\.carriers\.0/],
  ['no carrier', { auth: { carriers: [] } }, /options\.auth\.carriers/],
  ['a cookie that no carrier reads', { auth: { cookie: 'session' } }, /does not name 'cookie'; add it/],
  ['a user limit without then', { limits: { user: { connections: 5 } } }, /options\.limits\.user\.then/],
  ['an unknown then', { limits: { user: { connections: 5, then: 'fight' } } }, /options\.limits\.user\.then/],
  ['a rate without burst', { limits: { rate: { messages: 5 } } }, /options\.limits\.rate\.burst/],
  ['a prefix with a slash at its end', { prefix: '/ws/' }, /options\.prefix/],
  ['a prefix with a param', { prefix: '/:tenant/ws' }, /options\.prefix/],
  ['no origins', { origins: [] }, /non-empty list/],
  [
    'an origin in capitals',
    { origins: ['https://X.example'] },
    /"https:\/\/X\.example" is not an origin; write it as scheme:\/\/host/
  ],
  ['an origin that is none', { origins: ['x.example'] }, /is not an origin/],
  ['a null origin', { origins: ['null'] }, /is not an origin/],
  ['origins of a number', { origins: 7 }, /options\.origins is 'same'/],
  ['a userId that is no function', { userId: 'sub' }, /options\.userId must be a function, got "sub"/],
  [
    'a stats.authorize that is no function',
    { stats: { authorize: true } },
    /options\.stats\.authorize must be a function/
  ],
  ['stats: true', { stats: true }, /options\.stats/],
  ['a bigint', { heartbeat: 25_000n }, /options\.heartbeat: .*got 25000n/],
  ['an adapter that was not called', { adapter: () => undefined }, /options\.adapter is a function.*write redis\(\)/],
  ['an adapter that is none', { adapter: {} }, /options\.adapter is no adapter, got \{\}, without start, close/],
  ['an adapter of null', { adapter: null }, /options\.adapter is no adapter, got null.*leave it out/],
  ['an adapter of another kind', { adapter: new Map() }, /got an instance of Map, without start/],
  ['jwt of null', { jwt: null }, /options\.jwt must be an object.*\{ secret \}.*got null/],
  ['jwt of a text', { jwt: 'x' }, /options\.jwt must be an object/],
  ['jwt without a secret', { jwt: {} }, /options\.jwt\.secret is missing/],
  ['websocket of null', { websocket: null }, /options\.websocket must be an object.*got null/],
  ['a registry of null', { stats: { register: null } }, /options\.stats\.register must be a prom-client Registry/],
  ['a token of scrapers with spaces', { stats: { token: 'correct horse' } }, /^(?!.*horse)options\.stats\.token is a string/],
  ['an empty token of scrapers', { stats: { token: '' } }, /options\.stats\.token is a string/],
  ['a token of scrapers that is none', { stats: { token: 5 } }, /options\.stats\.token is a string/],
  [
    'a cookie with its value', { auth: { carriers: ['cookie'], cookie: 'a=b; c' }, origins: 'same' },
    /options\.auth\.cookie is the name of a cookie alone.*got "a=b; c"/
  ]
] as const) {
  t.test(`${what} in the options is refused at register, and the error names the path and the fix`, async (t) => {
    const app = bare(t)
    await t.rejects(async () => { await app.register(realtime, { jwt: { secret: 'x' }, ...options } as never) }, {
      code: 'REALTIME_ERR_OPTIONS',
      message
    })
  })
}

t.test('every option of its documentation is taken', async (t) => {
  const app = bare(t)
  await app.register(cookie)
  await app.register(realtime, {
    prefix: '/live/v1',
    jwt: { secret: 'x' },
    websocket: { options: { maxPayload: 10 } },
    heartbeat: 1_000,
    compression: { threshold: 10 },
    adapter: entry.memory(),
    validateOutput: true,
    authenticate: () => null,
    userId: () => 'x',
    auth: {
      carriers: ['header', 'subprotocol', 'ticket', 'cookie', 'query'],
      cookie: 's',
      ticket: { ttl: 5 },
      requireExp: false
    },
    origins: (origin, request) => origin === request.host,
    capacity: 5,
    limits: {
      user: { connections: 5, then: 'replace' },
      address: 5,
      rooms: 5,
      message: 5,
      rate: { messages: 5, burst: 5 },
      event: 5,
      outbox: 6,
      whenUnavailable: 'refuse'
    },
    history: { size: 5, ttl: 5, bytes: 5 },
    presence: { grace: 0, lease: 5 },
    stats: { authorize: () => true, token: 'x' },
    drain: { rate: 5, timeout: 0 },
    timeouts: { handler: 5, authentication: 5, upgrade: 5, close: 5 },
    sse: { comment: 5, age: 5 },
    route: {
      config: { x: 1 },
      constraints: {},
      logLevel: 'silent',
      onRequest: [],
      preValidation: [],
      preHandler: [],
      schema: { tags: ['x'], hide: true }
    }
  } as RealtimeOptions)
  app.room(board, {
    capacity: 5,
    history: { size: 5, ttl: 5 },
    limits: { message: 5, rate: { messages: 5, burst: 5 } },
    flush: 5,
    authorize: () => true,
    onJoin () {},
    onLeave () {},
    presence: true,
    on: {} as never
  })
  await app.ready()
  t.equal((await app.inject('/live/v1/health')).statusCode, 200)
  t.equal((await app.inject('/ws/health')).statusCode, 404)
})

// Other plugins

for (const [what, before, options, message] of [
  [
    'jwt options although the app has @fastify/jwt',
    async (app: FastifyInstance) => { await app.register(jwt, { secret: 'own' }) },
    { jwt: { secret: 'x' } },
    /has registered @fastify\/jwt itself; remove options\.jwt/
  ],
  [
    'websocket options although the app has @fastify/websocket',
    async (app: FastifyInstance) => { await app.register(websocket) },
    { jwt: { secret: 'x' }, websocket: {} },
    /has registered @fastify\/websocket itself; remove options\.websocket/
  ],
  [
    'a namespaced jwt and no authenticate',
    async (app: FastifyInstance) => { await app.register(jwt, { secret: 'own', namespace: 'x' }) },
    {},
    /without namespace.*or give authenticate/
  ],
  [
    'jwt options although the app has a namespaced jwt',
    async (app: FastifyInstance) => { await app.register(jwt, { secret: 'own', namespace: 'x' }) },
    { jwt: { secret: 'x' } },
    /has a namespaced @fastify\/jwt.*give authenticate/
  ],
  [
    'jwt options although request.user is taken',
    async (app: FastifyInstance) => { app.decorateRequest('user', null as never) },
    { jwt: { secret: 'x' } },
    /request\.user is taken; set options\.jwt\.decoratorName/
  ],
  [
    'jwt options with a namespace',
    async () => undefined,
    { jwt: { secret: 'x', namespace: 'x' } },
    /options\.jwt\.namespace hides the verification.*remove it/
  ],
  [
    'nothing that verifies',
    async () => undefined,
    {},
    /give jwt: \{ secret \}, register @fastify\/jwt .* or give authenticate/
  ]
] as const) {
  t.test(`${what}: refused at register with the fix`, async (t) => {
    const app = bare(t)
    await before(app)
    await t.rejects(async () => { await app.register(realtime, options as RealtimeOptions) }, {
      code: 'REALTIME_ERR_PLUGIN',
      message
    })
  })
}

for (const own of [[], ['jwt'], ['websocket'], ['jwt', 'websocket']] as const) {
  t.test(
    `the app brings ${own.length === 0 ? 'no plugin' : own.join(' and ')} of its own: rooms work on every transport`,
    async (t) => {
      const has = (name: string): boolean => (own as readonly string[]).includes(name)
      const server = await start(t, {
        before: async (app) => {
          if (has('jwt')) await app.register(jwt, { secret: 'their own' })
          if (has('websocket')) await app.register(websocket, { options: { maxPayload: 30 } })
        }
      })
      for (const transport of TRANSPORTS) {
        const peer = await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
        peer.send({
          type: 'say',
          room: 'chat/1',
          id: `m-${transport}`,
          data: { text: `${transport} and more than thirty bytes` }
        })
        await peer.next('ack')
        await peer.next('said')
        await peer.close()
      }
      t.same(server.loud, [])
    }
  )
}

t.test(
  'beside a namespaced jwt authenticate verifies with it; beside a taken request.user our own jwt writes elsewhere',
  async (t) => {
    const namespaced = bare(t)
    await namespaced.register(jwt, { secret: 'own', namespace: 'team', jwtVerify: 'teamVerify', jwtSign: 'teamSign' })
    const { team } = namespaced.jwt as unknown as {
      team: {
        sign: (claims: object, options: object) => string
        verify: (token: string) => never
      }
    }
    await namespaced.register(realtime, {
      authenticate: (_request, token) => token === undefined ? null : team.verify(token)
    })
    const taken = bare(t)
    taken.decorateRequest('user', null as never)
    await taken.register(realtime, { jwt: { secret: 'x', decoratorName: 'claims' } })
    for (const [app, token] of [[namespaced, team.sign({ sub: 'ada' }, { expiresIn: 60 })], [taken, '']] as const) {
      declareChat(app)
      await app.ready()
      const peer = await createPeer(app, {
        room: 'chat/1',
        token: token === '' ? app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 }) : token
      })
      await peer.fence()
    }
  }
)

t.test('the app\'s own websocket route keeps its limits, its subprotocol and its close, beside ours', async (t) => {
  let seen = 0
  const server = await start(t, {
    before: async (app) => {
      await app.register(websocket, { options: { maxPayload: 100 } })
      app.get('/before', { websocket: true }, (socket) => { socket.send('before') })
    },
    declare: (app) => {
      declareChat(app)
      app.get('/echo', { websocket: true }, (socket) => {
        seen = app.websocketServer.clients.size
        socket.on('message', (data) => { socket.send(data) })
      })
    }
  })
  const ours = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const open = async (path: string, protocols: string[] = []): Promise<WebSocket> => {
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, protocols)
    t.teardown(() => { ws.terminate() })
    await new Promise((resolve, reject) => { ws.once('open', resolve).once('error', reject) })
    return ws
  }
  const echo = await open('/echo', ['theirs'])
  t.equal(echo.protocol, 'theirs')
  t.equal(seen, 1, 'ours is not among its clients')
  echo.send(Buffer.from('binary'))
  t.equal(String(await new Promise((resolve) => { echo.once('message', resolve) })), 'binary')
  echo.send('x'.repeat(101))
  t.equal(await new Promise((resolve) => { echo.once('close', resolve) }), 1009)
  const early = await open('/before')
  early.close(1000)
  await ours.fence()
  await ours.close()
})

t.test('one plugin, two names: the default export is what require() would give', async (t) => {
  t.equal(entry['module.exports'], entry.default)
  t.equal(entry.fastifyRealtime, entry.default)
})

// app.room

for (const [what, declare, code, message] of [
  ['a pattern that is none', () => defineRoom('/chat', {}), 'REALTIME_ERR_PATTERN', /a slash too many in "\/chat"/],
  [
    'a reserved segment in capitals',
    (app: FastifyInstance) => app.room(defineRoom('Stats', {})),
    'REALTIME_ERR_ROOM',
    /"Stats", which is a URL of the plugin; rename the room \(reserved: stats, ticket, health, api, asyncapi\.json, client\.js\)/
  ],
  [
    'a reserved message',
    (app: FastifyInstance) => app.room(defineRoom('x', { messages: { ping: Type.Object({}) } }), {
      on: { ping () {} }
    }),
    'REALTIME_ERR_ROOM',
    /message "ping" of "x": the name is a frame type of the protocol; rename it/
  ],
  [
    'an event named open',
    (app: FastifyInstance) => app.room(defineRoom('x', { events: { open: Type.Object({}) } })),
    'REALTIME_ERR_ROOM',
    /event "open".*rename it/
  ],
  [
    'an event with a blank',
    (app: FastifyInstance) => app.room(defineRoom('x', { events: { 'a b': Type.Object({}) } })),
    'REALTIME_ERR_ROOM',
    /a name begins with a letter/
  ],
  [
    'an event with a line break',
    (app: FastifyInstance) => app.room(defineRoom('x', { events: { 'a\nevent: b': Type.Object({}) } })),
    'REALTIME_ERR_ROOM',
    /a name begins with a letter/
  ],
  [
    'a message named like what objects inherit, without handler',
    (app: FastifyInstance) => app.room(
      defineRoom('x', { messages: { toString: Type.Object({}) } }),
      { on: {} } as never
    ),
    'REALTIME_ERR_ROOM',
    /give its handler as on: \{ toString/
  ],
  [
    'a pattern without maxLength deep in a message',
    (app: FastifyInstance) => app.room(
      defineRoom('x', { messages: { go: Type.Object({ a: Type.Array(Type.String({ pattern: 'a' })) }) } }),
      { on: { go () {} } }
    ),
    'REALTIME_ERR_SCHEMA',
    /message "go" of "x": \/properties\/a\/items has a pattern and no maxLength/
  ],
  [
    'a pattern without maxLength in params',
    (app: FastifyInstance) => app.room(defineRoom('x/:a', {
      params: Type.Object({ a: Type.String({ pattern: 'a' }) })
    })),
    'REALTIME_ERR_SCHEMA',
    /params of "x\/:a".*add maxLength/
  ],
  [
    'a schema that is none',
    (app: FastifyInstance) => app.room(defineRoom('x', { events: { e: { kind: 'object' } as never } })),
    'REALTIME_ERR_SCHEMA',
    /build it with TypeBox/
  ],
  [
    'an unknown delivery',
    (app: FastifyInstance) => app.room(defineRoom('x', {
      events: { e: { data: Type.Object({}), delivery: 'sometimes' } as never }
    })),
    'REALTIME_ERR_ROOM',
    /delivery is 'reliable', 'latest', 'volatile' or 'append'/
  ],
  [
    'a key without latest',
    (app: FastifyInstance) => app.room(defineRoom('x', {
      events: { e: { data: Type.Object({}), key: 'a' } as never }
    })),
    'REALTIME_ERR_ROOM',
    /only delivery: 'latest' and 'append' use/
  ],
  [
    'an authorize that is no function',
    (app: FastifyInstance) => app.room(board, { authorize: true as never }),
    'REALTIME_ERR_OPTIONS',
    /options of "board"\.authorize must be a function/
  ],
  [
    'a capacity of 0',
    (app: FastifyInstance) => app.room(board, { capacity: 0 }),
    'REALTIME_ERR_OPTIONS',
    /options of "board"\.capacity/
  ],
  [
    'history: true',
    (app: FastifyInstance) => app.room(board, { history: true as never }),
    'REALTIME_ERR_OPTIONS',
    /options of "board"\.history/
  ],
  [
    'authorize on @user',
    (app: FastifyInstance) => app.room(defineRoom('@user/:id', {}), { authorize: () => true }),
    'REALTIME_ERR_ROOM',
    /takes no authorize/
  ],
  [
    'messages on @all',
    (app: FastifyInstance) => app.room(defineRoom('@all', { messages: { go: Type.Object({}) } }), { on: { go () {} } }),
    'REALTIME_ERR_ROOM',
    /"@all" (takes no on|cannot have messages)/
  ],
  [
    '@user without param',
    (app: FastifyInstance) => app.room(defineRoom('@user', {})),
    'REALTIME_ERR_ROOM',
    /only "@all" and "@user\/:id"/
  ]
] as const) {
  t.test(`app.room with ${what} is refused, and the error names the fix`, async (t) => {
    const app = bare(t)
    await app.register(realtime, { jwt: { secret: 'x' } })
    t.throws(() => declare(app), { code, message })
  })
}

t.test('static segments beat params, the earlier one decides', async (t) => {
  const hits: string[] = []
  const server = await start(t, {
    declare: (app) => {
      for (const pattern of [':a/:b', 'chat/:id', ':a/new', 'chat/new', 'chat/:id/x', 'chat']) {
        app.room(defineRoom(pattern, {}), { onJoin () { hits.push(pattern) } } as never)
      }
    }
  })
  const ada = await connect(server, { token: server.token('ada') })
  for (const room of ['chat/new', 'chat/1', 'x/new', 'x/y', 'chat', 'chat/1/x', 'chat/1/y', 'x']) {
    ada.send({ type: 'join', room, id: 'j' })
    const { type, data } = await ada.next('an answer', ({ id }) => id === 'j')
    if (type === 'error') hits.push((data as { code: string }).code)
  }
  t.same(hits, ['chat/new', 'chat/:id', ':a/new', ':a/:b', 'chat', 'chat/:id/x', 'room_unknown', 'room_unknown'])
})

t.test(
  'a room takes this and the logger from its scope, not the prefix, the hooks or the error handler; authorize guards it, by URL and by join',
  async (t) => {
    const seen: unknown[] = []
    const server = await start(t, {
      declare: (app) => {
        app.setErrorHandler(async (_error, _request, reply) => await reply.code(599).send('theirs'))
        app.setNotFoundHandler(async (_request, reply) => await reply.code(598).send('theirs'))
        app.register(async (scope) => {
          scope.decorate('secret', 42)
          scope.addHook('onRequest', async () => { throw Object.assign(new Error('guarded'), { statusCode: 401 }) })
          scope.addHook('preHandler', async () => { throw new Error('guarded') })
          scope.get('/plain', async () => 'x')
          scope.room(chat, {
            authorize ({ userId }) {
              seen.push((this as unknown as { secret: number }).secret)
              return userId === 'ada'
            },
            on: {
              say ({ log }) {
                log.info('from the handler')
                seen.push((this as unknown as { secret: number }).secret)
                return { id: 'x' }
              },
              type () {}
            }
          })
        }, { prefix: '/api/v1', logLevel: 'debug' })
      }
    })
    t.equal((await server.app.inject('/api/v1/plain')).statusCode, 599)
    for (const transport of TRANSPORTS) {
      const peer = await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
      peer.send({ type: 'say', room: 'chat/1', data: { text: 'x' }, id: transport })
      await peer.next('ack')
      await peer.close()
      await t.rejects(
        connect(server, { transport, rooms: ['chat/1'], token: server.token('eve') }),
        { statusCode: 403, code: 'forbidden' } as object as Error
      )
    }
    const eve = await connect(server, { token: server.token('eve') })
    eve.send({ type: 'join', room: 'chat/1', id: 'j' })
    t.match(await eve.next('error'), { data: { code: 'forbidden' } })
    eve.send({ type: 'join', room: 'api/v1/chat/1', id: 'j' })
    t.match(await eve.next('error'), { data: { code: 'room_unknown' } }, 'the scope\'s prefix is not part of the name')
    t.ok(seen.length > 6 && seen.every((value) => value === 42))
    t.match(
      server.lines.map((line) => JSON.parse(line) as { msg: string }).find(({ msg }) => msg === 'from the handler'),
      { room: 'chat/1', connectionId: /^[\w-]{22}$/ }
    )
    t.equal(
      (await ask(server, 'polling', { path: '/ws/nowhere', token: server.token('ada') })).body.code,
      'room_unknown',
      'nor the app\'s handler of what is not found'
    )
  }
)

// Routes

t.test(
  'the route option is merged into every route of ours; the app\'s preValidation comes before the admission',
  async (t) => {
    const routes: Array<{
      url: string
      method: string | string[]
      config: { mine?: number, realtime?: boolean }
      tags: string[]
      hide: unknown
    }> = []
    const order: string[] = []
    const server = await start(t, {
      before: (app) => {
        app.addHook('onRoute', ({ url, method, config, schema }) => {
          const { tags, hide } = (schema ?? {}) as { tags?: string[], hide?: boolean }
          routes.push({ url, method, config: config as object, tags: tags ?? [], hide })
        })
      },
      route: {
        config: { mine: 1 } as object,
        schema: { tags: ['live'] },
        onRequest: async () => { order.push('onRequest') },
        preValidation: [
          async () => { order.push('preValidation') },
          async (request) => {
            if (request.headers['x-stop'] !== undefined) {
              throw Object.assign(new Error('stop'), { statusCode: 418, code: 'TEAPOT' })
            }
          }
        ],
        preHandler: async () => { order.push('preHandler') }
      },
      authenticate: (_request, token) => {
        order.push('authenticate')
        return token === 'x' ? { sub: 'ada', exp: 9_999_999_999, role: 'admin' } as never : null
      }
    })
    const ours = routes.filter(({ url }) => url.startsWith('/ws'))
    t.ok(ours.length > 8, ours.map(({ method, url }) => `${String(method)} ${url}`).join(', '))
    for (const { url, method, config, tags } of ours) {
      matchList(
        t,
        { config, tags },
        { config: { mine: 1, realtime: true }, tags: ['live'] },
        `${String(method)} ${url}`
      )
    }
    for (const way of WAYS) {
      order.length = 0
      t.ok([200, 101].includes((await ask(server, way, { token: 'x' })).status), way)
      t.same(order, ['onRequest', 'preValidation', 'authenticate', 'preHandler'], way)
      order.length = 0
      t.match(
        await ask(server, way, { token: 'x', headers: { 'x-stop': '1' } }),
        { status: 418, headers: { connection: 'close' }, body: { code: 'TEAPOT', message: 'stop' } },
        `${way}: the app refuses in our words`
      )
      t.same(order, ['onRequest', 'preValidation'], way)
    }
    for (const path of ['/ws/stats', '/ws/stats/rooms', '/ws/health', '/ws/asyncapi.json']) {
      order.length = 0
      t.equal(
        (await server.app.inject({
          url: path,
          headers: { authorization: 'Bearer x', accept: 'application/json' }
        })).statusCode,
        200,
        path
      )
      t.same(order.filter((step) => step !== 'authenticate'), ['onRequest', 'preValidation', 'preHandler'], path)
    }
  }
)

t.test('a constraint of the route option holds for every route of ours', async (t) => {
  const server = await start(t, { route: { constraints: { host: 'live.example.com' } } })
  const token = server.token('ada')
  t.equal((await ask(server, 'verdict', { token })).status, 404)
  for (const way of WAYS) {
    t.ok([200, 101].includes((await ask(server, way, { token, headers: { host: 'live.example.com' } })).status), way)
  }
  t.equal((await ask(server, 'websocket', { token })).status, 404)
})

t.test('a global hook lets our routes pass by config.realtime, and only them', async (t) => {
  const server = await start(t, {
    before: (app) => {
      app.addHook('onRequest', async (request) => {
        if (request.routeOptions.config.realtime !== true) throw Object.assign(new Error('no'), { statusCode: 401 })
      })
    },
    declare: (app) => {
      declareChat(app)
      app.get('/theirs', async () => 'x')
    }
  })
  const token = server.token('ada')
  t.equal((await server.app.inject('/theirs')).statusCode, 401)
  for (const way of WAYS) t.ok([200, 101].includes((await ask(server, way, { token })).status), way)
  for (const path of ['/ws/health', '/ws/asyncapi.json']) t.equal((await server.app.inject(path)).statusCode, 200, path)
  t.equal(
    (await server.app.inject({
      method: 'POST',
      url: '/ws/ticket',
      headers: { authorization: `Bearer ${token}` }
    })).statusCode,
    200
  )
})

t.test(
  'an onRequest hook of the app that refuses refuses us, too: on every transport, and nothing is left',
  async (t) => {
    const server = await start(t, {
      capacity: 1,
      before: (app) => {
        app.addHook('onRequest', async (request) => {
          if (request.headers['x-key'] === undefined) throw Object.assign(new Error('no key'), { statusCode: 401 })
        })
      }
    })
    const token = server.token('ada')
    for (const way of WAYS) {
      t.match(await ask(server, way, { token }), { status: 401, body: { message: 'no key' } }, way)
    }
    const peer = await connect(server, { token, headers: { 'x-key': '1' } })
    await peer.fence()
  }
)

t.test(
  'ignoreTrailingSlash of the router holds for rooms, caseSensitive: false and exposeHeadRoutes: false change nothing about them',
  async (t) => {
    const server = await start(t, {
      fastify: {
        routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, caseSensitive: false },
        exposeHeadRoutes: false
      }
    })
    const token = server.token('ada')
    t.equal((await ask(server, 'verdict', { token })).status, 200)
    t.equal((await ask(server, 'verdict', { path: '/ws/', token })).status, 200)
    t.equal(
      (await ask(server, 'verdict', { path: '/ws/chat/1/', token })).status,
      200,
      'the router\'s own options hold for rooms too'
    )
    t.equal(
      (await ask(server, 'verdict', { path: '/ws/Chat/1', token })).body.code,
      'room_unknown',
      'names have their case'
    )
    for (const path of ['/ws/chat/1', '/ws/health']) {
      t.equal(
        (await server.app.inject({
          method: 'HEAD',
          url: path,
          headers: { authorization: `Bearer ${token}` }
        })).statusCode,
        200,
        path
      )
    }
  }
)

// Ways in without a port

t.test(
  'app.inject works on every route: verdict, poll, post, ticket, refusals; injectWS opens and is refused',
  async (t) => {
    const app = bare(t)
    await app.register(realtime, { jwt: { secret: 'x' } })
    declareChat(app)
    await app.ready()
    const authorization = `Bearer ${app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 })}`
    const headers = { authorization }
    t.same((await app.inject({ url: '/ws/chat/1?verdict=1', headers })).json(), { userId: 'ada', rooms: ['chat/1'] })
    const first = (await app.inject({ url: '/ws/chat/1', headers })).json<{ cursor: string }>()
    t.same(Object.keys(first), ['connectionId', 'cursor', 'resumed', 'rooms', 'frames'])
    t.match(
      (await app.inject({
        method: 'POST',
        url: '/ws/chat/1',
        headers,
        payload: { type: 'say', id: 'm', data: { text: 'hi' } }
      })).json(),
      { type: 'ack', id: 'm', room: 'chat/1', data: { id: 'm' } }
    )
    matchList(t, (await app.inject({ url: `/ws/chat/1?since=${first.cursor}`, headers })).json(), {
      resumed: true,
      frames: [{ type: 'said', data: { text: 'hi' } }]
    })
    t.match((await app.inject({ method: 'POST', url: '/ws/ticket', headers })).json(), {
      ticket: String,
      expires: Number
    })
    t.match(await app.inject('/ws/chat/1').then(({ statusCode, headers, json }) => ({ statusCode, headers })), {
      statusCode: 401,
      headers: { connection: 'close', 'www-authenticate': 'Bearer' }
    })
    t.equal((await app.inject({ method: 'PUT', url: '/ws/chat/1', headers })).statusCode, 404)
    const ws = await app.injectWS('/ws/chat/1', { headers } as never)
    ws.terminate()
    await t.rejects(app.injectWS('/ws/chat/1'), /401/)
    await eventually(
      'the end',
      async () => (await statsOf(app)).connections.transports.websocket,
      (count) => count === 0
    )
  }
)

t.test('two apps in one process share nothing', async (t) => {
  const [one, two] = [await start(t, { capacity: 1 }), await start(t, { capacity: 1 })]
  const [ada, bob] = [
    await connect(one, { rooms: ['chat/1'], token: one.token('ada') }),
    await connect(two, { rooms: ['chat/1'], token: two.token('ada') })
  ]
  await one.app.rooms.broadcast('chat/1', 'said', { text: 'one', by: 'x' })
  t.match((await ada.next('said')).data, { text: 'one' })
  await one.app.rooms.revoke({ user: 'ada' })
  await ada.ended
  await bob.fence()
  await one.app.close()
  await bob.fence()
  t.equal((await statsOf(two.app)).connections.total, 1)
  t.match(await poll(two, { token: two.token('eve') }).catch(({ code }: { code: string }) => code), 'server_full')
})

for (const how of ['before ready', 'after ready', 'twice']) {
  t.test(`an app that never listened closes: ${how}`, async (t) => {
    const app = Fastify()
    await app.register(realtime, { jwt: { secret: 'x' } })
    declareChat(app)
    if (how !== 'before ready') await app.ready()
    await app.close()
    if (how === 'twice') await app.close()
    t.equal(app.rooms.isAccepting(), false)
  })
}

t.test(
  'the app of the documentation with its own plugins, tested without a port as the documentation does',
  async (t) => {
    const { build, orders } = await import(
      new URL('../api/5-existing.ts', import.meta.url).href
    ) as { build: () => Promise<FastifyInstance>, orders: { at: (params: { shop: string }) => { name: string } } }
    const app = await build()
    t.teardown(async () => { await app.close() })
    app.get(
      '/csrf',
      async (_request, reply) => ({ token: (reply as unknown as { generateCsrf: () => string }).generateCsrf() })
    )
    await app.ready()
    const token = app.jwt.sign({ sub: 'ada', name: 'Ada', rooms: ['a'] }, { expiresIn: 60 })
    const authorization = `Bearer ${token}`
    const { name } = orders.at({ shop: 'a' })
    const ada = await createPeer(app, { room: name, token })
    const secret = await app.inject('/csrf')
    const csrf = {
      'csrf-token': secret.json<{ token: string }>().token,
      cookie: String(secret.headers['set-cookie']).split(';')[0]!
    }
    t.equal(
      (await app.inject({
        method: 'POST',
        url: '/api/shops/a/orders',
        headers: { authorization, ...csrf },
        payload: {}
      })).statusCode,
      200
    )
    t.same((await ada.next('created')).data, { id: '1' })
    t.equal(
      (await app.inject({
        method: 'POST',
        url: '/api/shops/a/orders',
        headers: { authorization },
        payload: {}
      })).statusCode,
      403
    )
    await ada.fence()
    await t.rejects(
      createPeer(app, { room: orders.at({ shop: 'b' }).name, token }),
      { statusCode: 403, code: 'forbidden' } as object as Error
    )
    const answer = await app.inject({ url: '/ws/orders/a', headers: { authorization } })
    t.same(Object.keys(answer.json()), ['connectionId', 'cursor', 'resumed', 'rooms', 'frames'])
    const started = performance.now()
    await app.close()
    t.ok(performance.now() - started < 1_000, 'milliseconds, not the drain timeout')
  }
)
