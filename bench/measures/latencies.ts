import { percentile } from '../sample.js'
import type { LoadReport } from '../shared/messages.js'

export interface Latencies {
  /** milliseconds */
  readonly p50: number | undefined
  readonly p99: number | undefined
  readonly p999: number | undefined
}

/** The latencies that all load generators have seen. */
export function latenciesOf (reports: readonly LoadReport[]): Latencies {
  const latencies = reports.flatMap((report) => report.latencies).sort((a, b) => a - b)
  const late = (share: number): number | undefined => {
    const microseconds = percentile(latencies, share)
    return microseconds === undefined ? undefined : microseconds / 1_000
  }
  return { p50: late(0.5), p99: late(0.99), p999: late(0.999) }
}
