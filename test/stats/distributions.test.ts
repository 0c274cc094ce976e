import assert from 'node:assert/strict'
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node'
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { Registry, type OpenMetricsContentType } from 'prom-client'
import t from 'tap'
import { WebSocket } from 'ws'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { registerRealtimeInstrumentation } from '../../lib/otel/index.js'
import { REDIS } from '../helpers/brokers.js'
import { chat, connect, declareChat, eventually, inbox, start, type NetPeer, type Running } from '../helpers/net.js'
import { missing } from '../helpers/servers.js'

const TOKEN = 'scrape-me'
/** Members from which on the time of a fan-out is measured. */
const LARGE = 64

interface Histogram { readonly count: number, readonly sum: number }

async function textOf ({ app }: Running): Promise<string> {
  const { body } = await app.inject({ url: '/ws/stats?format=prometheus', headers: { authorization: `Bearer ${TOKEN}` } })
  return body
}

/** One histogram as it stands in a scrape; whatever it says has to fit together. @throws where it does not */
function histogramOf (text: string, name: string, labels = ''): Histogram {
  const lines = text.split('\n').filter((line) => line.startsWith(`realtime_${name}_`))
  const valueOf = (what: string): number => {
    const line = lines.find((each) => each.startsWith(`realtime_${name}_${what}${labels === '' ? '' : `{${labels}}`} `))
    assert.ok(line !== undefined, `${name} has a ${what} of ${labels}`)
    return Number(line.split(' ')[1])
  }
  const [count, sum] = [valueOf('count'), valueOf('sum')]
  const buckets = lines.flatMap((line) => {
    const [, of, le, value] = /_bucket\{(.*)le="([^"]+)"\} (\d+)/.exec(line) ?? []
    return of === (labels === '' ? '' : `${labels},`)
      ? [[le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le), Number(value)] as const]
      : []
  })
  assert.ok(buckets.length > 5, `${name} has buckets`)
  assert.equal(buckets.at(-1)![1], count, `the last bucket of ${name} has all`)
  let [least, most, below, before] = [0, 0, -1, 0]
  for (const [le, value] of buckets) {
    assert.ok(le > below && value >= before, `buckets of ${name} grow`)
    if (value > before) {
      least += Math.max(0, below) * (value - before)
      most += le * (value - before)
    }
    [below, before] = [le, value]
  }
  assert.ok(sum >= least && sum <= most, `the sum of ${name} is ${sum}, of ${least} to ${most}`)
  return { count, sum }
}

const small = (app: Running['app']): void => { app.room(inbox); declareChat(app) }

for (const [how, peers] of [['in one turn', LARGE], ['in a room that is one too small', LARGE - 1]] as const) {
  t.test(`a fan-out ${how} is ${peers < LARGE ? 'not measured' : 'measured once for each event'}`, async (t) => {
    const server = await start(t, { adapter: memory(), stats: { token: TOKEN }, declare: small, capacity: 1_000 })
    const members: NetPeer[] = []
    for (let each = 0; each < peers; each++) {
      members.push(await connect(server, { rooms: ['chat/1'], token: server.token(`user-${each}`) }))
    }
    const labels = 'definition="chat/:id"'
    t.match(histogramOf(await textOf(server), 'fanout_duration_seconds', labels), { count: 0, sum: 0 })
    const from = performance.now()
    for (let each = 0; each < 5; each++) await server.app.rooms.broadcast('chat/1', 'said', { text: 'hi', by: 'app' })
    await server.app.rooms.broadcast('chat/1', 'typing', { by: 'app' })
    await server.app.rooms.broadcast('chat/1', 'score', { team: 'red', points: 1 })
    // Another room of the definition, and of another one, with one member each.
    await server.app.rooms.broadcast('chat/2', 'said', { text: 'hi', by: 'app' })
    await server.app.rooms.broadcast('@user/user-1', 'shipped', { order: '1' })
    await members[0]!.next('score')
    const { count, sum } = histogramOf(await textOf(server), 'fanout_duration_seconds', labels)
    t.equal(count, peers < LARGE ? 0 : 7)
    t.ok(peers < LARGE ? sum === 0 : sum > 0 && sum < (performance.now() - from) / 1_000, `${sum} s`)
    t.match(histogramOf(await textOf(server), 'fanout_duration_seconds', 'definition="@user/:id"'), { count: 0, sum: 0 })
  })
}

