import { createContext, runInContext } from 'node:vm'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Client, ConnectOptions, Transport } from '../../lib/client/index.js'
import { builtGlobal } from '../../scripts/build-client.mjs'
import { rejection, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { start, TRANSPORTS } from '../helpers/net.js'

const script = await builtGlobal()

type Globals = Record<string, unknown>

/** What a browser has of that which the client uses, and what code of a page may expect beside it. */
const BROWSER: Globals = {
  AbortController,
  AbortSignal,
  Response,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
  WebSocket,
  atob,
  btoa,
  clearTimeout,
  crypto,
  fetch,
  navigator: { onLine: true },
  performance,
  queueMicrotask,
  setTimeout,
  structuredClone
}

/** `fetch` of React Native: an answer is there when it is whole, and has no stream. */
const nativeFetch = async (url: string, init: RequestInit): Promise<object> => {
  const response = await fetch(url, init)
  const text = await response.text()
  const { ok, status, headers } = response
  return { ok, status, headers, json: async () => JSON.parse(text) as unknown }
}

/** A timer of the other realm, whose handle is a number there as in a browser. */
const connectIn = (globals: Globals, url: string, options: ConnectOptions): Client => {
  const context = createContext({ ...globals })
  runInContext(script, context)
  return (runInContext('realtime', context) as { connect (url: string, options: ConnectOptions): Client })
    .connect(url, options)
}

const without = (name: string): Globals => {
  const { [name]: _removed, ...rest } = BROWSER
  return rest
}

/** Which transports a platform has, where that is not all of them. */
const PLATFORMS: ReadonlyArray<readonly [name: string, globals: Globals, can?: readonly Transport[]]> = [
  ['a platform that has everything', BROWSER],
  ...['crypto', 'TextEncoder', 'URL', 'URLSearchParams', 'AbortSignal', 'btoa', 'performance', 'navigator',
    'queueMicrotask', 'structuredClone'].map((name) => [`a platform without ${name}`, without(name)] as const),
  ['a platform without AbortSignal.timeout', { ...BROWSER, AbortSignal: class {} }],
  ['a platform without crypto.getRandomValues', { ...BROWSER, crypto: {} }],
  ['a platform without TextDecoder', without('TextDecoder'), ['websocket', 'polling']],
  ['a platform without Response', without('Response'), ['websocket', 'polling']],
  ['a platform without fetch', without('fetch'), ['websocket']],
  ['a platform without WebSocket', without('WebSocket'), ['sse', 'polling']],
  ['a platform without AbortController', without('AbortController'), []],
  ['React Native of years ago', {
    AbortController,
    Response: class {},
    WebSocket,
    clearTimeout,
    fetch: nativeFetch,
    navigator: { product: 'ReactNative' },
    setTimeout
  }, ['websocket', 'polling']]
]

async function talk (t: Test, client: Client, expected: string): Promise<void> {
  t.teardown(() => { client.close() })
  const errors: object[] = []
  client.on('error', (error) => { errors.push(error) })
  const heard: unknown[] = []
  const room = client.join('chat/1')
  room.on('said', ({ data }) => { heard.push(data) })
  let isJoined = false
  const joined = room.joined.then(() => { isJoined = true })
  await Promise.all([joined, until('joined', () => {
    if (!isJoined) throw new Error(`errors: ${JSON.stringify(errors)}`)
    return true
  })])
  await room.send('say', { text: 'gr\u00fc\u00df dich \u{1F44B}' })
  await until('the event', () => heard.length === 1)
  matchList(t, heard, [{ text: 'gr\u00fc\u00df dich \u{1F44B}', by: 'ada' }], `over ${expected}`)
  t.equal(client.transport, expected)
  client.close()
}

t.test('whatever a platform lacks, the transports that it can have work, and the others say so at once', async (t) => {
  const app = await start(t)
  const url = `${app.url}/ws`
  const token = (): string => app.token('ada')
  for (const [name, globals, can = TRANSPORTS] of PLATFORMS) {
    await t.test(name, async (t) => {
      for (const transport of TRANSPORTS) {
        const connect = (): Client => connectIn(globals, url, { token, transports: [transport], timeout: 2_000 })
        if (can.includes(transport)) await talk(t, connect(), transport)
        else if (transport === 'websocket' && can.length > 0) {
          const client = connect()
          t.teardown(() => { client.close() })
          const { code } = await new Promise<{ code: string }>((resolve) => { client.on('error', resolve) })
          t.equal(code, 'transport_blocked')
        } else {
          t.throws(connect, { code: 'REALTIME_ERR_OPTIONS', message: new RegExp(`${transport} lacks `) })
        }
      }
      if (can.length > 0) await talk(t, connectIn(globals, url, { token }), can[0]!)
    })
  }
})

t.test('a token that is no word goes over every transport without btoa or TextEncoder, or is refused with a code', async (t) => {
  const app = await start(t)
  const client = connectIn(without('btoa'), `${app.url}/ws`, { token: 'no word', transports: ['websocket'] })
  t.teardown(() => { client.close() })
  t.match(await new Promise((resolve) => { client.on('error', resolve) }), { message: /btoa is not defined/ })
})

t.test('in React Native a URL without a host is a mistake, not a page that is rendered on a server', async (t) => {
  t.throws(() => connectIn({ ...BROWSER, navigator: { product: 'ReactNative' } }, '/ws', {}), {
    code: 'REALTIME_ERR_OPTIONS',
    message: /\/ws is no URL/
  })
  const client = connectIn(BROWSER, '/ws', {})
  const { joined } = client.join('chat/1')
  client.close()
  t.match(await rejection(joined), { code: 'closed' })
})
