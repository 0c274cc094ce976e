import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { grouped } from '../../../lib/structures/grouped.js'
import type { AdapterName } from './broker.js'
import type { LibState } from './digest.js'
import type { Fault } from './faults.js'
import { brokenKinds, faultsOf } from './report.js'
import type { Result } from './story.js'

/** One run, as it is kept. */
export interface Run {
  readonly adapter: AdapterName
  readonly fault: string
  readonly seed: number
  /** the digest of what it ran of `lib/`, and the commit that this stood in */
  readonly lib: string
  readonly commit: string
  readonly at: string
  readonly heard: number
  readonly told: number
  /** events that came twice with a gap between */
  readonly again: number
  readonly messages: number
  /** milliseconds of the slowest revocation; `null` when somebody was never out */
  readonly revocation: number | null
  readonly seconds: number
  /** processes that waited for a processor, on the average of a minute, for each of them */
  readonly load: number
  /** how often each promise was broken */
  readonly broken: Readonly<Record<string, number>>
  /** the first of what was broken, in words */
  readonly words?: readonly string[]
}

/** Lines of what was broken that are kept of a run, and their characters. */
const WORDS = 4
const LONGEST = 300

export function runOf (
  fault: Fault,
  result: Result,
  about: Pick<Run, 'adapter' | 'seed' | 'lib' | 'commit' | 'load'>
): Run {
  const { counts: { heard, told, messages }, again, revocation, seconds } = result
  const words = faultsOf(fault, result).slice(0, WORDS).map((line) => line.slice(0, LONGEST))
  return {
    ...about,
    fault: fault.name,
    at: new Date().toISOString().slice(0, 16),
    heard,
    told,
    again: again.length,
    messages,
    revocation: revocation === Infinity ? null : Math.round(revocation),
    seconds: Math.round(seconds * 10) / 10,
    broken: brokenKinds(fault, result),
    ...(words.length === 0 ? {} : { words })
  }
}

const cellOf = ({ adapter, fault }: Run): string => `${adapter} ${fault}`
const nameOf = (run: Run): string => `${cellOf(run)} ${run.seed} ${run.at}`

/** Runs of one cell that are kept: those of this state of `lib/`, and the newest of others until there are so many. */
const MOST = 40

/** All runs, in a file that grows. */
export class Results {
  readonly #path: URL
  readonly #lib: LibState

  constructor (path: URL, lib: LibState) {
    this.#path = path
    this.#lib = lib
  }

  get all (): Run[] { return existsSync(this.#path) ? JSON.parse(readFileSync(this.#path, 'utf8')) as Run[] : [] }

  /** Others may write the same file: it is read again each time, and written without a pause between. */
  add (run: Run): void {
    const runs = new Map([...this.all, run].map((each) => [nameOf(each), each])).values()
    const kept = [...grouped(runs, cellOf).values()].flatMap((cell) => {
      const present = cell.filter((each) => this.#lib.has(each))
      const older = cell.filter((each) => !this.#lib.has(each)).sort((a, b) => a.at < b.at ? 1 : -1)
      return [...present, ...older.slice(0, Math.max(0, MOST - present.length))]
    })
    const lines = kept.sort((a, b) => nameOf(a) < nameOf(b) ? -1 : 1).map((each) => JSON.stringify(each))
    // Ended in the middle of a write, a file would have lost all runs.
    const whole = new URL(`${this.#path.href}.new`)
    writeFileSync(whole, `[\n${lines.join(',\n')}\n]\n`)
    renameSync(whole, this.#path)
  }
}
