import dns from 'node:dns'
import { EventEmitter, once } from 'node:events'
import { createServer, ServerResponse } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { mock } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyServerOptions, type RouteOptions } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import type { HttpError } from '../../lib/protocol/frames.js'
import { UpgradeGuard, type UpgradeGuardOptions } from '../../lib/server/upgrade-guard.js'
import { refusePlainUpgrades } from '../../lib/server/plain-upgrades.js'
import { UrlCredentials } from '../../lib/server/url-credentials.js'
import { handshake, holds, plain, portOf, RawPeer, textFrame, until, within } from '../helpers/raw.js'

const PEERS = 50
const NEVER = new Promise<never>(() => {})

function serverOf (app: FastifyInstance): Server {
  return app.server
}

/** The guard as the plugin installs it. */
function guarded (app: FastifyInstance, options: UpgradeGuardOptions = {}): UpgradeGuard {
  const guard = new UpgradeGuard(app.server, { deadline: 300, linger: 200, grace: 200, ...options })
  app.addHook('preClose', async () => { await guard.close() })
  app.addHook('onReady', async () => { if (app.hasDecorator('websocketServer')) guard.follow(app.websocketServer) })
  return guard
}

async function listening (t: Test, app: FastifyInstance): Promise<number> {
  t.teardown(async () => { await app.close() })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return portOf(app.server)
}

async function crowd (t: Test, port: number, text: string, size = PEERS): Promise<RawPeer[]> {
  const peers = Array.from({ length: size }, () => new RawPeer(port))
  t.teardown(() => { for (const peer of peers) peer.destroy() })
  await Promise.all(peers.map(async (peer) => await peer.connected()))
  for (const peer of peers) peer.send(text)
  return peers
}

function body (text: string): HttpError {
  return JSON.parse(text) as HttpError
}

/** A WebSocket route in the app's own hands. */
function echo (app: FastifyInstance, url = '/echo', more: Partial<RouteOptions> = {}): void {
  app.get(url, { ...more, websocket: true } as { websocket: true }, (socket) => {
    socket.on('message', (data: Buffer) => { socket.send(data.toString()) })
  })
}

interface Path {
  readonly name: string
  /** what the peer is answered; `undefined`: the guard's own 504 at the deadline */
  readonly status?: number
  readonly options?: FastifyServerOptions
  readonly text: string
  readonly setup: (app: FastifyInstance) => void | Promise<void>
}

const refusing = (app: FastifyInstance, send: () => Promise<unknown>): void => {
  app.addHook('onRequest', async (_request, reply) => {
    await send()
    return await reply.code(401).send({ error: 'no' })
  })
}

