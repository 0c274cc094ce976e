import type { Packet } from '../protocol/packet.js'
import { Latest, latestTtl } from '../retention/latest.js'
import type { Retention } from '../retention/retention.js'

/** Holds the current `latest` values of one room, which count in the budget of all rooms while the room is open. */
export class LatestValues {
  readonly #retention: Retention
  readonly #history: Parameters<typeof latestTtl>[0]
  /** Made for the first `latest` value. */
  #values: Latest | undefined
  #isClosed = false

  /** @param history of the room's declaration: values are kept as long as events */
  constructor (retention: Retention, history: Parameters<typeof latestTtl>[0]) {
    this.#retention = retention
    this.#history = history
  }

  /** The packets, in the order in which they were set. */
  get packets (): Iterable<Packet> { return this.#values?.packets(performance.now()) ?? [] }

  /** @returns false when a newer value of the key is known */
  set (packet: Packet): boolean {
    this.#values ??= new Latest(latestTtl(this.#history))
    const now = performance.now()
    const isNew = this.#values.set(packet, now)
    if (isNew && !this.#isClosed) this.#retention.changed(this.#values, now)
    return isNew
  }

  /** Drops the values after the last member has left; they are read again for the next member. */
  close (): void {
    this.#isClosed = true
    if (this.#values !== undefined) this.#retention.remove(this.#values)
  }
}
