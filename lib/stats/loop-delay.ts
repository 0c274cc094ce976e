import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'

/** Milliseconds between two samples. */
const RESOLUTION = 20

/** Milliseconds that the event loop was late, since the last reading. */
export interface LoopDelay { readonly p50: number, readonly p99: number, readonly max: number }

/** Watches how late the event loop is. */
export class LoopDelayMonitor {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION })

  start (): void { this.#histogram.enable() }
  stop (): void { this.#histogram.disable() }

  read (): LoopDelay {
    // A sample counts the resolution itself: what is above it is delay.
    const late = (nanoseconds: number): number => Math.max(0, Math.round((nanoseconds / 1e6 - RESOLUTION) * 10) / 10)
    const histogram = this.#histogram
    return histogram.count === 0 ? { p50: 0, p99: 0, max: 0 } : { p50: late(histogram.percentile(50)), p99: late(histogram.percentile(99)), max: late(histogram.max) }
  }
}
