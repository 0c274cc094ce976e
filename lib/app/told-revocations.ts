import { randomBytes } from 'node:crypto'
import type { Control, ControlMessage } from '../adapters/adapter.js'
import { ExpiringMap } from '../structures/expiring-map.js'
import { inBatches } from '../structures/slices.js'
import { AT_ONCE } from './targets.js'

/** What keeps a user or a token out, of all rooms or of one, until it ends. */
export type KeepingOut = Extract<ControlMessage, { readonly type: 'revoke' | 'expel' }>

/**
 * Milliseconds for which a revocation is remembered: a node that has not heard of it by then was away for longer, and
 * reads again what it missed. Beyond the number the oldest is forgotten.
 */
const REMEMBERED = 60_000
const MOST = 1_000

/**
 * Tells other nodes whom this one keeps out, and tells it again where the broker has lost its data: a node that has not
 * read it by then would serve them for as long as their connections last.
 */
export class ToldRevocations {
  readonly #control: Control | undefined
  readonly #told = new ExpiringMap<KeepingOut>(MOST)

  constructor (control: Control | undefined) {
    this.#control = control
  }

  /** @throws `unavailable` where the broker is away */
  async tell (message: KeepingOut): Promise<void> {
    if (this.#control === undefined) return
    // Members of a room, and a connection, are not kept out: told again it would end others, who came since.
    if (message.until === undefined) return await this.#control.send(message)
    const id = randomBytes(9).toString('base64url')
    const told = { ...message, id }
    await this.#control.send(told)
    const now = performance.now()
    this.#told.set(id, told, now + REMEMBERED, now)
  }

  /**
   * Tells it again, for a broker that has lost its data; also what is over, since a node that has not heard of it still
   * serves who was there before. By its id the others know that they have acted on it.
   */
  async again (): Promise<void> {
    const told = [...this.#told.values(performance.now())]
    await inBatches(told, AT_ONCE, async (message) => { await this.#control!.send(message) })
  }
}