const paths: Path[] = [
  {
    name: 'a hook before @fastify/websocket that rejects',
    status: 401,
    text: handshake('/echo'),
    setup: async (app) => {
      refusing(app, async () => {})
      await app.register(websocket)
      echo(app)
    }
  },
  {
    name: 'a hook before @fastify/websocket that throws',
    status: 500,
    text: handshake('/echo'),
    setup: async (app) => {
      app.addHook('onRequest', async () => { throw new Error('boom') })
      await app.register(websocket)
      echo(app)
    }
  },
  {
    name: 'a malformed URL',
    status: 400,
    text: handshake('/%zz'),
    setup: async (app) => { await app.register(websocket) }
  },
  {
    name: 'a malformed URL with frameworkErrors',
    status: 400,
    options: {
      frameworkErrors: (error, _request, reply) => {
        void (reply as FastifyReply).code(400).send({ code: error.code })
      }
    },
    text: handshake('/%zz'),
    setup: async (app) => { await app.register(websocket) }
  },
  {
    name: 'a path parameter over maxParamLength',
    status: 414,
    text: handshake(`/echo/${'x'.repeat(101)}`),
    setup: async (app) => {
      await app.register(websocket)
      echo(app, '/echo/:id')
    }
  },
  {
    name: 'a rewriteUrl that throws',
    options: { rewriteUrl: () => { throw new Error('boom') } },
    text: handshake('/echo'),
    setup: async (app) => {
      await app.register(websocket)
      echo(app)
    }
  },
  {
    name: 'an upgrade pipelined behind a GET',
    status: 200,
    text: plain('/plain') + handshake('/echo'),
    setup: async (app) => {
      await app.register(websocket)
      app.get('/plain', async () => {
        await new Promise(setImmediate)
        return { ok: true }
      })
      echo(app)
    }
  },
  {
    name: 'a hook that never settles',
    text: handshake('/echo'),
    setup: async (app) => {
      await app.register(websocket)
      echo(app, '/echo', { preValidation: async () => await NEVER })
    }
  },
  {
    name: 'a hijack in preValidation and nothing more',
    text: handshake('/echo'),
    setup: async (app) => {
      await app.register(websocket)
      echo(app, '/echo', { preValidation: async (_request, reply) => { reply.hijack() } })
    }
  },
  {
    name: 'a 404 outside the scope of @fastify/websocket',
    status: 404,
    text: handshake('/nowhere'),
    setup: (app) => { void app.register(async (child) => { await child.register(websocket) }) }
  },
  {
    name: 'a plain route outside the scope of @fastify/websocket',
    status: 200,
    text: handshake('/plain'),
    setup: (app) => {
      void app.register(async (child) => { await child.register(websocket) })
      app.get('/plain', async () => ({ ok: true }))
    }
  },
  {
    name: 'a rejection after @fastify/websocket',
    status: 401,
    text: handshake('/echo'),
    setup: async (app) => {
      await app.register(websocket)
      refusing(app, async () => { await new Promise(setImmediate) })
      echo(app)
    }
  },
  {
    name: 'an unknown route',
    status: 404,
    text: handshake('/nowhere'),
    setup: async (app) => {
      await app.register(websocket)
      echo(app)
    }
  },
  {
    name: 'a wrong constraint',
    status: 404,
    text: handshake('/echo'),
    setup: async (app) => {
      await app.register(websocket)
      echo(app, '/echo', { constraints: { host: 'elsewhere.example' } })
    }
  }
]

for (const { name, status = 504, options = {}, text, setup } of paths) {
  t.test(`${name} leaves no socket behind`, async (t) => {
    for (const stay of [true, false]) {
      const app = Fastify(options)
      // A plugin of ours may come after the app's @fastify/websocket or before it.
      if (!stay) await setup(app)
      // an answer ends the connection; only where none comes the deadline does
      const guard = guarded(app, { deadline: status === 504 ? 300 : 60_000 })
      if (stay) await setup(app)
      const port = await listening(t, app)
      const peers = await crowd(t, port, text)
      if (stay) {
        const answers = await Promise.all(peers.map(async (peer) => await peer.answered()))
        t.same(new Set(answers.map((answer) => answer.status)), new Set([status]), 'all are answered alike')
        if (!text.startsWith('GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n')) {
          t.ok(answers.every(({ headers }) => headers['connection'] === 'close'), 'and told that the connection ends')
        }
        await Promise.all(peers.map(async (peer) => { await peer.left() }))
      } else {
        await Promise.all(peers.map(async (peer, index) => {
          if (status !== 504) await peer.answered()
          if (index % 2 === 0) peer.fin()
          else peer.destroy()
        }))
      }
      await holds(serverOf(app), 0)
      t.equal(guard.pending, 0)
      await within('app.close()', 2_000, app.close())
    }
  })
}

t.test('an upgrade while the app closes is answered 503 and leaves no socket behind', async (t) => {
  for (const order of ['before', 'between', 'after']) {
    const app = Fastify()
    let begin: () => void = () => {}
    let end: () => void = () => {}
    const begun = new Promise<void>((resolve) => { begin = resolve })
    const held = new Promise<void>((resolve) => { end = resolve })
    const slow = async (): Promise<void> => {
      begin()
      await held
    }
    if (order === 'before') app.addHook('preClose', slow)
    if (order === 'between') {
      await app.register(websocket)
      app.addHook('preClose', slow)
    }
    guarded(app)
    if (order !== 'between') await app.register(websocket)
    if (order === 'after') app.addHook('preClose', slow)
    echo(app)
    const port = await listening(t, app)
    const closed = app.close()
    await begun
    const peers = await crowd(t, port, handshake('/echo'))
    for (const answer of await Promise.all(peers.map(async (peer) => await peer.answered()))) {
      if (answer.status !== 503 || answer.headers['connection'] !== 'close') t.fail('not a 503', { order, answer })
      // before our own preClose it is Fastify that answers
      if (order !== 'before' && body(answer.body).code !== 'draining') t.fail('not ours', { order, answer })
    }
    await Promise.all(peers.map(async (peer) => { await peer.left() }))
    await holds(serverOf(app), 0)
    end()
    await within('app.close()', 2_000, closed)
    t.pass(`a slow preClose hook ${order} ours`)
  }
})

