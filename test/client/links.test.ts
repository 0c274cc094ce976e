import { getEventListeners } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import httpProxy from '@fastify/http-proxy'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/index.js'
import { defineRoom, Refusal } from '../../lib/index.js'
import { behind, dial, isOpen, rejection, until } from '../helpers/client.js'
import { heldChat } from '../helpers/held-chat.js'
import { matchList } from '../helpers/match-list.js'
import { chat, declareChat, start, TRANSPORTS } from '../helpers/net.js'

/** A WebSocket that something between lets nobody open. */
class Blocked extends WebSocket {
  constructor (url: string, protocols: string[]) {
    super(url.replace('/ws', '/nowhere'), protocols)
  }
}

/** A stream that something between holds back to its end. */
const buffered: typeof fetch = async (url, init) => {
  const response = await fetch(url, init)
  if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) return response
  await response.text()
  return response
}

t.test('where no WebSocket opens it falls to a stream at once, and says so once', async (t) => {
  const app = await start(t)
  const watched = dial(t, app, 'ada', { WebSocket: Blocked })
  const room = watched.client.join(chat.at({ id: '1' }))
  t.match(await room.send('say', { text: 'x' }), { id: /-/ })
  t.same(watched.states, ['open'])
  matchList(t, watched.errors, [{ code: 'transport_blocked', transport: 'websocket', attempt: 1, retryIn: 0 }])
  t.equal(watched.errors.length, 1)
  t.equal(watched.client.transport, 'sse')
})

t.test('a server that starts while the first link is tried costs no client its WebSocket', async (t) => {
  const app = await start(t)
  let tries = 0
  // As a proxy does whose server is not there yet, a moment before it is.
  class Early extends WebSocket {
    constructor (
      url: string,
      protocols: string[]
    ) { super(tries++ === 0 ? url.replace('/ws', '/nowhere') : url, protocols) }
  }
  const watched = dial(t, app, 'ada', { WebSocket: Early })
  await watched.client.join(chat.at({ id: '1' })).joined
  t.equal(watched.client.transport, 'websocket')
  t.same(watched.errors, [])
})

t.test(
  'a server that is slow to say that it would take a WebSocket is busy, and costs nobody his WebSocket',
  async (t) => {
    const app = await start(t)
    class Silent {
      readyState = 0
      close (): void {}
      send (): void {}
    }
    let verdicts = 0
    const watched = dial(t, app, 'ada', {
      WebSocket: Silent,
      timeout: 400,
      fetch: async (url, init) => {
        if (!String(url).includes('verdict')) throw new Error(`${String(url)} was asked for`)
        await new Promise((resolve) => setTimeout(resolve, 300))
        verdicts++
        return await fetch(url, init)
      }
    })
    await until('two verdicts', () => verdicts === 2)
    await until('a third link', () => watched.errors.length === 3)
    t.equal(watched.client.transport, 'websocket')
    matchList(t, watched.errors, [{ code: 'timeout' }, { code: 'timeout' }, { code: 'timeout' }])
  }
)

t.test('where streams are held back too it falls to polls', async (t) => {
  const app = await start(t)
  let polls = 0
  const watched = dial(t, app, 'ada', {
    WebSocket: Blocked,
    timeout: 300,
    fetch: async (url, init) => {
      if (String(url).includes('transport=polling')) polls++
      return await buffered(url, init)
    }
  })
  const room = watched.client.join(chat.at({ id: '1' }))
  const heard: string[] = []
  room.on('said', ({ data }) => { heard.push(data.text) })
  t.match(await room.send('say', { text: 'x' }), { id: /-/ })
  await until('the event', () => heard.length === 1)
  t.ok(polls > 0)
  matchList(
    t,
    watched.errors.map((error) => error as object),
    [{ code: 'transport_blocked', transport: 'websocket' }, { code: 'timeout', transport: 'sse' }]
  )
})

