import { after, every } from '../../structures/timers.js'

/** Another node, and the time of its last heartbeat by the broker's clock in milliseconds. */
export interface Heard { readonly node: string, readonly at: number }

/** What the broker answers to a heartbeat. */
export interface Beat {
  /** The broker's time in milliseconds. */
  readonly now: number
  /** Time of this node's previous heartbeat; absent at the first, or where the broker has forgotten it. */
  readonly before: number | undefined
  readonly others: readonly Heard[]
}

export interface NodesOptions {
  /** Name of this node among all nodes. What it holds bears this name, or this name with a number behind a dot. */
  readonly node: string
  /**
   * Sends one heartbeat.
   *
   * @param name the name to send it by
   * @param away milliseconds for which this node could not reach the broker, 0 for none: other nodes may be missing
   *   for the same reason
   */
  readonly beat: (name: string, away: number) => Promise<Beat>
  /**
   * Called, for the log, when this node sent no heartbeat for so long that what it held may have been given to others,
   * or when the broker has forgotten it. What it holds is taken again.
   */
  readonly onLost?: () => void
  /**
   * Takes everything that this node holds again, by the name that it has now, and resolves when that is done. It is
   * called again until it does not reject, soon and then ever later, up to the time between two heartbeats.
   */
  readonly hold: () => Promise<void>
}

/** Milliseconds between two heartbeats. */
export const BEAT = 10_000
/** Milliseconds of the shortest lease that heartbeats keep; a shorter one is renewed on its own. */
const SHORTEST = 3 * BEAT
/**
 * Milliseconds for which what a node holds is kept while the node itself is unknown; it is renewed three times within
 * that.
 */
export const HELD = 1_800_000
export const RENEWAL = HELD / 3
/** Milliseconds for which the name of a silent node is remembered: as long as anything may still bear it. */
export const REMEMBERED = 2 * HELD
/** Nodes that are remembered. */
export const MAX_NODES = 2_000
/** Milliseconds until everything is taken again once more after that failed: at first, and once it has failed often. */
const AGAIN = { first: 1_000, most: BEAT }
/** Milliseconds for which an answer counts as new. */
const FRESH = 1_000
/** Former names of a node that are kept alive; beyond them, what the oldest name holds ends. */
const MAX_FORMER = 8

/**
 * Knows which nodes are alive. What a node holds at a broker bears the node's name, and is held as long as that node
 * sends heartbeats and `ttl` beyond, so one heartbeat renews all of it, however much it is.
 */
export class Nodes {
  readonly #options: NodesOptions
  #name: string
  #renamed = 0
  /** Former names that may still hold something: they get heartbeats too until everything is held by the new name. */
  #former: readonly string[] = []
  /** Whether taking everything again has failed, and is due with the next heartbeat. */
  #isOwed = false
  /** Whether the broker does not know the name yet. */
  #isNew = true
  #others: ReadonlyMap<string, number> = new Map()
  #asOf = 0
  #answeredAt = Number.NEGATIVE_INFINITY
  /** Shortest time beyond a heartbeat for which anything was held here. */
  #shortest = Number.POSITIVE_INFINITY
  #beating: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #again: NodeJS.Timeout | undefined
  /** Milliseconds until then: more each time, because what one shard does not take may be very much at the others. */
  #wait = AGAIN.first

  constructor (options: NodesOptions) {
    this.#options = options
    this.#name = options.node
  }

