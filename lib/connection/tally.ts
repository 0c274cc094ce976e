/** The columns of the ledger that move with a connection's outbox; what each means stands at the ledger itself. */
export interface Tally {
  meant: number
  /** events that wait in outboxes, frames that do, events among them, and their bytes */
  queued: number
  waiting: number
  waitingBytes: number
  delivered: number
  resumed: number
  conflated: number
  dropped: number
  gone: number
  framesOut: number
  bytesOut: number
  writes: number
}
