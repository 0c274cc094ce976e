import { failure, refused } from './errors.js'
import type { Listeners } from './listeners.js'

/** Events that may wait for a reader. */
const LIMIT = 1_000

/** How a room is over, as the loops over its events want to know it. */
export interface Ending {
  /** Why the room is over. */
  end?: Error
  /** Whether the application ended it: then loops end, otherwise they throw the reason. */
  isMeant?: boolean
}

/**
 * Yields what `next` gives, and waits for the next event where that is `undefined`. It ends with `null`, and with the
 * room, of which the event `''` tells.
 *
 * @param hear is told of each event
 */
export async function * follow<T extends object | string> (
  on: Listeners['on'],
  name: string,
  room: Ending,
  next: () => T | undefined | null,
  hear?: (event: T) => void
): AsyncGenerator<T, void, undefined> {
  let wake = (): void => {}
  const off = on(name, (event: T) => {
    hear?.(event)
    wake()
  })
  const offEnd = on('', () => { wake() })
  try {
    for (;;) {
      const item = next()
      if (item === null) return
      if (item) yield item
      else if (room.end) {
        if (room.isMeant) return
        throw room.end
      } else await new Promise<void>((resolve) => { wake = resolve })
    }
  } finally {
    off()
    offEnd()
  }
}

/**
 * Reads the events of a room with `for await`, beginning at the first `next()`.
 *
 * @throws `slow_consumer` when more than 1 000 events wait: a reader that lost some would not know
 */
export function reader<T extends object> (on: Listeners['on'], room: Ending): AsyncGenerator<T, void, undefined> {
  const waiting: T[] = []
  let isFull = false
  return follow(on, '*', room, () => {
    const event = waiting.shift()
    if (!event && isFull) throw failure(refused('slow_consumer', `more than ${LIMIT} events wait for this reader`))
    return event
  }, (event) => {
    if (waiting.length < LIMIT) waiting.push(event)
    else isFull = true
  })
}
