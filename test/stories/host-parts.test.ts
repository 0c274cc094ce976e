import fastifyRateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifyServerOptions, RouteOptions } from 'fastify'
import t from 'tap'
import { ask, type Answer } from '../helpers/ask.js'
import { dial } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { chat, start, TRANSPORTS } from '../helpers/net.js'

/** What an app can replace or set for all of its routes. */
const REPLACED: Record<string, { fastify?: FastifyServerOptions, before?: (app: FastifyInstance) => void }> = {
  nothing: {},
  'a parser for every type': {
    before: (app) => {
      app.addContentTypeParser('*', (_request, _payload, done) => { done(null, 'not JSON') })
    }
  },
  'no parsers at all': { before: (app) => { app.removeAllContentTypeParsers() } },
  'another parser of JSON': {
    before: (app) => {
      app.removeContentTypeParser('application/json')
      app.addContentTypeParser('application/json', {
        parseAs: 'string'
      }, (_request, _body, done) => { done(null, { not: 'it' }) })
    }
  },
  'a serializer of replies': { before: (app) => { app.setReplySerializer(() => '{"not":"it"}') } },
  'a compiler of serializers': { before: (app) => { app.setSerializerCompiler(() => () => '{"not":"it"}') } },
  'a compiler of validators': { before: (app) => { app.setValidatorCompiler(() => () => false) } },
  'a hook that wraps payloads': {
    before: (app) => {
      app.addHook('preSerialization', async (_request, _reply, payload) => ({ wrapped: payload }))
    }
  },
  'an error handler': {
    before: (app) => {
      app.setErrorHandler((_error, _request, reply) => reply.code(500).send('not it'))
    }
  },
  'a handler of what is not found': {
    before: (app) => {
      app.setNotFoundHandler((_request, reply) => reply.code(200).send('not it'))
    }
  },
  'a handlerTimeout': { fastify: { handlerTimeout: 600 } as FastifyServerOptions },
  'a small bodyLimit': { fastify: { bodyLimit: 10 } },
  'a requestTimeout and a connectionTimeout': { fastify: { requestTimeout: 800, connectionTimeout: 800 } },
  'a router that forgives': {
    fastify: {
      routerOptions: {
        ignoreDuplicateSlashes: true,
        maxParamLength: 1,
        useSemicolonDelimiter: true
      }
    } as FastifyServerOptions
  },
  'no HEAD routes': { fastify: { exposeHeadRoutes: false } },
  'no 503 while it closes': { fastify: { return503OnClosing: false } },
  'strict ajv, and another text of its errors': {
    fastify: {
      ajv: { customOptions: { strict: true, removeAdditional: 'all' } },
      schemaErrorFormatter: () => new Error('not it')
    } as FastifyServerOptions
  },
  'a hook for timeouts': {
    fastify: { connectionTimeout: 800 },
    before: (app) => { app.addHook('onTimeout', async () => {}) }
  }
}

t.jobs = 4