t.test('the answer while closing says in JSON to come back now', async (t) => {
  const app = Fastify()
  const codes: string[] = []
  const guard = guarded(app, { onRefused: (code) => { codes.push(code) } })
  await app.register(websocket)
  const port = await listening(t, app)
  await guard.close()
  const [peer] = await crowd(t, port, handshake('/echo'), 1)
  const answer = await peer!.answered()
  t.equal(answer.status, 503)
  t.match(answer.headers, { connection: 'close', 'content-type': 'application/json; charset=utf-8' })
  t.same(body(answer.body), {
    statusCode: 503,
    error: 'Service Unavailable',
    code: 'draining',
    message: 'the server is shutting down',
    retry: 'now'
  })
  t.same(codes, ['draining'])
})

t.test('closing lets an upgrade under way finish for a moment and answers the rest', async (t) => {
  const app = Fastify()
  const guard = guarded(app, { deadline: 60_000, grace: 300 })
  await app.register(websocket)
  let go: () => void = () => {}
  const gate = new Promise<void>((resolve) => { go = resolve })
  app.get(
    '/soon',
    { preValidation: async (_request, reply) => { await gate; return await reply.code(403).send({ error: 'no' }) } },
    () => {}
  )
  echo(app, '/never', { preValidation: async () => await NEVER })
  const port = await listening(t, app)
  const [soon] = await crowd(t, port, handshake('/soon'), 1)
  const [never] = await crowd(t, port, handshake('/never'), 1)
  await until('two pending upgrades', () => guard.pending === 2 ? true : undefined)
  const start = performance.now()
  const closed = app.close()
  go()
  t.equal((await soon!.answered()).status, 403)
  t.equal(body((await never!.answered()).body).code, 'draining')
  t.ok(performance.now() - start >= 290)
  await within('app.close()', 2_000, closed)
  t.equal(guard.pending, 0)
})

t.test('with the defaults a refused peer that keeps its side open is gone within a second', async (t) => {
  const app = Fastify()
  const guard = new UpgradeGuard(app.server)
  refusing(app, async () => {})
  await app.register(websocket)
  const port = await listening(t, app)
  const peers = await crowd(t, port, handshake('/'))
  await Promise.all(peers.map(async (peer) => await peer.answered()))
  const start = performance.now()
  await holds(serverOf(app), 0)
  t.ok(performance.now() - start < 1_000)
  t.equal(guard.pending, 0)
})

t.test('a refused peer that ends its side is gone at once, whatever else it has sent', async (t) => {
  const app = Fastify()
  guarded(app, { deadline: 60_000, linger: 60_000 })
  refusing(app, async () => {})
  await app.register(websocket)
  const port = await listening(t, app)
  const peers = await crowd(t, port, handshake('/'))
  for (const peer of peers) {
    await peer.answered()
    peer.send('x'.repeat(1_000)).fin()
  }
  await holds(serverOf(app), 0)
  t.ok(peers.every(({ answer }) => answer?.status === 401))
})

