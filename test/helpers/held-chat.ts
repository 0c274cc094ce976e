import type { FastifyInstance } from 'fastify'
import { chat } from './net.js'

export interface HeldChat {
  /** Declares the room. */
  readonly declare: (app: FastifyInstance) => void
  /** The texts that the handler was called with. */
  readonly handled: string[]
  /** Lets all be answered. */
  readonly release: () => void
}

/** A chat that answers each `say` with its text, none before it may. */
export function heldChat (): HeldChat {
  const handled: string[] = []
  let release = (): void => {}
  const hold = new Promise<void>((resolve) => { release = resolve })
  return {
    declare (app) {
      app.room(chat, {
        on: {
          async say ({ data: { text } }) {
            handled.push(text)
            await hold
            return { id: text }
          },
          type () {}
        }
      })
    },
    handled,
    release
  }
}
