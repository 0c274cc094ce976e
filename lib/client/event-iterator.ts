import { failure, refused } from './errors.js'
import type { Listeners } from './listeners.js'

/** Events that may wait for a reader. */
const LIMIT = 1_000

/**
 * Reads the events of a room with `for await`, from the first `next()` on.
 *
 * @param room `end` tells why it is over, which the event `''` says
 * @param isMeant whether it ended as the application wished: the loop ends, else it throws the reason
 * @throws `slow_consumer` when more than 1 000 events wait: a reader that lost some would not know
 */
export async function * reader<T> (
  on: Listeners['on'],
  room: { end?: Error },
  isMeant: () => boolean
): AsyncGenerator<T, void, undefined> {
  const waiting: T[] = []
  let isFull = false
  let wake = (): void => {}
  const off = on('*', (event: T) => {
    if (waiting.length < LIMIT) waiting.push(event)
    else isFull = true
    wake()
  })
  const offEnd = on('', () => { wake() })
  try {
    for (;;) {
      while (waiting.length > 0) yield waiting.shift()!
      if (isFull) throw failure(refused('slow_consumer', `more than ${LIMIT} events wait for this reader`))
      if (room.end) {
        if (isMeant()) return
        throw room.end
      }
      await new Promise<void>((resolve) => { wake = resolve })
    }
  } finally {
    off()
    offEnd()
  }
}
