import { isFields } from '../adapters/broker/stored.js'
import type { PresenceStore, RoomSettings } from '../adapters/adapter.js'
import { MAX_CONTRACTS, PLACE } from './contract-watch.js'

type Kept = RoomSettings['history']

/** Milliseconds for which what the nodes have said is taken as it is. */
const FRESH = 20_000
/** Milliseconds until they are asked again while no node has said anything. */
const AGAIN = 1_000

/**
 * What the nodes keep of each family of rooms, for a process that only publishes. The options of a room are on the
 * nodes, and what is published cuts the room to the bounds that come with it: so they have to be those of the nodes.
 */
export class KeptByNodes {
  readonly #presence: PresenceStore
  readonly #patterns: ReadonlySet<string>
  readonly #kept = new Map<string, Kept>()
  #looked = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined

  /** @param patterns the families of rooms into which this process publishes */
  constructor (presence: PresenceStore, patterns: ReadonlySet<string>) {
    this.#presence = presence
    this.#patterns = patterns
  }

  /** Of several versions of an app the larger; `undefined`: no node has said what it keeps of these rooms. */
  of (pattern: string): Kept | undefined { return this.#kept.get(pattern) }

  /** Resolves at once while it is known, otherwise when the nodes have said so or the broker does not answer. */
  async look (): Promise<void> {
    const isKnown = this.#kept.size > 0
    if (performance.now() - this.#looked >= (isKnown ? FRESH : AGAIN)) {
      this.#looked = performance.now()
      // While the broker is away what is published is refused by itself.
      this.#looking = this.#read().catch(() => undefined)
    }
    if (!isKnown) await this.#looking
  }

  async #read (): Promise<void> {
    const { list = [] } = await this.#presence.snapshot(PLACE, MAX_CONTRACTS)
    const found = new Map<string, Kept>()
    for (const { data } of list) {
      for (const [pattern, kept] of historiesOf(data)) {
        if (this.#patterns.has(pattern)) found.set(pattern, larger(found.get(pattern), kept))
      }
    }
    // Where no node is there any more, what the last ones said still holds for what they have left.
    for (const [pattern, kept] of found) this.#kept.set(pattern, kept)
  }
}

function larger (a: Kept | undefined, b: Kept): Kept {
  if (a === undefined || a === false) return b
  return b === false ? a : { size: Math.max(a.size, b.size), ttl: Math.max(a.ttl, b.ttl) }
}

/** Reads what a node says, which is input like everything that comes from a broker. */
function historiesOf (data: unknown): Array<[pattern: string, kept: Kept]> {
  if (!isFields(data) || !Array.isArray(data.histories)) return []
  return (data.histories as unknown[]).flatMap((pair): Array<[string, Kept]> => {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string') return []
    const [pattern, kept] = pair as [string, unknown]
    if (kept === false) return [[pattern, false]]
    if (!isFields(kept) || !isCount(kept.size) || !isCount(kept.ttl)) return []
    return [[pattern, { size: kept.size, ttl: kept.ttl }]]
  })
}

function isCount (value: unknown): value is number { return Number.isSafeInteger(value) && (value as number) > 0 }
