import { BEAT, namesOf, type Nodes } from './nodes.js'

/** Some of very many rooms at each look, others at the next: entries may run out of which nobody here was told. */
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

/** Takes what dead nodes held out of all rooms that are here, once after each death. */
export class Burial {
  readonly #nodes: Nodes
  readonly #bury: (dead: string) => Promise<void>
  #buried = ''
  #isBurying = false

  /** @param bury looks at all rooms; `dead` is what `namesOf` says of the dead */
  constructor (nodes: Nodes, bury: (dead: string) => Promise<void>) {
    this.#nodes = nodes
    this.#bury = bury
  }

  /** the dead of whom nothing is left */
  get buried (): string { return this.#buried }

  /** @param lease the longest that anything was held for */
  async run (lease: number): Promise<void> {
    // What a node took after its last heartbeat is held for as much longer.
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