t.test('an upgrade to a plain route is answered 426 and opens nothing', async (t) => {
  const app = Fastify()
  let refused = 0
  const guard = guarded(app)
  await app.register(websocket)
  refusePlainUpgrades(app, guard, () => { refused++ })
  const urls = ['/', '/items/7', '/shaped', '/child/here', '/hooked']
  app.get('/', async () => ({ ok: true }))
  app.get('/items/:id', async () => ({ ok: true }))
  app.get(
    '/shaped',
    { schema: { response: { '4xx': { type: 'object', properties: {} } } } },
    async () => ({ ok: true })
  )
  void app.register(async (child) => { child.get('/here', async () => ({ ok: true })) }, { prefix: '/child' })
  app.get('/hooked', { onRequest: async () => {} }, async () => ({ ok: true }))
  echo(app)
  app.route({
    method: 'GET',
    url: '/both',
    handler: async () => ({ ok: true }),
    wsHandler: (socket) => { socket.send('hi') }
  })
  app.get('/ours', { config: { realtime: true } as object }, async () => ({ ok: true }))
  const port = await listening(t, app)
  for (const url of urls) {
    const peers = await crowd(t, port, handshake(url), 20)
    for (const answer of await Promise.all(peers.map(async (peer) => await peer.answered()))) {
      if (answer.status !== 426 || body(answer.body).code !== 'upgrade_refused' ||
        !/\bclose\b/.test(answer.headers['connection'] ?? '')) {
        t.fail('not a 426', { url, answer })
      }
    }
  }
  await holds(serverOf(app), 0)
  t.equal(refused, urls.length * 20)
  t.equal(app.websocketServer.clients.size, 0)
  for (const url of [...urls, '/both', '/ours']) {
    t.equal((await app.inject(url)).statusCode, 200, `a GET of ${url} is served`)
  }
  for (const url of ['/echo', '/both', '/ours']) {
    const [peer] = await crowd(t, port, handshake(url), 1)
    t.equal((await peer!.answered()).status, 101, `${url} is upgraded`)
  }
})

t.test('a WebSocket of the app outlives the deadline', async (t) => {
  const app = Fastify()
  await app.register(websocket)
  const guard = guarded(app, { deadline: 100 })
  echo(app)
  echo(app, '/never', { preValidation: async () => await NEVER })
  const port = await listening(t, app)
  const socket = new WebSocket(`ws://127.0.0.1:${port}/echo`)
  t.teardown(() => { socket.terminate() })
  await within('the opening', 2_000, once(socket, 'open'))
  t.equal(guard.pending, 0, 'it is settled')
  // what began later has met its deadline: so has everything that began before
  const [late] = await crowd(t, port, handshake('/never'), 1)
  t.equal(body((await late!.answered()).body).code, 'timeout')
  socket.send('still here')
  const [data] = await within('the echo', 2_000, once(socket, 'message')) as [Buffer]
  t.equal(data.toString(), 'still here')
})

t.test('a WebSocket that somebody else completes is not cut at the deadline', async (t) => {
  const app = Fastify()
  const guard = guarded(app, { deadline: 100 })
  await app.register(websocket)
  const foreign = new WebSocketServer({ noServer: true })
  app.get('/foreign', {
    preValidation: async (request, reply) => {
      reply.hijack()
      foreign.handleUpgrade(request.raw, request.raw.socket, Buffer.alloc(0), (socket) => {
        socket.on('message', (data: Buffer) => { socket.send(data.toString()) })
      })
    }
  }, () => {})
  const port = await listening(t, app)
  const socket = new WebSocket(`ws://127.0.0.1:${port}/foreign`)
  t.teardown(() => { socket.terminate() })
  await within('the opening', 2_000, once(socket, 'open'))
  await until('the deadline', () => guard.pending === 0 ? true : undefined)
  socket.send('still here')
  const [data] = await within('the echo', 2_000, once(socket, 'message')) as [Buffer]
  t.equal(data.toString(), 'still here')
})

t.test('a route completes the upgrade with a WebSocket server of its own, early frames included', async (t) => {
  const app = Fastify()
  const guard = guarded(app, { deadline: 100 })
  await app.register(websocket)
  const own = new WebSocketServer({ noServer: true })
  const got: string[] = []
  app.get('/own', {
    config: { realtime: true } as object,
    preValidation: async (request, reply) => {
      await new Promise(setImmediate)
      const upgrade = guard.upgradeOf(request.raw)!
      reply.hijack()
      own.handleUpgrade(request.raw, upgrade.socket, upgrade.head, (socket) => {
        guard.settle(request.raw)
        t.equal(guard.upgradeOf(request.raw), undefined, 'a settled upgrade is forgotten')
        socket.on('message', (data: Buffer) => { got.push(data.toString()) })
      })
    }
  }, () => {})
  app.get('/plain', async (request) => ({ upgrade: guard.upgradeOf(request.raw) !== undefined }))
  const port = await listening(t, app)
  const [peer] = await crowd(t, port, '', 1)
  peer!.send(Buffer.concat([Buffer.from(handshake('/own')), textFrame('early')]))
  t.equal((await peer!.answered()).status, 101)
  await until('the early frame', () => got.length > 0 ? true : undefined)
  t.same(got, ['early'])
  t.equal(guard.pending, 0)
  t.same((await app.inject('/plain')).json(), { upgrade: false }, 'a plain request has none')
  t.equal(app.websocketServer.clients.size, 0)
})

