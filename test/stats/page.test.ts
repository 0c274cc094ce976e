import t from 'tap'
import type { NodeView } from '../../lib/stats/overview.js'
import type { StatsSnapshot } from '../../lib/stats/snapshot.js'
import { keyRows } from '../../lib/stats/dashboard/page/keys.js'
import { Series, valueOf } from '../../lib/stats/dashboard/page/series.js'
import { wholeNodes } from '../../lib/stats/dashboard/page/whole.js'
import { findings, levelOf, THRESHOLDS } from '../../lib/stats/dashboard/page/thresholds.js'
import { matchList } from '../helpers/match-list.js'

interface Figures {
  readonly messages?: number
  readonly uptime?: number
  readonly loop?: number
  readonly slots?: number
  readonly isUp?: boolean
  readonly accepting?: boolean
  readonly stall?: number
  /** How often each of what is counted has happened. */
  readonly times?: number
}

function nodeOf (node: string, of: Figures = {}): NodeView {
  const { messages = 0, uptime = 1_000, loop = 0, slots = 1, isUp, accepting = true, stall = 0, times = 0 } = of
  const stats = {
    uptime,
    accepting,
    connections: { total: slots, slots, max: 100 },
    messages: { in: messages, errors: { rate_limited: 2 * times } },
    events: { out: 0, bytesOut: 0, published: 0, gaps: 3 * times },
    refusals: { unauthorized: 10 * times, room_full: times },
    closes: { slow_consumer: times },
    eventLoop: { p99: loop, max: stall },
    outbox: { bytes: 0 },
    adapter: { name: 'redis', historyEvicted: 4 * times, ...(isUp === undefined ? {} : { isUp }) }
  }
  return { node, isAnswering: true, stats: stats as unknown as StatsSnapshot }
}

t.test('rates are of what came between two looks of one life of a node, and of none else', async (t) => {
  const series = new Series()
  const rate = (node?: string): number | undefined => valueOf(series.newest!, 'messages', node)
  series.add([nodeOf('a', { messages: 1_000 }), nodeOf('b', { messages: 50 })])
  t.equal(rate(), undefined, 'one look has no rate')
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  series.add([nodeOf('a', { messages: 1_010, uptime: 1_020 }), nodeOf('b', { messages: 50, uptime: 1_020 })])
  t.ok(rate('a')! > 0)
  t.equal(rate('b'), 0)
  t.equal(rate(), rate('a')!)
  series.add([nodeOf('a', { messages: 3, uptime: 5 })])
  t.same([rate('a'), rate('b'), rate()], [undefined, undefined, undefined], 'started anew, and gone')
  series.clear()
  t.equal(series.newest, undefined)
})

t.test('of all nodes the sum counts, and of their delays the worst', async (t) => {
  const series = new Series()
  series.add([nodeOf('a', { loop: 7, slots: 3 }), nodeOf('b', { loop: 90, slots: 4 })])
  const [sample] = series.samples
  t.same([valueOf(sample!, 'connections', undefined), valueOf(sample!, 'loop', undefined)], [7, 90])
  t.same([valueOf(sample!, 'connections', 'a'), valueOf(sample!, 'loop', 'a')], [3, 7])
})

t.test('a node that misses a turn is a hole in the sums and no fall, and has its rates when it is back', async (t) => {
  const series = new Series()
  const all = [nodeOf('a', { slots: 3, messages: 10 }), nodeOf('b', { slots: 4, messages: 10 })]
  const sum = (figure: 'connections' | 'messages'): number | undefined => valueOf(series.newest!, figure, undefined)
  series.add(all)
  t.equal(sum('connections'), 7)
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  series.add([all[0]!, { node: 'b', isAnswering: false, silence: 3_000 }])
  t.equal(sum('connections'), undefined, 'it is late')
  t.equal(valueOf(series.newest!, 'connections', 'a'), 3)
  series.add([all[0]!, nodeOf('b', { slots: 4, messages: 50, uptime: 1_100 })])
  t.equal(sum('connections'), 7)
  t.ok(sum('messages')! > 0, 'what came in between counts')
  series.add([all[0]!, { node: 'b', isAnswering: false, silence: 10_000 }])
  t.equal(sum('connections'), 3, 'it is away')
})

t.test('no more than 600 samples are kept', async (t) => {
  const series = new Series()
  for (let i = 0; i < 700; i++) series.add([nodeOf('a')])
  t.equal(series.samples.length, 600)
})

