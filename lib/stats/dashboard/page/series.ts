import type { NodeView } from '../../overview.js'
import type { StatsSnapshot } from '../../snapshot.js'

/** Milliseconds that are kept and drawn. */
export const WINDOW = 900_000
/** Samples that are kept: one in two seconds. */
const MAX_SAMPLES = 600
/** Milliseconds without a sample that are shown as a hole. */
export const HOLE = 10_000

/** Milliseconds for which what has happened is told. */
const RECENT = 60_000

/** What has happened on one node, counted between two moments. */
export interface Happened {
  /** Gaps. */
  readonly gaps: number
  /** Connections that were cut because they read too slowly. */
  readonly cut: number
  /** Messages that were refused because their senders say too much. */
  readonly limited: number
  /** Events that were forgotten before their time. */
  readonly evicted: number
  /** Refused admissions by code. */
  readonly refused: Readonly<Record<string, number>>
}

/** What has happened in the last minute, and the most refusals in a second of it. */
export interface Recent extends Happened { readonly refusals: number }

/** What one node said at one moment; rates are in a second, and absent until there are two samples of one life. */
export interface Point {
  readonly connections: number | undefined
  readonly loop: number | undefined
  readonly messages: number | undefined
  readonly deliveries: number | undefined
  readonly refusals: number | undefined
  readonly bytes: number | undefined
  readonly published: number | undefined
  /** Since the sample before; absent where there is none of the same life, or none of the last minute. */
  readonly happened: Happened | undefined
}

export interface Sample {
  /** By `performance.now()`. */
  readonly at: number
  readonly time: Date
  readonly points: ReadonlyMap<string, Point>
  /** A node has missed its turn and may be back at once: a sum without it would fall as if all of it were gone. */
  readonly isPartial: boolean
}

/** What is drawn. */
export type Figure = 'connections' | 'messages' | 'deliveries' | 'loop' | 'refusals' | 'bytes'

interface Read { readonly stats: StatsSnapshot, readonly at: number }

/** A figure, where there is one. */
function known (figure: number | undefined): number | undefined { return Number.isNaN(figure) ? undefined : figure }

function total (counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, n) => sum + n, 0)
}

/** The time series of the page: they begin when it is opened, and are kept nowhere else. */
export class Series {
  readonly samples: Sample[] = []
  readonly #last = new Map<string, Read>()

  get newest (): Sample | undefined { return this.samples.at(-1) }

  /** Forgets everything: what was read as somebody else must not count in a rate. */
  clear (): void {
    this.samples.length = 0
    this.#last.clear()
  }

  /** Adds up what has happened on a node in the last minute: a look that comes later still finds it. */
  recent (node: string): Recent {
    const since = (this.newest?.at ?? 0) - RECENT
    const sum = { gaps: 0, cut: 0, limited: 0, evicted: 0, refused: {} as Record<string, number>, refusals: 0 }
    for (let index = this.samples.length - 1; index >= 0 && this.samples[index]!.at > since; index--) {
      const { happened, refusals = 0 } = this.samples[index]!.points.get(node) ?? {}
      if (happened === undefined) continue
      sum.refusals = Math.max(sum.refusals, refusals)
      for (const name of ['gaps', 'cut', 'limited', 'evicted'] as const) sum[name] += happened[name]
      for (const [code, n] of Object.entries(happened.refused)) sum.refused[code] = (sum.refused[code] ?? 0) + n
    }
    return sum
  }

  add (nodes: readonly NodeView[]): void {
    const at = performance.now()
    const points = new Map<string, Point>()
    for (const view of nodes) {
      if (view.isAnswering) points.set(view.node, this.#point(view.node, { stats: view.stats, at }))
    }
    const known = new Set(nodes.map(({ node }) => node))
    for (const node of [...this.#last.keys()]) if (!known.has(node)) this.#last.delete(node)
    const isPartial = nodes.some((view) => !view.isAnswering && view.silence !== undefined && view.silence < HOLE)
    this.samples.push({ at, time: new Date(), points, isPartial })
    while (this.samples.length > MAX_SAMPLES || at - this.samples[0]!.at > WINDOW) this.samples.shift()
  }

  #point (node: string, read: Read): Point {
    const before = this.#last.get(node)
    this.#last.set(node, read)
    const { stats } = read
    // A node that has started anew counts from zero.
    const isSame = before !== undefined && before.stats.uptime <= stats.uptime && read.at > before.at
    const rate = (of: (from: StatsSnapshot) => number): number | undefined =>
      isSame ? known(Math.max(0, of(stats) - of(before.stats)) / ((read.at - before.at) / 1_000)) : undefined
    return {
      connections: known(stats.connections.total),
      loop: known(stats.eventLoop.p99),
      messages: rate((from) => from.messages.in),
      deliveries: rate((from) => from.events.out),
      refusals: rate((from) => total(from.refusals)),
      bytes: rate((from) => from.events.bytesOut),
      published: rate((from) => from.events.published),
      // A page that was hidden for an hour does not know when in that hour it was.
      happened: isSame && read.at - before.at <= RECENT ? between(before.stats, stats) : undefined
    }
  }
}

/** Counts what has happened between two answers of one node. */
function between (before: StatsSnapshot, now: StatsSnapshot): Happened {
  const more = (of: (from: StatsSnapshot) => unknown): number =>
    Math.max(0, known(Number(of(now) ?? 0) - Number(of(before) ?? 0)) ?? 0)
  return {
    gaps: more((from) => from.events.gaps),
    cut: more((from) => from.closes.slow_consumer),
    limited: more((from) => from.messages.errors.rate_limited),
    evicted: more((from) => from.adapter.historyEvicted),
    refused: Object.fromEntries(Object.keys(now.refusals).map((code) => [code, more((from) => from.refusals[code])]))
  }
}

/**
 * One figure of a sample: of one node, or of all of them. Of delays the worst counts, of everything else the sum, which
 * there is none of while a node may only be late.
 *
 * @param node absent for all
 */
export function valueOf (
  { points, isPartial }: Sample,
  figure: Figure | 'published',
  node: string | undefined
): number | undefined {
  if (isPartial && node === undefined && figure !== 'loop') return undefined
  const values = (node === undefined ? [...points.values()] : [points.get(node)])
    .map((point) => point?.[figure]).filter((value) => value !== undefined)
  if (values.length === 0) return undefined
  return figure === 'loop' ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0)
}
