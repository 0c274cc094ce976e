/** What is done in parts. */
export interface Steps {
  /** @returns whether there is more to do, when `isOver` says that the time is over */
  step (isOver: () => boolean): boolean
  finish (): void
}

export interface WalksOptions {
  /** members up to which a room is done in one turn of the event loop, default 4 096: about two milliseconds of it */
  readonly large?: number
  /**
   * milliseconds of one turn for the walks of all rooms, default 1.5: the writes that they make need as much again,
   * and more
   */
  readonly slice?: number
}

const LARGE = 4_096
const SLICE = 1.5

/** The walks under way, one after the other, a little of them in each turn of the event loop. */
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

  /** It goes on in the next turns, until it has nothing more to do. */
  begin (walk: Steps): void {
    this.#walking.add(walk)
    this.#next ??= setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#next = undefined
    const end = performance.now() + this.#slice
    const isOver = (): boolean => performance.now() > end
    for (const walk of this.#walking) {
      // Behind the others, if there is more to do.
      this.#walking.delete(walk)
      if (walk.step(isOver)) this.#walking.add(walk)
      if (isOver()) break
    }
    if (!this.isEmpty) this.#next ??= setImmediate(this.#turn)
  }

  /** All that is under way is done at once. */
  stop (): void {
    clearImmediate(this.#next)
    this.#next = undefined
    for (const walk of this.#walking) walk.finish()
    this.#walking.clear()
  }
}
