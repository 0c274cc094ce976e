/** What the parent asks of its children over IPC, and what they answer. */

export interface ServerConfig {
  readonly peer: string
  readonly compression: boolean
  /** milliseconds; only fastify-realtime has such a window */
  readonly flush: number
  readonly presence: boolean
  /** events carry 760 bytes of data instead of 100 */
  readonly isLong: boolean
}

export interface Started {
  readonly port: number
  /** package and version, as the report names it */
  readonly version: string
}

/** One turn of the event loop for each room named; `burst` events in each turn. */
export interface Round { readonly rooms: readonly number[], readonly burst: number }

export interface Rate { readonly room: number, readonly perSecond: number, readonly ms: number }

export interface Usage {
  /** CPU time of the whole process in microseconds */
  readonly user: number
  readonly system: number
  readonly rss: number
  readonly heap: number
  /** `write` and `writev` calls of the process, as the kernel counts them; absent where it does not say */
  readonly syscalls: number | undefined
  /** writes that the server itself counts */
  readonly writes: number | undefined
  /** milliseconds that the event loop was late since the last reading, 99th percentile */
  readonly loopDelay: number
}

export interface ServerApi {
  start (config: ServerConfig): Promise<Started>
  round (round: Round): void
  rate (rate: Rate): Promise<number>
  collect (): Promise<void>
  usage (): Promise<Usage>
  startProfile (): Promise<void>
  /** @param path of the file to write */
  writeProfile (path: string): Promise<void>
}

export interface Population {
  readonly clients: number
  readonly rooms: number
  readonly roomsPerClient: number
}

export interface ConnectRequest extends Population {
  readonly port: number
  readonly dialect: string
  readonly compression: boolean
  /** clients from here on; this loader takes those with `index % loaders === loader` */
  readonly first: number
  readonly loader: number
  readonly loaders: number
  /** connections under way at a time */
  readonly concurrency: number
  /** members of each room that will speak */
  readonly speakers: number
  /** clients whose events are read for their timestamps */
  readonly sampled: number
}

export interface LoadReport {
  readonly events: number
  readonly bytes: number
  /** microseconds, sorted */
  readonly latencies: readonly number[]
  /** share of its core that the load generator used since the last reset */
  readonly busy: number
}

export interface LoadApi {
  /** @returns milliseconds from the first connection to the last that was ready */
  connect (request: ConnectRequest): Promise<number>
  /** Resolves when nothing has arrived for `ms`. */
  quiet (ms: number): Promise<void>
  reset (): Promise<void>
  /** Resolves when `events` more than all that were expected before have arrived. */
  expect (events: number): Promise<void>
  /** Every speaker sends, and sends again when it is acked, for `ms`. @returns messages by room */
  speak (ms: number): Promise<number[]>
  report (): Promise<LoadReport>
}
