/** One observation that stands for its bucket, with the trace that it belongs to. */
export interface Exemplar {
  /** The W3C `traceparent`. */
  readonly traceparent: string
  readonly value: number
  /** Unix milliseconds. */
  readonly at: number
}

/** Of so many one is measured, where `isNext` decides. */
const EVERY = 16

/** Counts values by their size, in fixed buckets: an observation allocates nothing. */
export class Histogram {
  /** The upper bounds of the buckets, ascending; one more bucket has what is above them. */
  readonly bounds: readonly number[]
  readonly counts: number[]
  sum = 0
  /** Number of those that `isNext` was asked for. */
  offered = 0
  /** The newest of each bucket, once there was one with a trace. */
  exemplars: Array<Exemplar | undefined> | undefined

  constructor (bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Array<number>(bounds.length + 1).fill(0)
  }

  get count (): number { return this.counts.reduce((sum, count) => sum + count, 0) }

  /**
   * Counts something that is measured now and then: the first one, and every sixteenth after it. To read a clock twice
   * can cost more than what is measured.
   */
  isNext (): boolean { return this.offered++ % EVERY === 0 }

  /** @param traceparent of what was measured, where it is traced */
  observe (value: number, traceparent?: string): void {
    let bucket = 0
    while (bucket < this.bounds.length && value > this.bounds[bucket]!) bucket++
    this.counts[bucket]!++
    this.sum += value
    if (traceparent === undefined) return
    this.exemplars ??= new Array<Exemplar | undefined>(this.counts.length).fill(undefined)
    this.exemplars[bucket] = { traceparent, value, at: Date.now() }
  }
}

/** Bounds in seconds of what an application or a broker does. */
export const CALLS: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
/** Bounds in seconds of what is done within one turn of the event loop, or a few. */
export const TURNS: readonly number[] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1]
/** Bounds of numbers of events. */
export const NUMBERS: readonly number[] = [0, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 10_000]