t.test('each answered heartbeat is one round trip, with the time that its answer took', async (t) => {
  const server = await start(t, { adapter: memory(), stats: { token: TOKEN }, heartbeat: 300 })
  const late = 60
  const beats = { asked: 0, answered: 0 }
  const ws = new WebSocket(`ws://127.0.0.1:${server.port}/ws/chat/1`, {
    autoPong: false,
    headers: { authorization: `Bearer ${server.token('ada')}` }
  })
  t.teardown(() => { ws.terminate() })
  ws.on('ping', (payload: Buffer) => {
    // What it says in between, as a busy client does, is no answer.
    ws.send('{"type":"ping"}')
    beats.asked++
    setTimeout(() => {
      if (ws.readyState !== WebSocket.OPEN) return
      beats.answered++
      ws.pong(payload)
    }, late)
  })
  // A stream has no heartbeat that is answered.
  await connect(server, { transport: 'sse', token: server.token('bob') })
  const { count, sum } = await eventually(
    'round trips',
    async () => histogramOf(await textOf(server), 'heartbeat_duration_seconds'),
    (of) => of.count >= 3
  )
  t.ok(beats.answered >= count && count >= beats.answered - 1,
    `${count} of ${beats.answered} answers, of which the last counts with the next beat`)
  t.ok(sum >= count * (late - 2) / 1_000 && sum < count * 10 * late / 1_000, `${count} took ${sum} s`)
})

/** An adapter whose publications fail on demand, after they have gone to its broker. */
function failing (adapter: Adapter, fails: () => boolean): Adapter {
  return new Proxy(adapter, {
    get (target, name) {
      const value: unknown = Reflect.get(target, name)
      if (name === 'publish') {
        return async (...of: Parameters<Adapter['publish']>) => {
          const published = await target.publish(...of)
          if (fails()) throw new Error('the broker has failed')
          return published
        }
      }
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    }
  })
}

t.test('calls that go to the broker are measured, failed ones included, and what those who come back are sent', {
  skip: missing(REDIS.program)
}, async (t) => {
  const { port } = await REDIS.start(t)
  let isFailing = false
  const adapter = failing(REDIS.make(port), () => isFailing)
  const server = await start(t, { adapter, stats: { token: TOKEN } })
  const of = async (call: string): Promise<Histogram> =>
    histogramOf(await textOf(server), 'adapter_call_duration_seconds', `call="${call}"`)
  const before = { subscribe: await of('subscribe'), history: await of('history') }
  const from = performance.now()
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const publish = async (count: number): Promise<void> => {
    for (let each = 0; each < count; each++) {
      await server.app.rooms.broadcast('chat/1', 'said', { text: 'hi', by: 'app' }).catch(() => undefined)
    }
  }
  await publish(16)
  t.equal((await of('publish')).count, 1)
  isFailing = true
  await publish(1)
  isFailing = false
  const { count, sum } = await of('publish')
  t.equal(count, 2, 'one that has failed is among them')
  t.ok(sum > 0 && sum < (performance.now() - from) / 1_000, `${sum} s`)
  const subscribed = await of('subscribe')
  t.equal(subscribed.count - before.subscribe.count, 1, 'of the room')
  t.ok(subscribed.sum > before.subscribe.sum)
  const { epoch } = (ada.welcome.data as { rooms: Record<string, { epoch: string }> }).rooms['chat/1']!
  const resumed = async (offset: number, count: number): Promise<void> => {
    const text = await textOf(server)
    const { count: earlier, sum: events } = histogramOf(text, 'resume_events', 'definition="chat/:id"')
    const peer = await connect(server, { token: server.token('bob') })
    peer.send({ type: 'join', room: 'chat/1', id: 'j', data: { since: { epoch, offset } } })
    await peer.next('ack')
    for (let each = 0; each < count; each++) await peer.next('said')
    const after = await eventually('the resume', async () =>
      histogramOf(await textOf(server), 'resume_events', 'definition="chat/:id"'), (of) => of.count > earlier)
    t.same([after.count - earlier, after.sum - events], [1, count])
  }
  await resumed(5, 12)
  await resumed(17, 0)
  const { count: all } = histogramOf(await textOf(server), 'resume_events', 'definition="chat/:id"')
  const eve = await connect(server, { token: server.token('eve') })
  eve.send({ type: 'join', room: 'chat/1', id: 'j', data: { last: 3 } })
  for (let each = 0; each < 3; each++) await eve.next('said')
  await eve.sync()
  t.equal(histogramOf(await textOf(server), 'resume_events', 'definition="chat/:id"').count, all, 'a member that is new does not come back')
  const read = await of('history')
  t.ok(read.count > before.history.count && read.sum > before.history.sum)
})

