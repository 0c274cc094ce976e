/**
 * Signs of life of one connection, which the heartbeat's sweep reads. Only the connection and the heartbeat change
 * them; all times are by `performance.now()`.
 */
export class Beat {
  /** Time at which the peer last sent something. */
  seenAt: number
  /** Time of the last beat; 0 when none has been sent. */
  sentAt = 0
  /** Whether the peer still has to answer it. */
  isAwaited = false
  /** Time since which the link has accepted nothing; 0 while it accepts what is written. */
  lagsSince = 0
  /** Time at which the connection must end, for streams of limited age and between two polls. */
  endsAt = Number.POSITIVE_INFINITY
  /** Round trip of the last beat in milliseconds. */
  latency: number | undefined

  constructor (now: number) {
    this.seenAt = now
  }

  /** Tells that the peer has sent something. */
  seen (now: number): void {
    if (this.isAwaited) {
      this.isAwaited = false
      this.latency = now - this.sentAt
    }
    this.seenAt = now
  }
}
