/** What is used of Bun's interface to the functions of C. */
interface Foreign {
  dlopen (library: string, functions: { clock_gettime: { args: [string, string], returns: string } }): {
    symbols: { clock_gettime (clock: number, time: unknown): number }
  }
  ptr (memory: BigInt64Array): unknown
}

/** The number of the monotonic clock in `clock_gettime` of Linux. */
const MONOTONIC = 1

/**
 * The monotonic clock of the machine, in microseconds, which all its processes share. The time of day is no measure of
 * an age: each process reads it once, at its start, and it may be set between the starts of two of them.
 */
export const moment = 'Bun' in globalThis
  ? await monotonic()
  : () => Math.round(Number(process.hrtime.bigint()) / 1_000)

/** Bun counts `process.hrtime` from the start of its own process, so that the kernel is asked. */
async function monotonic (): Promise<() => number> {
  const { dlopen, ptr } = await import('bun:ffi' as string) as Foreign
  const { symbols } = dlopen('libc.so.6', { clock_gettime: { args: ['int', 'ptr'], returns: 'int' } })
  const time = new BigInt64Array(2)
  const at = ptr(time)
  return () => {
    symbols.clock_gettime(MONOTONIC, at)
    return Number(time[0]) * 1_000_000 + Math.round(Number(time[1]) / 1_000)
  }
}
