import type { NodeView } from '../../overview.js'
import type { StatsSnapshot } from '../../snapshot.js'
import { createChart } from './chart.js'
import type { View } from './details.js'
import { confirm } from './dialog.js'
import { h, link, setChildren, setText } from './elements.js'
import { keyRows } from './keys.js'
import { LEDGER } from './legend.js'
import type { Frame } from './lists.js'
import { valueOf, type Series } from './series.js'
import { findings, LEVEL_WORDS, levelOf, SIGNS, THRESHOLDS, type Level } from './thresholds.js'
import { brief, counted, lasting, NONE, rated, scaled } from './words.js'

/** What is worth a look is listed up to this number. */
const SHOWN_FINDINGS = 6

type Counts = Readonly<Record<string, number>>
type Answering = Extract<NodeView, { readonly isAnswering: true }>

export interface Overview extends View {
  /** Shows the newest answer of the server. */
  show (nodes: readonly NodeView[]): void
}

/** Figures that are known. */
function knownOf (all: readonly StatsSnapshot[], of: (stats: StatsSnapshot) => number): number[] {
  return all.map(of).filter((n) => !Number.isNaN(n))
}

/** @returns no number where there are nodes and none of them tells it */
function sum (all: readonly StatsSnapshot[], of: (stats: StatsSnapshot) => number): number {
  const known = knownOf(all, of)
  return known.length === 0 && all.length > 0 ? NaN : known.reduce((total, n) => total + n, 0)
}

function added (all: ReadonlyArray<Readonly<Record<string, unknown>>>): Record<string, number> {
  const total: Record<string, number> = {}
  for (const counts of all) {
    for (const [name, n] of Object.entries(counts)) if (typeof n === 'number') total[name] = (total[name] ?? 0) + n
  }
  return total
}

function sorted (counts: Counts): Array<[string, number]> {
  return Object.entries(counts).sort(([, a], [, b]) => b - a)
}

function badgeOf (level: Level): HTMLElement | undefined {
  return level === 'good' ? undefined : h('span', { class: `badge ${level}` }, `${SIGNS[level]} ${LEVEL_WORDS[level]}`)
}

function meter (percent: number, label: string): HTMLElement {
  const level = levelOf(percent, THRESHOLDS.capacity)
  const bar = h('div', {
    class: `meter ${level}`,
    role: 'meter',
    'aria-label': label,
    'aria-valuemin': 0,
    'aria-valuemax': 100,
    'aria-valuenow': Math.round(percent) || 0
  })
  const filled = h('i')
  // The policy of the page allows no style in markup, but what its code sets.
  filled.style.width = `${Math.min(100, percent) || 0}%`
  bar.append(filled)
  return bar
}

function card (title: string, value: string, remark: string, level: Level = 'good', more?: HTMLElement): HTMLElement {
  return h('div', { class: `card ${level}` }, h('h2', {}, title), h('b', {}, value), badgeOf(level),
    h('small', {}, remark), more)
}

interface Table {
  readonly element: HTMLElement
  fill (rows: ReadonlyArray<ReadonlyArray<string | number>>): void
}

function table (title: string, columns: readonly string[]): Table {
  const body = h('tbody')
  const head = columns.map((name, index) => h('th', { scope: 'col', ...(index === 0 ? {} : { class: 'number' }) }, name))
  return {
    element: h('section', { class: 'panel', 'aria-label': title }, h('h2', {}, title),
      h('table', { class: 'small', 'aria-label': title }, h('thead', {}, h('tr', {}, ...head)), body)),
    fill (rows) {
      const made = rows.map(([name, ...values]) => h('tr', {}, h('th', { scope: 'row' }, String(name)),
        ...values.map((value) => h('td', { class: 'number' }, typeof value === 'number' ? counted(value) : value))))
      setChildren(body, made.length > 0 ? made : [h('tr', { class: 'none' }, h('td', { colspan: columns.length }, 'none'))])
    }
  }
}

