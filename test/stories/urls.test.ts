import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import http from 'node:http'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import realtime, { type RealtimeOptions } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { chat, declareChat } from '../helpers/net.js'
import { handshake, plain, portOf, RawPeer } from '../helpers/raw.js'

interface Mounted {
  readonly app: FastifyInstance
  readonly scope: FastifyInstance
  readonly port: number
  readonly token: string
  readonly recorded: string[]
}

interface Mount {
  readonly fastify?: FastifyServerOptions
  readonly scopes?: readonly string[]
  readonly options?: RealtimeOptions
}

/** Everything that somebody else could write down of a request, taken from before the plugin is registered. */
function record (t: Test, server: http.Server, recorded: string[]): void {
  const note = (raw: unknown): void => { recorded.push(String((raw as http.IncomingMessage).url)) }
  const onStart = (message: unknown): void => { note((message as { request: unknown }).request) }
  subscribe('http.server.request.start', onStart)
  t.teardown(() => { unsubscribe('http.server.request.start', onStart) })
  server.on('request', note)
  server.on('upgrade', note)
  // As tracing does.
  const { emit } = http.Server.prototype
  http.Server.prototype.emit = function (event: string, ...args: unknown[]) {
    if (event === 'request' || event === 'upgrade') note(args[0])
    return Reflect.apply(emit, this, [event, ...args]) as boolean
  }
  t.teardown(() => { http.Server.prototype.emit = emit })
}

/** The plugin in scopes with the given prefixes, one in the other. */
async function mount (t: Test, { fastify, scopes = [], options }: Mount): Promise<Mounted> {
  const recorded: string[] = []
  const app = Fastify({ ...fastify, logger: { level: 'trace', stream: { write: (line) => { recorded.push(line) } } } })
  t.teardown(async () => { await app.close() })
  record(t, app.server, recorded)
  app.addHook('onRequest', async ({ url, originalUrl, query }) => {
    recorded.push(url, originalUrl, JSON.stringify(query))
  })
  let inner: FastifyInstance = app
  const enter = async (scope: FastifyInstance, [prefix, ...more]: readonly string[]): Promise<void> => {
    if (prefix !== undefined) {
      await scope.register(async (child) => { await enter(child, more) }, { prefix })
      return
    }
    inner = scope
    await scope.register(realtime, {
      jwt: { secret: 'a test' },
      auth: { carriers: ['header', 'subprotocol', 'ticket', 'query'] },
      stats: { token: 'scraper' },
      ...options
    })
    declareChat(scope)
    scope.get('/plain', async () => 'plain')
  }
  await enter(app, scopes)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    scope: inner,
    port: portOf(app.server),
    token: inner.jwt.sign({ sub: 'ada' }, { expiresIn: 60 }),
    recorded
  }
}

async function answer ({ port }: Mounted, text: string): Promise<{ status: number, said: string }> {
  const peer = new RawPeer(port)
  try {
    const { status, body } = await peer.send(text).answered()
    const json = (body.startsWith('{') ? JSON.parse(body) : {}) as { code?: string, rooms?: object }
    return { status, said: json.code ?? Object.keys(json.rooms ?? {}).join() }
  } finally {
    peer.destroy()
  }
}

/** The URLs of a mount, by the room that each is of, or by the refusal. */
interface Spelling extends Mount { readonly name: string, readonly rooms: Readonly<Record<string, string>> }

const DEFAULT: Spelling = {
  name: 'by default',
  rooms: {
    '/ws/chat/1': 'chat/1',
    '/%77%73/chat/1': 'chat/1',
    'http://example.com/ws/chat/1': 'chat/1',
    'HTTPS://example.com:8443/ws/chat/1': 'chat/1',
    '/ws/chat/a%2Fb': 'chat/a%2Fb',
    '/ws/chat/%31': 'room_invalid',
    '/ws/%63hat/1': 'room_invalid',
    '/ws/chat%2F1': 'room_unknown',
    '/ws/CHAT/1': 'room_unknown',
    '/ws/chat/1/': 'room_invalid',
    '/ws//chat/1': 'room_invalid',
    '/ws/chat/1;x=1': 'room_invalid',
    '/ws/chat/..': 'room_invalid',
    '/ws/Stats': 'room_invalid',
    '/WS/chat/1': '404',
    '//ws/chat/1': '404',
    '/ws%2Fchat/1': '404'
  }
}

