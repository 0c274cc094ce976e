import type { Packet } from '../protocol/packet.js'

/** What a room needs of a member. A connection satisfies it; so does an object literal in a test. */
export interface Member {
  readonly id: string
  readonly userId: string
  /**
   * @param flush milliseconds that the frame may wait for others
   * @returns false while the member lags: a reader of history then waits for `drained`
   */
  send (packet: Packet, flush?: number): boolean
  /**
   * The same for what it has missed, which a link sends at once; a poll waits with it until `flush` milliseconds after
   * it was published. Absent where there are no polls.
   */
  sendMissed? (packet: Packet, flush: number): boolean
  /** The same for a packet that is read from nowhere again, where one may be lost on the way. */
  sendKept? (packet: Packet): void
  /** Whether so little waits for it that it may be sent what it has missed; absent where nothing waits. */
  readonly hasRoom?: boolean
  /** The same of so many bytes: with what waits already they must not be more than may wait at all. */
  hasRoomFor? (bytes: number): boolean
  /**
   * Calls back once, when the member no longer lags or is gone.
   *
   * @param isFirst whether before all who have had their turn
   */
  whenDrained (callback: () => void, isFirst?: boolean): void
  readonly isOpen: boolean
  /** Tells that the member was sent bytes that had been sent to others before. */
  replayed? (bytes: number): void
  /**
   * Whether a frame sent now would be written in this turn. Reading it is cheap, and loads what a send needs into the
   * cache.
   */
  readonly isReady?: boolean
  /** The rooms that it is in. */
  readonly rooms?: { get (name: string): object | undefined }
}

/** Sends a member what it has missed of a room. */
export function sendMissed (member: Member, packet: Packet, flush: number): boolean {
  return member.sendMissed?.(packet, flush) ?? member.send(packet)
}
