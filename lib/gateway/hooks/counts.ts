import { Counter, Gauge, type Registry } from 'prom-client'
import type { HookName } from '../config/schema.js'
import type { FailureReason } from './failure.js'

/** What became of a question or a notice. */
export type HookOutcome = 'ok' | 'refused' | 'dropped' | FailureReason

/** Counts what became of hooks. */
export class HookCounts {
  readonly #calls: Counter
  readonly #seconds: Counter
  readonly #waiting: Gauge
  readonly #open: Gauge

  constructor (register: Registry) {
    const registers = [register]
    const labelNames = ['hook', 'outcome']
    this.#calls = new Counter({ name: 'gateway_hooks_total', help: 'Questions and notices to backends, by outcome.', labelNames, registers })
    this.#seconds = new Counter({ name: 'gateway_hook_seconds_total', help: 'Seconds that backends took.', labelNames: ['hook'], registers })
    this.#waiting = new Gauge({ name: 'gateway_hooks_waiting', help: 'Notices that wait for their backend.', registers })
    this.#open = new Gauge({ name: 'gateway_hook_circuits_open', help: 'Backends that are not asked for now.', registers })
  }

  ended (hook: HookName, outcome: HookOutcome, seconds = 0): void {
    this.#calls.inc({ hook, outcome })
    this.#seconds.inc({ hook }, seconds)
  }

  waits (change: 1 | -1): void { this.#waiting.inc(change) }
  circuit (isOpen: boolean): void { this.#open.inc(isOpen ? 1 : -1) }
}
