import type { Awaitable } from '../../structures/awaitable.js'
import { after } from '../../structures/timers.js'

/** Milliseconds between two looks. */
const PAUSE = 10

/** Polls until `condition` gives something; rejects at the deadline and says what it saw last. */
export async function until<T> (
  what: string,
  condition: () => Awaitable<T>,
  deadline = 30_000
): Promise<NonNullable<T>> {
  const end = performance.now() + deadline
  let last: unknown
  for (;;) {
    try {
      last = await condition()
      if (last !== undefined && last !== false && last !== null) return last as NonNullable<T>
    } catch (error) {
      last = error
    }
    if (performance.now() > end) {
      throw new Error(
        `not within ${deadline} ms: ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`
      )
    }
    await new Promise<void>((resolve) => { after(resolve, PAUSE) })
  }
}
