import type { Awaitable } from '../structures/awaitable.js'

/** The trace that a step belongs to, as far as it is recorded. */
export interface Trace {
  /** Its W3C form. */
  readonly traceparent?: string | undefined
}

/** Where a step happens. */
interface Placed { readonly declaration: { readonly pattern: { readonly source: string } } }

/** A message of a client that is about to be handled; what it says of itself is read where it is recorded. */
export interface TracedMessage extends Placed {
  readonly declaration: Placed['declaration'] & { readonly messages: { has (type: string): boolean } }
  /** Name of the room. */
  readonly name: string
  /** Name of the message, as its client calls it: there may be no such message. */
  readonly type: string
  readonly bytes: number
  readonly isRequest: boolean
  /** The trace that its sender names. */
  readonly traceparent: string | undefined
}

/** An event that is about to be published, or to be offered to the members of this node. */
export interface TracedEvent extends Placed {
  /** Name of the room. */
  readonly name: string
}

/**
 * What makes spans. It is asked before anything is made for a step, unlike a subscriber of the channels, because most
 * steps of most applications are not recorded. Each method calls `run` once, and returns what that returns.
 */
export interface Tracer {
  /** @param codeOf finds the code by which the message was refused */
  message<T>(message: TracedMessage, run: (trace?: Trace) => Awaitable<T>, codeOf: (outcome: T) => string | undefined):
  Awaitable<T>
  broadcast<T>(
    place: TracedEvent,
    event: { readonly type: string, readonly delivery: string },
    run: (trace?: Trace) => Awaitable<T>
  ): Awaitable<T>
  /** @param traceparent that of its broadcast */
  delivery (place: TracedEvent, type: string, traceparent: string, run: () => Awaitable<number>): Awaitable<number>
}

/** The tracer of this process, once there is one. */
export const TRACING: { tracer: Tracer | undefined } = { tracer: undefined }
