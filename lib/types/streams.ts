import type { Address, GrowingChunk, GrowingHead, GrowingName } from '../contract/types.js'

/** Options of a stream. */
export interface StreamOptions {
  /** Ends the stream with the error `aborted`; calls of its writer reject with the signal's reason from then on. */
  readonly signal?: AbortSignal | undefined
}

/** How a stream ends where it is not whole. */
export interface StreamEnd {
  /** What went wrong, as the readers are told. @default nothing: the text is whole */
  readonly error?: {
    /** A word for programs. */
    readonly code: string
    /** The same for a person. */
    readonly message: string
  } | undefined
}

/** The one writer of a text that grows. */
export interface StreamWriter<C> {
  /**
   * Aborted when nothing more can be written for another reason than `end`. It is for what makes the text:
   * `streamText({ abortSignal: writer.signal })`. `signal.reason` says why: an `AbortError` where the text was
   * cancelled, what was thrown where its source failed, the reason of its own signal, and otherwise an error whose
   * `code` is `message_too_large`, `timeout`, `draining`, `unavailable` or, where the key was lost,
   * `REALTIME_ERR_STREAM`.
   */
  readonly signal: AbortSignal
  /**
   * Appends a chunk: a string, or one item. It resolves when the chunk is accepted, which is at once unless more than
   * 64 KiB are unpublished. A rejection that is not awaited is never an unhandled one.
   *
   * @throws REALTIME_ERR_STREAM for a chunk that does not fit, after the end, and when another writer has taken the
   *   key; `message_too_large` above the bound of the text, with which the stream ends; `unavailable` when the broker
   *   was away for half a minute; the reason of the signal when that was aborted
   */
  write (chunk: C): Promise<void>
  /**
   * Appends everything that a source yields, as fast as it is published. A source that throws ends the stream, and the
   * call rejects with what was thrown. The readers are told the `code` and `message` of an error that has a `code` and
   * a 4xx `statusCode`, and of any other `internal` without its text. A chunk that is refused ends the stream with
   * `internal`, too, and the source is ended by the `return` of its iterator.
   *
   * @throws what the source throws, and what `write` throws
   */
  from (source: AsyncIterable<C> | Iterable<C>): Promise<void>
  /**
   * Ends the text, whole or with an error, and resolves when that is published.
   *
   * @throws why the text has ended already
   */
  end (how?: StreamEnd): Promise<void>
}

/**
 * A writer whose key is still being taken. It can be used at once: its calls wait for that, and reject where the key
 * was refused. Awaited it is the writer.
 */
export interface OpeningStream<C> extends StreamWriter<C>, PromiseLike<StreamWriter<C>> {}

/** A text as `app.rooms.read` gives it. */
export interface StreamText<D> {
  /** The event's data with the whole text as it is so far. */
  readonly data: D
  /** How the text ended; absent while it grows. */
  readonly end?: 'done' | 'lost' | {
    /** A word for programs. */
    readonly code: string
    /** The same for a person. */
    readonly message: string
  }
}

/** The names of the events of a room whose texts grow; any string where the room is given by its name alone. */
export type StreamName<R> = R extends Address<unknown, infer E, unknown> ? GrowingName<E> : string

/** What a stream of a room begins with: the event's data without the property that grows. */
export type StreamHead<R, K> = R extends Address<unknown, infer E, unknown>
  ? K extends keyof E ? GrowingHead<E[K]> : never
  : object

/** A chunk of a stream of a room. */
export type StreamChunk<R, K> = R extends Address<unknown, infer E, unknown>
  ? K extends keyof E ? GrowingChunk<E[K]> : never
  : unknown

/** The data of an event of a room whose texts grow, with the text as it is so far. */
export type StreamData<R, K> = R extends Address<unknown, infer E, unknown>
  ? K extends keyof E ? E[K] : never
  : Record<string, unknown>
