import type { LeaseStore } from '../adapters/adapter.js'
import { keyOf } from '../protocol/key.js'
import { ExpiringMap } from '../structures/expiring-map.js'
import { GivenUp } from '../structures/given-up.js'
import { Lately } from '../structures/lately.js'
import { Rerun } from '../structures/rerun.js'
import { inLists, inTurns } from '../structures/slices.js'
import { after, every } from '../structures/timers.js'

export interface Lease {
  readonly key: string
  readonly holder: string
  /** Higher each time that this node takes a slot; of the same holder each time the key is taken anew. */
  readonly fence: number
  /** Whether another node is said to hold it by now. */
  readonly isMoved?: boolean
}
/** `isHeld` tells whether the lease is still held. */
export interface HeldLease extends Lease { readonly isHeld: () => boolean }
/** `until` is the time at which the lease has expired on its own, by `performance.now()`. */
interface OwedLease extends Lease { readonly until: number }

export interface LeasesOptions {
  readonly whenUnavailable: 'admit' | 'refuse'
  /** Returns the leases that this node holds, which may change while they are read. */
  readonly held: () => Iterable<HeldLease>
  readonly onError: (error: unknown) => void
}

/** Milliseconds for which a lease outlives a node that died. */
const LEASE = 60_000
/**
 * Slots to be released that are remembered, and for how many milliseconds: those of a live node expire no sooner on
 * their own.
 */
const MAX_OWED = 10_000
const OWED = 1_800_000
/** Milliseconds until a failed release at the adapter is repeated: at first, and at most once it has failed often. */
const AGAIN = { first: 250, most: 2_000 }
/** Leases in one renewal: as many are gathered in one turn of the event loop. */
const BATCH = 100

/** Keeps the adapter's leases the same as what this node holds: takes them, renews them, and gives them back. */
export class Leases {
  readonly #store: LeaseStore
  readonly #options: LeasesOptions
  /** Leases that this node no longer wants, and that its adapter could not be told of. */
  readonly #owed = new ExpiringMap<OwedLease>(MAX_OWED)
  /** Those of them that were given up because there were too many. */
  readonly #givenUp = new GivenUp()
  /** Leases that this node holds though its adapter could not be asked: others count them as soon as it is told. */
  readonly #untold = new ExpiringMap<HeldLease>(MAX_OWED)
  /** Leases given back lately, of which data without the last changes knows nothing. */
  readonly #returned = new Lately<Lease>()
  /** Whether leases are kept as long as their node: else one that comes back so ends on its own, soon. */
  readonly #isKeptByNode: boolean
  #isTelling = false
  readonly #renewal = new Rerun(() => this.#renewAll())
  #renewer: NodeJS.Timeout | undefined
  #payer: NodeJS.Timeout | undefined
  #again = AGAIN.first

  constructor (store: LeaseStore, options: LeasesOptions) {
    this.#store = store
    this.#options = options
    this.#isKeptByNode = this.#period > LEASE
  }

  get #period (): number { return this.#store.renewal?.(LEASE) ?? LEASE / 3 }

  start (): void {
    this.#renewer = every(() => { this.restore().catch(this.#options.onError) }, this.#period).unref()
  }

