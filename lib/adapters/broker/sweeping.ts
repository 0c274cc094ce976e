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

/** Removes what dead nodes held from all rooms of this node, once after each death. */
export class Burial {
  readonly #nodes: Nodes
  readonly #bury: (dead: string) => Promise<void>
  #buried = ''
  #isBurying = false

  /** @param bury sweeps all rooms; `dead` is the list of the dead nodes as `namesOf` writes it */
  constructor (nodes: Nodes, bury: (dead: string) => Promise<void>) {
    this.#nodes = nodes
    this.#bury = bury
  }

  /** The dead nodes whose entries have been removed. */
  get buried (): string { return this.#buried }

  /** @param lease milliseconds of the longest lease of anything that was held */
  async run (lease: number): Promise<void> {
    // What a node took after its last heartbeat is held that much longer.
    const dead = namesOf(this.#nodes.dead(lease + BEAT))
    if (dead === '' || dead === this.#buried || this.#isBurying) return
    this.#isBurying = true
    try {
      await this.#bury(dead)
      this.#buried = dead
    } finally {
      this.#isBurying = false
    }
  }
}
