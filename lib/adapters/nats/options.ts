import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node'
import { HISTORY_BYTES, IDEMPOTENCY } from '../../retention/bounds.js'

/** Options of `nats()`. What is unknown or wrong is refused with `REALTIME_ERR_OPTIONS`. */
export interface NatsOptions {
  /** URL of the server, default `nats://127.0.0.1:4222`. */
  readonly url?: string | readonly string[]
  /** A connection of `@nats-io/transport-node` to use instead; it stays yours and is not closed. */
  readonly connection?: NatsConnection
  /** More settings of the client, such as `user`, `pass`, `token`, `tls`. */
  readonly settings?: Partial<NodeConnectionOptions>
  /**
   * Prefix of all subjects, streams and buckets, default `realtime`; letters, digits, `_` and `-`. Each application
   * that shares a server needs its own.
   */
  readonly prefix?: string
  /**
   * Whether to use JetStream, default true. Without it events are live only: no history, resume, latest values,
   * presence, limits, claims and denials.
   */
  readonly jetstream?: boolean
  /**
   * Copies of streams and buckets in a NATS cluster, default 1. Those that were made with fewer get as many at the next
   * start, as far as the server allows it; none is taken away.
   */
  readonly replicas?: number
  /**
   * Storage of streams and buckets, default `file`. Those that were made with another one keep it: a warning says so.
   */
  readonly storage?: 'file' | 'memory'
  /**
   * Milliseconds that one request may take, and one attempt to connect again, default 2 000. What a start asks for has
   * three times as long.
   */
  readonly timeout?: number
  /** Milliseconds between two position checks of a quiet room, default 40 000, varied by 20 %. */
  readonly check?: number
  /**
   * Milliseconds that an idempotency key is remembered, default 120 000; at least 30 s and 2.5 times the `timeout`,
   * because who was told of no result asks again under the same key.
   */
  readonly idempotency?: number
  /** Bytes of retained events that are kept in this process for resumes, default 64 MiB. */
  readonly historyBytes?: number
}

export const DEFAULTS = {
  url: 'nats://127.0.0.1:4222' as string | readonly string[],
  prefix: 'realtime',
  jetstream: true,
  replicas: 1,
  storage: 'file' as const,
  timeout: 2_000,
  check: 40_000,
  idempotency: IDEMPOTENCY,
  historyBytes: HISTORY_BYTES
}
