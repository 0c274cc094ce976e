import { createRequire } from 'node:module'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { context, trace as otel } from '@opentelemetry/api'
import {
  InMemorySpanExporter, SamplingDecision, SimpleSpanProcessor, type ReadableSpan, type SpanProcessor
} from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import type { FastifyInstance } from 'fastify'
import type * as FastifyOtel from '@fastify/otel'
import t, { type Test } from 'tap'
import realtime from '../../lib/index.js'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { registerRealtimeInstrumentation } from '../../lib/otel/index.js'
import { dial } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { chat, connect, declareChat, start } from '../helpers/net.js'
import { handshake, plain, portOf, RawPeer, until } from '../helpers/raw.js'
import { missing, startNats, startRedis } from '../helpers/servers.js'

const require = createRequire(import.meta.url)
const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
provider.register()
const tracing = new HttpInstrumentation()
tracing.setTracerProvider(provider)
t.teardown(() => { tracing.disable() })

const CANARY = 'c4n4ry'

/** An app with the plugin, and with Fastify's own tracing where asked. */
async function listening (t: Test, before: (app: FastifyInstance) => Promise<void> = async () => {}): Promise<number> {
  // Tracing wraps modules as they are required.
  require('node:http')
  const { fastify } = require('fastify') as typeof import('fastify')
  const app = fastify()
  t.teardown(async () => { await app.close() })
  await before(app)
  await app.register(realtime, { jwt: { secret: 'x' }, auth: { carriers: ['header', 'ticket', 'query'] } })
  declareChat(app)
  app.get('/other', async () => 'other')
  await app.listen({ port: 0, host: '127.0.0.1' })
  return portOf(app.server)
}

async function traced (port: number): Promise<string> {
  exporter.reset()
  const urls = [
    '/ws/chat/1?token=',
    '/ws/chat/1?transport=sse&ticket=',
    '/%77s?a=1&%74oken=',
    '/ws/nowhere?token=',
    '/ws/ticket?token='
  ]
  const texts = urls.flatMap((url) => [plain(`${url}${CANARY}`), handshake(`${url}${CANARY}`)])
  for (const text of [...texts, plain('/other?token=kept')]) {
    const peer = new RawPeer(port)
    peer.send(text)
    await peer.answered()
    peer.destroy()
  }
  const spans = await until('the spans', () => {
    const found = exporter.getFinishedSpans()
    return found.filter(({ kind }) => kind === 1).length >= urls.length + 1 ? found : undefined
  })
  return JSON.stringify(spans.map(({ name, attributes, events }) => [name, attributes, events]))
}

for (const [order, early] of [['before the app', true], ['after the app listens', false]] as const) {
  t.test(
    `what OpenTelemetry exports of requests holds no token and no ticket, with its SDK registered ${order}`,
    async (t) => {
      tracing.disable()
      if (early) tracing.enable()
      const port = await listening(t)
      if (!early) tracing.enable()
      const text = await traced(port)
      t.notMatch(text, CANARY)
      t.match(text, /transport=sse/, 'other parameters are exported')
      t.match(text, /kept/, 'and those of other routes')
    }
  )
}

t.test('what @fastify/otel exports holds no token and no ticket, registered before this plugin', async (t) => {
  tracing.enable()
  const { FastifyOtelInstrumentation } = require('@fastify/otel') as typeof FastifyOtel
  const instrumentation = new FastifyOtelInstrumentation()
  instrumentation.setTracerProvider(provider)
  const port = await listening(t, async (app) => { await app.register(instrumentation.plugin() as never) })
  const text = await traced(port)
  t.notMatch(text, CANARY)
  t.match(text, /fastify/, 'its spans are there')
})

/** Spans of this plugin, and of requests, that the exporter has by now; those of one name in their order. */
function spans (name: RegExp): ReadableSpan[] {
  return exporter.getFinishedSpans().filter((span) => name.test(span.name))
}

async function spansOf (name: RegExp, count = 1): Promise<ReadableSpan[]> {
  return await until(`${count} spans ${name}`, () => spans(name).length >= count ? spans(name) : undefined)
}