function createTables (): { readonly element: HTMLElement, fill (all: readonly StatsSnapshot[]): void } {
  const transports = table('Transports', ['transport', 'open', 'opened'])
  const ledger = table('Ledger', ['event and connection', 'pairs'])
  const definitions = table('Definitions', ['definition', 'rooms', 'members'])
  const refusals = table('Refusals', ['code', 'times'])
  const closes = table('Closes', ['code', 'times'])
  const errors = table('Message errors', ['code', 'times'])
  const adapter = table('Adapter', ['counter', 'value'])
  const api = table('Server API', ['key', 'published', 'refused'])
  const tables = [transports, ledger, definitions, refusals, closes, errors, adapter, api]
  return {
    element: h('div', { class: 'columns' }, ...tables.map(({ element }) => element)),
    fill (all) {
      const open = added(all.map(({ connections }) => connections.transports))
      const opened = added(all.map(({ connections }) => connections.opened))
      transports.fill(Object.entries(open).map(([name, n]) => [name, n, opened[name] ?? 0]))
      const pairs = added(all.map((stats) => stats.ledger))
      ledger.fill(LEDGER.map(([name]) => [name, pairs[name] ?? 0]))
      const rooms = new Map<string, [rooms: number, members: number]>()
      for (const stats of all) {
        for (const [name, of] of Object.entries(stats.rooms.definitions)) {
          const [n, members] = rooms.get(name) ?? [0, 0]
          rooms.set(name, [n + of.rooms, members + of.members])
        }
      }
      definitions.fill([...rooms].map(([name, of]) => [name, ...of]))
      refusals.fill(sorted(added(all.map((stats) => stats.refusals))))
      closes.fill(sorted(added(all.map((stats) => stats.closes))))
      errors.fill(sorted(added(all.map(({ messages }) => messages.errors))))
      adapter.fill(Object.entries(added(all.map((stats) => stats.adapter))).map(([name, n]) =>
        [name, name.endsWith('Bytes') ? scaled(n) : n]))
      const keys = keyRows(all)
      api.element.hidden = keys.length === 0
      api.fill(keys)
    }
  }
}