t.test('every poll names the connections that the client had before, since each may come to another node', async (t) => {
  const app = await start(t)
  const asked: URLSearchParams[] = []
  let isCut = false
  const watched = dial(t, app, 'ada', {
    transports: ['polling'],
    fetch: async (url, init) => {
      const { searchParams } = new URL(String(url))
      if (searchParams.has('transport')) asked.push(searchParams)
      if (!isCut || !searchParams.has('transport')) return await fetch(url, init)
      isCut = false
      throw new TypeError('cut')
    }
  })
  const room = watched.client.join(chat.at({ id: '1' }))
  await isOpen(watched)
  const { connectionId } = watched.client
  t.equal(asked[0]!.get('connection'), null)
  isCut = true
  await room.send('say', { text: 'ends the poll' })
  await until('polls of another link', () => watched.client.state === 'open' && asked.length >= 4)
  const again = asked.slice(asked.findIndex((query, index) => index > 0 && !query.has('since')))
  t.ok(again.some((query) => query.has('since')), 'it polls on')
  t.same(again.map((query) => query.get('connection')), again.map(() => connectionId))
})

t.test(
  'behind @fastify/http-proxy, which opens a WebSocket and ends it as it does not pass the credential, a stream is taken',
  async (t) => {
    const app = await start(t, { origins: 'any' })
    const proxy = Fastify()
    t.teardown(async () => { await proxy.close() })
    await proxy.register(httpProxy, { upstream: app.url, websocket: true, prefix: '/', rewritePrefix: '/' })
    await proxy.listen({ port: 0, host: '127.0.0.1' })
    const { port } = proxy.server.address() as AddressInfo
    const watched = dial(t, { ...app, url: `http://127.0.0.1:${port}` }, 'ada')
    const room = watched.client.join(chat.at({ id: '1' }))
    t.match(await room.send('say', { text: 'x' }), { id: /-/ })
    matchList(t, watched.errors, [{ code: 'transport_blocked', transport: 'websocket', attempt: 1, retryIn: 0 }])
    t.equal(watched.client.transport, 'sse')
  }
)

t.test('a WebSocket that the platform refuses to make is an error with its text, and a stream is taken', async (t) => {
  const app = await start(t)
  const watched = dial(t, app, 'ada', {
    WebSocket: class { constructor () { throw new SyntaxError('The URL is not allowed') } }
  })
  await watched.client.join(chat.at({ id: '1' })).joined
  matchList(t, watched.errors, [{ code: 'unavailable', message: /The URL is not allowed/ }])
  const alone = dial(t, app, 'ada', {
    transports: ['websocket'],
    WebSocket: class { constructor () { throw new SyntaxError('The URL is not allowed') } }
  })
  await until('its error', () => alone.errors.length > 0)
  t.match(alone.errors[0], { code: 'unavailable', message: /The URL is not allowed/ })
})

for (const [what, token] of [
  ['base64', 'c2VjcmV0+/='],
  ['a name and a password', 'ada:secret'],
  ['a newline at its end', 'secret\n'],
  ['letters beyond ASCII', 'schlüssel-鍵'],
  ['blanks and commas', 'a, b'],
  ['a long text', `${'x'.repeat(6_100)}=`],
  ['every character of a token', '!#$%&\'*+-.^_`|~09AZaz']
] as const) {
  t.test(`a credential that is no JWT (${what}) opens a WebSocket`, async (t) => {
    const app = await start(t, {
      authenticate: (_request, given) => given?.trim() === token.trim() ? { sub: 'ada' } as never : null,
      auth: { requireExp: false }
    })
    const watched = dial(t, app, 'ada', { token, transports: ['websocket'] })
    await until(`it is open; errors: ${JSON.stringify(watched.errors)}`, () => watched.client.state === 'open')
    t.same(watched.errors, [])
  })
}

t.test('without a WebSocket on the platform it takes a stream, and nothing is wrong', async (t) => {
  const app = await start(t)
  // As the promise of a module that is not installed.
  const missing = {
    then: (_resolve: unknown, reject: (error: Error) => void) => {
      reject(new Error('no such module'))
    }
  }
  const watched = dial(t, app, 'ada', { WebSocket: missing })
  await watched.client.join(chat.at({ id: '1' })).joined
  t.same(watched.errors, [])
})

