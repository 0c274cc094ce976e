import { isCode, type Code, type EndReason } from '../protocol/codes.js'

export type Transport = 'websocket' | 'sse' | 'polling'

/**
 * Counts with plain integers on the hot path; they are read when the stats are requested. A pair (event, connection) is
 * counted once in `meant` when this node offers the event to that connection, and is at any time in exactly one other
 * column: `meant = delivered + resumed + conflated + dropped + gone + queued`, where `queued` is what outboxes hold.
 */
export class Ledger {
  meant = 0
  /** Pairs in outboxes now. */
  queued = 0
  /** Pairs handed to the kernel, or written in the answer of a poll. */
  delivered = 0
  /** Pairs handed over in the same way by replay after a break. */
  resumed = 0
  /** Pairs whose `latest` event was replaced by a newer one of its key in a lagging outbox. */
  conflated = 0
  /** Pairs whose `volatile` event was not queued because the link lagged. */
  dropped = 0
  /** Pairs in the outbox when the connection ended. */
  gone = 0
  /** Events lost before they reached this node, as the adapter reported them; not part of the sum. */
  gaps = 0

  /** Frames in outboxes now, the events among them included, and their bytes. */
  waiting = 0
  waitingBytes = 0

  /** Messages of clients that were parsed, and their bytes. */
  messagesIn = 0
  bytesIn = 0
  /** Frames written, the events among them included, and their bytes. */
  framesOut = 0
  bytesOut = 0
  /** Writes handed to the kernel or to the HTTP stack. */
  writes = 0
  /** Events published by this node. */
  published = 0
  readonly opened: Record<Transport, number> = { websocket: 0, sse: 0, polling: 0 }
  readonly refusals = new Map<string, number>()
  readonly errors = new Map<string, number>()
  readonly closes = new Map<string, number>()

  /** Counts an admission that was refused, by its code. */
  refused (code: Code | string): void { count(this.refusals, code) }
  /**
   * Counts an `error` frame or answer for a message, by its code. All codes of the application share one entry, so that
   * the set stays closed.
   */
  errored (code: string): void { count(this.errors, isCode(code) ? code : 'other') }
  /**
   * Counts a connection that ended, by its reason: a code of the server, `left` when the peer said goodbye (any close
   * frame, a `leave`), `gone` when it disappeared without a word or its stream has reached its age.
   */
  closed (reason: EndReason): void { count(this.closes, reason) }
}

function count (map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}