t.test('no more upgrades are pending than allowed in total, and the rest run through no hook', async (t) => {
  const app = Fastify()
  const codes: string[] = []
  const guard = guarded(app, {
    deadline: 60_000,
    linger: 60_000,
    pending: 10,
    onRefused: (code) => { codes.push(code) }
  })
  let hooks = 0
  app.addHook('onRequest', async () => { hooks++ })
  await app.register(websocket)
  echo(app, '/never', { preValidation: async () => await NEVER })
  const port = await listening(t, app)
  const peers = await crowd(t, port, handshake('/never'))
  const refused = await until('40 refusals', () => {
    const done = peers.filter((peer) => peer.answer !== undefined)
    return done.length === 40 ? done : undefined
  })
  t.equal(guard.pending, 10)
  t.equal(hooks, 10)
  t.same(codes, new Array(40).fill('server_full'))
  for (const peer of refused) {
    const { status, headers, body: text } = peer.answer!
    if (status !== 503 || body(text).code !== 'server_full' || !(Number(headers['retry-after']) >= 1)) {
      t.fail('not a 503', { text })
    }
    await peer.left()
  }
  await holds(serverOf(app), 20)
  t.equal(guard.pending, 10, 'as many refused peers may linger, not one more')
  for (const peer of peers) peer.destroy()
  await holds(serverOf(app), 0)
  t.equal(guard.pending, 0, 'peers that leave give their places back')
  await crowd(t, port, handshake('/never'), 10)
  await until('ten more', () => guard.pending === 10 ? true : undefined)
  t.equal(codes.length, 40)
})

t.test('no more upgrades are pending from one address than allowed, and others get in', async (t) => {
  const app = Fastify()
  const guard = guarded(app, { deadline: 60_000, pendingPerAddress: 4 })
  await app.register(websocket)
  echo(app, '/never', { preValidation: async () => await NEVER })
  const port = await listening(t, app)
  const peers = await crowd(t, port, handshake('/never'), 10)
  const refused = await until('6 refusals', () => {
    const done = peers.filter((peer) => peer.answer !== undefined)
    return done.length === 6 ? done : undefined
  })
  for (const peer of refused) {
    t.equal(peer.answer!.status, 429)
    t.match(body(peer.answer!.body), {
      statusCode: 429,
      error: 'Too Many Requests',
      code: 'address_limit',
      retry: 'backoff'
    })
  }
  const other = new RawPeer(port, '127.0.0.1', '127.0.0.2')
  t.teardown(() => { other.destroy() })
  other.send(handshake('/never'))
  await until('the fifth', () => guard.pending === 5 ? true : undefined)
  for (const peer of peers) peer.destroy()
  await until('the places given back', () => guard.pending === 1 ? true : undefined)
  await crowd(t, port, handshake('/never'), 4)
  await until('four more', () => guard.pending === 5 ? true : undefined)
})

t.test('500 handshakes cut at random points by RST or FIN leave nothing', async (t) => {
  let seed = Date.now() >>> 0
  t.comment(`seed ${seed}`)
  const random = (): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed / 2 ** 32
  }
  const app = Fastify()
  const guard = guarded(app)
  app.addHook('onRequest', async (request) => { if (request.url.includes('slow')) await delay(random() * 20) })
  await app.register(websocket)
  echo(app)
  echo(app, '/slow')
  echo(app, '/refused', { preValidation: async (_request, reply) => await reply.code(401).send({ error: 'no' }) })
  const port = await listening(t, app)
  const texts = ['/echo', '/slow', '/refused', '/slow404'].map((url) => handshake(url))
  const cut = async (index: number): Promise<void> => {
    const text = texts[index % texts.length]! + (index % 3 === 0 ? textFrame('early').toString('latin1') : '')
    const peer = new RawPeer(port)
    await peer.connected()
    peer.send(Buffer.from(text.slice(0, Math.floor(random() * text.length * 1.5)), 'latin1'))
    if (index % 2 === 0) await delay(random() * 25)
    else await new Promise(setImmediate)
    if (index % 5 < 2) peer.reset()
    else if (index % 5 < 4) peer.destroy()
    else {
      peer.fin()
      await peer.left()
      peer.destroy()
    }
  }
  for (let index = 0; index < 500; index += 50) {
    await Promise.all(Array.from({ length: 50 }, async (_, each) => { await cut(index + each) }))
  }
  await holds(serverOf(app), 0)
  t.equal(guard.pending, 0)
  t.equal(app.websocketServer.clients.size, 0)
  await within('app.close()', 2_000, app.close())
})

