import { failure, refused } from './errors.js'
import type { Listeners } from './listeners.js'

/** Events that may wait for a reader. */
const LIMIT = 1_000

/**
 * Reads the events of a room with `for await`, beginning at the first `next()`.
 *
 * @param room has the reason in `end` once the room is over; the event `''` says when
 * @param isMeant whether the application ended the room: then the loop ends, otherwise it throws the reason
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
