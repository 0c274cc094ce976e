import { channel, tracingChannel } from 'node:diagnostics_channel'
import type { EndReason } from '../protocol/codes.js'

/**
 * What this plugin tells `node:diagnostics_channel`. Each place asks once whether somebody listens and makes nothing
 * otherwise. The objects hold no data of messages or events and no credential.
 */

/** `fastify-realtime:connection.open`: a connection was admitted. */
export interface ConnectionOpened {
  /** Its id, which is a secret of its client. */
  readonly connectionId: string
  /** The id of its user. */
  readonly userId: string
  /** How it came. */
  readonly transport: 'websocket' | 'sse' | 'polling'
  /** The address of its client, as Fastify's `trustProxy` gives it. */
  readonly address: string
}

/** `fastify-realtime:connection.close`: it has ended. */
export interface ConnectionClosed {
  /** Its id, which is a secret of its client. */
  readonly connectionId: string
  /** The id of its user. */
  readonly userId: string
  /** How it came. */
  readonly transport: 'websocket' | 'sse' | 'polling'
  /** A code, `left` when the peer said goodbye, or `gone` when it disappeared. */
  readonly reason: EndReason
  /** Milliseconds since it was opened. */
  readonly duration: number
  /** Payload bytes received from it and written to it. */
  readonly bytes: {
    /** Received. */
    readonly in: number
    /** Written. */
    readonly out: number
  }
  /** Bytes that still waited for it. */
  readonly lag: number
}

/**
 * What the tracing channels are given, the same object from `start` to `end`, or to `asyncEnd` where the step ends
 * later. `result` or `error` is set once it has ended.
 */
export interface TracedStep {
  /** Name of the room. */
  readonly room: string
  /** Pattern of its definition. */
  readonly definition: string
  /**
   * The W3C `traceparent` that came with the message or the event. A subscriber of `start` may set that of the step
   * itself: that of a broadcast travels with the event to every node.
   */
  traceparent?: string | undefined
  /** A subscriber of `start` may set it, to run the step in a context of its own; it has to call `task` once. */
  within?: (<T>(task: () => T) => T) | undefined
  /** What came of it: what a broadcast resolves with, or the members of a delivery. */
  result?: unknown
  /** What it has failed with. */
  error?: unknown
}

/** `fastify-realtime:message`: a declared message of a client, from its check to its outcome. */
export interface MessageStep extends TracedStep {
  /** Name of the message. */
  readonly message: string
  /** Its id, where the client gave one. */
  readonly messageId: string | undefined
  /** The id of the user who has sent it. */
  readonly userId: string
  /** Connection that has sent it; `undefined` for an HTTP caller without one. */
  readonly connectionId: string | undefined
  /** Bytes of the frame. */
  readonly bytes: number
  /** Whether it came by an HTTP request, which may have a trace of its own. */
  readonly isRequest: boolean
  /** Code by which it was refused; absent where it was handled. */
  code?: string | undefined
}

/** `fastify-realtime:broadcast`: an event that this node publishes, until the adapter has taken it. */
export interface BroadcastStep extends TracedStep {
  /** Name of the event. */
  readonly event: string
  /** What is promised for it: `reliable`, `latest` or `volatile`. */
  readonly delivery: string
}

/** `fastify-realtime:deliver`: an event that is offered to the members of this node; `result` is their number. */
export interface DeliverStep extends TracedStep {
  /** Name of the event. */
  readonly event: string
}

/** Published when a connection was admitted. */
export const CONNECTION_OPEN = channel('fastify-realtime:connection.open')
/** Published when it has ended. */
export const CONNECTION_CLOSE = channel('fastify-realtime:connection.close')
// Releases of @types/node differ in which of the two types is that of the context.
/** Traces messages of clients. */
export const MESSAGE = tracingChannel<MessageStep, MessageStep>('fastify-realtime:message')
/** Traces publications of this node. */
export const BROADCAST = tracingChannel<BroadcastStep, BroadcastStep>('fastify-realtime:broadcast')
/** Traces offers to members of this node. */
export const DELIVER = tracingChannel<DeliverStep, DeliverStep>('fastify-realtime:deliver')
