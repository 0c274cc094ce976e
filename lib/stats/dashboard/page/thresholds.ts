import type { NodeView } from '../../overview.js'
import type { Recent, Series } from './series.js'
import { brief, counted, lasting, rated, scaled } from './words.js'

/** How bad a figure is. It is always said by a sign and a word as well as by its colour. */
export type Level = 'good' | 'warn' | 'bad'

export interface Threshold {
  readonly warn: number
  readonly bad: number
  readonly unit: string
  readonly meaning: string
}

const MIB = 1024 * 1024

/** From where on a figure is worth a look, and from where on it is bad; the legend lists them. */
export const THRESHOLDS = {
  capacity: { warn: 80, bad: 95, unit: '%', meaning: 'slots of a node that are taken' },
  loop: { warn: 50, bad: 200, unit: 'ms', meaning: 'event loop delay of a node, p99 of the last 15 to 30 s' },
  stall: { warn: 250, bad: 1_000, unit: 'ms', meaning: 'the longest that the event loop of a node stood still in the last 15 to 30 s' },
  refusals: { warn: 1, bad: 20, unit: '/s', meaning: 'admissions that are refused' },
  waiting: { warn: 16, bad: 128, unit: 'MiB', meaning: 'bytes that wait in the outboxes of a node' }
} as const satisfies Readonly<Record<string, Threshold>>

export const SIGNS: Readonly<Record<Level, string>> = { good: '\u2713', warn: '\u25b2', bad: '\u25a0' }
export const LEVEL_WORDS: Readonly<Record<Level, string>> = { good: 'fine', warn: 'high', bad: 'too high' }

/** How bad a value is; what is not known is not bad. */
export function levelOf (value: number | undefined, { warn, bad }: Threshold): Level {
  return value! >= bad ? 'bad' : value! >= warn ? 'warn' : 'good'
}

/** Since when a node is silent. */
export function sinceWhen ({ silence }: { readonly silence?: number }): string {
  return silence === undefined ? '; it never has answered' : `; its last answer is ${lasting(silence)} old`
}

/** Something that is worth a look. */
export interface Finding { readonly level: Level, readonly node: string, readonly text: string }

/** What is told whenever it has happened. */
const HAPPENED: ReadonlyArray<readonly [name: 'cut' | 'limited' | 'evicted' | 'gaps', text: string]> = [
  ['cut', 'connections cut because they read too slowly (slow_consumer)'],
  ['limited', 'messages refused because their senders say too much (rate_limited)'],
  ['evicted', 'events forgotten before their time, for want of history.bytes'],
  ['gaps', 'gaps, by which events were lost before they reached this node,']
]

function mostOf ({ refused }: Recent): string {
  return Object.entries(refused).reduce((most, each) => each[1] > most[1] ? each : most, ['', 0])[0]
}

/** What is worth a look on the nodes that are shown, the worst first. */
export function findings (nodes: readonly NodeView[], series: Pick<Series, 'recent'>): Finding[] {
  const found: Finding[] = []
  for (const view of nodes) {
    const { node } = view
    if (!view.isAnswering) {
      found.push({ level: 'bad', node, text: `does not answer${sinceWhen(view)}` })
      continue
    }
    const { stats } = view
    const recent = series.recent(node)
    const add = (value: number | undefined, threshold: Threshold, text: (value: number) => string): void => {
      const level = levelOf(value, threshold)
      if (level !== 'good') found.push({ level, node, text: text(value!) })
    }
    if (!stats.accepting) found.push({ level: 'bad', node, text: 'accepts no connections: it drains, starts or closes' })
    if (stats.adapter.isUp === false) {
      found.push({ level: 'bad', node, text: `the adapter ${String(stats.adapter.name)} is away` })
    }
    const { slots, max } = stats.connections
    add(slots / max * 100, THRESHOLDS.capacity, () => `${counted(slots)} of ${counted(max)} slots are taken`)
    add(stats.eventLoop.p99, THRESHOLDS.loop, (value) => `event loop delay of ${brief(value)} (p99)`)
    // One long turn among a thousand does not show in a percentile, and a short one says no more than that.
    const { p99, max: longest } = stats.eventLoop
    if (levelOf(p99, THRESHOLDS.loop) === 'good' || levelOf(longest, THRESHOLDS.stall) === 'bad') {
      add(longest, THRESHOLDS.stall, (value) => `the event loop stood still for ${brief(value)}`)
    }
    add(stats.outbox.bytes / MIB, THRESHOLDS.waiting, () => `${scaled(stats.outbox.bytes)} wait for slow readers`)
    add(recent.refusals, THRESHOLDS.refusals, (value) => `up to ${rated(value)} refusals a second, most of them ${mostOf(recent)}`)
    for (const [name, text] of HAPPENED) {
      if (recent[name] > 0) found.push({ level: 'warn', node, text: `${text} in the last minute: ${counted(recent[name])}` })
    }
  }
  return found.sort((a, b) => a.level === b.level ? 0 : a.level === 'bad' ? -1 : 1)
}
