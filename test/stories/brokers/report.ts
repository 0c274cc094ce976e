import { ADAPTERS, type AdapterName } from './broker.js'
import type { LibState } from './digest.js'
import { FAULTS, type Fault } from './faults.js'
import type { Run } from './results.js'
import type { Result } from './story.js'

/** Milliseconds in which a revocation reaches everybody while the broker is there. */
export const REVOKED_WITHIN = 2_000

/** What must not happen, in lists of a result. */
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

function isLate (fault: Fault, { revocation }: Result): boolean {
  return revocation > (fault.isBlink === true ? REVOKED_WITHIN : Number.MAX_VALUE)
}

/** How often each promise was broken in a run; empty when every one was kept. */
export function brokenKinds (fault: Fault, result: Result): Record<string, number> {
  const kinds = KINDS.filter((kind) => kind !== 'twice' || fault.forgets !== true)
  const counts = [
    ...kinds.map((kind) => [kind, result[kind].length] as const),
    ['over', result.over] as const,
    ['stuck', result.stuck] as const,
    ['revocation', isLate(fault, result) ? 1 : 0] as const
  ]
  return Object.fromEntries(counts.filter(([, count]) => count > 0))
}

/** Nodes decide alone once a blink has lasted for too long; nobody is above the limit beyond those whom they let in. */
function aloneIn ({ alone, lasted }: Result): string {
  const waits = alone.length === 0 ? '' : `, after ${Math.min(...alone)} to ${Math.max(...alone)} ms`
  return `nodes decided ${alone.length} times without the broker${waits}; the fault lasted ${Math.round(lasted)} ms`
}

/** The same, a line each. */
export function faultsOf (fault: Fault, result: Result): string[] {
  const inWords: Readonly<Record<string, string>> = {
    over: `${result.over} above the limit; ${aloneIn(result)}`,
    stuck: `${result.stuck} seats could not be had again`,
    revocation: `after ${Math.round(result.revocation)} ms`
  }
  return Object.keys(brokenKinds(fault, result)).flatMap((kind) => {
    const words = inWords[kind]
    return (words === undefined ? result[kind as typeof KINDS[number]] : [words]).map((what) => `${kind}: ${what}`)
  })
}

/** Why a cell of the table is empty. */
export interface Left { readonly adapter: AdapterName, readonly fault: Fault, readonly reason: string }

const HEADINGS = [
  'adapter', 'fault', 'runs', 'of this state', 'kept', 'heard', 'told', 'again behind a gap', 'messages', 'revoked after, ms',
  's per run', 'load', 'what was broken', 'before'
]
/** Columns that are words. */
const WORDS = new Set(['adapter', 'fault', 'what was broken'])

function middle (values: readonly number[]): number { return values.toSorted((a, b) => a - b)[values.length >> 1]! }

function inMs (value: number): string { return value === Infinity ? 'never' : String(value) }

const isKept = ({ broken }: Run): boolean => Object.keys(broken).length === 0

/** The runs that a row counts: all of this state, and the newest of others until there are so many. */
const COUNTED = 20

function countedOf (cell: readonly Run[], lib: LibState): Run[] {
  const present = cell.filter((run) => lib.has(run))
  const older = cell.filter((run) => !lib.has(run)).sort((a, b) => a.at < b.at ? 1 : -1)
  return [...present, ...older.slice(0, Math.max(0, COUNTED - present.length))]
}

function row (all: readonly Run[], lib: LibState): string {
  const cell = countedOf(all, lib)
  const before = all.filter((run) => !cell.includes(run))
  const { adapter, fault } = cell[0]!
  const sum = (of: (run: Run) => number): number => cell.reduce((total, run) => total + of(run), 0)
  const revocations = cell.map(({ revocation }) => revocation ?? Infinity)
  const kinds = new Map<string, number>()
  for (const { broken } of cell) {
    for (const [kind, count] of Object.entries(broken)) kinds.set(kind, (kinds.get(kind) ?? 0) + count)
  }
  const values: Array<string | number> = [
    adapter, fault, cell.length, cell.filter((run) => lib.has(run)).length, cell.filter(isKept).length,
    sum(({ heard }) => heard), sum(({ told }) => told), sum(({ again }) => again), sum(({ messages }) => messages),
    `${inMs(middle(revocations))}, ${inMs(Math.max(...revocations))}`,
    middle(cell.map(({ seconds }) => seconds)).toFixed(1), middle(cell.map(({ load }) => load)).toFixed(1),
    [...kinds].map(([kind, count]) => `${kind} ${count}`).join(', ') || '-',
    before.length === 0 ? '' : `${before.filter(isKept).length} of ${before.length}`
  ]
  return `| ${values.join(' | ')} |`
}

function statesOf (runs: readonly Run[]): string {
  const commits = new Map<string, number>()
  for (const { commit } of runs.toSorted((a, b) => a.at < b.at ? 1 : -1)) {
    commits.set(commit, (commits.get(commit) ?? 0) + 1)
  }
  return [...commits].map(([commit, count]) => `${count} of ${commit}`).join(', ')
}

/**
 * Lines of Markdown: a row for each adapter and fault that was tried, and why others were not.
 *
 * @param lib the present state
 */
export function table (runs: readonly Run[], left: readonly Left[], lib: LibState): string[] {
  const cells = ADAPTERS.flatMap((adapter) => FAULTS.flatMap(({ name }) => {
    const cell = runs.filter((run) => run.adapter === adapter && run.fault === name)
    return cell.length === 0 ? [] : [cell]
  }))
  const faults = FAULTS.filter(({ name }) => runs.some(({ fault }) => fault === name))
  return [
    `| ${HEADINGS.join(' | ')} |`,
    `|${HEADINGS.map((heading) => WORDS.has(heading) ? '---' : '--:').join('|')}|`,
    ...cells.map((cell) => row(cell, lib)),
    '',
    `Of which states of \`lib/\` they are, by the commit: ${statesOf(cells.flatMap((cell) => countedOf(cell, lib)))}.`,
    '',
    ...faults.map(({ name, title, forgets }) =>
      `- \`${name}\`: ${title}${forgets === true ? ', and message ids with it: `twice` is no fault then' : ''}`),
    ...(left.length === 0 ? [] : ['', 'Not applicable:', '']),
    ...left.map(({ adapter, fault, reason }) => `- ${adapter}, \`${fault.name}\`: ${reason}`)
  ]
}
