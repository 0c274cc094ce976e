import type { FastifyInstance } from 'fastify'
import { defineRoom } from '../../lib/index.js'
import { until } from './client.js'
import type { StartOptions } from './net.js'

export const plain = defineRoom('plain/:id', {})
export const hall = defineRoom('hall/:id', {})
/** Milliseconds for which who is gone without a word may come back. */
export const GRACE = 1_500

/** What the hooks of all nodes were called with. */
export class Calls {
  readonly all: string[] = []

  get options (): StartOptions {
    return {
      presence: { grace: GRACE },
      onOnline: ({ userId }) => { this.all.push(`online ${userId}`) },
      onOffline: ({ userId }) => { this.all.push(`offline ${userId}`) },
      declare: (app) => { this.declare(app) }
    }
  }

  declare (app: FastifyInstance): void {
    app.room(plain)
    app.room(hall, {
      onOccupied: ({ room, params }) => { this.all.push(`occupied ${room.name} ${params.id}`) },
      onVacated: ({ room, params }) => { this.all.push(`vacated ${room.name} ${params.id}`) }
    })
  }

  async of (word: string, count: number): Promise<void> {
    await until(`${count} times ${word}; called: ${this.all.join(', ')}`, () =>
      this.all.filter((call) => call === word).length >= count)
  }
}

/** Longer than other nodes wait before they look whether a hook has run. */
export async function settled (): Promise<void> { await new Promise((resolve) => { setTimeout(resolve, 2_000) }) }
