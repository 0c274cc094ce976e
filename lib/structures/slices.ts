import { setImmediate as nextTurn } from 'node:timers/promises'

/**
 * Does work that grows with the population in small parts, one in each turn of the event loop, so that other work never
 * waits for all of it.
 */
export class Slices {
  readonly #step: () => boolean
  #next: NodeJS.Immediate | undefined

  /** @param step does one part, and returns whether there is more to do */
  constructor (step: () => boolean) {
    this.#step = step
  }

  /** Does the first part at once. A call while the work is under way changes nothing. */
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

/** Number of items that one turn of the event loop examines. */
const AT_ONCE = 1_000

/** Collects the items that `isMeant` accepts, and examines a bounded number of them in each turn of the event loop. */
export async function gather<T> (items: Iterable<T>, isMeant: (item: T) => boolean): Promise<T[]> {
  const gathered: T[] = []
  let looked = 0
  for (const item of items) {
    if (++looked % AT_ONCE === 0) await nextTurn()
    if (isMeant(item)) gathered.push(item)
  }
  return gathered
}

/**
 * Runs a step for each of very many items, `size` of them at a time.
 *
 * @throws what a step throws; the items behind its batch are not begun
 */
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

/**
 * Does the same, and a step that fails keeps none of the others back, unless all of a batch fail as `isAway` says:
 * those behind it would fail as well, and are not begun.
 *
 * @returns the items that failed, and why; those that were not begun with what came of that batch
 */
export async function settleInBatches<T> (
  items: Iterable<T>,
  size: number,
  step: (item: T) => Promise<void>,
  isAway: (error: unknown) => boolean
): Promise<Map<T, unknown>> {
  const failed = new Map<T, unknown>()
  let away: { readonly error: unknown } | undefined
  for (const list of listsOf(items, size)) {
    if (away !== undefined) for (const item of list) failed.set(item, away.error)
    else {
      const errors: unknown[] = []
      await Promise.all(list.map((item) => step(item).catch((error: unknown) => {
        failed.set(item, error)
        errors.push(error)
      })))
      if (errors.length === list.length && errors.every(isAway)) away = { error: errors[0] }
    }
    await nextTurn()
  }
  return failed
}

/** @throws what came of the first that failed */
export function throwFirst (failed: ReadonlyMap<unknown, unknown>): void {
  const [error] = failed.values()
  if (failed.size > 0) throw error
}

/**
 * Runs a step for each of very many items, `atOnce` of them in one turn of the event loop. The first ones run at once.
 */
export async function inTurns<T> (items: Iterable<T>, atOnce: number, step: (item: T) => void): Promise<void> {
  let done = 0
  for (const item of items) {
    if (done > 0 && done % atOnce === 0) await nextTurn()
    step(item)
    done++
  }
}

/** Each item is asked for when its list is, so that one that is gone by then is left out. */
function * listsOf<T> (items: Iterable<T>, size: number): Generator<readonly T[]> {
  let list: T[] = []
  for (const item of items) {
    list.push(item)
    if (list.length < size) continue
    yield list
    list = []
  }
  if (list.length > 0) yield list
}

/**
 * Runs a step for very many items, `size` of them at a time, each time in a turn of its own. A step that fails keeps
 * none of those behind it back.
 *
 * @throws what the first step threw that failed, when all have been run
 */
export async function inLists<T> (
  items: Iterable<T>,
  size: number,
  step: (list: readonly T[]) => unknown
): Promise<void> {
  const failed: unknown[] = []
  let isFirst = true
  for (const list of listsOf(items, size)) {
    if (!isFirst) await nextTurn()
    isFirst = false
    try {
      await step(list)
    } catch (error) {
      failed.push(error)
    }
  }
  if (failed.length > 0) throw failed[0]
}