const SPELLINGS: readonly Spelling[] = [
  DEFAULT,
  {
    name: 'caseSensitive: false',
    fastify: { routerOptions: { caseSensitive: false } },
    rooms: { '/WS/chat/AbC': 'chat/AbC', '/%57s/chat/1': 'chat/1', '/ws/CHAT/1': 'room_unknown' }
  },
  {
    name: 'ignoreTrailingSlash',
    fastify: { routerOptions: { ignoreTrailingSlash: true } },
    rooms: { '/ws/chat/1/': 'chat/1', '/ws/chat/1': 'chat/1', '/ws/chat/1//': 'room_invalid' }
  },
  {
    name: 'ignoreDuplicateSlashes',
    fastify: { routerOptions: { ignoreDuplicateSlashes: true } },
    scopes: ['/v1//x'],
    rooms: { '//v1/x///ws//chat///1': 'chat/1', '/v1/x/ws/chat/1': 'chat/1' }
  },
  {
    name: 'useSemicolonDelimiter',
    fastify: { useSemicolonDelimiter: true },
    rooms: { '/ws/chat/1;x=1': 'chat/1', '/ws;x/chat/1': '' }
  },
  {
    name: 'a short maxParamLength',
    fastify: { routerOptions: { maxParamLength: 3 } },
    rooms: { '/ws/chat/123456': 'chat/123456' }
  },
  {
    name: 'rewriteUrl',
    fastify: { rewriteUrl: ({ url = '' }) => url.replace(/^\/live\//, '/ws/') },
    rooms: { '/live/chat/1': 'chat/1', '/ws/chat/1': 'chat/1' }
  },
  {
    name: 'a prefix of its own',
    options: { prefix: '/rt/live' },
    rooms: { '/rt/live/chat/1': 'chat/1', '/rt/%6cive/chat/1': 'chat/1', '/ws/chat/1': 'elsewhere' }
  },
  {
    name: 'a scope with a prefix',
    scopes: ['/v1'],
    rooms: { '/v1/ws/chat/1': 'chat/1', '/%761/ws/chat/1': 'chat/1', '/ws/chat/1': 'elsewhere' }
  },
  {
    name: 'two scopes',
    scopes: ['/a', '/b/c'],
    rooms: { '/a/b/c/ws/chat/1': 'chat/1', 'http://x/a/b/c/%77s/chat/1': 'chat/1' }
  },
  { name: 'a scope whose prefix ends with a slash', scopes: ['/v1/'], rooms: { '/v1/ws/chat/1': 'chat/1' } },
  { name: 'a scope whose prefix has no slash', scopes: ['v1'], rooms: { '/v1/ws/chat/1': 'chat/1' } },
  { name: 'a scope at the root', scopes: ['/'], rooms: { '/ws/chat/1': 'chat/1' } },
  { name: 'a scope with an empty prefix', scopes: ['', '/v1', ''], rooms: { '/v1/ws/chat/1': 'chat/1' } },
  {
    name: 'a scope with letters beyond ASCII',
    scopes: ['/café'],
    rooms: { '/caf%C3%A9/ws/chat/1': 'chat/1', '/caf%c3%a9/ws/chat/1': 'chat/1' }
  },
  { name: 'a scope with an escape', scopes: ['/a%20b'], rooms: { '/a%2520b/ws/chat/1': 'chat/1' } },
  { name: 'a scope with a colon', scopes: ['/x::y'], rooms: { '/x:y/ws/chat/1': 'chat/1' } }
]

for (const { name, rooms, ...how } of SPELLINGS) {
  t.test(`${name}: an upgrade, a poll and a POST are of the room that the router matched, and no credential of the URL is recorded`, async (t) => {
    const mounted = await mount(t, how)
    const { token, recorded } = mounted
    for (const [path, room] of Object.entries(rooms)) {
      const isRoom = room === '' || room.includes('/')
      // Who is not below the prefix keeps his own.
      if (room === 'elsewhere') {
        t.equal((await answer(mounted, handshake(path))).status, 404, path)
        continue
      }
      for (const query of [`?token=${token}`, `?a=1&%74oken=${token}&token=other`, `?a;b=2&to%6ben=${token}&c`]) {
        const poll = await answer(mounted, plain(`${path}${query}`))
        const upgrade = await answer(mounted, handshake(`${path}${query}`))
        const post = await answer(
          mounted,
          plain(`${path}${query}`, {
            method: 'POST',
            headers: { Host: 'x', 'Content-Type': 'application/json', 'Content-Length': '2' }
          }) +
            '{}'
        )
        if (isRoom) {
          t.same(
            [poll.status, poll.said, upgrade.status, post.said],
            [200, room, 101, 'invalid_message'],
            `${path}${query.slice(0, 12)}`
          )
        } else if (room === '404') {
          t.same([poll.status, upgrade.status, post.status], [404, 404, 404], `${path}${query.slice(0, 12)}`)
        } else {
          t.same(
            [poll.said, upgrade.said, post.said === 'room_unknown' ? room : post.said],
            [room, room, room],
            `${path}${query.slice(0, 12)}`
          )
        }
      }
      await answer(mounted, handshake(`${path}?ticket=${token}`))
    }
    t.same(recorded.filter((line) => line.includes(token)), [], 'recorded nowhere')
    t.ok(recorded.some((line) => line.includes('a=1')), 'while other parameters are')
  })
}

for (const { name, scopes, options, rooms, fastify } of SPELLINGS.slice(7)) {
  t.test(
    `${name}: tickets, stats, AsyncAPI, health, the peers of tests and the refusal of plain upgrades use the whole prefix`,
    async (t) => {
      const mounted = await mount(t, {
        ...(fastify === undefined ? {} : { fastify }),
        ...(scopes === undefined ? {} : { scopes }),
        ...(options === undefined ? {} : { options })
      })
      const { app, scope, token } = mounted
      const [path] = Object.keys(rooms)
      const base = path!.slice(0, -'/chat/1'.length)
      const headers = { authorization: `Bearer ${token}` }
      for (const transport of ['websocket', 'sse', 'polling'] as const) {
        const peer = await createPeer(scope, { room: 'chat/1', token, transport })
        peer.send({ type: 'say', room: 'chat/1', id: transport, data: { text: 'x' } })
        t.match(await peer.next('ack'), { id: transport })
        await peer.close()
      }
      const { ticket } = (await app.inject({
        method: 'POST',
        url: `${base}/ticket`,
        headers
      })).json<{ ticket: string }>()
      t.equal((await answer(mounted, handshake(`${base}/chat/1?ticket=${ticket}`))).status, 101)
      const document = await app.inject(`${base}/asyncapi.json`)
      const { channels } = document.json<{ channels: Record<string, { address: string }> }>()
      t.same(Object.values(channels).map(({ address }) => address), [`${base}/chat/{id}`, base])
      t.equal((await app.inject(`${base}/health`)).statusCode, 200)
      const peer = await createPeer(scope, { room: 'chat/a%2Fb', token })
      const admin = { authorization: 'Bearer scraper' }
      for (const spelled of [
        base,
        base.replace(/ws$|live$/, (end) => `%${end.charCodeAt(0).toString(16)}${end.slice(1)}`)
      ]) {
        const room = await app.inject({ url: `${spelled}/stats/rooms/chat/a%2Fb`, headers: admin })
        t.match(room.json(), { name: 'chat/a%2Fb' }, spelled)
      }
      await peer.close()
      const outside = base.slice(0, base.lastIndexOf('/')).replace(/^\/rt$/, '')
      for (const url of [`${outside}/plain`, `${base}/health`, `${base}/stats`]) {
        t.match(await answer(mounted, handshake(url)), { status: 426, said: 'upgrade_refused' }, url)
      }
    }
  )
}

t.test('a prefix with a parameter is refused at register, with the way to have it', async (t) => {
  for (const prefix of ['/:tenant', '/v1/:a-:b', '/:file(^\\d+)', '/x/*']) {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await t.rejects(async () => {
      await app.register(async (scope) => { await scope.register(realtime, { jwt: { secret: 'x' } }) }, { prefix })
      await app.ready()
    }, { code: 'REALTIME_ERR_OPTIONS', message: /put the parameter into the rooms/ }, prefix)
  }
})

t.test('a route of the app outside the prefix keeps its own parameters token and ticket', async (t) => {
  const mounted = await mount(t, { scopes: ['/v1'] })
  const seen = async (url: string): Promise<unknown> => (await fetch(`http://127.0.0.1:${mounted.port}${url}`)).status
  for (const url of ['/ws?token=kept', '/v1/wsx?ticket=kept', '/v1?token=kept', '/v1/plain?token=kept']) await seen(url)
  t.equal(mounted.recorded.filter((line) => line.includes('=kept') && line.startsWith('/')).length > 8, true)
  t.equal(chat.name, 'chat/:id')
})
