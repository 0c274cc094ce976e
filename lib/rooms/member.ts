import type { Packet } from '../protocol/packet.js'

/** What a room needs of who is in it. A connection satisfies it; so does an object literal in a test. */
export interface Member {
  readonly id: string
  readonly userId: string
  /**
   * @param flush milliseconds that the frame may wait for others
   * @returns false while the member lags: a reader of history waits for `whenDrained`
   */
  send (packet: Packet, flush?: number): boolean
  /** Calls back once when the member no longer lags, or has gone. */
  whenDrained (callback: () => void): void
  readonly isOpen: boolean
  /** it was sent so many bytes again that were sent to others before */
  replayed? (bytes: number): void
  /**
   * what is sent now would be written with this turn; a look at it is cheap, and brings what a send needs into the
   * cache
   */
  readonly isReady?: boolean
}
