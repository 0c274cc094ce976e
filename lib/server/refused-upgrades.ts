import { createHash } from 'node:crypto'
import { ExpiringMap } from '../structures/expiring-map.js'
import { KeptRefusal } from '../errors/kept-refusal.js'
import type { Refusal } from '../errors/refusal.js'

/** Milliseconds within which a client that cannot read the refusal of its upgrade has to ask for it. */
const MEMORY = 10_000
/** Refusals that are remembered: of as many addresses, and of as many single upgrades. */
const MAX_REMEMBERED = 10_000

/**
 * In place of an origin: whatever page asks, and one whose origin is not known. That an origin was refused is told to a
 * page of that origin, or of none that is known, and to no other: with a cookie, a foreign page has the credential of a
 * page that may connect, and would end its client.
 */
const [ANY, UNKNOWN] = [' any', ' unknown']

interface Told { readonly refusal: KeptRefusal, readonly times: number }

/** What distinguishes upgrades, as far as the request that asks for the verdict has it too. */
export interface Asker {
  readonly address: string
  readonly credential: string
  /** Names of the rooms of its URL, sorted: another room's refusal is none of this one. */
  readonly rooms: readonly string[]
  /** Origin of the page; '' where it is not known. */
  readonly origin: string
}

/**
 * Remembers why upgrades were refused. A browser does not show its page the answer to a refused upgrade, so the page
 * asks by GET. A moment later the server may have room again, and the GET has no Origin: the client would be told that
 * it may connect, and would take the transport for blocked.
 */
export class RefusedUpgrades {
  readonly #single = new ExpiringMap<Told>(MAX_REMEMBERED)
  readonly #ofAddress = new ExpiringMap<Told>(MAX_REMEMBERED)

  /** Remembers the refusal of an upgrade whose credential was read. */
  remember (asker: Asker, refusal: Refusal): void {
    if (refusal.word === 'origin_refused') add(this.#single, keyOf(asker, asker.origin), refusal)
    add(this.#single, keyOf(asker, refusal.word === 'origin_refused' ? UNKNOWN : ANY), refusal)
  }

  /**
   * Remembers a refusal of the upgrade guard. It knows only the address, so whichever client of that address asks is
   * told, once for each refusal.
   */
  rememberAddress (address: string, refusal: Refusal): void { add(this.#ofAddress, address, refusal) }

  /** Returns the refusal of the upgrade for which this request may ask. Each refusal is told once. */
  take (asker: Asker): Refusal | undefined {
    const single = this.#single.size === 0
      ? undefined
      : remove(this.#single, keyOf(asker, asker.origin === '' ? UNKNOWN : asker.origin)) ??
        remove(this.#single, keyOf(asker, ANY))
    return single ?? remove(this.#ofAddress, asker.address)
  }
}

/** The key has the same length whatever a client sends. */
function keyOf ({ address, credential, rooms }: Asker, origin: string): string {
  return createHash('sha256').update(JSON.stringify([address, credential, rooms, origin])).digest('base64url')
}

function add (told: ExpiringMap<Told>, key: string, refusal: Refusal): void {
  const now = performance.now()
  told.set(key, { refusal: new KeptRefusal(refusal), times: (told.get(key, now)?.times ?? 0) + 1 }, now + MEMORY, now)
}

function remove (told: ExpiringMap<Told>, key: string): Refusal | undefined {
  const now = performance.now()
  const found = told.get(key, now)
  if (found === undefined) return undefined
  told.delete(key)
  if (found.times > 1) told.set(key, { ...found, times: found.times - 1 }, now + MEMORY, now)
  return found.refusal.again()
}
