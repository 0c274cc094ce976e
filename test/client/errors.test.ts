import { createServer as createWeb } from 'node:http'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import selfsigned from 'selfsigned'
import t from 'tap'
import { WebSocket } from 'ws'
import { connect, type ConnectOptions } from '../../lib/client/index.js'
import { behind, dial, dialsNothing, isOpen, rejection, until, type Watched } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { chat, start, statsOf } from '../helpers/net.js'
import { freePort } from '../helpers/servers.js'

const token = (): string => 'a-token'
type Failed = Watched['errors'][number] & { attempt?: number, retryIn?: number, transport?: string, cause?: unknown }

/** A busy machine holds up the timers of the client and that of the test alike, and keeps their order. */
async function first (watched: Watched, within: number): Promise<Failed> {
  let isOver = false
  const timer = setTimeout(() => { isOver = true }, within)
  let wasInTime: boolean | undefined
  watched.client.on('error', () => { wasInTime ??= !isOver })
  await until('an error', () => wasInTime !== undefined)
  clearTimeout(timer)
  t.ok(wasInTime, `within ${within} ms`)
  return watched.errors[0] as Failed
}

for (const transport of ['websocket', 'sse', 'polling'] as const) {
  t.test(
    `over ${transport} a server that is not there is an error, and so is every attempt after it, at the time that was told`,
    async (t) => {
      const watched = dial(t, { url: `http://127.0.0.1:${await freePort()}`, token }, 'ada', {
        transports: [transport]
      })
      const at: number[] = []
      watched.client.on('error', () => { at.push(performance.now()) })
      const error = await first(watched, 2_000)
      t.match(error, { code: 'unreachable', retry: 'backoff', attempt: 1, retryIn: Number, transport, cause: Error })
      t.equal(watched.client.state, 'connecting')
      await until('the next', () => at.length === 2)
      t.equal((watched.errors[1] as Failed).attempt, 2)
      const late = at[1]! - at[0]! - error.retryIn!
      t.ok(late > -20 && late < 1_500, `${late} ms late`)
    }
  )
}

t.test('a server that takes the connection and says nothing is a timeout, within the timeout', async (t) => {
  const server = createServer((socket) => { socket.on('error', () => undefined).resume() })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.close() })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const transport of ['websocket', 'sse', 'polling'] as const) {
    const watched = dial(t, { url, token }, 'ada', { transports: [transport], timeout: 300 })
    t.match(await first(watched, 900), { code: 'timeout', transport, attempt: 1, retryIn: Number })
    watched.client.close()
  }
})

t.test('a token that is never there is a timeout as well', async (t) => {
  const app = await start(t)
  const watched = dial(t, app, 'ada', { timeout: 200, token: async () => await new Promise<never>(() => undefined) })
  t.match(await first(watched, 900), { code: 'timeout' })
})

t.test('a token() that throws or rejects, with whatever, is told as such on every transport, and is tried again', async (t) => {
  const app = await start(t)
  // Code without types rejects with anything.
  const nothing = undefined as unknown as Error
  for (const transport of ['websocket', 'sse', 'polling'] as const) {
    for (const [fails, message] of [
      [() => { throw new TypeError('no session') }, 'token(): TypeError: no session'],
      [async () => await Promise.reject(new TypeError('fetch failed')), 'token(): TypeError: fetch failed'],
      [async () => await Promise.reject(nothing), 'token(): undefined']
    ] as const) {
      let calls = 0
      const watched = dial(t, app, 'ada', {
        transports: [transport],
        token: () => ++calls === 1 ? fails() : app.token('ada')
      })
      const told = { code: 'token_failed', message, retry: 'backoff', attempt: 1, retryIn: Number, transport }
      t.match(await first(watched, 2_000), told)
      watched.client.reconnect()
      await isOpen(watched)
      watched.client.close()
    }
  }
})

