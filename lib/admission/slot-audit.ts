import { every } from '../structures/timers.js'

export interface SlotAuditOptions {
  /** Ids that hold slots, and below them ids of connections that are open here. */
  readonly holders: () => Iterable<string>
  readonly connections: () => Iterable<string>
  readonly isHolder: (id: string) => boolean
  readonly isConnection: (id: string) => boolean
  /** Whether a request under this id is still being admitted. */
  readonly isUnderWay: (id: string) => boolean
  /** Milliseconds that a difference has to last: a link that is closing has slots and is no connection any more. */
  readonly patience: number
  readonly release: (id: string) => void
  /** Ends a connection without slots. */
  readonly end: (id: string) => void
  readonly warn: (found: { readonly slots: number, readonly connections: number }) => void
}

/** Milliseconds between two steps, and ids that one step examines. */
const PERIOD = 1_000
const AT_ONCE = 500

/**
 * Compares the slots taken with the open connections, a few at a time. Both are updated as connections come and go; a
 * difference is a fault of this plugin, and would reduce the capacity until the next start.
 */
export class SlotAudit {
  readonly #options: SlotAuditOptions
  /** When each difference was first seen, by `performance.now()`. */
  readonly #suspects = new Map<string, number>()
  #walk: Iterator<{ id: string, isHolder: boolean }> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor (options: SlotAuditOptions) {
    this.#options = options
  }

  start (): void { this.#timer = every(() => { this.look(performance.now()) }, PERIOD).unref() }

  stop (): void { clearInterval(this.#timer) }

  /** @param now by `performance.now()` */
  look (now: number): void {
    const { release, end, warn } = this.#options
    const found = { slots: 0, connections: 0 }
    this.#walk ??= this.#ids()
    for (let i = 0; i < AT_ONCE; i++) {
      const { value, done } = this.#walk.next() as IteratorResult<{ id: string, isHolder: boolean }, undefined>
      if (done === true || value === undefined) {
        this.#walk = undefined
        break
      }
      if (!this.#isDifferent(value.id, value.isHolder)) continue
      const since = this.#suspects.get(value.id)
      if (since === undefined) this.#suspects.set(value.id, now)
      else if (now - since >= this.#options.patience) {
        this.#suspects.delete(value.id)
        found[value.isHolder ? 'slots' : 'connections']++
        if (value.isHolder) release(value.id)
        else end(value.id)
      }
    }
    for (const id of this.#suspects.keys()) {
      if (!this.#isDifferent(id, true) && !this.#isDifferent(id, false)) this.#suspects.delete(id)
    }
    if (found.slots + found.connections > 0) warn(found)
  }

  #isDifferent (id: string, isHolder: boolean): boolean {
    const { isHolder: holds, isConnection, isUnderWay } = this.#options
    return isHolder ? holds(id) && !isConnection(id) && !isUnderWay(id) : isConnection(id) && !holds(id)
  }

  * #ids (): Generator<{ id: string, isHolder: boolean }> {
    for (const id of this.#options.holders()) yield { id, isHolder: true }
    for (const id of this.#options.connections()) yield { id, isHolder: false }
  }
}
