import { Refusal } from '../errors/refusal.js'

/** The phases of a node. It accepts connections in one of them, and serves open connections in two. */
export type Phase = 'starting' | 'accepting' | 'draining' | 'closed'

/** What is known of the drain of a node. */
export interface Draining {
  readonly isDraining: boolean
  /** Milliseconds until it is over. */
  readonly remaining: number
}

/** Milliseconds after which a client may try a node again that is not draining but starting or closed. */
const RETRY = 1_000

/** Keeps the phase of a node's life, the single source for whether it accepts. */
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

  /** Whether new connections and requests are let in. */
  get isAccepting (): boolean { return this.phase === 'accepting' }

  /** Whether the rooms work: the node accepts, or drains and serves its open connections. */
  get isServing (): boolean { return this.#life === 'started' }

  /** Milliseconds after which a refused client may try again: at the end of the drain, when it reaches another node. */
  get retryAfter (): number { return this.#drain.isDraining ? this.#drain.remaining : RETRY }

  /** @throws Refusal `draining` unless the node accepts */
  check (): void {
    if (!this.isAccepting) throw new Refusal('draining', { retryAfter: this.retryAfter })
  }

  /** Tells that everything has started. */
  start (): void { this.#life = 'started' }

  close (): void { this.#life = 'closed' }
}