t.test('a peer that leaves while a hook is running is noticed at once', async (t) => {
  for (const leave of ['reset', 'fin'] as const) {
    const app = Fastify()
    const guard = guarded(app, { deadline: 60_000 })
    let ran = 0
    let go: () => void = () => {}
    const gate = new Promise<void>((resolve) => { go = resolve })
    app.addHook('onRequest', async () => { await gate })
    await app.register(websocket)
    app.get('/echo', { websocket: true, preValidation: async () => { ran++ } }, () => { t.fail('nobody is there') })
    const port = await listening(t, app)
    const peers = await crowd(t, port, handshake('/echo'))
    await until('all pending', () => guard.pending === PEERS ? true : undefined)
    for (const peer of peers) peer[leave]()
    await holds(serverOf(app), 0)
    t.equal(guard.pending, 0, `${leave}: no place is kept`)
    go()
    await until('the hooks', () => ran === PEERS ? true : undefined)
    await within('app.close()', 2_000, app.close())
  }
})

t.test('a reset is no uncaught error, whoever else listens on the socket or does not', async (t) => {
  const server = createServer()
  const guard = new UpgradeGuard(server, { deadline: 60_000 })
  server.on('upgrade', (raw, socket) => {
    const response = new ServerResponse(raw)
    response.assignSocket(socket as Socket)
    if (raw.url === '/refused') response.end('no')
  })
  t.teardown(() => { server.close() })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  for (const url of ['/held', '/refused']) {
    const peers = await crowd(t, portOf(server), handshake(url))
    if (url === '/held') await until('all pending', () => guard.pending === PEERS ? true : undefined)
    for (const peer of peers) peer.reset()
    await holds(server, 0)
    t.equal(guard.pending, 0)
  }
})

t.test('injectWS opens, is refused and is told of the closing', async (t) => {
  const app = Fastify()
  const guard = guarded(app, { deadline: 100, pending: 1 })
  const credentials = new UrlCredentials(app.server, '/ws')
  t.teardown(() => { credentials.stop() })
  await app.register(websocket)
  refusePlainUpgrades(app, guard)
  echo(app)
  echo(app, '/never', { preValidation: async () => await NEVER })
  app.get('/plain', async () => ({ ok: true }))
  t.teardown(async () => { await app.close() })
  await app.ready()
  const socket = await app.injectWS('/echo')
  t.equal(guard.pending, 0)
  socket.send('hello')
  const [data] = await within('the echo', 2_000, once(socket, 'message')) as [Buffer]
  t.equal(data.toString(), 'hello')
  socket.terminate()
  await t.rejects(app.injectWS('/nowhere'), /404/)
  await t.rejects(app.injectWS('/plain'), /426/)
  const never = app.injectWS('/never')
  await t.rejects(app.injectWS('/echo'), /503/, 'one over the limit')
  await t.rejects(never, /504/, 'and the deadline holds')
  await guard.close()
  await t.rejects(app.injectWS('/echo'), /503/)
  t.equal(guard.pending, 0)
})

t.test('closing the app takes every listener off the server and leaves no timer', async (t) => {
  const app = Fastify()
  const { server } = app
  const names = ['upgrade', 'request', 'clientError', 'close', 'connection', 'secureConnection', 'stream']
  const before = names.map((name) => server.listenerCount(name))
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const emit = server.emit
  const guard = guarded(app)
  const credentials = new UrlCredentials(server, '/ws')
  t.teardown(() => { credentials.stop() })
  const follow = new EventEmitter()
  guard.follow(follow)
  await app.register(websocket)
  echo(app, '/never', { preValidation: async () => await NEVER })
  const port = await listening(t, app)
  await crowd(t, port, handshake('/never'), 3)
  await until('three pending', () => guard.pending === 3 ? true : undefined)
  const idle = timers()
  await within('app.close()', 2_000, app.close())
  t.same(names.map((name) => server.listenerCount(name)), before)
  t.equal(server.emit, emit)
  t.notOk(Object.hasOwn(server, 'emit'))
  t.equal(follow.listenerCount('connection'), 0)
  t.ok(timers() <= idle)
})