t.test('what is over a threshold is a finding of its node, the worst first, and nothing else is', async (t) => {
  const series = new Series()
  const found = (nodes: readonly NodeView[]): string[] =>
    findings(nodes, series).map(({ level, node, text }) => `${level} ${node} ${text.replaceAll('\u00a0', ' ')}`)
  t.same(found([nodeOf('a', { slots: 79, loop: 49 })]), [])
  t.same(found([
    nodeOf('a', { slots: 80, loop: 200 }),
    nodeOf('b', { isUp: false, accepting: false }),
    { node: 'c', isAnswering: false, silence: 7_000 }
  ]), [
    'bad a event loop delay of 200 ms (p99)',
    'bad b accepts no connections: it drains, starts or closes',
    'bad b the adapter redis is away',
    'bad c does not answer; its last answer is 7 s old',
    'warn a 80 of 100 slots are taken'
  ])
  t.same([49, 50, 199, 200, undefined].map((ms) => levelOf(ms, THRESHOLDS.loop)), ['good', 'warn', 'warn', 'bad', 'good'])
  t.same(found([nodeOf('a', { stall: 1_500 })]), ['bad a the event loop stood still for 1,500 ms'], 'which no percentile shows')
})

t.test('what has happened is a finding for a minute, with how often, and not of the time before the page was opened', async (t) => {
  const series = new Series()
  const found = (): string[] => findings([nodeOf('a')], series).map(({ text }) => text.replaceAll('\u00a0', ' '))
  series.add([nodeOf('a', { times: 100 })])
  t.same(found(), [])
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  series.add([nodeOf('a', { times: 101, uptime: 1_020 })])
  series.add([nodeOf('a', { times: 101, uptime: 1_020 })])
  matchList(t, found(), [
    /^up to [\d,.]+ refusals a second, most of them unauthorized$/,
    /^connections cut .* in the last minute: 1$/,
    /^messages refused .* in the last minute: 2$/,
    /^events forgotten .* in the last minute: 4$/,
    /^gaps, .* in the last minute: 3$/
  ])
  series.samples.splice(0, 2)
  t.same(found(), [])
})

t.test('what came while nobody looked for more than a minute is not told as of the last minute', async (t) => {
  let at = 0
  t.intercept(performance, 'now', { value: () => at })
  const series = new Series()
  const found = (): string[] => findings([nodeOf('a')], series).map(({ text }) => text.replaceAll('\u00a0', ' '))
  const look = (time: number, times: number): void => {
    at = time
    series.add([nodeOf('a', { times, uptime: time })])
  }
  look(0, 0)
  look(3_600_000, 100_000)
  t.same(found(), [])
  look(3_602_000, 100_001)
  matchList(t, found(), [
    /^up to 5\.5 refusals a second, most of them unauthorized$/,
    /^connections cut .* in the last minute: 1$/,
    /^messages refused .* in the last minute: 2$/,
    /^events forgotten .* in the last minute: 4$/,
    /^gaps, .* in the last minute: 3$/
  ])
})

t.test('what a key of the server API did on several nodes is one line', async (t) => {
  t.same(keyRows([
    { api: { shop: { published: 3, refused: { rate_limited: 1, forbidden: 2 } }, '': { published: 0, refused: { unauthorized: 4 } } } },
    {},
    { api: { shop: { published: 5, refused: {} }, '': { published: 0, refused: { unauthorized: 1 } } } }
  ]), [['shop', 8, 3], ['(no valid key)', 0, 5]])
})

t.test('a node that leaves out any part of its stats has its other figures, and no finding for the rest', async (t) => {
  const { stats } = nodeOf('a', { slots: 3 }) as { stats: StatsSnapshot }
  for (const part of Object.keys(stats)) {
    const nodes = wholeNodes([{ node: 'a', isAnswering: true, stats: { ...stats, [part]: undefined } }])
    const series = new Series()
    series.add(nodes)
    await new Promise((resolve) => { setTimeout(resolve, 2) })
    series.add(nodes)
    t.same(findings(nodes, series), [], part)
    const { newest } = series
    t.equal(valueOf(newest!, 'connections', 'a'), part === 'connections' ? undefined : 3, part)
    t.equal(valueOf(newest!, 'deliveries', 'a'), part === 'events' || part === 'uptime' ? undefined : 0, part)
  }
})
