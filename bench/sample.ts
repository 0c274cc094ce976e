/** What one measurement came to. Absent: not measured by this workload. */
export interface Sample {
  /** server CPU in microseconds for one delivered event, or one upgrade */
  readonly cpu?: number
  readonly user?: number
  readonly system?: number
  /** of it that of the process which began the others, where there are several */
  readonly own?: number
  /** delivered events, or upgrades, per second */
  readonly perSecond?: number
  /** milliseconds */
  readonly p50?: number | undefined
  readonly p99?: number | undefined
  readonly p999?: number | undefined
  /** bytes that clients read for one delivered event, acks included; or for one that comes back, or one that moves */
  readonly bytes?: number
  /** `write` and `writev` calls for one delivered event, as the kernel counts them */
  readonly syscalls?: number | undefined
  /** writes for one delivered event, as the server counts them */
  readonly writes?: number | undefined
  /** milliseconds that the server's event loop was late, 99th percentile */
  readonly loopDelay?: number | undefined
  /** share of its core that the busiest load generator used */
  readonly busy?: number
  /** share of a core that the server used */
  readonly core?: number
  /** share of the server's core that processes of others used meanwhile */
  readonly others?: number | undefined
  /** bytes of resident memory for one connection, room or event, and of them the JavaScript heap and buffers */
  readonly memory?: number
  readonly heap?: number
  /** memory over the payload */
  readonly overhead?: number
  /** milliseconds from the start of the server's process to the first connection */
  readonly start?: number
}

export type Metric = keyof Sample

export interface Spread { readonly median: number, readonly min: number, readonly max: number, readonly count: number }

export function spread (values: ReadonlyArray<number | undefined>): Spread | undefined {
  const sorted = values.filter((value) => value !== undefined).filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length === 0) return undefined
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, min: sorted[0]!, max: sorted[sorted.length - 1]!, count: sorted.length }
}

export function percentile (sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}
