import { createRequire } from 'node:module'
import { InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan, type SpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import type { FastifyInstance } from 'fastify'
import type * as FastifyOtel from '@fastify/otel'
import fc from 'fast-check'
import t from 'tap'
import { WebSocket } from 'ws'
import realtime from '../../lib/index.js'
import { registerRealtimeInstrumentation } from '../../lib/otel/index.js'
import { declareChat } from '../helpers/net.js'
import { handshake, plain, portOf, RawPeer, textFrame, until, within } from '../helpers/raw.js'

const require = createRequire(import.meta.url)

/** Where a client may put its token or its ticket. */
const CARRIERS = ['header', 'cookie', 'subprotocol', 'ticket', 'query', 'frame'] as const
type Carrier = typeof CARRIERS[number]

/** Requests that carry it. */
const PLACES = [
  'socket', 'stream', 'poll', 'post', 'ticket', 'stats', 'health', 'unknown', 'reject', 'foreign', 'app'
] as const
type Place = typeof PLACES[number]

const PATHS: Readonly<Record<Place, string>> = {
  socket: '/ws/chat/1',
  stream: '/ws/chat/1?transport=sse',
  poll: '/ws/chat/1?transport=polling&wait=0',
  post: '/ws/chat/1',
  ticket: '/ws/ticket',
  stats: '/ws/stats?format=json',
  health: '/ws/health?deep=1',
  unknown: '/ws/nowhere/at/all',
  reject: '/ws/%zz',
  foreign: '/ws/chat/1/..%2f',
  app: '/fails'
}

interface Given {
  readonly carrier: Carrier
  readonly place: Place
  /** Whether the server accepts it. */
  readonly isValid: boolean
  /** Whether the name of the parameter is written in percent signs. */
  readonly isEscaped: boolean
  readonly nonce: string
}

const given: fc.Arbitrary<Given> = fc.record({
  carrier: fc.constantFrom(...CARRIERS),
  place: fc.constantFrom(...PLACES),
  isValid: fc.boolean(),
  isEscaped: fc.boolean(),
  nonce: fc.stringMatching(/^[A-Za-z0-9]{12}$/)
})

t.test('no span of a request, a message or an event holds a credential, wherever its client has put it', async (t) => {
  const exporter = new InMemorySpanExporter()
  /** All that have begun, because the one of @fastify/otel for a request that is upgraded never ends. */
  const begun: ReadableSpan[] = []
  const following: SpanProcessor = {
    onStart: (span) => { begun.push(span as unknown as ReadableSpan) },
    onEnd: () => undefined,
    forceFlush: async () => undefined,
    shutdown: async () => undefined
  }
  const provider = new NodeTracerProvider({ spanProcessors: [following, new SimpleSpanProcessor(exporter)] })
  provider.register()
  const http = new HttpInstrumentation()
  http.setTracerProvider(provider)
  http.enable()
  const { FastifyOtelInstrumentation } = require('@fastify/otel') as typeof FastifyOtel
  const instrumentation = new FastifyOtelInstrumentation()
  instrumentation.setTracerProvider(provider)
  t.teardown(registerRealtimeInstrumentation())
  t.teardown(async () => {
    http.disable()
    await provider.shutdown()
  })
  require('node:http')
  const { fastify } = require('fastify') as typeof import('fastify')
  const app = fastify({ forceCloseConnections: true }) as FastifyInstance
  t.teardown(async () => { await app.close() })
  await app.register(instrumentation.plugin() as never)
  await app.register(realtime, {
    jwt: { secret: 'x' },
    origins: 'same',
    auth: { carriers: ['header', 'cookie', 'subprotocol', 'ticket', 'query'], cookie: 'session' }
  })
  declareChat(app)
  app.get('/fails', async () => { throw new Error('a fault of the app') })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const port = portOf(app.server)
  const signed = (nonce: string): string => app.jwt.sign({ sub: nonce }, { expiresIn: 60 })
  let users = 0
  // Of one user few may be open.
  const ticketOf = async (): Promise<string> => {
    const headers = { authorization: `Bearer ${signed(`user-${users++}`)}` }
    const { body } = await app.inject({ method: 'POST', url: '/ws/ticket', headers })
    return (JSON.parse(body) as { ticket: string }).ticket
  }
  const seen = new Set<string>()
  const counts = new Map<string, number>()

  /** The request that carries it, and what must not be found of it. */
  const requestOf = async (of: Given): Promise<{ text: string, secret: string }> => {
    const { carrier, place, isValid, isEscaped, nonce } = of
    const isTicket = carrier === 'ticket'
    const secret = !isValid ? `s3cret${nonce}` : isTicket ? await ticketOf() : signed(nonce)
    const name = isTicket ? isEscaped ? 't%69cket' : 'ticket' : isEscaped ? '%74oken' : 'token'
    const isInUrl = isTicket || carrier === 'query'
    const path = `${PATHS[place]}${isInUrl ? `${PATHS[place].includes('?') ? '&' : '?'}${name}=${secret}` : ''}`
    const headers: Record<string, string> = {
      Host: 'localhost',
      ...(carrier === 'header' ? { Authorization: `Bearer ${secret}` } : {}),
      ...(carrier === 'cookie' ? { Cookie: `theme=dark; session=${secret}`, Origin: 'http://localhost' } : {}),
      ...(carrier === 'subprotocol' ? { 'Sec-WebSocket-Protocol': `realtime.v1, bearer.${secret}` } : {})
    }
    const body = JSON.stringify({ type: 'say', id: nonce, data: { text: 'hi' } })
    const text = place === 'socket' || place === 'foreign' || (place === 'app' && isEscaped)
      ? handshake(path, { headers })
      : place === 'post' || place === 'ticket'
        ? `${plain(path, { method: 'POST', headers: { ...headers, 'Content-Type': 'application/json', 'Content-Length': String(body.length) } })}${body}`
        : plain(path, { headers: { ...headers, ...(place === 'stream' ? { Accept: 'text/event-stream' } : {}) } })
    return { text, secret }
  }
  /** A connection that renews its credential by a frame, and says something before and after. */
  const renewed = async ({ isValid, nonce }: Given): Promise<string> => {
    const secret = isValid ? await ticketOf() : `s3cret${nonce}`
    const ws = new WebSocket(`ws://127.0.0.1:${port}/ws/chat/1`, { headers: { authorization: `Bearer ${signed(nonce)}` } })
    const answers: string[] = []
    ws.on('message', (data) => { answers.push(String(data)) })
    ws.on('error', () => undefined)
    const ended = new Promise<void>((resolve) => { ws.on('close', () => { resolve() }) })
    ws.on('open', () => {
      ws.send(JSON.stringify({ type: 'say', room: 'chat/1', id: 'a', data: { text: 'hi' } }))
      ws.send(JSON.stringify({ type: 'auth', id: 'b', data: { ticket: secret } }))
      ws.send(JSON.stringify({ type: 'auth', room: secret, id: secret, data: { ticket: secret, token: secret } }))
      ws.send(JSON.stringify({ type: 'say', room: 'chat/1', id: 'c', data: { text: 'hi', token: secret } }))
      ws.send(JSON.stringify({ type: 'ping', id: 'last' }))
    })
    await within('the answers', 10_000, Promise.race([
      ended,
      until('the last answer', () => answers.some((answer) => answer.includes('"last"')) || undefined)
    ]))
    ws.terminate()
    return secret
  }
  const ask = async (text: string): Promise<string> => {
    const peer = new RawPeer(port)
    peer.send(text)
    const { status } = await peer.answered()
    if (status === 101) {
      peer.send(textFrame(JSON.stringify({ type: 'say', room: 'chat/1', id: 'a', data: { text: 'hi' } })))
      await until('the answer', () => peer.text.includes('"ack"') || undefined)
    }
    peer.destroy()
    return String(status)
  }
  const examples = CARRIERS.flatMap((carrier) => PLACES.flatMap((place) => [true, false].map((isValid): [Given] =>
    [{ carrier, place, isValid, isEscaped: !isValid, nonce: 'abcdefghij12' }])))
    .filter(([{ carrier, place }]) => carrier !== 'frame' || place === 'socket')

  await fc.assert(fc.asyncProperty(given, async (of) => {
    exporter.reset()
    begun.length = 0
    let secret: string
    if (of.carrier === 'frame') secret = await renewed(of)
    else {
      const request = await requestOf(of)
      secret = request.secret
      seen.add(`${of.carrier} ${of.place} ${await ask(request.text)}`)
    }
    // What came before has ended its spans by then, but for requests that were upgraded.
    await ask(plain('/last'))
    await until('the last span', () =>
      exporter.getFinishedSpans().some(({ attributes }) => attributes['url.path'] === '/last') || undefined)
    const spans = [...begun, ...exporter.getFinishedSpans()]
    counts.set(of.carrier, (counts.get(of.carrier) ?? 0) + begun.length)
    // All that an exporter sends.
    const sent = JSON.stringify(spans.map((span) => {
      const { name, attributes, events, links, status, resource, instrumentationScope } = span
      const { traceState } = span.spanContext()
      const source = [resource.attributes, instrumentationScope]
      return [name, attributes, events, links, status, source, traceState?.serialize()]
    }))
    const texts = [sent, decodeURIComponent(sent.replaceAll(/%(?![\da-f]{2})/gi, '%25'))]
    const found = secret.split('.').filter((part) => part.length > 10 && texts.some((text) => text.includes(part)))
    // What a route of the app calls so is its own matter, and shows that the search finds what is there.
    const isOfApp = of.place === 'app' && (of.carrier === 'ticket' || of.carrier === 'query')
    if ((found.length > 0) !== isOfApp) throw new Error(`${JSON.stringify(of)}: found ${JSON.stringify(found)} in ${sent}`)
  }), { examples, numRuns: examples.length + 100, endOnFailure: true })
  for (const carrier of CARRIERS) {
    if (carrier !== 'frame') t.ok(seen.has(`${carrier} socket 101`) && seen.has(`${carrier} stream 401`), `${carrier} was read`)
    t.ok(counts.get(carrier)! > 0, `there are spans of ${carrier}`)
  }
})
