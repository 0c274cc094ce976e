import { isCode, type Code } from '../protocol/codes.js'

export type Transport = 'websocket' | 'sse' | 'polling'

/**
 * Plain integers on the hot path; read when somebody asks. A pair (event, connection) is counted once in `meant` when
 * this node offers the event to that connection, and is at any time in exactly one other column:
 * `meant = delivered + resumed + conflated + dropped + gone + queued`, where `queued` is what outboxes hold.
 */
export class Ledger {
  meant = 0
  /** in outboxes now */
  queued = 0
  /** handed to the kernel, or written in the answer of a poll */
  delivered = 0
  /** the same, by replay after a break */
  resumed = 0
  /** a `latest` event that a newer one of its key replaced in a lagging outbox */
  conflated = 0
  /** a `volatile` event that a lagging link was spared */
  dropped = 0
  /** in the outbox when the connection ended */
  gone = 0
  /** events lost before this node, as the adapter told; not part of the sum */
  gaps = 0

  /** frames in outboxes now, events among them, and their bytes */
  waiting = 0
  waitingBytes = 0

  /** messages of clients that were parsed, and their bytes */
  messagesIn = 0
  bytesIn = 0
  /** frames written, events among them, and their bytes */
  framesOut = 0
  bytesOut = 0
  /** writes handed to the kernel or the HTTP stack */
  writes = 0
  /** events published by this node */
  published = 0
  readonly opened: Record<Transport, number> = { websocket: 0, sse: 0, polling: 0 }
  readonly refusals = new Map<string, number>()
  readonly errors = new Map<string, number>()
  readonly closes = new Map<string, number>()

  /** an admission that was refused, by word */
  refused (code: Code | string): void { count(this.refusals, code) }
  /**
   * an `error` frame or answer for a message, by word; an application's own codes share one entry, so that the set
   * stays closed
   */
  errored (code: string): void { count(this.errors, isCode(code) ? code : 'other') }
  /**
   * a connection that ended, by word: ours, `left` when the peer said so (any close frame, a `leave`), `gone` when it
   * just went
   */
  closed (reason: string): void { count(this.closes, reason) }
}

function count (map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1)
}
