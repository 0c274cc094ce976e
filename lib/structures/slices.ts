import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * Work in proportion to the population: one small part of it in each turn of the event loop, so that nobody waits for
 * all of it.
 */
export class Slices {
  readonly #step: () => boolean
  #next: NodeJS.Immediate | undefined

  /** @param step does one part; returns whether there is more */
  constructor (step: () => boolean) {
    this.#step = step
  }

  /** The first part is done at once. Under way already: nothing. */
  run (): void { if (this.#next === undefined) this.#turn() }

  stop (): void {
    clearImmediate(this.#next)
    this.#next = undefined
  }

  #turn (): void {
    this.#next = undefined
    if (this.#step()) this.#next = setImmediate(() => { this.#turn() })
  }
}

/** Items that one turn of the event loop looks at. */
const AT_ONCE = 1_000

/** Those that `isMeant` picks out of very many, looked at some in each turn of the event loop. */
export async function gather<T> (items: Iterable<T>, isMeant: (item: T) => boolean): Promise<T[]> {
  const gathered: T[] = []
  let looked = 0
  for (const item of items) {
    if (++looked % AT_ONCE === 0) await nextTurn()
    if (isMeant(item)) gathered.push(item)
  }
  return gathered
}

/** A step for each of very many, `size` of them at a time. @throws what a step throws; those behind it are not begun */
export async function inBatches<T> (items: Iterable<T>, size: number, step: (item: T) => Promise<void>): Promise<void> {
  let steps: Array<Promise<void>> = []
  for (const item of items) {
    steps.push(step(item))
    if (steps.length < size) continue
    await Promise.all(steps)
    await nextTurn()
    steps = []
  }
  await Promise.all(steps)
}

/** A step for each of very many, `atOnce` of them in one turn of the event loop. The first are done at once. */
export async function inTurns<T> (items: Iterable<T>, atOnce: number, step: (item: T) => void): Promise<void> {
  let done = 0
  for (const item of items) {
    if (done > 0 && done % atOnce === 0) await nextTurn()
    step(item)
    done++
  }
}
