/** What a peer has yet to give for a beat: a sign of life, or, once it gave one, the answer to the beat itself. */
export type Owed = 'life' | 'answer' | 'nothing'

/**
 * Signs of life of one connection, which the heartbeat's sweep reads. Only the connection and the heartbeat change
 * them; all times are by `performance.now()`.
 */
export class Beat {
  /** Time at which the peer last sent something. */
  seenAt: number
  /** Time of the last beat; 0 when none has been sent. */
  sentAt = 0
  owed: Owed = 'nothing'
  /** Time since which the link has accepted next to nothing; 0 while it accepts what is written. */
  lagsSince = 0
  /** Bytes that it had accepted by then. */
  taken = 0
  /** Time at which the connection must end, for streams of limited age and between two polls. */
  endsAt = Number.POSITIVE_INFINITY
  /** Milliseconds from the last beat that was answered to its answer. */
  latency: number | undefined

  constructor (now: number) {
    this.seenAt = now
  }

  /** Tells that the peer has sent something, which may have been on its way before the beat. */
  seen (now: number): void {
    if (this.owed === 'life') this.owed = 'answer'
    this.seenAt = now
  }

  /** Tells that the peer has answered the beat. */
  answered (now: number): void {
    if (this.owed === 'nothing') return
    this.owed = 'nothing'
    this.latency = now - this.sentAt
  }
}