t.test('a guard on a server that never listened stops with the app', async (t) => {
  const app = Fastify()
  guarded(app)
  await app.register(websocket)
  await app.ready()
  await within('app.close()', 2_000, app.close())
  t.equal(app.server.listenerCount('upgrade'), 0)
})

t.test('a token or ticket in the URL reaches no log line, no body and no hook', async (t) => {
  const CANARY = 'c4n4ry'
  const lines: string[] = []
  const seen: string[] = []
  const stream = { write: (line: string) => { lines.push(line) } }
  const app = Fastify({ logger: { level: 'trace', stream } })
  const guard = guarded(app)
  const credentials = new UrlCredentials(app.server, '/ws')
  app.addHook('onRequest', async (request) => {
    seen.push(request.url, request.originalUrl, JSON.stringify(request.query), JSON.stringify(request.raw.rawHeaders))
  })
  await app.register(websocket)
  refusePlainUpgrades(app, guard)
  const tokens: string[] = []
  app.route({
    method: 'GET',
    url: '/ws/:room',
    logSerializers: credentials.logSerializers(app.log) as Record<string, (value: unknown) => unknown>,
    handler: async (request) => {
      tokens.push(JSON.stringify(credentials.of(request.raw)))
      return { query: request.query }
    },
    wsHandler: (socket, request) => {
      tokens.push(JSON.stringify(credentials.of(request.raw)))
      socket.send(JSON.stringify(request.query))
    }
  })
  app.get('/other', async (request) => request.query)
  const port = await listening(t, app)

  const query = `token=${CANARY}`
  const urls = [
    `/ws/chat?${query}`, `/ws/chat?a=1&ticket=${CANARY}&b=2`, `/ws/chat?%74oken=${CANARY}`, `/ws/chat#${query}`, `/ws/chat;${query}`,
    `/ws/%zz?${query}`, `/ws/chat?a=%zz&${query}`, `/ws/chat?token=%zz${CANARY}`, `/ws?${query}`, `/ws/a/b/c?${query}`,
    `//ws/chat?${query}`, `/WS/chat?${query}`, `/%77s/chat?${query}`, `/ws%2fchat?${query}`, `http://localhost/ws/chat?${query}`,
    `/ws/${'x'.repeat(101)}?${query}`, `/ws/chat?${query}&token=${CANARY}2`, `/ws/chat?a=1?${query}`
  ]
  const texts = urls.flatMap((url) => [
    plain(url),
    handshake(url),
    plain(url, { method: 'POST', headers: { Host: 'localhost', 'Content-Length': '0' } }),
    plain(url, { method: 'BREW' }),
    plain(url, { headers: {} }),
    plain(url, { headers: { Host: 'localhost', 'Bad Name': 'x' } }),
    plain(url, { headers: { Host: 'localhost', 'X-Big': 'x'.repeat(20_000) } })
  ])
  for (const text of texts) {
    const peer = new RawPeer(port)
    peer.send(text)
    await peer.answered()
    peer.destroy()
    if (peer.text.includes(CANARY)) t.fail('in an answer', { text, answer: peer.text })
  }
  await holds(serverOf(app), 0)
  t.equal(
    lines.filter((line) => line.includes(CANARY) || line.includes([...Buffer.from(CANARY)].join(','))).join('\n'),
    '',
    'not in the log'
  )
  t.equal(seen.filter((text) => text.includes(CANARY)).join('\n'), '', 'not in a hook')
  t.ok(lines.some((line) => line.includes('"url":"/ws/chat?a=1&b=2"')), 'other parameters stay')
  t.ok(lines.some((line) => line.includes('client error')), 'requests that cannot be parsed are logged too')
  t.ok(tokens.includes(`{"token":"${CANARY}"}`) && tokens.includes(`{"ticket":"${CANARY}"}`), 'the route knows them')
  t.notOk(tokens.includes('{}'), 'whenever there were any')

  const [peer] = await crowd(t, port, plain(`/other?${query}`), 1)
  t.same(JSON.parse((await peer!.answered()).body), { token: CANARY }, 'a route outside the prefix keeps its own')

  tokens.length = 0
  lines.length = 0
  await app.inject(`/ws/chat?${query}`)
  t.same(tokens, [`{"token":"${CANARY}"}`], 'inject, which emits no event, is understood')
  t.equal(lines.filter((line) => line.includes(CANARY)).join('\n'), '', 'and logged without them')
})