t.test('a token() that gives no text is told as one that failed, on every transport, and is tried again', async (t) => {
  const app = await start(t)
  for (const transport of ['websocket', 'sse', 'polling'] as const) {
    // Code without types gives anything, such as the property of an answer that has none, or an empty body.
    for (const given of [undefined, null, '', '\r\n', 5, {}] as string[]) {
      let calls = 0
      const watched = dial(t, app, 'ada', {
        transports: [transport],
        token: () => ++calls === 1 ? given : app.token('ada')
      })
      const message = `token(): give a token, not "${given}"`
      const told = { code: 'token_failed', message, retry: 'backoff', attempt: 1, retryIn: Number, transport }
      t.match(await first(watched, 2_000), told)
      t.equal(watched.client.state, 'connecting')
      watched.client.reconnect()
      await isOpen(watched)
      watched.client.close()
    }
  }
  t.same((await statsOf(app.app)).refusals, {}, 'the server is asked nothing without a token')
})

t.test('a certificate that nobody vouches for is told apart', async (t) => {
  const { private: key, cert } = await selfsigned.generate([{ name: 'commonName', value: 'example.com' }])
  const app = await start(t, { fastify: { https: { key, cert } } as never })
  const watched = dial(t, { url: app.url.replace('http', 'https'), token }, 'ada')
  t.match(await first(watched, 2_000), { code: 'certificate_invalid' })
})

t.test('a URL where something else answers is told apart, and no transport is given up for it', async (t) => {
  const page = createWeb((request, response) => {
    if (request.url?.startsWith('/page') === true) response.end('<title>Every path is a page here</title>')
    else {
      response.writeHead(404, { 'content-type': 'application/json' }).end(
        '{"statusCode":404,"error":"Not Found","message":"no route"}'
      )
    }
  })
  await new Promise<void>((resolve) => { page.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    page.close()
    page.closeAllConnections()
  })
  const url = `http://127.0.0.1:${(page.address() as AddressInfo).port}`
  for (const path of ['', '/page']) {
    for (const transport of path === '' ? ['websocket', 'sse', 'polling'] as const : ['websocket'] as const) {
      const watched = dial(t, { url: url + path, token }, 'ada', { transports: [transport, 'polling'] })
      t.match(await first(watched, 2_000), { code: 'not_found', transport, attempt: 1, retryIn: Number })
      t.equal(watched.client.transport, transport)
      watched.client.close()
    }
  }
})

/** What a proxy or a limiter before the server says, what the server itself says, and the least wait by it. */
const WAITS: ReadonlyArray<readonly [what: string, header: string, body: string, least: number]> = [
  ['seconds', '900', '<h1>Down', 900_000],
  ['seconds, and a body of its own', '900', '{"error":"Too many","retryAfter":"15 minutes"}', 900_000],
  ['seconds, and a body with a number', '900', '{"error":"Too many","retryAfter":1}', 900_000],
  ['less than nothing', '-100', '{}', 0],
  ['a word', 'soon', 'null', 0],
  ['what the server says', '1', '{"code":"rate_limited","message":"m","retry":"backoff","retryAfter":900000}', 900_000]
]

for (const transport of ['websocket', 'sse', 'polling'] as const) {
  t.test(`over ${transport} what refuses for now is asked again when its Retry-After is over, whatever its body is`, async (t) => {
    for (const [what, header, body, least] of WAITS) {
      let requests = 0
      const busy = createWeb((_request, response) => {
        requests++
        response.writeHead(429, { 'retry-after': header, 'content-type': 'application/json' }).end(body)
      })
      await new Promise<void>((resolve) => { busy.listen(0, '127.0.0.1', resolve) })
      const url = `http://127.0.0.1:${(busy.address() as AddressInfo).port}`
      const watched = dial(t, { url, token }, 'ada', { transports: [transport] })
      const { retryIn } = await first(watched, 10_000)
      t.ok(retryIn! >= least + 500 && retryIn! <= least + 3_000, `${what}: ${retryIn}`)
      t.ok(requests <= 2, `${what}: ${requests} requests`)
      watched.client.close()
      busy.close()
      busy.closeAllConnections()
    }
  })
}