const traceOf = (span: ReadableSpan): string => span.spanContext().traceId
const parentOf = (span: ReadableSpan): string | undefined => span.parentSpanContext?.spanId
const idOf = (span: ReadableSpan): string => span.spanContext().spanId

interface Broker { skip: string | false, url: (t: Test) => Promise<string>, make: (url: string) => Adapter }
const BROKERS: Record<string, Broker> = {
  redis: { skip: missing('redis-server'), url: async (t) => (await startRedis(t)).url, make: (url) => redis({ url }) },
  nats: { skip: missing('nats-server'), url: async (t) => (await startNats(t)).url, make: (url) => nats({ url }) }
}

for (const [name, { skip, url, make }] of Object.entries(BROKERS)) {
  t.test(`${name}: a request, its broadcast and the delivery on each node are one trace, which clients do not see`, {
    skip
  }, async (t) => {
    tracing.enable()
    require('node:http')
    t.teardown(registerRealtimeInstrumentation())
    const at = await url(t)
    const { FastifyOtelInstrumentation } = require('@fastify/otel') as typeof FastifyOtel
    const instrumentation = new FastifyOtelInstrumentation()
    instrumentation.setTracerProvider(provider)
    const first = await start(t, {
      adapter: make(at),
      before: async (app) => { await app.register(instrumentation.plugin() as never) },
      declare: (app) => {
        declareChat(app)
        app.post('/ship', async (_request, reply) => {
          reply.broadcast('chat/1', 'said', { text: 'later', by: 'ship' })
          await app.rooms.broadcast('chat/1', 'said', { text: 'hi', by: 'ship' })
          await app.rooms.broadcast('chat/1', 'score', { team: 'red', points: 1 })
          await app.rooms.broadcast('chat/1', 'typing', { by: 'ship' })
          return {}
        })
      }
    })
    const second = await start(t, { adapter: make(at), tracing: { toClients: true } })
    const near = await connect(first, { token: first.token('ada'), rooms: ['chat/1'] })
    const far = await connect(second, { token: second.token('bob'), rooms: ['chat/1'] })
    exporter.reset()
    t.equal((await fetch(`${first.url}/ship`, { method: 'POST' })).status, 200)
    const delivered = await spansOf(/^deliver/, 8)
    const broadcasts = await spansOf(/^broadcast/, 4)
    const [request] = await spansOf(/^POST/)
    t.same(new Set([...broadcasts, ...delivered].map(traceOf)), new Set([traceOf(request!)]), 'one trace')
    t.ok(broadcasts.every((span) => parentOf(span) !== undefined))
    for (const broadcast of broadcasts) {
      t.equal(delivered.filter((span) => parentOf(span) === idOf(broadcast)).length, 2, 'a delivery on each node')
    }
    t.same(
      delivered.map(({ name: title, attributes }) => [title, attributes['realtime.recipients']]).sort(),
      ['said', 'said', 'score', 'typing'].flatMap((event) => [1, 2].map(() => [`deliver chat/:id ${event}`, 1])).sort()
    )
    for (const type of ['said', 'score', 'typing']) {
      t.notOk('traceparent' in await near.next(type), 'clients are not told')
      const { traceparent } = await far.next(type) as { traceparent?: string }
      t.equal(traceparent!.split('-')[1], traceOf(request!), 'unless an option says so')
    }
  })
}

