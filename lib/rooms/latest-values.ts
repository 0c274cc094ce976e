import type { EventHead, Packet } from '../protocol/packet.js'
import { Latest, latestTtl, type LatestLife } from '../retention/latest.js'
import type { Retention } from '../retention/retention.js'

/** Holds the current `latest` values of one room, which count in the budget of all rooms while the room is open. */
export class LatestValues {
  readonly #retention: Retention
  readonly #life: LatestLife
  readonly #onGivenUp: ((event: EventHead) => void) | undefined
  /** Made for the first `latest` value. */
  #values: Latest | undefined
  #isClosed = false

  /** @param onGivenUp called with a value that ends with its user, and ends before because of a bound */
  constructor (retention: Retention, life: LatestLife, onGivenUp?: (event: EventHead) => void) {
    this.#retention = retention
    this.#life = life
    this.#onGivenUp = onGivenUp
  }

  /** The packets, those of removals first. */
  get packets (): Iterable<Packet> { return this.#values?.packets(performance.now()) ?? [] }

  /** @returns false when a newer value of the key is known */
  set (packet: Packet): boolean {
    this.#values ??= new Latest(latestTtl(this.#life), undefined, this.#life.owned === true ? this.#given : undefined)
    const now = performance.now()
    const isNew = this.#values.set(packet, now)
    if (isNew && !this.#isClosed) this.#retention.changed(this.#values, now)
    return isNew
  }

  readonly #given = ({ event }: Packet): void => {
    if (event!.user === undefined || event!.isRemoval === true || this.#isClosed) return
    // A bound may be reached in the middle of anything.
    queueMicrotask(() => { if (!this.#isClosed) this.#onGivenUp?.(event!) })
  }

  /** Drops the values after the last member has left; they are read again for the next member. */
  close (): void {
    this.#isClosed = true
    if (this.#values !== undefined) this.#retention.remove(this.#values)
  }
}