t.test('an option or a URL that is unknown or wrong is refused at the call, by its name', async (t) => {
  for (const [url, options, says] of [
    ['http://a/ws', { tokn: 'x' }, /tokn cannot be x; known: token,transports,/],
    ['http://a/ws', { token: 7 }, /token cannot be 7/],
    ['http://a/ws', { timeout: '2s' }, /timeout cannot be 2s/],
    ['http://a/ws', { timeout: 0 }, /timeout cannot be 0/],
    ['http://a/ws', { timeout: -1 }, /timeout cannot be -1/],
    ['http://a/ws', { timeout: Number.NaN }, /timeout cannot be NaN/],
    ['http://a/ws', { transports: 'websocket' }, /transports cannot be websocket/],
    ['http://a/ws', { transports: [] }, /transports cannot be/],
    ['http://a/ws', { transports: ['websockets'] }, /transports cannot be websockets/],
    ['http://a/ws', { queue: { message: 5 } }, /message cannot be 5; known: messages,bytes,age,overflow/],
    ['http://a/ws', { queue: { overflow: 'drop' } }, /overflow cannot be drop/],
    ['http://a/ws', { queue: 5 }, /queue cannot be 5/],
    ['http://a/ws', { messages: 5 }, /messages cannot be 5/],
    ['http://a/ws', { signal: true }, /signal cannot be true/],
    ['http://a/ws', { fetch: 'fetch' }, /fetch cannot be fetch/],
    ['ws', {}, /ws is no URL of an endpoint/],
    ['/ws?room=1', {}, /has a query/],
    ['', {}, /no URL/],
    ['ftp://a/ws', {}, /ftp:\/\/a\/ws is no URL/],
    ['http://a/ws?room=1', {}, /has a query/],
    [new URL('http://a/ws?room=1'), {}, /has a query/],
    [undefined, {}, /undefined is no URL/],
    [null, {}, /null is no URL/],
    [7, {}, /7 is no URL/],
    [{ url: '/ws' }, {}, /is no URL/],
    ['http://a/ws', null, /options cannot be null/],
    ['http://a/ws', 'token', /options cannot be token/]
  ] as const) {
    t.throws(
      () => connect(url as never, options as never),
      { code: 'REALTIME_ERR_OPTIONS', message: says },
      JSON.stringify([url, options])
    )
  }
  for (const options of [
    { token: null },
    { token: undefined, timeout: Infinity },
    { queue: { age: Infinity, messages: 1 } },
    { WebSocket, transports: ['sse', 'polling'] }
  ]) {
    connect('ws://127.0.0.1:9/ws/', options as never).close()
    connect(new URL('ws://127.0.0.1:9/ws/'), options as never).close()
  }
})

t.test('in a page what is neither a text nor a URL is refused, and no path of the page is made of it', async (t) => {
  Object.assign(globalThis, { location: { href: 'http://a/page' } })
  t.teardown(() => { Reflect.deleteProperty(globalThis, 'location') })
  for (const url of [undefined, null, 7, {}, ['/ws']]) {
    t.throws(() => connect(url as never), { code: 'REALTIME_ERR_OPTIONS', message: /no URL/ }, String(url))
  }
})

t.test('null is refused as a value of every option, but for a token that the page does not have', async (t) => {
  const url = 'ws://127.0.0.1:9/ws'
  const refusal = (options: object): { code: string, message: string } => {
    try {
      connect(url, options).close()
    } catch (error) {
      return error as ReturnType<typeof refusal>
    }
    return { code: 'none', message: '' }
  }
  const known = (options: object): string[] => refusal(options).message.split('known: ')[1]!.split(',')
  const options = [
    ...known({ nothing: 1 }).map((name) => [name, { [name]: null }] as const),
    ...known({ queue: { nothing: 1 } }).map((name) => [name, { queue: { [name]: null } }] as const)
  ]
  t.ok(options.length > 12)
  for (const [name, each] of options) {
    if (name === 'token') t.same(refusal(each).code, 'none')
    else t.match(refusal(each), { code: 'REALTIME_ERR_OPTIONS', message: `${name} cannot be null` }, name)
  }
})

t.test('a client that is made while a page is rendered on a server does nothing, and can be closed', async (t) => {
  await dialsNothing(t, (options) => connect('/ws', options as ConnectOptions))
})

