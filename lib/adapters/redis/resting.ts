import type { Client } from './clients.js'

/** What a client is for a moment between two attempts; it stays so where it makes no other. */
const AT_REST: ReadonlySet<string> = new Set(['close', 'end'])

/**
 * Finds out that a client has stopped to connect. That of a cluster does where the answer to its question whether the
 * cluster works comes between two attempts: it takes itself for connected, declines the attempt that was due, and does
 * nothing when its connections break the next time.
 */
export class Resting {
  #looks = 0

  /** Returns whether it is at rest at this look, and was at the one before. */
  look ({ status }: Client): boolean {
    this.#looks = AT_REST.has(status) ? this.#looks + 1 : 0
    return this.#looks > 1
  }
}
