import { bytesOf } from './bytes.js'
import { failure, LATE, refused } from './errors.js'
import type { Frame, UpFrame } from './links/link.js'
import type { Handle } from './room-types.js'
import { after } from './timers.js'
import type { CoreOptions, SendOptions } from './types.js'

/** A message that has not been acknowledged. */
export interface Waiting {
  readonly frame: UpFrame & { readonly id: string }
  /** Who sends it. */
  readonly handle: Handle
  /**
   * Takes it out of the queue, and resolves with the data of `ack`, or rejects with `error` where there is none: a
   * signal may have any reason. Nothing is sent in its place yet, since that may be settled with it.
   */
  settle (error: unknown, ack?: Frame): void
}

export interface Queue {
  readonly waiting: ReadonlyMap<string, Waiting>
  add (handle: Handle, type: string, data: unknown, options?: SendOptions): Promise<unknown>
}

/**
 * Keeps messages in the order of their `send` until each is acknowledged, refused or too old; none is dropped silently.
 */
export function createQueue (
  { queue: { messages = 1_000, bytes: most = 1_048_576, age = 60_000, overflow = 'reject' } = {}, traceparent }: Pick<
    CoreOptions,
    'queue' | 'traceparent'
  >,
  changed: () => void
): Queue {
  // Some 100 bits, by which the server knows a message that is sent again. They tell the clients of one user apart and
  // are no secret, so that they need no generator that a platform may lack.
  const prefix = Math.random().toString(36) + Math.random().toString(36)
  const waiting = new Map<string, Waiting>()
  let count = 0
  let held = 0
  return {
    waiting,
    add: (
      handle,
      type,
      data,
      { signal, timeout = age } = {}
    ) => new Promise((resolve, reject: (reason: unknown) => void) => {
      if (signal?.aborted) return reject(signal.reason)
      if (handle.end) return reject(handle.end)
      const id = `${prefix}-${++count}`
      const given = { type, room: handle.room.name, id, data, traceparent: traceparent?.() }
      // What the page does to the data afterwards is not of this message, which may be sent again under its id.
      const frame = JSON.parse(JSON.stringify(given)) as Waiting['frame']
      const bytes = bytesOf(frame)
      const full = failure(refused('queue_full', 'queue full'))
      // It would drive out all others, and then not fit.
      if (bytes > most) return reject(full)
      for (const oldest of waiting.values()) {
        if (waiting.size < messages && held + bytes <= most) break
        if (overflow === 'reject') return reject(full)
        oldest.settle(full)
      }
      const giveUp = (error: unknown): void => {
        message.settle(error)
        changed()
      }
      const abort = (): void => { giveUp(signal!.reason) }
      const stop = after(timeout, () => { giveUp(failure(LATE)) })
      const message: Waiting = {
        frame,
        handle,
        settle (error, ack) {
          if (!waiting.delete(id)) return
          held -= bytes
          stop()
          signal?.removeEventListener('abort', abort)
          if (ack) resolve(ack.data)
          else reject(error)
        }
      }
      signal?.addEventListener('abort', abort)
      held += bytes
      waiting.set(id, message)
      changed()
    })
  }
}