t.test('a page whose origin CORS does not let in is told apart', async (t) => {
  const app = await start(t, { origins: ['https://app.example.com'] })
  Object.assign(globalThis, { location: { href: 'https://www.example.com/' } })
  t.teardown(() => { Reflect.deleteProperty(globalThis, 'location') })
  const watched = dial(t, app, 'ada', {
    // As a page's fetch: without CORS an answer is only there for who does not want to read it.
    fetch: async (url, init) => {
      const response = await fetch(url, init)
      if (init?.mode === 'no-cors' || response.headers.has('access-control-allow-origin')) return response
      throw new TypeError('Failed to fetch')
    },
    transports: ['sse']
  })
  t.match(await first(watched, 2_000), { code: 'cors_refused' })
})

t.test('a server that starts while a page looks why it does not get through is not taken for one that refuses it', async (t) => {
  const app = await start(t)
  Object.assign(globalThis, { location: { href: `${app.url}/` } })
  t.teardown(() => { Reflect.deleteProperty(globalThis, 'location') })
  let asked = 0
  let dialled = 0
  const watched = dial(t, app, 'ada', {
    fetch: async (url, init) => {
      if (++asked === 1) throw new TypeError('Failed to fetch')
      return await fetch(url, init)
    },
    WebSocket: class extends WebSocket {
      constructor (url: string, protocols: string[]) {
        super(++dialled === 1 ? url.replace('/ws', '/nowhere') : url, protocols)
      }
    }
  })
  await isOpen(watched)
  t.same([watched.errors, watched.client.transport], [[], 'websocket'])
  t.same((await statsOf(app.app)).refusals, {}, 'it is asked nothing without a credential')
})

t.test(
  'the client says who it is, by which transport it is there, and dials again when it is told to, also after the end',
  async (t) => {
    const app = await start(t)
    for (const transport of ['websocket', 'sse', 'polling'] as const) {
      const watched = dial(t, app, 'ada', { transports: [transport] })
      const { client } = watched
      t.equal(client.userId, undefined)
      const room = client.join(chat.at({ id: '1' }))
      await room.joined
      t.same([client.userId, client.transport, client.state], ['ada', transport, 'open'])
      const before = client.connectionId
      client.reconnect()
      await until('another link', () => watched.states.length === 3 && client.state === 'open')
      // Polls go on with the connection that they name.
      t.equal(client.connectionId === before, transport === 'polling')
      t.match(await room.send('say', { text: 'x' }), { id: /-/ }, 'the rooms are joined again')
      client.close()
      t.match(await rejection(room.send('say', { text: 'x' })), { code: 'closed' })
      client.reconnect()
      t.equal(client.state, 'connecting')
      await client.join(chat.at({ id: '2' })).joined
      t.same(watched.states, ['open', 'reconnecting', 'open', 'closed', 'connecting', 'open'])
      t.same(watched.errors, [])
      client.close()
    }
  }
)

t.test('a client that waits for its next attempt dials at once when it is told to', async (t) => {
  const app = await start(t)
  const net = await behind(t, app)
  net.proxy.isDown = true
  const watched = dial(t, net, 'ada')
  await until('three errors', () => watched.errors.length >= 3)
  net.proxy.isDown = false
  watched.client.reconnect()
  const begun = performance.now()
  await isOpen(watched)
  t.ok(performance.now() - begun < 1_000)
})

t.test(
  'what a client is refused for good is one error, however many rooms it has, and each of them rejects with it',
  async (t) => {
    const app = await start(t)
    const watched = dial(t, app, 'ada')
    const rooms = ['1', '2', '3'].map((id) => watched.client.join(chat.at({ id })))
    await Promise.all(rooms.map(async ({ joined }) => await joined))
    await app.app.rooms.revoke({ user: 'ada' })
    await until('the end', () => watched.client.state === 'closed')
    matchList(t, watched.errors, [{ code: 'revoked' }])
    for (const room of rooms) {
      t.match(await rejection(room.send('say', { text: 'x' })), { code: 'revoked', room: room.name })
    }
  }
)

t.test('a WebSocket that says error and nothing more is noticed at once', async (t) => {
  const app = await start(t)
  class Mute {
    onerror: (() => void) | undefined
    readyState = 0
    constructor () { setTimeout(() => { this.onerror?.() }, 10) }
    close (): void {}
    send (): void {}
  }
  const watched = dial(t, app, 'ada', { WebSocket: Mute, timeout: 10_000 })
  t.match(await first(watched, 2_000), { code: 'transport_blocked' })
  await isOpen(watched)
})