for (const [name, { fastify, before }] of Object.entries(REPLACED)) {
  t.test(`what an app replaces for its own routes leaves rooms alone over each transport: ${name}`, {
    buffered: true
  }, async (t) => {
    const server = await start(t, {
      ...(fastify === undefined ? {} : { fastify }),
      ...(before === undefined ? {} : { before: async (app) => { before(app) } })
    })
    const first = await ask(server, 'polling', { token: server.token('eve') })
    t.equal(first.status, 200)
    // Longer than each of the times above.
    const poll = ask(server, 'polling', {
      path: `/ws/chat/1?since=${String(first.body.cursor)}&wait=1200`,
      token: server.token('eve')
    })
    await Promise.all(TRANSPORTS.map(async (transport) => {
      const { client, errors } = dial(t, server, 'ada', { transports: [transport] })
      const room = client.join(chat.at({ id: transport }))
      const heard: string[] = []
      room.on('said', ({ data }) => { heard.push(data.text) })
      await room.joined
      t.match(await room.send('say', { text: 'one' }), { id: String })
      await new Promise((resolve) => setTimeout(resolve, 900))
      t.match(await room.send('say', { text: 'two' }), { id: String })
      for (let tries = 0; tries < 40 && heard.length < 2; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      t.same([heard, errors], [['one', 'two'], []], transport)
    }))
    const { status, body } = await poll
    matchList(t, { status, body }, { status: 200, body: { frames: [], cursor: String } })
    t.match(await ask(server, 'verdict', { token: server.token('ada') }), { status: 200, body: { userId: 'ada' } })
    t.match(await ask(server, 'uplink', { token: server.token('ada') }), { status: 200, body: { type: 'ack' } })
    t.match(await ask(server, 'polling', {}), { status: 401, body: { statusCode: 401, code: 'unauthorized' } })
    t.match(await ask(server, 'polling', { path: '/ws/health' }), { status: 200, body: { accepting: true } })
    t.same(server.loud, [])
  })
}

const WAYS = [...TRANSPORTS, 'uplink'] as const

const HOOKS: Record<string, (app: FastifyInstance, status: number) => void> = {
  onRequest: (app, status) => { app.addHook('onRequest', async (_request, reply) => { throw refusal(reply, status) }) },
  preParsing: (app, status) => {
    app.addHook('preParsing', async (_request, reply) => { throw refusal(reply, status) })
  },
  preValidation: (app, status) => {
    app.addHook('preValidation', async (_request, reply) => { throw refusal(reply, status) })
  },
  preHandler: (app, status) => {
    app.addHook('preHandler', async (_request, reply) => { throw refusal(reply, status) })
  }
}

function refusal (reply: { header (name: string, value: string): unknown }, statusCode: number): Error {
  reply.header('retry-after', '7')
  return Object.assign(new Error('from the app'), { statusCode, code: `APP_${statusCode}` })
}

for (const [hook, add] of Object.entries(HOOKS)) {
  t.test(
    `the status, code and Retry-After of the app's ${hook} hook reach the client over each transport, and are no errors of ours`,
    async (t) => {
      for (const status of [402, 403, 418, 429, 502, 503, 504]) {
        const server = await start(t, { before: async (app) => { add(app, status) } })
        for (const way of WAYS) {
          const answer: Answer = await ask(server, way, { token: server.token('ada') })
          t.match(
            answer,
            {
              status,
              headers: { 'retry-after': '7' },
              body: { statusCode: status, code: `APP_${status}`, message: 'from the app', retryAfter: 7_000 }
            },
            `${way} ${status}`
          )
        }
        t.same(server.loud.filter((line) => (line as { level: number }).level >= 50), [])
        await server.app.close()
      }
    }
  )
}

t.test('an error of a hook that is a fault stays one: hidden from the client, and logged', async (t) => {
  const server = await start(t, {
    before: async (app) => { app.addHook('onRequest', async () => { throw new Error('a secret') }) }
  })
  for (const way of WAYS) {
    t.match(
      await ask(server, way, { token: server.token('ada') }),
      { status: 500, body: { code: 'internal', message: 'internal error' } },
      way
    )
  }
  t.ok(server.loud.length > 0)
})

t.test('@fastify/rate-limit and @fastify/under-pressure refuse in their own words', async (t) => {
  const limited = await start(t, {
    before: async (app) => { await app.register(fastifyRateLimit, { max: 1, timeWindow: 60_000 }) }
  })
  await ask(limited, 'polling', { token: limited.token('ada') })
  for (const way of WAYS) {
    const answer = await ask(limited, way, { token: limited.token('ada') })
    t.match(
      answer,
      {
        status: 429,
        headers: { 'retry-after': String },
        body: { statusCode: 429, retry: 'backoff', retryAfter: Number }
      },
      way
    )
  }
  const pressed = await start(t, {
    before: async (app) => {
      await app.register(underPressure, {
        maxEventLoopDelay: 1,
        maxHeapUsedBytes: 1,
        sampleInterval: 10,
        retryAfter: 3
      })
    }
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  for (const way of WAYS) {
    t.match(
      await ask(pressed, way, { token: pressed.token('ada') }),
      {
        status: 503,
        headers: { 'retry-after': '3' },
        body: { statusCode: 503, code: 'FST_UNDER_PRESSURE', retry: 'backoff' }
      },
      way
    )
  }
  for (const { loud } of [limited, pressed]) t.same(loud.filter((line) => (line as { level: number }).level >= 50), [])
})

for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) {
  t.test(`@fastify/rate-limit counts all transports alike where its hook is ${hook}`, async (t) => {
    const limited = await start(t, {
      before: async (app) => {
        await app.register(fastifyRateLimit, {
          max: 1,
          timeWindow: 60_000,
          hook,
          keyGenerator: ({ headers }) => String(headers.authorization)
        })
      }
    })
    for (const way of WAYS) {
      const token = limited.token(way)
      const answers = [await ask(limited, way, { token }), await ask(limited, way, { token })]
      t.same(answers.map(({ status }) => status), [way === 'websocket' ? 101 : 200, 429], way)
    }
  })
}

type Check = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

/** Ways in which an app's `onRoute` hook puts a check before what a route does. */
const CHECKED: Record<string, (route: RouteOptions, check: Check) => void> = {
  'a preValidation hook': (route, check) => {
    const hook = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => { await check(request, reply) }
    route.preValidation = [route.preValidation ?? [], hook].flat()
  },
  'a preHandler hook': (route, check) => {
    const hook = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => { await check(request, reply) }
    route.preHandler = [route.preHandler ?? [], hook].flat()
  },
  'a handler around its own': (route, check) => {
    const { handler } = route
    route.handler = async function (request, reply) {
      await check(request, reply)
      return await handler.call(this, request, reply)
    }
  }
}

for (const [what, add] of Object.entries(CHECKED)) {
  for (const place of ['before', 'behind']) {
    t.test(`${what} of an onRoute hook ${place} @fastify/websocket decides over each transport`, async (t) => {
      let asked = 0
      const server = await start(t, {
        before: async (app) => {
          if (place === 'behind') await app.register(fastifyWebsocket)
          app.addHook('onRoute', (route) => {
            add(route, async (request, reply) => {
              asked++
              if (request.headers['x-tenant'] !== '1') throw refusal(reply, 403)
            })
          })
        }
      })
      for (const way of [...WAYS, 'verdict'] as const) {
        asked = 0
        const token = server.token('ada')
        t.match(await ask(server, way, { token }), { status: 403, body: { code: 'APP_403' } }, `${way} is refused`)
        const { status } = await ask(server, way, { token, headers: { 'x-tenant': '1' } })
        t.equal(status, way === 'websocket' ? 101 : 200, `${way} is let in`)
        t.equal(asked, 2, `${way} is asked once each time`)
      }
      t.same(server.loud, [])
    })
  }
}

t.test('a handler of an onRoute hook may answer an upgrade itself, and its socket ends', async (t) => {
  const answers: Record<string, (reply: FastifyReply) => unknown> = {
    'a value': (reply) => { void reply.code(402); return { no: 1 } },
    'reply.send': (reply) => reply.code(402).send({ no: 1 }),
    'the raw response': (reply) => { reply.hijack().raw.writeHead(402).end('{"no":1}') }
  }
  for (const [name, answer] of Object.entries(answers)) {
    const server = await start(t, {
      before: (app) => {
        app.addHook('onRoute', (route) => { route.handler = async (_request, reply) => answer(reply) })
      }
    })
    const { status, body } = await ask(server, 'websocket', { token: server.token('ada') })
    t.same([status, body], [402, { no: 1 }], name)
    await server.app.close()
  }
})