t.test(
  'a message belongs to the trace that its frame names, else to one of its own, and its spans hold nothing of it',
  async (t) => {
    tracing.enable()
    require('node:http')
    const end = registerRealtimeInstrumentation()
    t.teardown(end)
    const server = await start(t, { adapter: memory(), auth: { carriers: ['header', 'query'] } })
    const token = server.token('ada')
    const peer = await connect(server, { token, rooms: ['chat/1'] })
    exporter.reset()
    const say = async (id: string, more: object = {}): Promise<ReadableSpan> => {
      const before = spans(/^message/).length
      peer.send({ type: 'say', room: 'chat/1', id, data: { text: CANARY }, ...more })
      await peer.next('ack')
      return (await spansOf(/^message/, before + 1)).at(-1)!
    }
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    const alone = await say('a')
    const named = await say('b', { traceparent: `00-${trace}-00f067aa0ba902b7-01` })
    matchList(t, [traceOf(named), parentOf(named)], [trace, '00f067aa0ba902b7'])
    const later = await say('c')
    const wrongs = [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, `ff-${trace}-00f067aa0ba902b7-01`, 'x'.repeat(9_000), 7, {}]
    const others = []
    for (const [index, traceparent] of wrongs.entries()) others.push(await say(`d${index}`, { traceparent }))
    const roots = [alone, later, ...others]
    t.same(roots.map(parentOf), roots.map(() => undefined), 'no trace goes on in the next message')
    t.equal(new Set(roots.map(traceOf)).size, roots.length)
    const broadcast = (await spansOf(/^broadcast/)).find((span) => traceOf(span) === trace)
    t.equal(parentOf(broadcast!), idOf(named), 'a broadcast of the handler')
    peer.send({ type: 'say', room: 'chat/1', id: 'e', data: { text: 7 } })
    await peer.next('error')
    t.match((await spansOf(/^message/, roots.length + 2)).at(-1)!.attributes, { 'realtime.code': 'invalid_message' })
    const posted = await fetch(`${server.url}/ws/chat/1?token=${token}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'say', id: 'f', data: { text: CANARY }, traceparent: `00-${trace}-00f067aa0ba902b7-01` })
    })
    t.equal(posted.status, 200)
    const message = (await spansOf(/^message/, roots.length + 3)).at(-1)!
    t.equal(traceOf(message), trace, 'by a POST as well')
    t.equal(message.links[0]!.context.traceId, traceOf((await spansOf(/^POST/))[0]!), 'with a link to the request')
    await fetch(`${server.url}/ws/chat/1?token=${token}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'say', id: 'h', data: { text: CANARY } })
    })
    const unnamed = (await spansOf(/^message/, roots.length + 4)).at(-1)!
    t.equal(traceOf(unnamed), traceOf((await spansOf(/^POST/, 2))[1]!), 'else that of the request')
    t.same(unnamed.links, [])
    const finished = exporter.getFinishedSpans()
    const all = JSON.stringify(finished.map(({ name, attributes, events }) => [name, attributes, events]))
    for (const secret of [CANARY, token, peer.id, 'ada']) t.notMatch(all, secret)
    end()
    exporter.reset()
    peer.send({ type: 'say', room: 'chat/1', id: 'g', data: { text: 'unseen' } })
    await peer.next('ack')
    t.same(spans(/^(message|broadcast|deliver)/), [], 'and none once it is ended')
  }
)

for (const transport of ['websocket', 'sse'] as const) {
  t.test(`over ${transport} a message of our client is in the trace that its option names, and in none of its own choice`, async (t) => {
    tracing.enable()
    require('node:http')
    t.teardown(registerRealtimeInstrumentation())
    const server = await start(t, { adapter: memory() })
    let traceparent: string | undefined
    const { client } = dial(t, server, 'ada', { transports: [transport], traceparent: () => traceparent })
    const room = client.join(chat.at({ id: '1' }))
    await room.joined
    exporter.reset()
    const say = async (count: number): Promise<ReadableSpan> => {
      await room.send('say', { text: 'hi' })
      return (await spansOf(/^message/, count)).at(-1)!
    }
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    traceparent = `00-${trace}-00f067aa0ba902b7-01`
    const named = await say(1)
    t.same([traceOf(named), parentOf(named)], [trace, '00f067aa0ba902b7'])
    t.equal(traceOf((await spansOf(/^deliver/))[0]!), trace, 'up to the delivery')
    traceparent = undefined
    t.not(traceOf(await say(2)), trace)
    traceparent = 'none'
    t.not(traceOf(await say(3)), trace, 'what is none is passed over')
  })
}

