import { closeSync, openSync, readSync } from 'node:fs'
import { PerformanceObserver } from 'node:perf_hooks'

/**
 * What the event loop did meanwhile. A turn counts what its thread had of the processor, or by the clock where that is
 * not known: others use the machine too.
 */
export interface Turns {
  /** milliseconds of the longest turn */
  readonly longest: number
  /** the same, without the pauses of the garbage collection */
  readonly own: number
  /** milliseconds of the processor, of all threads */
  readonly cpu: number
}

interface Span { readonly from: number, readonly to: number }

/** Shorter turns are of no interest. */
const SHORT = 0.5

function cpuTime (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** Milliseconds that the main thread had of the processor, as Linux counts them. */
function threadTime (): () => number {
  const text = Buffer.alloc(64)
  try {
    closeSync(openSync(`/proc/self/task/${process.pid}/schedstat`, 'r'))
  } catch {
    return () => performance.now()
  }
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
  return () => {
    // The kernel counts a thread that runs at its ticks alone, 4 ms apart, but for this question, which counts it up to
    // now.
    process.cpuUsage()
    return Number(text.toString('latin1', 0, readSync(file, text, 0, text.length, 0)).split(' ')[0]) / 1e6
  }
}

const ran = threadTime()

/**
 * Measures all turns of the event loop from the beginning of `work` until it has settled, and what it left for later
 * turns.
 */
export async function measure (work: () => Promise<void> | void, settle = 200): Promise<Turns> {
  const pauses: Span[] = []
  const keep = ({ startTime, duration }: {
    readonly startTime: number
    readonly duration: number
  }): void => { pauses.push({ from: startTime, to: startTime + duration }) }
  const observer = new PerformanceObserver((list) => { list.getEntries().forEach(keep) })
  observer.observe({ entryTypes: ['gc'] })
  const turns: Array<Span & { readonly cpu: number }> = []
  let isOver = false
  const began = cpuTime()
  let [from, before] = [performance.now(), ran()]
  const look = (): void => {
    const [to, after] = [performance.now(), ran()]
    if (to - from > SHORT) turns.push({ from, to, cpu: after - before })
    ;[from, before] = [to, after]
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  await work()
  await new Promise((resolve) => { setTimeout(resolve, settle) })
  isOver = true
  observer.takeRecords().forEach(keep)
  observer.disconnect()
  const paused = (turn: Span): number => pauses.reduce(
    (sum, { from, to }) => sum + Math.max(0, Math.min(to, turn.to) - Math.max(from, turn.from)),
    0
  )
  return {
    longest: Math.max(0, ...turns.map((turn) => Math.min(turn.to - turn.from, turn.cpu))),
    // What the thread had of the processor has the pauses in it as well.
    own: Math.max(0, ...turns.map((turn) => Math.min(turn.to - turn.from, turn.cpu) - paused(turn))),
    cpu: cpuTime() - began
  }
}
