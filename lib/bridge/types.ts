import type { AnyAddress, EventData, EventName } from '../contract/types.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { BroadcastOptions } from '../types/rooms.js'

/** What a record becomes: a broadcast under a key. */
export interface BridgedEvent<
  R extends string | AnyAddress = string | AnyAddress,
  K extends EventName<R> = EventName<R>
> extends Pick<BroadcastOptions, 'except'> {
  /** Name or address of the room. */
  room: R
  /** The name of the event. */
  event: K
  /** What is broadcast. */
  data: EventData<R, K>
  /**
   * Names the record, for example by topic, partition and offset: a record that is read again within two minutes of
   * its broadcast (`idempotency` of the adapter) adds no second event. Never empty.
   */
  idempotencyKey: string
}

/** Where a bridge leads: `app.rooms`, a publisher of `createPublisher`, or what broadcasts in another way. */
export interface BridgeTarget {
  /** As `app.rooms.broadcast`. What it rejects with decides whether the bridge asks again, see `bridge`. */
  broadcast (
    room: string,
    event: string,
    data: unknown,
    options: BroadcastOptions & { idempotencyKey: string }
  ): Promise<unknown>
}

/** How a bridge treats its records. */
export interface BridgeOptions<T> {
  /**
   * Records that may be read and not committed yet, from 1 to 10 000. No more is read from the source while there are
   * as many.
   *
   * @default 100
   */
  inFlight?: number | undefined
  /**
   * Called for one record after the other in the order of the source, when it and all before it are accepted, passed
   * over or taken by `onRefused`. The next call waits for this one. `more` says that the next record is about to be
   * committed too: where a commit costs a round trip, it may wait for that one. A commit that throws ends the bridge
   * with its error.
   *
   * @default nothing is committed
   */
  commit?: ((record: T, more: boolean) => Awaitable<unknown>) | undefined
  /**
   * Takes a record that cannot be broadcast: `map` threw, or what it made is refused for good. The bridge waits for it,
   * and goes on; where it throws, the bridge ends with what it threw, and the record is not committed.
   *
   * @default the bridge ends with the error of the first such record
   */
  onRefused?: ((record: T, error: unknown) => Awaitable<unknown>) | undefined
  /**
   * Stops the bridge: nothing more is read and nothing is tried again. What is under way is finished, and what of it
   * can be committed is.
   *
   * @default it ends with its source
   */
  signal?: AbortSignal | undefined
  /**
   * Milliseconds until a broadcast is tried again that failed for a time; longer where the error says so
   * (`retryAfter`).
   *
   * @param attempt attempts that failed before this one
   * @default from 50 to 100 ms, doubled each time, 10 s at most
   */
  backoff?: ((attempt: number) => number) | undefined
}

/** What a bridge has done. */
export interface BridgeStats {
  /** Records that were read. */
  readonly read: number
  /** Records whose broadcast was accepted, as a new event or as one that had been accepted under its key before. */
  readonly accepted: number
  /** Records of which `map` made nothing. */
  readonly passedOver: number
  /** Records that `onRefused` has taken. */
  readonly refused: number
  /** Broadcasts that failed for a time and were to be tried again. */
  readonly retried: number
  /** Records whose `commit` has returned. */
  readonly committed: number
  /** Records that are read and not committed yet, at most the option `inFlight`. */
  readonly inFlight: number
}

/** A bridge that runs. It resolves when its source has ended or its `signal` was aborted, and rejects when it fails. */
export type Bridge = Promise<BridgeStats> & {
  /** What it has done so far; each read shows the present. */
  readonly stats: BridgeStats
}