t.test('a server that is full is asked again, and says so', async (t) => {
  const app = await start(t, { capacity: 1 })
  const first = dial(t, app, 'ada')
  await isOpen(first)
  const second = dial(t, app, 'bob')
  await until('the verdict', () => second.errors.length > 0)
  t.match(second.errors[0], { code: 'server_full' })
  t.equal(second.client.state, 'connecting')
  first.client.close()
  await isOpen(second)
})

t.test('a room that is full is asked for again while the others go on', async (t) => {
  for (const transport of ['websocket', 'sse', 'polling'] as const) {
    const app = await start(t, { presence: { grace: 100 }, declare: (app) => { declareChat(app, { capacity: 1 }) } })
    const first = dial(t, app, 'ada')
    const full = first.client.join(chat.at({ id: '1' }))
    await full.joined
    const second = dial(t, app, 'bob', { transports: [transport] })
    const other = second.client.join(chat.at({ id: '2' }))
    const room = second.client.join(chat.at({ id: '1' }))
    await other.joined
    await until('the refusal', () => second.errors.length > 0)
    t.match(second.errors[0], { code: 'room_full', room: 'chat/1' })
    t.match(await other.send('say', { text: 'x' }), { id: /-/ })
    await full.leave()
    await room.joined
    t.match(await room.send('say', { text: 'x' }), { id: /-/ })
    second.client.close()
  }
})

t.test('a stream takes 32 rooms: those joined after them are refused, and the others go on', async (t) => {
  for (const transport of ['sse', 'polling'] as const) {
    const app = await start(t)
    const watched = dial(t, app, 'ada', { transports: [transport] })
    const rooms = Array.from({ length: 34 }, (_, id) => watched.client.join(chat.at({ id: String(id) })))
    t.match(await rejection(rooms[33]!.joined), { code: 'room_limit', room: 'chat/33' })
    await Promise.all(rooms.slice(0, 32).map(async ({ joined }) => await joined))
    t.same(watched.errors.map(({ code, room }) => `${code} ${room}`), ['room_limit chat/32', 'room_limit chat/33'])
    t.equal(watched.client.state, 'open')
  }
})

t.test('a credential that is refused twice ends the client, another one does not', async (t) => {
  const app = await start(t)
  const closed = dial(t, app, 'ada', { token: 'not a token' })
  await until('it is closed', () => closed.client.state === 'closed')
  t.match(closed.errors.at(-1), { code: 'unauthorized' })
  let asked = 0
  const refreshed = dial(t, app, 'ada', { token: () => ++asked === 1 ? 'not a token' : app.token('ada') })
  await isOpen(refreshed)
  t.equal(asked, 2)
})

t.test('a credential that was renewed in vain is what the next link opens with, since not it was refused', async (t) => {
  const app = await start(t)
  const later = app.token('ada')
  let asked = 0
  const renewed = dial(t, app, 'ada', {
    token: () => ++asked === 1 ? app.token('ada', {}, 2) : later,
    fetch: async (url, init) => {
      if (String(url).endsWith('/ticket')) throw new TypeError('no network')
      return await fetch(url, init)
    }
  })
  await until(`it is open again; states: ${renewed.states.join()}`, () => renewed.states.length >= 3)
  t.same(renewed.states, ['open', 'reconnecting', 'open'])
  t.ok(asked > 2, 'it was renewed on the open link')
})

t.test('a credential that comes after another attempt has begun takes the place of none', async (t) => {
  const app = await start(t)
  let asked = 0
  let give = (_token: string): void => {}
  const { client, errors } = dial(t, app, 'ada', {
    transports: ['sse'],
    timeout: 5_000,
    token: async () => ++asked === 1 ? await new Promise((resolve) => { give = resolve }) : app.token('ada')
  })
  await until('the first call', () => asked === 1)
  client.reconnect()
  const room = client.join(chat.at({ id: '1' }))
  await room.joined
  give('of long ago')
  await delay(0)
  t.match(await room.send('say', { text: 'x' }), { id: /\w/ })
  t.same([asked, errors], [2, []])
})

