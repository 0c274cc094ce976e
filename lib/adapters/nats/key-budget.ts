import { REMEMBERED } from '../../retention/bounds.js'
import { Losses } from '../../retention/losses.js'
import { ShardedMap } from '../../structures/sharded-map.js'
import { Sweeper } from '../../structures/sweeper.js'
import type { AdapterHost, Publication } from '../adapter.js'

/** Parts of the window; a key counts until the one in which it came is a whole window old. */
const PARTS = 8
/** Bytes that a server keeps for the id of one message. */
const KEY = 128
/** Bytes that this node keeps for a user in one part, besides twice the id. */
const USER = 100

interface Part { readonly number: number, readonly users: ShardedMap<number>, bytes: number }

/**
 * Bounds the bytes of the idempotency keys that this node's publications leave in the windows of NATS, which forget
 * them by time alone. Above the bound of a user, or of all together, the server is given no more keys until older ones
 * have run out: what is published under them and comes again is published again. The keys of the application, such as
 * those of a bridge that has one busy room, have the bound of all alone.
 */
export class KeyBudget {
  readonly #window: number
  /** The parts that still count, the newest last. */
  #parts: Part[] = []
  #limits: NonNullable<AdapterHost['remembered']> = REMEMBERED
  #log: AdapterHost['log'] | undefined
  readonly #sweeper = new Sweeper(() => {
    this.#dropUntil(this.#numberAt(performance.now()))
    return false
  })

  readonly #losses = new Losses(
    'idempotency keys were not remembered: what is published under them again is published twice; raise limits.remembered, or lower the rate'
  )

  /** @param window milliseconds for which the server remembers a key */
  constructor (window: number) {
    this.#window = window
  }

  /**
   * Begins to drop what is over; `stop` ends it.
   *
   * @param host the node whose bounds hold from now on
   */
  start ({ remembered = REMEMBERED, log }: Pick<AdapterHost, 'remembered' | 'log'>): void {
    this.#log = log
    this.#limits = remembered
    this.#sweeper.start()
  }

  stop (): void { this.#sweeper.stop() }

  /** Number of keys that the server was not given. */
  get forgotten (): number { return this.#losses.count }
  get bytes (): number { return this.#parts.reduce((sum, { bytes }) => sum + bytes, 0) }

  /**
   * @param now milliseconds of a monotonic clock
   * @returns whether the server may be given the key of a publication that has one
   */
  admits ({ owner: user }: Pick<Publication, 'owner'>, now: number = performance.now()): boolean {
    const { bytes, perUser, held: tell } = this.#limits
    const part = this.#partAt(now)
    const counted = user === undefined ? 0 : part.users.get(user)
    const added = KEY + (counted === undefined ? USER + 2 * user!.length : 0)
    const held = user === undefined ? 0 : this.#parts.reduce((sum, { users }) => sum + (users.get(user) ?? 0), 0)
    if (user !== undefined) tell?.(user, held + added)
    if (held + added > perUser || this.bytes + added > bytes) {
      this.#losses.add(this.#log, this.bytes)
      return false
    }
    if (user !== undefined) part.users.set(user, (counted ?? 0) + added)
    part.bytes += added
    return true
  }

  #numberAt (now: number): number { return Math.floor(now * PARTS / this.#window) }

  /** Drops the parts that are over: each as a whole, so that the cost does not depend on how many keys it counts. */
  #dropUntil (number: number): void {
    while (this.#parts.length > 0 && this.#parts[0]!.number < number - PARTS) this.#parts.shift()
  }

  #partAt (now: number): Part {
    const number = this.#numberAt(now)
    this.#dropUntil(number)
    const last = this.#parts.at(-1)
    if (last?.number === number) return last
    const part = { number, users: new ShardedMap<number>(), bytes: 0 }
    this.#parts.push(part)
    return part
  }
}
