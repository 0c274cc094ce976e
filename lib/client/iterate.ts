import type { AnyMessages } from '../contract/types.js'
import { failure, refused } from './errors.js'
import { follow } from './event-iterator.js'
import { handleOf } from './handle.js'
import type { CoreRoom, RoomEvent } from './types.js'

/** Events that may wait for a reader. */
const LIMIT = 1_000

/**
 * Reads the events of a room with `for await`, beginning at the first `next()`.
 *
 * @throws RealtimeError `slow_consumer` when more than 1 000 events wait: a reader that lost some would not know
 */
export function iterate<M extends AnyMessages, E, D> (
  room: CoreRoom<M, E, D>
): AsyncGenerator<RoomEvent<E>, void, undefined> {
  const handle = handleOf(room)
  const waiting: Array<RoomEvent<E>> = []
  let isFull = false
  return follow(handle.on, '*', handle, () => {
    const event = waiting.shift()
    if (!event && isFull) throw failure(refused('slow_consumer', `more than ${LIMIT} events wait`))
    return event
  }, (event: RoomEvent<E>) => {
    if (waiting.length < LIMIT) waiting.push(event)
    else isFull = true
  })
}
