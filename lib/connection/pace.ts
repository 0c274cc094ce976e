/** Payload of the control ping whose answer says that everything before it was read. */
export const PACE = 'pace'

/** Bytes that may follow the question before its answer comes, on a slow link; after half as many it is asked. */
const AHEAD = 4_096
/** The most of them, on a fast one: then the link's own buffers say when to wait. */
const MOST = 131_072
/** Milliseconds that the sign may take on a fast link, and on a slow one. */
const FAST = 200
const SLOW = 500
/** Milliseconds after which a sign that may get lost is taken for lost. */
const LOST = 5_000

/**
 * How much may be on its way to a reader of `latest` values. The buffers between here and a slow reader hold megabytes,
 * and what is in them is minutes old when it is read; so it is asked, by a ping behind the values, what he has taken,
 * and what would be too far ahead waits here, where the newest value replaces older ones. It costs a fast reader a ping
 * in 64 KiB.
 */
export class Pace {
  /** `latest` values have been written since the last sign */
  isOn = false
  /** by `performance.now()`; 0: no sign is awaited */
  #askedAt = 0
  #bytes = 0
  #most = AHEAD
  #isSure: boolean

  /**
   * @param isSure the peer answers each ping (RFC 6455 5.5.2). Over SSE only the client library does, by POST: nothing
   *   waits for the sign of a reader that has never given one.
   */
  constructor (isSure: boolean) { this.#isSure = isSure }

  begin (): void { this.isOn = true }

  end (): void {
    this.isOn = false
    this.#askedAt = this.#bytes = 0
  }

  /** Bytes were written. @returns whether to ask for a sign behind them */
  add (bytes: number, now: number): boolean {
    this.#bytes += bytes
    if (this.#askedAt !== 0 || this.#bytes < this.#most / 2) return false
    this.#askedAt = now
    this.#bytes = 0
    return true
  }

  /** Too much is on its way. */
  get isAhead (): boolean { return this.#isSure && this.#askedAt !== 0 && this.#bytes >= this.#most }

  /** Bytes of one write; `undefined`: as many as the link takes. */
  get room (): number | undefined { return this.isOn && this.#isSure && this.#most < MOST ? AHEAD / 2 : undefined }

  taken (now: number): void {
    this.#isSure = true
    if (this.#askedAt === 0) return
    const took = now - this.#askedAt
    if (took > SLOW) this.#most = AHEAD
    else if (took < FAST) this.#most = Math.min(MOST, this.#most * 2)
    // What has followed the question is still on its way.
    this.#askedAt = 0
    this.isOn = this.#bytes > 0
  }

  /**
   * A sign that comes by POST may get lost. @returns whether it is waited for no longer: until the next one nothing
   * waits
   */
  giveUp (now: number): boolean {
    if (this.#askedAt === 0 || now - this.#askedAt < LOST) return false
    this.#isSure = false
    this.#askedAt = this.#bytes = 0
    return true
  }
}