const slow = defineRoom('slow/:id', { messages: { add: Type.Object({}) }, events: {} })
const refusing = defineRoom('refusing/:id', { messages: { add: Type.Object({}) }, events: {} })

t.test('messages that wait for the rate of their room, or were refused there for now, keep no other room waiting', async (t) => {
  const app = await start(t, {
    declare: (app) => {
      declareChat(app)
      app.room(slow, { limits: { rate: { messages: 0.01, burst: 1 } }, on: { add () {} } })
      app.room(refusing, { on: { add () { throw new Refusal('unavailable', { retryAfter: 60_000 }) } } })
    }
  })
  const { client } = dial(t, app, 'ada')
  const room = client.join(chat.at({ id: '1' }))
  for (const other of [slow, refusing]) {
    const waiting = client.join(other.at({ id: '1' }))
    await waiting.joined
    for (let count = 0; count < 3; count++) waiting.send('add', {}).catch(() => {})
    await delay(100)
    await t.resolves(room.send('say', { text: 'x' }, { timeout: 3_000 }), other.at({ id: '1' }).name)
  }
})

t.test('a stream is replaced by a stream when the platform is online again', async (t) => {
  const app = await start(t)
  const platform = new EventTarget()
  Object.assign(globalThis, { addEventListener: platform.addEventListener.bind(platform) })
  t.teardown(() => { Reflect.deleteProperty(globalThis, 'addEventListener') })
  const watched = dial(t, app, 'ada', { transports: ['sse', 'polling'] })
  await isOpen(watched)
  const { connectionId } = watched.client
  platform.dispatchEvent(new Event('online'))
  await until('another link', () => ![undefined, connectionId].includes(watched.client.connectionId))
  t.same([watched.client.transport, watched.errors], ['sse', []])
})

t.test('a token that cannot be fetched is an error that the application hears of, and is fetched again', async (t) => {
  const app = await start(t)
  let asked = 0
  const watched = dial(t, app, 'ada', {
    token: async () => {
      if (++asked === 1) throw new Error('no network')
      return app.token('ada')
    }
  })
  await isOpen(watched)
  matchList(t, watched.errors, [{ code: 'token_failed', message: /no network/ }])
})

t.test('an origin that is refused ends the client with the code', async (t) => {
  const app = await start(t, { origins: ['https://example.com'] })
  const watched = dial(t, app, 'ada', {
    WebSocket: class extends WebSocket {
      constructor (url: string, protocols: string[]) { super(url, protocols, { origin: 'https://evil.example' }) }
    },
    fetch: async (url, init) => await fetch(url, {
      ...init,
      headers: { ...init?.headers, origin: 'https://evil.example' }
    })
  })
  await until('it is closed', () => watched.client.state === 'closed')
  t.match(watched.errors.at(-1), { code: 'origin_refused' })
})

t.test('a server that is not there yet is waited for', async (t) => {
  const app = await start(t)
  const net = await behind(t, app)
  net.proxy.isDown = true
  const watched = dial(t, net, 'ada')
  const room = watched.client.join(chat.at({ id: '1' }))
  const sent = room.send('say', { text: 'early' })
  await until('an attempt', () => watched.client.state === 'connecting')
  net.proxy.isDown = false
  t.match(await sent, { id: /-/ })
})

