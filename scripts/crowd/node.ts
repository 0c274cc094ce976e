/** One node of `crowd.ts`. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import Fastify from 'fastify'
import { Type } from '@sinclair/typebox'
import { serve } from '../../bench/shared/rpc.js'
import { redis } from '../../lib/adapters/redis/index.js'
import realtime, { defineRoom } from '../../lib/index.js'
import { HALL } from './people.js'
import { SECRET } from './secret.js'

const Said = Type.Object({ text: Type.String({ maxLength: 1_000 }), by: Type.String() })
const team = defineRoom('team/:id', { messages: { say: Type.Object({ text: Type.String() }) }, events: { said: Said } })
const hall = defineRoom('hall/:id', { events: { said: Said } })

/** What a node has used since it was asked last. */
export interface Usage {
  /** Milliseconds. */
  readonly wall: number
  /** Milliseconds. */
  readonly cpu: number
  /** Milliseconds by which the event loop was late at most. */
  readonly longest: number
  /** Bytes. */
  readonly memory: number
}

const RESOLUTION = 1

export class Node {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  #since = { cpu: process.cpuUsage(), at: performance.now() }

  /** @returns its port */
  async start (url: string): Promise<number> {
    const app = Fastify({ trustProxy: '127.0.0.1', logger: { level: 'warn' } })
    await app.register(realtime, {
      jwt: { secret: SECRET },
      adapter: redis({ url }),
      capacity: 20_000,
      stats: { token: 'a-token-for-the-crowd', actions: true }
    })
    app.room(team, {
      presence: true,
      on: { say: async ({ data, userId, room }) => { await room.broadcast('said', { text: data.text, by: userId }) } }
    })
    app.room(hall)
    app.post('/hall', async () => {
      await app.rooms.broadcast(HALL, 'said', { text: 'the next talk begins', by: 'server' })
      return {}
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    this.#delay.enable()
    return (app.server.address() as { port: number }).port
  }

  async usage (): Promise<Usage> {
    const { user, system } = process.cpuUsage(this.#since.cpu)
    const now = performance.now()
    const usage = {
      wall: now - this.#since.at,
      cpu: (user + system) / 1_000,
      longest: Math.max(0, this.#delay.max / 1e6 - RESOLUTION),
      memory: process.memoryUsage().rss
    }
    this.#delay.reset()
    this.#since = { cpu: process.cpuUsage(), at: now }
    return usage
  }
}

serve(new Node())