t.test('in OpenMetrics a handler and a publication within a sampled trace have its id beside their time', {
  skip: missing(REDIS.program)
}, async (t) => {
  const register = new Registry<OpenMetricsContentType>()
  register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const exporter = new InMemorySpanExporter()
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  provider.register()
  t.teardown(async () => { await provider.shutdown() })
  t.teardown(registerRealtimeInstrumentation())
  const { port } = await REDIS.start(t)
  const server = await start(t, { adapter: REDIS.make(port), stats: { token: TOKEN, register } })
  const ada = await connect(server, { rooms: [chat.at({ id: '1' }).name], token: server.token('ada') })
  let sent = 0
  const say = async (traceId: string, flags: string, count: number): Promise<void> => {
    for (let each = 0; each < count; each++) {
      const traceparent = `00-${traceId}-00f067aa0ba902b7-${flags}`
      ada.send({ type: 'say', room: 'chat/1', id: `m-${sent++}`, data: { text: 'hi' }, traceparent })
      await ada.next('ack')
    }
  }
  const exemplars = async (name: string): Promise<Array<[trace: string, span: string, value: number, at: number]>> =>
    [...(await textOf(server)).matchAll(
      /^realtime_(\w+)_bucket\{.*\} \d+ # \{trace_id="(\w+)",span_id="(\w+)"\} (\S+) (\S+)$/gm
    )].flatMap(([, of, traceId, spanId, value, at]) =>
      of === name ? [[traceId!, spanId!, Number(value), Number(at)] as [string, string, number, number]] : [])
  const metrics = ['message_duration_seconds', 'adapter_call_duration_seconds'] as const
  // The first one of each sixteen is measured.
  await say('1'.repeat(32), '00', 16)
  for (const name of metrics) t.same(await exemplars(name), [], `${name} of a trace that is not sampled`)
  await say('2'.repeat(32), '01', 1)
  const spanOf = (name: RegExp): string | undefined =>
    exporter.getFinishedSpans().find((span) => name.test(span.name))?.spanContext().spanId
  for (const [name, span] of [[metrics[0], /^message /], [metrics[1], /^broadcast /]] as const) {
    const found = await exemplars(name)
    t.same(found.map(([traceId, spanId]) => [traceId, spanId]), [['2'.repeat(32), spanOf(span)]], name)
    const [, , value, at] = found[0]!
    t.ok(value > 0 && value < 10 && Math.abs(at - Date.now() / 1_000) < 60, `${value} s at ${at}`)
  }
  t.match(await textOf(server), /# EOF\n$/)
})
