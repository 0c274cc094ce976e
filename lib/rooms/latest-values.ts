import type { EventHead, Packet } from '../protocol/packet.js'
import { Latest, latestTtl, type KnownValues, type LatestLife, type ShownValue } from '../retention/latest.js'
import type { Retention } from '../retention/retention.js'

/** Holds the current `latest` values of one room, which count in the budget of all rooms while the room is open. */
export class LatestValues {
  readonly #retention: Retention
  readonly #life: LatestLife
  readonly #onGivenUp: ((event: EventHead) => void) | undefined
  /** Made for the first `latest` value. */
  #values: Latest | undefined
  #isClosed = false
  /** Whether a member has been shown what there is. */
  #isShown = false

  /** @param onGivenUp called with a value that ends with its user, and ends before because of a bound */
  constructor (retention: Retention, life: LatestLife, onGivenUp?: (event: EventHead) => void) {
    this.#retention = retention
    this.#life = life
    this.#onGivenUp = onGivenUp
  }

  /** The packets, those of removals first. */
  get packets (): Iterable<Packet> { return this.#values?.packets(performance.now()) ?? [] }

  /** The same, each with the time for which it has been kept. */
  get aged (): Iterable<Packet> { return this.#values?.aged(performance.now()) ?? [] }

  /** The newest version that was set. */
  get newest (): number { return this.#values?.newest ?? 0 }

  /** Number of values so far that came late, or without a version. */
  get late (): number { return this.#values?.late ?? 0 }

  /**
   * Returns what a member does not have, what came late first, else in the order of versions. From then on a value
   * counts as late whose version is older than the newest here: this node has missed it, and a member may know a newer
   * one without having it. Of late values a version does not tell, so they are shown to all who have not been shown
   * them by this node. A member that was elsewhere when the value was missed, or goes on elsewhere, goes by versions
   * alone.
   */
  show (known: KnownValues): ShownValue[] {
    this.#isShown = true
    return this.#values?.unknown(known, performance.now()) ?? []
  }

  /** @returns false when a newer value of the key is known */
  set (packet: Packet): boolean {
    this.#values ??= new Latest(latestTtl(this.#life), undefined, this.#life.owned === true ? this.#given : undefined)
    const now = performance.now()
    const isNew = this.#values.set(packet, now, this.#isShown)
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
