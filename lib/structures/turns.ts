import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Awaitable } from './awaitable.js'

/** Milliseconds of one turn of the event loop that all who share the turns may use. */
const SLICE = 2
/** Steps of one turn at most. */
const STEPS = 50

/** Parts long work among turns of the event loop. All work that shares an instance gets one slice of each turn. */
export class Turns {
  #began = 0
  #steps = 0
  #next: Promise<void> | undefined

  /** Called before each step. @returns a promise where the step has to wait for the next turn */
  step (): Awaitable<void> {
    this.#steps++
    if (this.#next === undefined && this.#steps <= STEPS && performance.now() - this.#began < SLICE) return
    return this.#wait()
  }

  async #wait (): Promise<void> {
    // Who waited may find that the others have used up the turn it waited for.
    do {
      this.#next ??= nextTurn().then(() => {
        this.#next = undefined
        this.#steps = 0
        this.#began = performance.now()
      })
      await this.#next
    } while (++this.#steps > STEPS || performance.now() - this.#began >= SLICE)
  }
}
