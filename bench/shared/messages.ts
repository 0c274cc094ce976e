/** What the parent asks of its children over IPC, and what they answer. */

export type Transport = 'websocket' | 'sse' | 'polling'

/** Files with the parts of a certificate, in PEM. */
export interface Certificate { readonly key: string, readonly cert: string }

export interface ServerConfig {
  readonly peer: string
  readonly transport: Transport
  /** serve TLS with it; absent: do not */
  readonly certificate: Certificate | undefined
  readonly compression: boolean
  /** milliseconds; only fastify-realtime has such a window */
  readonly flush: number
  readonly presence: boolean
  /** events carry 760 bytes of data instead of 100 */
  readonly isLong: boolean
  /** a client that comes back is sent what it has missed, by the peers that can */
  readonly recovery: boolean
  /** milliseconds between two heartbeats; absent: the peer's default, and none where it is written by hand */
  readonly heartbeat: number | undefined
}

export interface Started {
  readonly port: number
  /** package and version, as the report names it */
  readonly version: string
}

/** One turn of the event loop for each room named; `burst` events in each turn. */
export interface Round { readonly rooms: readonly number[], readonly burst: number }

export interface Rate { readonly room: number, readonly perSecond: number, readonly ms: number }

/** So many events into each of the rooms, from the first one on. */
export interface Fill { readonly rooms: number, readonly events: number }

export interface Usage {
  /** CPU time of the whole server in microseconds */
  readonly user: number
  readonly system: number
  /** the same of the process that was asked alone, where there are several */
  readonly own: number
  readonly rss: number
  readonly heap: number
  /** `write` and `writev` calls of the process, as the kernel counts them; absent where it does not say */
  readonly syscalls: number | undefined
  /** writes that the server itself counts */
  readonly writes: number | undefined
  /**
   * milliseconds that the event loop was late since the last reading, 99th percentile; absent where the runtime does
   * not say
   */
  readonly loopDelay: number | undefined
}

export interface ServerApi {
  start (config: ServerConfig): Promise<Started>
  round (round: Round): void
  rate (rate: Rate): Promise<number>
  fill (fill: Fill): Promise<void>
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
  readonly transport: Transport
  readonly isSecure: boolean
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
  /** milliseconds that a poll may wait for news */
  readonly wait: number
  /** clients are those of the peer's own library, not of the load generator */
  readonly isLibrary: boolean
  /** clients remember where they are, so that they can come back */
  readonly isTracking: boolean
}

/** How members speak for `ms`. */
export interface Speech {
  readonly ms: number
  /** messages have ids, and are acked */
  readonly hasIds: boolean
  /** messages of all speakers of all load generators; absent: each speaks again as soon as it is answered */
  readonly perSecond: number | undefined
}

/** So many clients join one more room and leave it again, for `ms`, each when the last call is acked. */
export interface Churn { readonly clients: number, readonly ms: number }

export interface LoadReport {
  readonly events: number
  readonly bytes: number
  /** microseconds, sorted */
  readonly latencies: readonly number[]
  /** CPU of the load generator since the last reset, microseconds */
  readonly cpu: number
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
  /** @returns messages by room */
  speak (speech: Speech): Promise<number[]>
  /** @returns joins with their leaves */
  churn (churn: Churn): Promise<number>
  /** All clients cut their connections. @param comesBack where they were is remembered */
  leave (comesBack: boolean): Promise<void>
  report (): Promise<LoadReport>
}
