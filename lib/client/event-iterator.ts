import { failure, refused } from './errors.js'
import type { Listeners } from './listeners.js'

/** Events that may wait for a reader. */
const LIMIT = 1_000

/**
 * Yields what `next` gives, and waits for the next event where that is `undefined`. It ends with `null`, and with the
 * room.
 *
 * @param room has the reason in `end` once the room is over; the event `''` says when
 * @param isMeant whether the application ended the room: then the loop ends, otherwise it throws the reason
 * @param hear is told of each event
 */
export async function * follow<T extends object | string> (
  on: Listeners['on'],
  name: string,
  room: { end?: Error },
  isMeant: () => boolean,
  next: () => T | undefined | null,
  hear?: (event: T) => void
): AsyncGenerator<T, void, undefined> {
  let wake = (): void => {}
  const offs = [on(name, (event: T) => {
    hear?.(event)
    wake()
  }), on('', () => { wake() })]
  try {
    for (;;) {
      const item = next()
      if (item === null) return
      if (item) yield item
      else if (room.end) {
        if (isMeant()) return
        throw room.end
      } else await new Promise<void>((resolve) => { wake = resolve })
    }
  } finally {
    for (const off of offs) off()
  }
}

/**
 * Reads the events of a room with `for await`, beginning at the first `next()`.
 *
 * @throws `slow_consumer` when more than 1 000 events wait: a reader that lost some would not know
 */
export function reader<T extends object> (
  on: Listeners['on'],
  room: { end?: Error },
  isMeant: () => boolean
): AsyncGenerator<T, void, undefined> {
  const waiting: T[] = []
  let isFull = false
  return follow(on, '*', room, isMeant, () => {
    const event = waiting.shift()
    if (!event && isFull) throw failure(refused('slow_consumer', `more than ${LIMIT} events wait for this reader`))
    return event
  }, (event) => {
    if (waiting.length < LIMIT) waiting.push(event)
    else isFull = true
  })
}
