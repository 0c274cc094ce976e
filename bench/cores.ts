import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { hasTaskset } from './child.js'

export interface Cores {
  /** undefined: nothing is pinned */
  readonly server: number | undefined
  /** one load generator on each */
  readonly load: ReadonlyArray<number | undefined>
}

const MAX_LOADERS = 4

/** Cores that this process may use. */
function allowed (): number[] {
  try {
    const text = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))![1]!
    return text.split(',').flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number) as [number, number?]
      return Array.from({ length: last! - first + 1 }, (_, i) => first + i)
    })
  } catch {
    return cpus().map((_, i) => i)
  }
}

/** The server alone on one core; everything else, this process included, on the others. */
export function assignCores (): Cores {
  const [server, ...load] = allowed()
  if (!hasTaskset || load.length === 0) return { server: undefined, load: [undefined] }
  execFileSync('taskset', ['-cp', load.join(','), String(process.pid)], { stdio: 'ignore' })
  return { server, load: load.slice(0, MAX_LOADERS) }
}
