import { Refusal } from '../errors/refusal.js'

/** The phases of a node. It takes connections in one of them, and serves those that it has in two. */
export type Phase = 'starting' | 'accepting' | 'draining' | 'closed'

/** What is known of the drain of a node. */
export interface Draining {
  readonly isDraining: boolean
  /** milliseconds until it is over */
  readonly remaining: number
}

/** Milliseconds after which a client may come again to a node that is not draining: it starts, or has closed. */
const RETRY = 1_000

/** Where a node is in its life: the one answer to whether it accepts, for all who ask. */
export class Readiness {
  readonly #drain: Draining
  #life: 'starting' | 'started' | 'closed' = 'starting'

  constructor (drain: Draining) {
    this.#drain = drain
  }

  /** A drain that began before the start shows once the node has started. */
  get phase (): Phase {
    if (this.#life !== 'started') return this.#life
    return this.#drain.isDraining ? 'draining' : 'accepting'
  }

  /** New connections and requests are let in. */
  get isAccepting (): boolean { return this.phase === 'accepting' }

  /** The rooms work: the node accepts, or drains and serves those that are here. */
  get isServing (): boolean { return this.#life === 'started' }

  /** Milliseconds after which a refused client may try again: the end of the drain, when it reaches another node. */
  get retryAfter (): number { return this.#drain.isDraining ? this.#drain.remaining : RETRY }

  /** @throws Refusal `draining` unless the node accepts */
  check (): void {
    if (!this.isAccepting) throw new Refusal('draining', { retryAfter: this.retryAfter })
  }

  /** Everything has started. */
  start (): void { this.#life = 'started' }

  close (): void { this.#life = 'closed' }
}
