import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks'
import { every } from '../structures/timers.js'

/** Milliseconds between two samples. */
const RESOLUTION = 20
/** Milliseconds after which the older histogram is cleared. */
const WINDOW = 15_000

/** Milliseconds by which the event loop was late, over the last 15 to 30 seconds. */
export interface LoopDelay { readonly p50: number, readonly p99: number, readonly max: number }

function watch (): IntervalHistogram {
  return monitorEventLoopDelay({ resolution: RESOLUTION })
}

/**
 * Watches how late the event loop is. Two histograms take turns: a single one since the start would show yesterday's
 * pause for ever, and if each reading cleared it, several readers would see a part of it each.
 */
export class LoopDelayMonitor {
  #older = watch()
  #newer = watch()
  readonly #window: number
  #timer: NodeJS.Timeout | undefined

  /** @param window milliseconds of the measurement that a reading covers at least; it covers at most twice as many */
  constructor (window = WINDOW) {
    this.#window = window
  }

  start (): void {
    this.#older.enable()
    this.#newer.enable()
    this.#timer ??= every(() => {
      this.#older.reset();
      [this.#older, this.#newer] = [this.#newer, this.#older]
    }, this.#window).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#older.disable()
    this.#newer.disable()
  }

  read (): LoopDelay {
    const histogram = this.#older
    // A sample includes the resolution itself; only what is above it is delay.
    const late = (nanoseconds: number): number => Math.max(0, Math.round((nanoseconds / 1e6 - RESOLUTION) * 10) / 10)
    return histogram.count === 0
      ? { p50: 0, p99: 0, max: 0 }
      : { p50: late(histogram.percentile(50)), p99: late(histogram.percentile(99)), max: late(histogram.max) }
  }
}
