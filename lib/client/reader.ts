import { failure, refused } from './failure.js'
import type { Listeners } from './listeners.js'

/** Events that may wait for a reader. */
const LIMIT = 1_000

/**
 * Reads the events of a room with `for await`, from the first `next()` on.
 *
 * @param over aborted when the room has ended
 * @param isMeant whether it ended as the application wished: the loop ends, else it throws the reason
 * @throws `slow_consumer` when more than 1 000 events wait: a reader that lost some would not know
 */
export async function * reader<T> (on: Listeners['on'], over: AbortSignal, isMeant: () => boolean): AsyncGenerator<T, void, undefined> {
  const waiting: T[] = []
  let isFull = false
  let wake = (): void => {}
  const off = on('*', (event: T) => {
    if (waiting.length < LIMIT) waiting.push(event)
    else isFull = true
    wake()
  })
  over.addEventListener('abort', () => { wake() })
  try {
    for (;;) {
      while (waiting.length > 0) yield waiting.shift()!
      if (isFull) throw failure(refused('slow_consumer', `more than ${LIMIT} events wait for this reader`))
      if (over.aborted) {
        if (isMeant()) return
        throw over.reason
      }
      await new Promise<void>((resolve) => { wake = resolve })
    }
  } finally {
    off()
  }
}