t.test('a message whose ack was lost with its link takes effect once', async (t) => {
  let count = 0
  let release = (): void => {}
  const hold = new Promise<void>((resolve) => { release = resolve })
  const app = await start(t, {
    declare: (app) => {
      app.room(chat, {
        on: {
          async say () {
            count++
            await hold
            return { id: String(count) }
          },
          type () {}
        }
      })
    }
  })
  const net = await behind(t, app)
  const watched = dial(t, net, 'ada')
  const room = watched.client.join(chat.at({ id: '1' }))
  await room.joined
  const sent = room.send('say', { text: 'x' })
  await until('the handler', () => count === 1)
  net.proxy.cut()
  await until('the cut', () => watched.client.state === 'reconnecting')
  release()
  t.same(await sent, { id: '1' })
  t.equal(count, 1)
})

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} a message is sent as its data was at the call, however often`, async (t) => {
    const { declare, handled, release } = heldChat()
    const app = await start(t, { declare })
    const net = await behind(t, app)
    net.proxy.isDown = true
    const watched = dial(t, net, 'ada', { transports: [transport] })
    const data = { text: 'at the call' }
    const sent = watched.client.join(chat.at({ id: '1' })).send('say', data)
    data.text = 'before it was sent'
    net.proxy.isDown = false
    await until('the handler', () => handled.length === 1)
    data.text = 'before it was sent again'
    net.proxy.cut()
    await until('the cut', () => watched.client.state === 'reconnecting')
    release()
    t.same(await sent, { id: 'at the call' })
    t.same(handled, ['at the call'])
  })
}

t.test('a send that nobody answers ends by its timeout, its signal, or the age of the queue', async (t) => {
  const app = await start(t)
  const net = await behind(t, app)
  net.proxy.isDown = true
  const { client } = dial(t, net, 'ada', { queue: { age: 150 } })
  const room = client.join(chat.at({ id: '1' }))
  const controller = new AbortController()
  const aborted = rejection(room.send('say', { text: 'a' }, { signal: controller.signal }))
  const timed = rejection(room.send('say', { text: 'b' }, { timeout: 50 }))
  const aged = rejection(room.send('say', { text: 'c' }))
  controller.abort(new Error('enough'))
  t.match(await aborted, { message: 'enough' })
  t.match(await timed, { code: 'timeout' })
  t.match(await aged, { code: 'timeout' })
  t.match(await rejection(room.send('say', { text: 'd' }, { signal: AbortSignal.abort(new Error('already')) })), {
    message: 'already'
  })
})

t.test('a send whose signal is aborted rejects whatever the reason is', async (t) => {
  const app = await start(t)
  const net = await behind(t, app)
  net.proxy.isDown = true
  const room = dial(t, net, 'ada').client.join(chat.at({ id: '1' }))
  for (const reason of [null, false, 0, '']) {
    const controller = new AbortController()
    const sent = room.send('say', { text: 'a' }, { signal: controller.signal })
    controller.abort(reason)
    for (const each of [sent, room.send('say', { text: 'b' }, { signal: controller.signal })]) {
      t.equal(await each.then(() => 'resolved', (error: unknown) => error), reason)
    }
  }
  const controller = new AbortController()
  const sent = room.send('say', { text: 'a' }, { signal: controller.signal })
  controller.abort(undefined)
  t.match(await rejection(sent), { name: 'AbortError' }, 'where none was given')
})

t.test('a full queue refuses the new message, or drops the oldest, as it was told', async (t) => {
  const app = await start(t)
  const net = await behind(t, app)
  net.proxy.isDown = true
  const strict = dial(t, net, 'ada', { queue: { messages: 2 } }).client.join(chat.at({ id: '1' }))
  const kept = [strict.send('say', { text: 'a' }), strict.send('say', { text: 'b' })]
  t.match(await rejection(strict.send('say', { text: 'c' })), { code: 'queue_full' })
  const loose = dial(t, net, 'ada', {
    queue: { bytes: 500, overflow: 'drop-oldest' }
  }).client.join(chat.at({ id: '1' }))
  const oldest = rejection(loose.send('say', { text: 'a'.repeat(300) }))
  kept.push(loose.send('say', { text: 'b'.repeat(300) }))
  t.match(await oldest, { code: 'queue_full' })
  t.match(await rejection(loose.send('say', { text: 'c'.repeat(500) })), { code: 'queue_full' })
  net.proxy.isDown = false
  t.equal(
    (await Promise.allSettled(kept)).filter(({ status }) => status === 'fulfilled').length,
    3,
    'a message larger than the whole queue, which it could not hold empty, has driven out none'
  )
})

t.test('a message that a new one drives out with others is not sent first', async (t) => {
  const { declare, handled, release } = heldChat()
  const app = await start(t, { declare })
  const room = dial(t, app, 'ada', {
    transports: ['sse'], queue: { bytes: 500, overflow: 'drop-oldest' }
  }).client.join(chat.at({ id: '1' }))
  const driven = ['a', 'b', 'c'].map(async (text) => await rejection(room.send('say', { text })))
  await until('the first message', () => handled.length > 0)
  const text = 'd'.repeat(350)
  const kept = room.send('say', { text })
  t.same((await Promise.all(driven)).map(({ code }) => code), ['queue_full', 'queue_full', 'queue_full'])
  release()
  t.same(await kept, { id: text })
  t.same(handled, ['a', text])
})

t.test('closing ends everything that waits', async (t) => {
  const app = await start(t)
  const net = await behind(t, app)
  net.proxy.isDown = true
  const controller = new AbortController()
  const watched = dial(t, net, 'ada', { signal: controller.signal })
  const room = watched.client.join(chat.at({ id: '1' }))
  const waiting = [rejection(room.joined), rejection(room.send('say', { text: 'x' }))]
  const loop = (async () => { for await (const { type } of room) t.fail(type) })()
  controller.abort()
  for (const error of await Promise.all(waiting)) t.match(error, { code: 'closed' })
  await loop
  t.equal(watched.client.state, 'closed')
  t.same([watched.states, watched.errors], [['closed'], []])
  t.match(await rejection(watched.client.join(chat.at({ id: '2' })).joined), { code: 'closed' })
  t.equal(connect(`${app.url}/ws`, { signal: controller.signal }).state, 'connecting')
})

t.test('a listener is called in the order of its adding until it is undone, once where it asked for it', async (t) => {
  const app = await start(t)
  const { client } = dial(t, app, 'ada')
  const room = client.join(chat.at({ id: '1' }))
  await room.joined
  const log: string[] = []
  const controller = new AbortController()
  room.on('said', () => { log.push('once') }, { once: true })
  const off = room.on('said', () => { log.push('undone') })
  room.on('said', () => { log.push('signal') }, { signal: controller.signal })
  room.on('*', ({ type }) => { log.push(type) })
  await room.send('say', { text: '1' })
  off()
  await room.send('say', { text: '2' })
  controller.abort()
  await room.send('say', { text: '3' })
  t.same(log, ['once', 'undone', 'signal', 'said', 'signal', 'said', 'said'])
})

t.test('a signal that lives on keeps no listener of what is over: rooms, listeners, sends and loops', async (t) => {
  const app = await start(t)
  const { client } = dial(t, app, 'ada')
  const { signal } = new AbortController()
  const kept = (): number => getEventListeners(signal, 'abort').length
  const room = client.join(chat.at({ id: '1' }), { signal })
  await room.joined
  t.equal(kept(), 1, 'of the room')
  room.on('said', () => undefined, { signal })()
  client.on('state', () => undefined, { signal })()
  room.on('said', () => undefined, { signal, once: true })
  await room.send('say', { text: '1' }, { signal })
  t.equal(kept(), 1, 'listeners that were undone or called once, and the send, are gone')
  room.on('said', () => undefined, { signal })
  room.on('*', () => undefined, { signal })
  t.equal(kept(), 3)
  await room.leave()
  t.equal(kept(), 0, 'the room took its own with it')
  room.on('said', () => undefined, { signal })
  t.equal(kept(), 0, 'and takes no more')
})

t.test(
  'a hundred loops over the events of one room, one after another and at once, cost no warning of the platform',
  async (t) => {
    const warnings: string[] = []
    const warn = ({ message }: Error): void => { warnings.push(message) }
    process.on('warning', warn)
    t.teardown(() => { process.off('warning', warn) })
    const app = await start(t)
    const { client } = dial(t, app, 'ada')
    const room = client.join(chat.at({ id: '1' }))
    await room.joined
    const next = async (): Promise<string | undefined> => {
      let read: string | undefined
      for await (const { type } of room) {
        read = type
        if (type === 'said') break
      }
      return read
    }
    for (let n = 0; n < 50; n++) {
      const read = next()
      await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: String(n), by: 'server' })
      t.equal(await read, 'said')
    }
    const loops = Array.from({ length: 50 }, next)
    await room.leave()
    t.same(await Promise.all(loops), Array.from({ length: 50 }))
    t.same(warnings, [])
  }
)

t.test('a loop that waits for an event ends at once when its reader gives it up', async (t) => {
  const app = await start(t)
  const { client } = dial(t, app, 'ada')
  const room = client.join(chat.at({ id: '1' }))
  await room.joined
  const iterator = room[Symbol.asyncIterator]()
  const waiting = [iterator.next(), iterator.next()]
  t.same(await iterator.return?.(), { value: undefined, done: true })
  for (const next of waiting) t.match(await next, { done: true })
  const read = ReadableStream.from(room).getReader()
  const last = read.read()
  await read.cancel()
  t.match(await last, { done: true })
})

t.test('a reader that falls a thousand events behind is told, and costs the others nothing', async (t) => {
  const app = await start(t, { declare: (app) => { declareChat(app, { history: { size: 2_000 } }) } })
  const { client } = dial(t, app, 'ada')
  const room = client.join(chat.at({ id: '1' }))
  await room.joined
  const iterator = room[Symbol.asyncIterator]()
  const first = iterator.next()
  let count = 0
  room.on('said', () => { count++ })
  for (let n = 0; n < 1_100; n++) {
    await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: String(n), by: 'server' })
  }
  await until('all events', () => count === 1_100)
  t.match((await first).value, { data: { text: '0' } })
  let read = 1
  const error = await rejection((async () => { for (;;) if ((await iterator.next()).done !== true) read++ })())
  t.match(error, { code: 'slow_consumer' })
  t.ok(read >= 1_000 && read <= 1_001, String(read))
})

t.test('a message that an intermediary refuses by 403 or 413 rejects at once, and those behind it go on', async (t) => {
  const app = await start(t)
  for (const transport of ['sse', 'polling'] as const) {
    let [status, posts] = [0, 0]
    const { client } = dial(t, app, 'ada', {
      transports: [transport],
      fetch: async (url, init) => {
        if (!String(init?.body).includes('refused')) return await fetch(url, init)
        posts++
        return new Response('<h1>No</h1>', { status: posts === 2 && status === 503 ? 403 : status })
      }
    })
    const room = client.join(chat.at({ id: '1' }))
    for (const [each, code, times] of [
      [403, 'forbidden', 1], [413, 'message_too_large', 1], [503, 'forbidden', 2]
    ] as const) {
      [status, posts] = [each, 0]
      const refused = rejection(room.send('say', { text: 'refused' }))
      const behind = room.send('say', { text: 'behind' })
      t.match(await refused, { code, message: `HTTP ${each === 503 ? 403 : each}` })
      t.match(await behind, { id: /-/ })
      t.equal(posts, times, 'only what may be over a moment later is sent again')
    }
  }
})

for (const [how, first] of [['after', 'join'], ['before', 'leave']] as const) {
  t.test(`over a stream, rooms that are left in one turn ${how} another is joined show the user no more, without a grace`, async (t) => {
    const app = await start(t, {
      presence: { grace: 60_000 },
      declare: (app) => { declareChat(app, { presence: true }) }
    })
    const { client } = dial(t, app, 'ada', { transports: ['sse'] })
    const left = ['chat/1', 'chat/2', 'chat/3'].map((name) => client.join(name))
    await Promise.all(left.map(async ({ joined }) => await joined))
    const leave = async (): Promise<void> => { await Promise.all(left.map(async (room) => { await room.leave() })) }
    const other = first === 'join' ? client.join('chat/4') : undefined
    const gone = leave()
    await (other ?? client.join('chat/4')).joined
    await gone
    await until('nobody is shown there', async () => {
      const members = await Promise.all(left.map(async ({ name }) => await app.app.rooms.members(name)))
      return members.every(({ length }) => length === 0)
    }, 5_000)
    matchList(t, await app.app.rooms.members('chat/4'), [{ userId: 'ada' }])
  })
}