/** The first page: what is wrong, the figures, the charts, the nodes and the tables. */
export function createOverview (frame: Frame, series: Series, choose: (node: string | undefined) => void): Overview {
  const alerts = h('ul', { class: 'alerts' })
  const cards = h('div', { class: 'cards' })
  const charts = [
    createChart({ figure: 'connections', title: 'Connections', unit: 'open', least: 10, format: counted }),
    createChart({ figure: 'messages', title: 'Messages in', unit: 'a second', least: 10, format: rated }),
    createChart({ figure: 'deliveries', title: 'Deliveries', unit: 'a second', least: 10, format: rated }),
    createChart({ figure: 'bytes', title: 'Sent', unit: 'a second', least: 1_024, isBytes: true, format: scaled }),
    createChart({
      figure: 'loop',
      title: 'Event loop delay',
      unit: 'ms, p99',
      least: 10,
      format: rated,
      threshold: THRESHOLDS.loop
    }),
    createChart({
      figure: 'refusals',
      title: 'Refusals',
      unit: 'a second',
      least: 2,
      format: rated,
      threshold: THRESHOLDS.refusals
    })
  ]
  const tiles = h('div', { class: 'tiles' })
  const nodesPart = h('section', { 'aria-label': 'nodes', hidden: true }, h('h2', { class: 'over' }, 'Nodes'), tiles)
  const tables = createTables()
  const figures = h('p', { class: 'quiet since' })

  const tile = (view: NodeView): HTMLElement => {
    const { node } = view
    const isChosen = frame.node() === node
    const look = h('button', {
      type: 'button',
      'data-key': `look ${node}`,
      'aria-pressed': String(isChosen),
      onclick: () => { choose(isChosen ? undefined : node) }
    }, isChosen ? 'Show all nodes' : 'Show this node')
    if (!view.isAnswering) {
      return h('article', { class: 'tile bad', 'aria-label': `node ${node}` }, h('h3', {}, h('code', {}, node)),
        h('span', { class: 'badge bad' }, `${SIGNS.bad} does not answer`),
        h('small', {}, view.silence === undefined ? 'it never has answered' : `last answer ${lasting(view.silence)} ago`))
    }
    const { stats } = view
    const point = series.newest?.points.get(node)
    const percent = stats.connections.slots / stats.connections.max * 100
    const found = findings([view], series)
    const level = found[0]?.level ?? 'good'
    const drain = !frame.mayAct() || !stats.accepting
      ? undefined
      : h('button', { type: 'button', class: 'danger', 'data-key': `drain ${node}`, onclick: () => { askToDrain(node) } }, 'Drain\u2026')
    return h('article', { class: `tile ${level}`, 'aria-label': `node ${node}` },
      h('h3', {}, h('code', {}, node)),
      h('span', { class: `badge ${level}` }, level === 'good' ? `${SIGNS.good} fine` : `${SIGNS[level]} ${found.length === 1 ? '1 finding' : `${found.length} findings`}`),
      meter(percent, `slots taken on ${node}`),
      h('dl', {},
        ...([
          ['connections', `${counted(stats.connections.total)} of ${counted(stats.connections.max)}`],
          ['deliveries', point?.deliveries === undefined ? NONE : `${rated(point.deliveries)}/s`],
          ['loop delay', brief(stats.eventLoop.p99)],
          ['waiting', scaled(stats.outbox.bytes)],
          ['up', lasting(stats.uptime)],
          ['version', stats.version]
        ] as const).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
      h('div', { class: 'buttons' }, frame.isCluster() ? look : undefined, drain))
  }
  const askToDrain = (node: string): void => {
    confirm({
      title: `Drain the node ${node}?`,
      text: 'It takes no new connections, and sends those that it has to other nodes one after another. It stays empty until it is started anew.',
      verb: 'Drain',
      typed: node,
      action: () => ({ action: 'drain', node }),
      done: () => { frame.told(`${node} drains.`) },
      told: frame.told
    })
  }

  const showCards = (all: readonly StatsSnapshot[], node: string | undefined): void => {
    const sample = series.newest
    const rate = (figure: 'messages' | 'deliveries' | 'bytes' | 'refusals' | 'published', format: (n: number) => string): string => {
      const value = sample === undefined ? undefined : valueOf(sample, figure, node)
      return value === undefined ? NONE : `${format(value)}/s`
    }
    const [slots, max] = [sum(all, (stats) => stats.connections.slots), sum(all, (stats) => stats.connections.max)]
    const percent = max === 0 ? 0 : slots / max * 100
    const loops = knownOf(all, (stats) => stats.eventLoop.p99)
    const loop = loops.length === 0 && all.length > 0 ? NaN : Math.max(0, ...loops)
    const worst = all.find((stats) => stats.eventLoop.p99 === loop)
    const waiting = sum(all, (stats) => stats.outbox.bytes)
    const refused = sum(all, (stats) => Object.values(stats.refusals).reduce((a, b) => a + b, 0))
    const isSum = all.length > 1
    setChildren(cards, [
      card('connections', counted(sum(all, (stats) => stats.connections.total)), `${rated(percent)} % of ${counted(max)}`,
        levelOf(percent, THRESHOLDS.capacity), meter(percent, 'slots taken')),
      card('users', counted(sum(all, (stats) => stats.users)), isSum ? `added up over ${all.length} nodes` : 'on this node'),
      card('rooms', counted(sum(all, (stats) => stats.rooms.active)),
        isSum ? `added up over ${all.length} nodes` : 'with members'),
      card('messages in', rate('messages', rated), `${counted(sum(all, (stats) => stats.messages.in))} in all`),
      card('published', rate('published', rated), `${counted(sum(all, (stats) => stats.events.published))} in all`),
      card('deliveries', rate('deliveries', rated), `${counted(sum(all, (stats) => stats.events.out))} in all`),
      card('sent', rate('bytes', scaled), `${scaled(sum(all, (stats) => stats.events.bytesOut))} in all`),
      card('event loop delay', brief(loop), isSum
        ? `p99 of ${worst?.node ?? NONE}, the worst`
        : `p99; p50 ${brief(worst?.eventLoop.p50 ?? NaN)}, max ${brief(worst?.eventLoop.max ?? NaN)}`, levelOf(loop, THRESHOLDS.loop)),
      card('waiting', scaled(waiting), `${counted(sum(all, (stats) => stats.outbox.frames))} frames in outboxes`,
        levelOf(waiting / 1_048_576, THRESHOLDS.waiting)),
      card('refusals', rate('refusals', rated), `${counted(refused)} in all`,
        levelOf(sample === undefined ? undefined : valueOf(sample, 'refusals', node), THRESHOLDS.refusals))
    ])
  }

  return {
    title: 'Overview',
    element: h('div', {},
      alerts, cards, h('div', { class: 'charts' }, ...charts.map(({ element }) => element)), nodesPart, tables.element, figures),
    async refresh () { /* Its figures come with every look of the page. */ },
    show (nodes) {
      const node = frame.node()
      const shown = nodes.filter((view) => node === undefined || view.node === node)
      const all = shown.filter((view): view is Answering => view.isAnswering).map(({ stats }) => stats)
      const found = findings(shown, series)
      const isCluster = nodes.length > 1
      setChildren(alerts, found.length === 0
        ? [h('li', { class: 'good' }, `${SIGNS.good} Nothing is over its threshold. `, link('legend', 'What is watched'))]
        : found.slice(0, SHOWN_FINDINGS).map(({ level, node: of, text }) =>
          h('li', { class: level }, `${SIGNS[level]} `, isCluster ? h('code', {}, of) : undefined, ` ${text}`)))
      if (found.length > SHOWN_FINDINGS) {
        alerts.append(h('li', {}, `and ${counted(found.length - SHOWN_FINDINGS)} more, below on the tiles of their nodes`))
      }
      showCards(all, node)
      for (const chart of charts) chart.draw(series.samples, node)
      nodesPart.hidden = !isCluster && !frame.mayAct()
      setChildren(tiles, nodes.map(tile))
      tables.fill(all)
      setText(figures, `Charts and rates begin when this page is opened, and are kept for 15 minutes. ${
        all.length === 0 ? '' : `Version ${[...new Set(all.map(({ version }) => version))].join(', ')}.`}`)
    }
  }
}
