import type { Dialect } from './dialect.js'
import type { LoadClient } from './load-client.js'

export interface Mover {
  readonly client: LoadClient
  /** name of the room that it joins and leaves */
  readonly room: string
}

/** No id comes twice in one process. */
let moves = 0

/**
 * Each joins its room, leaves it when that is acked, and joins again when that is.
 *
 * @param ms milliseconds; a pair that has begun is ended
 * @returns joins with their leaves
 */
export async function churn (movers: readonly Mover[], dialect: Dialect, ms: number): Promise<number> {
  const end = performance.now() + ms
  let pairs = 0
  await Promise.all(movers.map(({ client, room }) => new Promise<void>((resolve) => {
    let isIn = false
    const move = (): void => { client.send(dialect.move(isIn ? 'leave' : 'join', room, moves++)) }
    client.onAck = (): void => {
      isIn = !isIn
      if (!isIn) pairs++
      if (!isIn && performance.now() >= end) {
        client.onAck = undefined
        resolve()
      } else move()
    }
    move()
  })))
  return pairs
}
