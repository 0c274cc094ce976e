/**
 * Signs of life of one connection: what the heartbeat's sweep looks at. Written by the connection and by the heartbeat
 * alone; all moments are by `performance.now()`.
 */
export class Beat {
  /** the peer was heard of last */
  seenAt: number
  /** the last beat was sent; 0: none yet */
  sentAt = 0
  /** the peer has not answered it yet */
  isAwaited = false
  /** since when the link has taken nothing; 0: it takes what is written */
  lagsSince = 0
  /** when the connection must end, for streams of limited age and between two polls */
  endsAt = Number.POSITIVE_INFINITY
  /** round trip of the last beat in milliseconds */
  latency: number | undefined

  constructor (now: number) {
    this.seenAt = now
  }

  /** Something came from the peer. */
  seen (now: number): void {
    if (this.isAwaited) {
      this.isAwaited = false
      this.latency = now - this.sentAt
    }
    this.seenAt = now
  }
}
