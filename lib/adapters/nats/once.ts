import { createHash } from 'node:crypto'
import { keyOf } from '../../protocol/key.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import type { NatsLink } from './link.js'
import type { NatsSetup, StreamPlan } from './setup.js'

/** Makes the message id by which the server recognises a repeated publication. */
export function messageIdOf (room: string, idempotencyKey: string): string {
  return createHash('sha1').update(keyOf(room, idempotencyKey)).digest('base64url')
}

/** Keys that this node remembers while the broker cannot be asked. */
const MAX_KEYS = 10_000

export interface NatsOnceOptions {
  readonly link: NatsLink
  /** Absent without JetStream: then keys hold on this node only. */
  readonly setup: NatsSetup | undefined
  readonly prefix: string
  /** Milliseconds that a key is remembered. */
  readonly idempotency: number
}

/**
 * Idempotency keys of events that are not kept. The server recognises a message by its id in any of its streams; this
 * stream holds only the ids, for as long as they count.
 */
export class NatsOnce {
  readonly #options: NatsOnceOptions
  readonly #plan: StreamPlan
  readonly #known = new ExpiringMap<true>(MAX_KEYS)

  constructor (options: NatsOnceOptions) {
    this.#options = options
    const { prefix, idempotency } = options
    this.#plan = { name: `${prefix}_once`, subjects: [`${prefix}.once`], maxAge: idempotency, duplicates: idempotency }
  }

  /**
   * @param mayAsk whether the server may be given another key
   * @returns whether the key is used for the first time; as far as this node knows, where the server is not asked
   */
  async take (room: string, idempotencyKey: string, mayAsk: () => boolean): Promise<boolean> {
    const id = messageIdOf(room, idempotencyKey)
    const now = performance.now()
    if (this.#known.get(id, now) !== undefined) return false
    this.#known.set(id, true, now + this.#options.idempotency, now)
    return !await this.#isKnown(id, mayAsk)
  }

  async #isKnown (msgID: string, mayAsk: () => boolean): Promise<boolean> {
    const { link, setup } = this.#options
    if (setup === undefined || !link.isUp || !mayAsk()) return false
    try {
      const { duplicate } = await setup.use(this.#plan, () => link.publish(this.#plan.subjects[0]!, '', { msgID }))
      return duplicate
    } catch {
      // Events that are not kept need no broker; the key then holds on this node only.
      return false
    }
  }
}
