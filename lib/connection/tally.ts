/** The columns of the ledger that move with a connection's outbox; what each means stands at the ledger itself. */
export interface Tally {
  meant: number
  delivered: number
  resumed: number
  conflated: number
  dropped: number
  gone: number
  framesOut: number
  bytesOut: number
  writes: number
}
