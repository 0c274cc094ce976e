import type { Packet } from '../protocol/packet.js'
import { Latest, latestTtl } from '../retention/latest.js'
import type { Retention } from '../retention/retention.js'

/** The current `latest` values of one room, held within the budget of all rooms for as long as the room is open. */
export class LatestValues {
  readonly #retention: Retention
  readonly #history: Parameters<typeof latestTtl>[0]
  /** there since the first value */
  #values: Latest | undefined
  #isClosed = false

  /** @param history of the room's declaration: values live as long as events do */
  constructor (retention: Retention, history: Parameters<typeof latestTtl>[0]) {
    this.#retention = retention
    this.#history = history
  }

  /** oldest first */
  get packets (): Iterable<Packet> { return this.#values?.packets(performance.now()) ?? [] }

  /** @returns false when a newer value of the key is known */
  set (packet: Packet): boolean {
    this.#values ??= new Latest(latestTtl(this.#history))
    const now = performance.now()
    const isNew = this.#values.set(packet, now)
    if (isNew && !this.#isClosed) this.#retention.changed(this.#values, now)
    return isNew
  }

  /** Nobody is in the room any more: its values are read anew for the next who comes. */
  close (): void {
    this.#isClosed = true
    if (this.#values !== undefined) this.#retention.remove(this.#values)
  }
}