  /** Name of this node for its whole life, whatever name its leases bear. */
  get id (): string { return this.#options.node }

  /** The only name that this node has had; absent where it had others, which older data may bear for longer. */
  get onlyName (): string | undefined { return this.#renamed === 0 ? this.#name : undefined }

  /**
   * Takes everything that this node holds again by another name, because the broker has other data than before, maybe
   * older. Entries of the old name in that data that this node no longer holds expire with the lease of the old name.
   */
  holdAnew (): void {
    this.#former = [...this.#former, this.#name].slice(-MAX_FORMER)
    this.#name = `${this.#options.node}.${(++this.#renamed).toString(36)}`
    this.#isNew = true
    this.holdAgain()
  }

  /** Takes everything that this node holds again, because the broker has lost it. */
  holdAgain (): void { void this.#hold() }

  /** Never rejects. */
  async #hold (): Promise<void> {
    const ended = this.#former
    this.#isOwed = false
    try {
      // A heartbeat under way bears the old name. What the new name holds before its first heartbeat would stay long
      // after the death of this node.
      await this.#beating?.catch(() => {})
      await this.beat()
      await this.#options.hold()
      this.#former = this.#former.filter((name) => !ended.includes(name))
      this.#wait = AGAIN.first
    } catch {
      this.#isOwed = true
      if (this.#timer === undefined || this.#again !== undefined) return
      this.#again = after(() => { this.#holdOwed() }, this.#wait).unref()
      this.#wait = Math.min(2 * this.#wait, AGAIN.most)
    }
  }

  /** @returns whether it was owed */
  #holdOwed (): boolean {
    clearTimeout(this.#again)
    this.#again = undefined
    const isOwed = this.#isOwed
    if (isOwed) this.holdAgain()
    return isOwed
  }

  /** Resolves when the other nodes can see this node. */
  async start (): Promise<void> {
    await this.beat()
    this.#timer = every(() => {
      if (!this.#holdOwed()) this.beat().catch(() => {})
    }, BEAT).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
    clearTimeout(this.#again)
    this.#timer = undefined
  }

  /**
   * @returns the mark of something that lives as long as this node; '' for something that has to be renewed on its
   *   own
   */
  mark (ttl: number): string {
    if (ttl < SHORTEST) return ''
    this.#shortest = Math.min(this.#shortest, ttl)
    return `${this.#name} ${Math.ceil(ttl)}`
  }

  /** @returns milliseconds between two renewals of what is held for `ttl` */
  static renewal (ttl: number): number { return ttl < SHORTEST ? ttl / 3 : RENEWAL }

  /** The broker's time in milliseconds at its last answer, since when nodes may have been heard of again. */
  get asOf (): number { return this.#asOf }

  /**
   * Nodes that had sent no heartbeat for `ttl` ms at the last answer of the broker; a node that has come back since
   * leaves this list at the next answer.
   */
  dead (ttl: number): readonly Heard[] {
    return [...this.#others].flatMap(([node, at]) => at + ttl <= this.#asOf ? [{ node, at }] : [])
  }

  /**
   * Whether something that a node took at `since`, and that outlives the node by `ttl` ms, had ended by the last answer
   * of the broker.
   */
  isDead (node: string, since: number, ttl: number): boolean {
    const at = this.#others.get(node)
    return at !== undefined && Math.max(at, since) + ttl <= this.#asOf
  }

  /** Asks the broker again, unless its last answer is new; never rejects. */
  async look (): Promise<void> {
    if (performance.now() - this.#answeredAt >= FRESH) await this.beat().catch(() => {})
  }

  /** Sends one heartbeat; rejects when the broker cannot be reached. */
  async beat (): Promise<void> {
    this.#beating ??= this.#beat().finally(() => { this.#beating = undefined })
    await this.#beating
  }

  async #beat (): Promise<void> {
    const began = performance.now()
    const silence = began - this.#answeredAt
    const name = this.#name
    const isNew = this.#isNew
    const away = silence === Number.POSITIVE_INFINITY || silence < 2 * BEAT ? 0 : silence
    for (const former of this.#former) await this.#options.beat(former, away)
    const { now, before, others } = await this.#options.beat(name, away)
    // The node was renamed meanwhile, so only the next heartbeat counts.
    if (name !== this.#name) return
    this.#isNew = false
    this.#answeredAt = performance.now()
    this.#asOf = now
    this.#others = new Map(others.map(({ node, at }) => [node, at]))
    if (isNew || (before !== undefined && now - before < this.#shortest)) return
    this.#options.onLost?.()
    this.holdAgain()
  }
}

/** Writes a list of nodes in the form that scripts read. */
export function namesOf (dead: readonly Heard[]): string {
  return dead.map(({ node, at }) => `${node} ${at}`).sort().join(' ')
}

/** @returns the id of the node that holds something by this name */
export function nodeOf (name: string): string { return name.split('.', 1)[0]! }
