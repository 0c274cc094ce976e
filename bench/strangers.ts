import { readFileSync } from 'node:fs'

/** Microseconds in a tick of /proc/stat (USER_HZ is 100 on every Linux). */
const TICK = 10_000

/**
 * CPU time that all processes together have spent on a core, in microseconds; undefined where the kernel does not say.
 */
export function coreTime (core: number | undefined): number | undefined {
  if (core === undefined) return undefined
  try {
    const line = new RegExp(`^cpu${core} (\\d+) (\\d+) (\\d+)`, 'm')
    const fields = line.exec(readFileSync('/proc/stat', 'latin1'))!.slice(1)
    const [user, nice, system] = fields.map(Number) as [number, number, number]
    return (user + nice + system) * TICK
  } catch {
    return undefined
  }
}
