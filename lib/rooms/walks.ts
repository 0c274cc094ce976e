/** Work that is done in parts. */
export interface Steps {
  /** @returns whether there is more to do when `isOver` says that the time is over */
  step (isOver: () => boolean): boolean
  finish (): void
}

export interface WalksOptions {
  /**
   * Number of members up to which a room is handled in one turn of the event loop, default 4 096: about two
   * milliseconds.
   */
  readonly large?: number
  /**
   * Milliseconds of one turn that the walks of all rooms may take, default 1.5. The writes that they cause need as much
   * again, and more.
   */
  readonly slice?: number
}

const LARGE = 4_096
const SLICE = 1.5

/** Runs the walks under way in turn, a little in each turn of the event loop. */
export class Walks {
  readonly large: number
  readonly #slice: number
  readonly #walking = new Set<Steps>()
  #next: NodeJS.Immediate | undefined

  constructor ({ large = LARGE, slice = SLICE }: WalksOptions = {}) {
    this.large = large
    this.#slice = slice
  }

  get isEmpty (): boolean { return this.#walking.size === 0 }

  /** Begins a walk, which continues in the next turns until it has nothing more to do. */
  begin (walk: Steps): void {
    this.#walking.add(walk)
    this.#next ??= setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#next = undefined
    const end = performance.now() + this.#slice
    const isOver = (): boolean => performance.now() > end
    for (const walk of this.#walking) {
      // A walk that has more to do goes behind the others.
      this.#walking.delete(walk)
      if (walk.step(isOver)) this.#walking.add(walk)
      if (isOver()) break
    }
    if (!this.isEmpty) this.#next ??= setImmediate(this.#turn)
  }

  /** Finishes all walks at once. */
  stop (): void {
    clearImmediate(this.#next)
    this.#next = undefined
    for (const walk of this.#walking) walk.finish()
    this.#walking.clear()
  }
}
