import type { AdapterName } from './broker.js'
import type { Fault } from './faults.js'
import type { Result } from './story.js'

/** Milliseconds in which a revocation reaches everybody while the broker is there. */
export const REVOKED_WITHIN = 2_000

/** What must not happen, by the names of the table's columns. */
const KINDS = [
  'lost',
  'doubled',
  'reordered',
  'foreign',
  'denied',
  'stale',
  'twice',
  'unheeded',
  'flaps',
  'ghosts',
  'broken'
] as const

export interface Cell {
  readonly adapter: AdapterName
  readonly fault: Fault
  readonly results: readonly Result[]
}

function isLate (fault: Fault, { revocation }: Result): boolean {
  return revocation > (fault.isBlink === true ? REVOKED_WITHIN : Number.MAX_VALUE)
}

/** What was broken in a run, a line each; empty when every promise was kept. */
export function faultsOf (fault: Fault, result: Result): string[] {
  const kinds = KINDS.filter((kind) => kind !== 'twice' || fault.forgets !== true)
  const lines = kinds.flatMap((kind) => result[kind].map((what) => `${kind}: ${what}`))
  if (result.over > 0) lines.push(`over: ${result.over} above the limit`)
  if (result.stuck > 0) lines.push(`stuck: ${result.stuck} seats could not be had again`)
  if (isLate(fault, result)) lines.push(`revocation: after ${Math.round(result.revocation)} ms`)
  return lines
}

const HEADINGS = [
  'adapter', 'fault', 'runs', 'kept', 'heard', 'told', 'lost', 'doubled', 'again behind a gap', 'reordered', 'foreign',
  'denied', 'stale', 'messages', 'twice', 'unheeded', 'revoked after, ms', 'over', 'stuck', 'flaps', 'ghosts', 's per run'
]

function row ({ adapter, fault, results }: Cell): string {
  const sum = (of: (result: Result) => number): number => results.reduce((total, result) => total + of(result), 0)
  const kept = results.filter((result) => faultsOf(fault, result).length === 0).length
  const slowest = Math.max(...results.map(({ revocation }) => revocation))
  const count = (kind: keyof Result & ('again' | typeof KINDS[number])): number => sum((result) => result[kind].length)
  const values: Array<string | number> = [
    adapter, fault.name, results.length, kept, sum(({ counts }) => counts.heard), sum(({ counts }) => counts.told),
    count('lost'), count('doubled'), count('again'), count('reordered'), count('foreign'), count('denied'),
    count('stale'), sum(({ counts }) => counts.messages), count('twice'), count('unheeded'),
    slowest === Infinity ? 'never' : Math.round(slowest),
    Math.max(...results.map(({ over }) => over)), sum(({ stuck }) => stuck),
    count('flaps'), count('ghosts'), (sum(({ seconds }) => seconds) / results.length).toFixed(1)
  ]
  return `| ${values.join(' | ')} |`
}

/** Lines of Markdown: a row for each adapter and fault that was tried, and why the others were not. */
export function table (
  cells: readonly Cell[],
  left: ReadonlyArray<{ adapter: AdapterName, fault: Fault, reason: string }>
): string[] {
  const faults = new Set(cells.map(({ fault }) => fault))
  return [
    `| ${HEADINGS.join(' | ')} |`,
    `|${HEADINGS.map((_, index) => index < 2 ? '---' : '--:').join('|')}|`,
    ...cells.map(row),
    '',
    ...[...faults].map(({ name, title, forgets }) =>
      `- \`${name}\`: ${title}${forgets === true ? ', message ids too: `twice` is counted only' : ''}`),
    ...(left.length === 0 ? [] : ['', 'Not applicable:', '']),
    ...left.map(({ adapter, fault, reason }) => `- ${adapter}, \`${fault.name}\`: ${reason}`)
  ]
}
