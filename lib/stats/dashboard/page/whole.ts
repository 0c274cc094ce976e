import type { NodeView } from '../../overview.js'
import type { StatsSnapshot } from '../../snapshot.js'
import { NONE } from './words.js'

const loop = { p50: NaN, p99: NaN, max: NaN }

/** Stats without any figure: what is not known is no number, which is shown as such, and not as 0. */
const BLANK = {
  node: NONE,
  version: NONE,
  uptime: NaN,
  accepting: true,
  connections: { total: NaN, max: NaN, slots: NaN, capacityPercent: NaN, transports: {}, opened: {} },
  users: NaN,
  rooms: { active: NaN, definitions: {} },
  messages: { in: NaN, bytesIn: NaN, errors: {} },
  events: { published: NaN, out: NaN, framesOut: NaN, bytesOut: NaN, writes: NaN, gaps: NaN },
  refusals: {},
  closes: {},
  outbox: { frames: NaN, bytes: NaN },
  eventLoop: loop,
  ledger: {},
  adapter: { name: NONE }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** Puts what is missing, or is something else than it should be, in its place. */
function filled (blank: Readonly<Record<string, unknown>>, given: unknown): Record<string, unknown> {
  const whole: Record<string, unknown> = isObject(given) ? { ...given } : {}
  for (const [name, none] of Object.entries(blank)) {
    if (isObject(none)) whole[name] = filled(none, whole[name])
    else if (typeof whole[name] !== typeof none) whole[name] = none
  }
  return whole
}

/** The nodes with all parts of their stats: one of another version may not send each of them. */
export function wholeNodes (nodes: readonly NodeView[]): NodeView[] {
  return nodes.map((view) => view.isAnswering
    ? { ...view, stats: filled(BLANK, view.stats) as unknown as StatsSnapshot }
    : view)
}