  stop (): void {
    clearInterval(this.#renewer)
    clearTimeout(this.#payer)
    this.#renewer = this.#payer = undefined
  }

  /**
   * Renews what is held, and gives back what is owed. Resolves when all leases that are held are right.
   *
   * @param mayBeOlder whether the data may lack the last changes: what was given back lately is given back once more
   */
  async restore (mayBeOlder = false): Promise<void> {
    this.#pay(MAX_OWED)
    if (mayBeOlder) this.#returned.again((lease) => { void this.#release(lease) })
    await this.#renewal.run()
  }

  /** The leases are not gathered beforehand, because one that is released meanwhile must not be taken again. */
  async #renewAll (): Promise<void> {
    await inLists(this.#options.held(), BATCH, (batch) => this.#renewBatch(batch))
  }

  /**
   * Gives those back once more that were given back during the renewal, since it may have taken them again, also where
   * others of them could not be renewed.
   */
  async #renewBatch (batch: readonly HeldLease[]): Promise<void> {
    try {
      await this.#store.renew(batch, LEASE)
    } finally {
      for (const { key, holder, fence, isHeld } of batch) if (!isHeld()) void this.giveBack({ key, holder, fence })
    }
  }

  /**
   * Takes a lease. Where the adapter cannot be asked, `whenUnavailable` decides, and the adapter is told of it as soon
   * as it can be: until then it would give to another what is taken here.
   *
   * @param limit leases of one key, on all nodes
   * @returns false when there is none left
   */
  async acquire (lease: HeldLease, limit: number): Promise<boolean> {
    this.#owed.delete(nameOf(lease))
    this.#returned.forget(nameOf(lease))
    try {
      return await this.#store.acquire(lease.key, lease.holder, limit, LEASE, lease.fence)
    } catch (error) {
      if (this.#options.whenUnavailable === 'admit') {
        const now = performance.now()
        // One that is answered late may have been given up, and the slot have been taken anew.
        const isNewest = (this.#untold.get(nameOf(lease), now)?.fence ?? 0) <= lease.fence
        if (isNewest) this.#untold.set(nameOf(lease), lease, now + OWED, now)
        this.#payLater()
        return true
      }
      // The lease may have been taken all the same.
      this.#owe(lease)
      throw error
    }
  }

  /**
   * Gives a lease back, and again later where the adapter cannot be told now. Never rejects.
   *
   * @returns whether the adapter was told
   */
  async giveBack (lease: Lease): Promise<boolean> { return await this.#release(lease) }

  async #release (lease: Lease, until?: number): Promise<boolean> {
    // What is owed of a later taking frees this one as well.
    if ((this.#owed.get(nameOf(lease), performance.now())?.fence ?? 0) > lease.fence) return false
    this.#owed.delete(nameOf(lease))
    try {
      await this.#store.release(lease.key, lease.holder, lease.fence)
      this.#again = AGAIN.first
      this.#remember(lease)
      return true
    } catch (error) {
      this.#owe(lease, until)
      this.#options.onError(error)
      return false
    }
  }

  /** What another node holds by now is left to it: data without the last changes may still have it under this node. */
  #remember (lease: Lease): void {
    if (this.#isKeptByNode && lease.isMoved !== true) this.#returned.remember(nameOf(lease), lease)
  }

  /** Leases of one key on all nodes. */
  async count (key: string): Promise<number> { return await this.#store.count(key) }

  #owe (lease: Lease, until = performance.now() + OWED): void {
    const owed = this.#owed.get(nameOf(lease), performance.now())
    if (owed === undefined || owed.fence <= lease.fence) {
      const now = performance.now()
      if (owed === undefined && this.#owed.size >= MAX_OWED) {
        this.#owed.sweep(now)
        if (this.#owed.size >= MAX_OWED) this.#givenUp.note()
      }
      this.#owed.set(nameOf(lease), { ...lease, until }, until, now)
    }
    this.#payLater()
  }

  /** An adapter that was only late was never reported away, so no event tells that it is back. */
  #payLater (): void {
    if (this.#renewer === undefined || this.#payer !== undefined) return
    this.#payer = after(() => { this.#pay(BATCH) }, this.#again).unref()
    this.#again = Math.min(2 * this.#again, AGAIN.most)
  }

  #pay (most: number): void {
    clearTimeout(this.#payer)
    this.#payer = undefined
    this.#givenUp.report((count) => { this.#options.onError(new Error(givenUp(count))) })
    const all = [...this.#owed.values(performance.now())]
    const owed = all.slice(0, most)
    if (all.length > most) this.#payLater()
    void inTurns(owed, BATCH, ({ until, ...lease }) => {
      // A lease that is missing was taken again or released meanwhile.
      if (this.#owed.get(nameOf(lease), performance.now()) !== undefined) void this.#release(lease, until)
    })
    void this.#tell()
  }

  /** Takes the leases at the adapter that it could not be asked for, whatever the limit. Never rejects. */
  async #tell (): Promise<void> {
    if (this.#isTelling || this.#untold.size === 0) return
    this.#isTelling = true
    try {
      await inLists(this.#stillUntold(), BATCH, async (batch) => {
        await this.#renewBatch(batch)
        this.#again = AGAIN.first
        const now = performance.now()
        for (const lease of batch) {
          if (this.#untold.get(nameOf(lease), now) === lease) this.#untold.delete(nameOf(lease))
        }
      })
    } catch {
      // The adapter is still away.
      this.#payLater()
    } finally {
      this.#isTelling = false
    }
  }

  * #stillUntold (): Generator<HeldLease> {
    for (const lease of [...this.#untold.values(performance.now())]) {
      // The one who has given it back meanwhile has told the adapter so.
      if (lease.isHeld()) yield lease
      else this.#untold.delete(nameOf(lease))
    }
  }
}

function givenUp (count: number): string {
  return `${count} slots that are free are counted until they run out, since the adapter could not be told of more than ${MAX_OWED}`
}

function nameOf ({ key, holder }: Lease): string { return keyOf(holder, key) }
