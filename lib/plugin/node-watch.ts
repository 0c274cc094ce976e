import { every } from '../structures/timers.js'
import type { Foundation } from './foundation.js'

/** Milliseconds between two looks, and between two lines about an adapter that is away. */
const LOOK = 5_000
const AGAIN = 60_000

/** Looks now and then at what nobody is refused for: the adapter's broker and its budgets. */
export class NodeWatch {
  readonly #foundation: Foundation
  readonly #values: () => number
  #timer: NodeJS.Timeout | undefined
  #awaySince: number | undefined
  #saidAt = 0
  #evicted = 0

  /** @param values number of `latest` values that rooms here have lost before their time */
  constructor (foundation: Foundation, values: () => number) {
    this.#foundation = foundation
    this.#values = values
  }

  start (): void { this.#timer ??= every(() => { this.look(performance.now()) }, LOOK).unref() }

  stop (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** @param now milliseconds of a monotonic clock */
  look (now: number): void {
    const { adapter } = this.#foundation
    const { isUp, historyBytes, historyEvicted, rememberedBytes } = adapter.stats?.() ?? {}
    this.#lookAtBroker(isUp !== false, now)
    const evicted = Number(historyEvicted ?? 0) + this.#values()
    this.#lookAtBudgets(Number(historyBytes ?? 0), evicted, Number(rememberedBytes ?? 0))
  }

  #lookAtBroker (isUp: boolean, now: number): void {
    if (isUp) {
      this.#awaySince = undefined
      return
    }
    if (this.#awaySince === undefined) {
      // That it has gone was logged when it went.
      this.#awaySince = this.#saidAt = now
      return
    }
    if (now - this.#saidAt < AGAIN) return
    this.#saidAt = now
    const { app: { log }, adapter } = this.#foundation
    log.warn(
      { adapter: adapter.name, away: Math.round(now - this.#awaySince) },
      'the adapter is still away: look whether its server runs and this node reaches it; what needs it is refused with unavailable meanwhile'
    )
  }

  #lookAtBudgets (history: number, evicted: number, remembered: number): void {
    const { options, settings, limitWarnings } = this.#foundation
    if (evicted > this.#evicted) limitWarnings.reached('history.bytes', { evicted: evicted - this.#evicted })
    this.#evicted = evicted
    // An adapter that was given has budgets of its own, which it does not tell.
    if (options.adapter !== undefined) return
    if (history < settings.historyBytes) limitWarnings.look('history.bytes', history, settings.historyBytes)
    limitWarnings.look('limits.remembered.bytes', remembered, settings.limits.remembered.bytes)
  }
}
