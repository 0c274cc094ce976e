import { every } from '../../structures/timers.js'

/** Another node, and when it was heard of last, by the broker's clock in milliseconds. */
export interface Heard { readonly node: string, readonly at: number }

/** What the broker answers to a heartbeat. */
export interface Beat {
  /** the broker's time, milliseconds */
  readonly now: number
  /** when this node was heard of before; absent the first time, or where the broker has forgotten it */
  readonly before: number | undefined
  readonly others: readonly Heard[]
}

export interface NodesOptions {
  /** names this node among all; a name that it holds things by is this, or this with a number behind a dot */
  readonly node: string
  /**
   * @param name by which the node is heard of
   * @param away milliseconds for which this node could not reach the broker, 0 for none: others may not have been heard
   *   for the same reason
   */
  readonly beat: (name: string, away: number) => Promise<Beat>
  /** What this node held may have been given to others: it was not heard of for so long. */
  readonly onLost: () => void
  /** Holds all that this node holds anew, by the name that it has now. Resolves when that is done. */
  readonly hold: () => Promise<void>
}

/** Milliseconds between two heartbeats. */
export const BEAT = 10_000
/** A lease that is shorter than this is not worth a heartbeat: it is renewed by itself, milliseconds. */
const SHORTEST = 3 * BEAT
/**
 * Milliseconds that what a node holds is kept though nobody knows of its node, and between two renewals by which it
 * stays.
 */
export const HELD = 1_800_000
const RENEWAL = HELD / 3
/**
 * Milliseconds that the name of a node is kept that was not heard of any more: as long as something may still bear it.
 */
export const REMEMBERED = 2 * HELD
/** Nodes that are remembered. */
export const MAX_NODES = 2_000
/** Milliseconds for which an answer is as good as a new one. */
const FRESH = 1_000
/** Names of one node that are heard of together; of more, what is held by the oldest ends. */
const MAX_FORMER = 8

/**
 * Which nodes are alive. What a node holds at a broker names its node, and is held for as long as that node is heard of
 * and `ttl` beyond: so one heartbeat of the node renews all of it, however much it is.
 */
export class Nodes {
  readonly #options: NodesOptions
  #name: string
  #renamed = 0
  /** names by which something may still be held: they are heard of as well until all is held by the new one */
  #former: readonly string[] = []
  /** it could not be held anew, and is with the next heartbeat */
  #isOwed = false
  /** the broker does not know the name yet */
  #isNew = true
  #others: ReadonlyMap<string, number> = new Map()
  /** the broker's time at the last answer */
  #asOf = 0
  #answeredAt = Number.NEGATIVE_INFINITY
  /** shortest life beyond a heartbeat of anything that was held here */
  #shortest = Number.POSITIVE_INFINITY
  #beating: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor (options: NodesOptions) {
    this.#options = options
    this.#name = options.node
  }

  /** names this node for as long as it lives, whatever name it holds things by */
  get id (): string { return this.#options.node }

  /**
   * The broker has other data than it had, maybe older: what this node holds is held anew by another name. What that
   * data says of the old name though nobody here holds it any more ends with the old name's lease.
   */
  holdAnew (): void {
    this.#former = [...this.#former, this.#name].slice(-MAX_FORMER)
    this.#name = `${this.#options.node}.${(++this.#renamed).toString(36)}`
    this.#isNew = true
    void this.#hold()
  }

  /** Never rejects. */
  async #hold (): Promise<void> {
    const ended = this.#former
    this.#isOwed = false
    try {
      // One that is under way goes by the old name: what is held by a name that nobody has heard of outlives its node
      // for long.
      await this.#beating?.catch(() => {})
      await this.beat()
      await this.#options.hold()
      this.#former = this.#former.filter((name) => !ended.includes(name))
    } catch {
      this.#isOwed = true
    }
  }

  /** Resolves when this node is known to the others. */
  async start (): Promise<void> {
    await this.beat()
    this.#timer = every(() => {
      if (this.#isOwed) void this.#hold()
      else this.beat().catch(() => {})
    }, BEAT).unref()
  }

  stop (): void { clearInterval(this.#timer) }

  /**
   * @returns what is written beside something that lives as long as this node; '' for what has to be renewed by itself
   */
  mark (ttl: number): string {
    if (ttl < SHORTEST) return ''
    this.#shortest = Math.min(this.#shortest, ttl)
    return `${this.#name} ${Math.ceil(ttl)}`
  }

  /** @returns milliseconds between two renewals of what is held for `ttl` */
  static renewal (ttl: number): number { return ttl < SHORTEST ? ttl / 3 : RENEWAL }

  /**
   * Nodes that were not heard of for `ttl` ms when this node looked last: whoever came back since is not among them for
   * long.
   */
  dead (ttl: number): readonly Heard[] {
    return [...this.#others].flatMap(([node, at]) => at + ttl <= this.#asOf ? [{ node, at }] : [])
  }

  /** Whether something that a node took at `since`, to live for `ttl` ms longer than it, has ended by the last look. */
  isDead (node: string, since: number, ttl: number): boolean {
    const at = this.#others.get(node)
    return at !== undefined && Math.max(at, since) + ttl <= this.#asOf
  }

  /** Asks anew, unless it was asked just now; never rejects. */
  async look (): Promise<void> {
    if (performance.now() - this.#answeredAt >= FRESH) await this.beat().catch(() => {})
  }

  /** One heartbeat; rejects when the broker cannot be reached. */
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
    // Renamed meanwhile: the next one goes by the new name.
    if (name !== this.#name) return
    this.#isNew = false
    this.#answeredAt = performance.now()
    this.#asOf = now
    this.#others = new Map(others.map(({ node, at }) => [node, at]))
    if (!isNew && (before === undefined || now - before >= this.#shortest)) this.#options.onLost()
  }
}

/** Nodes as scripts are told of them. */
export function namesOf (dead: readonly Heard[]): string {
  return dead.map(({ node, at }) => `${node} ${at}`).sort().join(' ')
}

/** @returns the node that holds something by this name */
export function nodeOf (name: string): string { return name.split('.', 1)[0]! }
