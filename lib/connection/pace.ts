import type { Packet } from '../protocol/packet.js'

/** Whether a packet may be joined with those behind it while it waits, so that a slow reader is sent less. */
export function isPaced (packet: Packet | undefined): boolean {
  const delivery = packet?.event?.delivery
  return delivery === 'latest' || delivery === 'append'
}

/** Payload of the control ping whose answer proves that the peer has read everything before it. */
export const PACE = 'pace'

/** Bytes that may follow the ping before its answer arrives, on a slow link; the ping goes out after half as many. */
const AHEAD = 4_096
/** The largest value of that bound, on a fast link: beyond it the link's own buffers tell when to wait. */
const MOST = 131_072
/** Milliseconds that the answer takes at most on a fast link, and at least on a slow one. */
const FAST = 200
const SLOW = 500
/** Milliseconds after which an answer that may get lost counts as lost. */
const LOST = 5_000

/**
 * Bounds how much may be on its way to a reader of `latest` values. The buffers between here and a slow reader hold
 * megabytes, and their content is minutes old when it is read. So a ping behind the values asks what the peer has read;
 * values too far ahead of that wait here, where the newest replaces older ones. A fast reader gets one ping in 64 KiB.
 */
export class Pace {
  /** Whether `latest` values have been written since the last answer. */
  isOn = false
  /** Time of the ping by `performance.now()`; 0 when no answer is awaited. */
  #askedAt = 0
  #bytes = 0
  #most = AHEAD
  #isSure: boolean

  /**
   * @param isSure whether the peer answers each ping (RFC 6455 5.5.2). Over SSE only the client library does, by
   *   POST, so nothing waits for a reader that has never answered.
   */
  constructor (isSure: boolean) { this.#isSure = isSure }

  begin (): void { this.isOn = true }

  end (): void {
    this.isOn = false
    this.#askedAt = this.#bytes = 0
  }

  /**
   * Counts written bytes.
   *
   * @returns whether to send a ping behind them
   */
  add (bytes: number, now: number): boolean {
    this.#bytes += bytes
    if (this.#askedAt !== 0 || this.#bytes < this.#most / 2) return false
    this.#askedAt = now
    this.#bytes = 0
    return true
  }

  /** Whether too much is on its way. */
  get isAhead (): boolean { return this.#isSure && this.#askedAt !== 0 && this.#bytes >= this.#most }

  /** Bytes of one write; `undefined` for as many as the link accepts. */
  get room (): number | undefined { return this.isOn && this.#isSure && this.#most < MOST ? AHEAD / 2 : undefined }

  taken (now: number): void {
    this.#isSure = true
    if (this.#askedAt === 0) return
    const took = now - this.#askedAt
    if (took > SLOW) this.#most = AHEAD
    else if (took < FAST) this.#most = Math.min(MOST, this.#most * 2)
    // The bytes behind the ping are still on their way.
    this.#askedAt = 0
    this.isOn = this.#bytes > 0
  }

  /**
   * Stops waiting for an answer that may have got lost, as one that comes by POST may; until the next answer nothing
   * waits.
   *
   * @returns whether it has stopped waiting
   */
  giveUp (now: number): boolean {
    if (this.#askedAt === 0 || now - this.#askedAt < LOST) return false
    this.#isSure = false
    this.#askedAt = this.#bytes = 0
    return true
  }
}