/** A chat whose handler makes a span of its own, as that of a database does, and says what is active there. */
async function asking (t: Test): Promise<{
  readonly say: (id: string, more?: { readonly type?: string, readonly traceparent?: string }) => Promise<void>
  readonly post: (id: string, traceparent?: string) => Promise<void>
  readonly active: Array<string | undefined>
}> {
  const active: Array<string | undefined> = []
  const server = await start(t, {
    declare: (app) => {
      app.room(chat, {
        on: {
          async say ({ data, room }) {
            otel.getTracer('app').startSpan('query').end()
            active.push(otel.getSpanContext(context.active())?.traceId)
            await room.broadcast('said', { text: data.text, by: 'ada' })
            otel.getTracer('app').startSpan('query').end()
            return { id: '1' }
          },
          type () {}
        }
      })
    }
  })
  const token = server.token('ada')
  const peer = await connect(server, { token, rooms: ['chat/1'] })
  exporter.reset()
  return {
    active,
    async say (id, more = {}) {
      peer.send({ type: 'say', room: 'chat/1', id, data: { text: 'hi' }, ...more })
      await peer.next(more.type === undefined ? 'ack' : 'error')
    },
    async post (id, traceparent) {
      const { status } = await fetch(`${server.url}/ws/chat/1`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${token}`,
          ...(traceparent === undefined ? {} : { traceparent })
        },
        body: JSON.stringify({ type: 'say', id, data: { text: 'hi' } })
      })
      t.equal(status, 200)
    }
  }
}

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const sampled = `00-${TRACE}-00f067aa0ba902b7-01`
const unsampled = `00-${TRACE}-00f067aa0ba902b7-00`

t.test('what sampleRatio leaves out has no spans, and a handler begins no trace of its own below it', async (t) => {
  tracing.disable()
  t.teardown(registerRealtimeInstrumentation({ sampleRatio: 0 }))
  const { say, active } = await asking(t)
  await say('a')
  await say('b', { traceparent: unsampled })
  t.same(exporter.getFinishedSpans(), [])
  t.equal(active[1], TRACE, 'the trace that the client names is active all the same')
  await say('c', { traceparent: sampled })
  await spansOf(/^deliver/)
  t.same(
    exporter.getFinishedSpans().map(({ name }) => name).sort(),
    ['broadcast chat/:id said', 'deliver chat/:id said', 'message chat/:id say', 'query', 'query'],
    'and one that names a recorded trace has all of them'
  )
  t.same(new Set(exporter.getFinishedSpans().map(traceOf)), new Set([TRACE]))
})

t.test('with sampleRatio a message that a recorded request brings is recorded, and one of an unrecorded request is not', async (t) => {
  tracing.enable()
  require('node:http')
  t.teardown(registerRealtimeInstrumentation({ sampleRatio: 0 }))
  const { post } = await asking(t)
  await post('a', unsampled)
  t.same(spans(/^(message|broadcast|deliver|query)/), [])
  await post('b')
  t.equal((await spansOf(/^deliver/)).length, 1)
  t.equal(spans(/^message/).length, 1)
})

t.test('below a message that the sampler refuses, the sampler is not asked again by the plugin', async (t) => {
  tracing.disable()
  const asked: string[] = []
  const refusing = new NodeTracerProvider({
    sampler: {
      shouldSample (_context, _trace, name) {
        asked.push(name)
        return { decision: SamplingDecision.NOT_RECORD }
      },
      toString: () => 'refusing'
    }
  })
  t.teardown(registerRealtimeInstrumentation({ tracerProvider: refusing }))
  const { say, active } = await asking(t)
  await say('a')
  await say('b')
  t.same(asked, ['message chat/:id say', 'message chat/:id say'])
  t.same(exporter.getFinishedSpans(), [], 'and a handler begins no trace of its own')
  t.not(active[0], active[1])
})

/** Providers that fail, as a sampler or a processor of the application may. */
const FAILING: Readonly<Record<string, ConstructorParameters<typeof NodeTracerProvider>[0]>> = {
  'whose sampler throws': {
    sampler: { shouldSample () { throw new Error('the sampler failed') }, toString: () => 'failing' }
  },
  'whose sampler throws for deliveries': {
    sampler: {
      shouldSample (_context, _trace, name) {
        if (name.startsWith('deliver')) throw new Error('the sampler failed')
        return { decision: SamplingDecision.RECORD_AND_SAMPLED }
      },
      toString: () => 'failing'
    }
  },
  'whose processor throws at the start of spans': { spanProcessors: [processorThat('onStart')] },
  'whose processor throws at the end of spans': { spanProcessors: [processorThat('onEnd')] }
}

function processorThat (fails: 'onStart' | 'onEnd'): SpanProcessor {
  return {
    onStart () {},
    onEnd () {},
    async forceFlush () {},
    async shutdown () {},
    [fails] () { throw new Error('the processor failed') }
  }
}

for (const [what, config] of Object.entries(FAILING)) {
  for (const isLater of [false, true]) {
    const how = isLater ? 'later' : 'at once'
    t.test(`a provider ${what} costs no event and no answer, is told once, and changes no outcome that comes ${how}`, async (t) => {
      tracing.disable()
      const told: Error[] = []
      const onWarning = (warning: Error): void => { told.push(warning) }
      process.on('warning', onWarning)
      t.teardown(() => { process.off('warning', onWarning) })
      t.teardown(registerRealtimeInstrumentation({ tracerProvider: new NodeTracerProvider(config) }))
      const adapter = memory()
      const publish = adapter.publish.bind(adapter)
      const down = new Error('the broker is down')
      let isDown = false
      const publishing = (...given: Parameters<typeof publish>): ReturnType<typeof publish> => {
        if (isDown) throw down
        return publish(...given)
      }
      adapter.publish = isLater ? async (...given) => await publishing(...given) : publishing
      const server = await start(t, { adapter })
      const peer = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
      t.match(await server.app.rooms.broadcast('chat/1', 'said', { text: 'hi', by: 'ship' }), { recipients: 1 })
      t.match(await peer.next('said'), { data: { text: 'hi' } })
      peer.send({ type: 'say', room: 'chat/1', id: 'a', data: { text: 'of a client' } })
      t.match(await peer.next('said'), { data: { text: 'of a client' } })
      t.match(await peer.next('ack'), { id: 'a' })
      isDown = true
      await t.rejects(server.app.rooms.broadcast('chat/1', 'said', { text: 'lost', by: 'ship' }), down)
      await until('the warning', () => told.length > 0)
      matchList(t, told, [{ name: 'RealtimeWarning', message: /provider of spans throws.*failed/ }])
      t.equal(told.length, 1)
    })
  }
}

t.test('subscribers of the channels are told of messages that sampleRatio leaves out', async (t) => {
  tracing.disable()
  t.teardown(registerRealtimeInstrumentation({ sampleRatio: 0 }))
  const names = ['message', 'broadcast', 'deliver'].map((name) => `tracing:fastify-realtime:${name}:start`)
  const told: unknown[] = []
  const listen = (_message: unknown, name: string | symbol): void => { told.push(name) }
  for (const name of names) subscribe(name, listen)
  t.teardown(() => { for (const name of names) unsubscribe(name, listen) })
  const { say } = await asking(t)
  await say('a')
  t.same(told, names)
})

t.test('a later call of registerRealtimeInstrumentation takes the place of the one before, whose end changes nothing', async (t) => {
  tracing.disable()
  const first = registerRealtimeInstrumentation()
  t.teardown(registerRealtimeInstrumentation())
  first()
  const { say } = await asking(t)
  await say('a')
  t.equal(spans(/^message/).length, 1)
})

t.test('a sampleRatio that is no number from 0 to 1 is refused', async (t) => {
  for (const sampleRatio of [-0.1, 1.1, Number.NaN, '0.5' as never]) {
    t.throws(() => registerRealtimeInstrumentation({ sampleRatio }), { name: 'RangeError', message: /0 to 1/ })
  }
})

t.test('messages that no room declares have one name among spans, whatever a client calls them', async (t) => {
  tracing.disable()
  t.teardown(registerRealtimeInstrumentation())
  const { say } = await asking(t)
  await say('a', { type: CANARY })
  await say('b', { type: 'toString' })
  const made = await spansOf(/^message/, 2)
  t.same(made.map(({ name, attributes }) => [name, attributes['realtime.message']]), [
    ['message chat/:id _OTHER', '_OTHER'], ['message chat/:id _OTHER', '_OTHER']
  ])
})