t.test('the log of a request that cannot be parsed holds none of the credentials of its headers', async (t) => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
  const credentials = new UrlCredentials(app.server, '/ws')
  t.teardown(() => { credentials.stop() })
  const port = await listening(t, app)
  for (const [name, value] of [
    ['Authorization', 'Bearer c4n4ry'], ['authorization ', 'Bearer c4n4ry'], ['Cookie', 'session=c4n4ry; a=b'],
    ['Sec-WebSocket-Protocol', 'realtime.v1, bearer.c4n4ry'], ['sec-websocket-protocol', 'bearer64.c4n4ry,realtime.v1']
  ] as const) {
    const peer = new RawPeer(port).send(plain('/ws', { headers: { Host: 'x', [name]: value, 'Bad Name': 'kept' } }))
    await peer.answered()
    peer.destroy()
  }
  const packets = lines
    .map((line) => (JSON.parse(line) as { err?: { rawPacket?: { data: number[] } } }).err?.rawPacket?.data)
    .filter((data) => data !== undefined)
  t.equal(packets.length, 5)
  const texts = packets.map((data) => Buffer.from(data).toString())
  for (const text of texts) {
    t.notMatch(text, 'c4n4ry')
    t.match(text, 'kept', 'the rest stays')
  }
})

t.test('the serializer of a route keeps the one that the app gave its logger', async (t) => {
  const lines: string[] = []
  const app = Fastify({
    logger: {
      stream: { write: (line: string) => { lines.push(line) } },
      serializers: { req: (request) => ({ method: `own ${request.method} ${request.url}` }) }
    }
  })
  const credentials = new UrlCredentials(app.server, '/ws')
  t.teardown(async () => { await app.close() })
  const logSerializers = credentials.logSerializers(app.log) as Record<string, (value: unknown) => unknown>
  app.get('/ws', { logSerializers }, async () => ({}))
  await app.inject('/ws?token=c4n4ry')
  t.ok(lines.some((line) => line.includes('own GET /ws"')))
})

t.test('on every address of localhost the guard holds and the URL is cleaned', async (t) => {
  // a second address for localhost, which not every machine has
  const { lookup } = dns
  const twice = ((host: string, options: object, done: (error: null, addresses: dns.LookupAddress[]) => void) => {
    if (host === 'localhost' && 'all' in options && options.all === true) {
      done(null, [{ address: '127.0.0.1', family: 4 }, { address: '127.0.0.2', family: 4 }])
    } else lookup(host, options, done as never)
  }) as unknown as typeof lookup
  const mocked = mock.method(dns, 'lookup', twice)
  t.teardown(() => { mocked.mock.restore() })
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
  guarded(app)
  const credentials = new UrlCredentials(app.server, '/ws')
  t.teardown(() => { credentials.stop() })
  refusing(app, async () => {})
  await app.register(websocket)
  t.teardown(async () => { await app.close() })
  await app.listen({ port: 0, host: 'localhost' })
  t.equal(app.addresses().length, 2)
  for (const { address, port } of app.addresses() as AddressInfo[]) {
    for (const text of [handshake('/ws?token=c4n4ry'), plain('/ws?token=c4n4ry')]) {
      const peer = new RawPeer(port, address)
      t.teardown(() => { peer.destroy() })
      peer.send(text)
      t.equal((await peer.answered()).status, 401)
      if (text.includes('Upgrade')) await peer.left()
      else peer.destroy()
    }
  }
  t.equal(lines.filter((line) => line.includes('c4n4ry')).join('\n'), '')
  await within('app.close()', 2_000, app.close())
})
