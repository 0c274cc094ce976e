import t from 'tap'
import type { NodeView } from '../../lib/stats/overview.js'
import type { StatsSnapshot } from '../../lib/stats/snapshot.js'
import { Series, valueOf } from '../../lib/stats/dashboard/page/series.js'
import { findings, levelOf, THRESHOLDS } from '../../lib/stats/dashboard/page/thresholds.js'

interface Figures {
  readonly messages?: number
  readonly uptime?: number
  readonly loop?: number
  readonly slots?: number
  readonly isUp?: boolean
  readonly accepting?: boolean
}

function nodeOf (node: string, of: Figures = {}): NodeView {
  const { messages = 0, uptime = 1_000, loop = 0, slots = 1, isUp, accepting = true } = of
  const stats = {
    uptime,
    accepting,
    connections: { total: slots, slots, max: 100 },
    messages: { in: messages },
    events: { out: 0, bytesOut: 0, published: 0 },
    refusals: {},
    eventLoop: { p99: loop },
    outbox: { bytes: 0 },
    ledger: { gaps: 0 },
    adapter: { name: 'redis', ...(isUp === undefined ? {} : { isUp }) }
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

t.test('no more than 600 samples are kept', async (t) => {
  const series = new Series()
  for (let i = 0; i < 700; i++) series.add([nodeOf('a')])
  t.equal(series.samples.length, 600)
})

t.test('what is over a threshold is a finding of its node, the worst first, and nothing else is', async (t) => {
  const found = (nodes: readonly NodeView[]): string[] =>
    findings(nodes, new Map()).map(({ level, node, text }) => `${level} ${node} ${text.replaceAll('\u00a0', ' ')}`)
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
})
