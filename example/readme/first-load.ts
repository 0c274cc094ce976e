import type { Loaded } from 'fastify-realtime/client'

/**
 * `room.snapshot(load)`, again and again until the first load succeeds. Rejects where the room is refused or left.
 *
 * @param failed is told of each load that fails; what it throws ends the tries
 */
export async function firstLoad (
  room: { snapshot (load: () => Promise<Loaded>): Promise<unknown> },
  load: () => Promise<Loaded>,
  failed: (error: unknown) => void
): Promise<void> {
  for (let wait = 1_000; ; wait = Math.min(2 * wait, 20_000)) {
    try {
      await room.snapshot(load)
      return
    } catch (error) {
      const code: unknown = (error as { code?: unknown } | null)?.code
      // `unavailable`: the state and the events did not meet. The code of a DOMException is a number.
      if (typeof code === 'string' && code !== 'unavailable') throw error
      failed(error)
      // By chance, so that not all pages load at once.
      await new Promise((resolve) => { setTimeout(resolve, wait * (0.5 + Math.random() / 2)) })
    }
  }
}
