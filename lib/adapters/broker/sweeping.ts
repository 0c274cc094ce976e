import { BEAT, namesOf, type Nodes } from './nodes.js'

/** Walks through very many rooms, some at each call, because entries may expire without a message to this node. */
export class Round {
  readonly #rooms: () => Iterator<string, unknown>
  #walk: Iterator<string, unknown> | undefined

  constructor (rooms: () => Iterator<string, unknown>) {
    this.#rooms = rooms
  }

  next (most: number): string[] {
    const some: string[] = []
    this.#walk ??= this.#rooms()
    while (some.length < most) {
      const { value, done } = this.#walk.next()
      if (done === true) {
        this.#walk = undefined
        break
      }
      some.push(value)
    }
    return some
  }
}

/** Removes what dead nodes held from all rooms of this node, once after each death and for each lease. */
export class Burial {
  readonly #nodes: Nodes
  readonly #bury: (dead: string) => Promise<void>
  /** By lease, the dead nodes whose entries have been removed. */
  readonly #buried = new Map<number, string>()
  #isBurying = false

  /** @param bury sweeps all rooms; `dead` is the list of the dead nodes as `namesOf` writes it */
  constructor (nodes: Nodes, bury: (dead: string) => Promise<void>) {
    this.#nodes = nodes
    this.#bury = bury
  }

  /** Whether what dead nodes held for this lease has been removed; `dead` is as `namesOf` writes it. */
  isDone (lease: number, dead: string): boolean { return this.#buried.get(lease) === dead }

  /** @param leases milliseconds of each lease for which anything was held that lives as long as its node */
  async run (leases: Iterable<number>): Promise<void> {
    if (this.#isBurying) return
    this.#isBurying = true
    try {
      for (const lease of leases) {
        // What a node took after its last heartbeat is held that much longer.
        const dead = namesOf(this.#nodes.dead(lease + BEAT))
        if (dead === '' || this.isDone(lease, dead)) continue
        await this.#bury(dead)
        this.#buried.set(lease, dead)
      }
    } finally {
      this.#isBurying = false
    }
  }
}
