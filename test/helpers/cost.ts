import type { Checker } from '../../lib/protocol/checker.js'

/** Milliseconds that nothing may take: what is meant takes a tenth, what was wrong took seconds. */
export const MOST = 200

/** Milliseconds of a processor that this process has used: other programs of a busy machine do not count. */
export function used (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** What it costs in milliseconds to check a value and to list what is wrong with it, and what came of both. */
export function costOf ({ check, violations }: Checker, value: unknown): {
  readonly fits: boolean
  readonly found: readonly unknown[]
  readonly checked: number
  readonly listed: number
} {
  let [fits, found, checked, listed] = [false, [] as unknown[], Infinity, Infinity]
  // Others are busy on this machine, too: the least of some tries is what it costs.
  for (let tries = 0; tries < 5 && Math.max(checked, listed) > MOST / 10; tries++) {
    const start = performance.now()
    fits = check(value)
    const middle = performance.now()
    found = fits ? [] : violations(value)
    checked = Math.min(checked, middle - start)
    listed = Math.min(listed, performance.now() - middle)
  }
  return { fits, found, checked, listed }
}

/** Bytes of a message, by default the most. */
export const BYTES = 65_000

/** An array as long as a message can be. */
export function fill (unit: unknown): unknown[] {
  const text = JSON.stringify(unit)
  return JSON.parse(`[${Array(Math.floor((BYTES - 2) / (text.length + 1))).fill(text).join(',')}]`) as unknown[]
}

/** A value that a step has been put around so many times. */
export function nest (step: (inner: unknown) => unknown, seed: unknown, depth = 30): unknown {
  let value = seed
  for (let i = 0; i < depth; i++) value = step(value)
  return value
}
