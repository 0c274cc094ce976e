import { createRequire } from 'node:module'
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http'
import type { FastifyInstance } from 'fastify'
import type * as FastifyOtel from '@fastify/otel'
import t, { type Test } from 'tap'
import realtime from '../../lib/index.js'
import { declareChat } from '../helpers/net.js'
import { handshake, plain, portOf, RawPeer, until } from '../helpers/raw.js'

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
