import type { Listeners } from './listeners.js'

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
export function follow<T extends object | string> (
  on: Listeners['on'],
  name: string,
  room: Ending,
  next: () => T | undefined | null,
  hear?: (event: T) => void
): AsyncGenerator<T, void, undefined> {
  let wake = (): void => {}
  let isOver = false
  const loop = (async function * (): AsyncGenerator<T, void, undefined> {
    const off = on(name, (event: T) => {
      hear?.(event)
      wake()
    })
    const offEnd = on('', () => { wake() })
    try {
      for (;;) {
        if (isOver) return
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
  })()
  const end = loop.return.bind(loop)
  // By itself a generator that waits ends behind the next event, which may never come.
  loop.return = (value) => {
    isOver = true
    wake()
    return end(value)
  }
  return loop
}
