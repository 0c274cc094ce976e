/**
 * A node as a process of its own, for tests that kill it: `fork(this file, [url of redis or nats, connections of one user])`. It tells
 * its port, publishes into all rooms while it is told to, and gives the history of a room.
 */
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { nats } from '../../lib/adapters/nats.js'
import { redis } from '../../lib/adapters/redis.js'
import realtime, { defineRoom } from '../../lib/index.js'

export const ROOMS = 100
export const SECRET = 'nodes'
export const fleet = defineRoom('fleet/:id', { events: { tick: Type.Object({ id: Type.String() }) } })
/** A room for one. */
export const single = defineRoom('single/:id', {})

/** What the parent says. */
export type Order = { readonly type: 'publish', readonly from: number, readonly every: number } | { readonly type: 'rest' } | { readonly type: 'history', readonly room: number }
/** One event from the first try to publish it to its acceptance, in Unix milliseconds. */
export interface Call { readonly room: number, readonly id: string, readonly from: number, readonly to: number }
/** What the node says: where it listens, that it rests and when it published what, what a room's history holds. */
export type Report = { readonly type: 'port', readonly port: number } | { readonly type: 'rests', readonly calls: readonly Call[] } | { readonly type: 'history', readonly room: number, readonly ids: readonly string[] }

async function serve (url: string, connections: number): Promise<void> {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  await app.register(realtime, {
    jwt: { secret: SECRET },
    adapter: url.startsWith('nats:') ? nats({ url }) : redis({ url }),
    limits: { user: { connections, then: 'reject' } },
    heartbeat: 5_000,
    sse: { comment: 2_000 },
    presence: { grace: 5_000 },
    capacity: 1_000
  })
  app.room(fleet, { history: { size: 10_000 } })
  app.room(single, { capacity: 1 })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const tell = (report: Report): void => { process.send?.(report) }
  let order = new AbortController()
  let calls: Call[] = []
  let publishing = Promise.resolve()

  const publish = async (from: number, every: number): Promise<void> => {
    const { signal } = order
    for (let n = from; !signal.aborted; n++) {
      await Promise.all(Array.from({ length: ROOMS }, async (_, room) => {
        const id = `${process.pid}:${n}`
        const start = Date.now()
        // What a broker that is away refuses is not published; under its key it is so once.
        for (;;) {
          try {
            await app.rooms.broadcast(fleet.at({ id: String(room) }), 'tick', { id }, { idempotencyKey: id })
            calls.push({ room, id, from: start, to: Date.now() })
            return
          } catch {
            await sleep(100)
          }
        }
      }))
      await sleep(every)
    }
  }

  process.on('message', (said: Order) => {
    order.abort()
    order = new AbortController()
    if (said.type === 'publish') publishing = publish(said.from, said.every)
    else if (said.type === 'rest') {
      void publishing.then(() => {
        tell({ type: 'rests', calls })
        calls = []
      })
    } else {
      void app.rooms.history(fleet.at({ id: String(said.room) }), { limit: 100_000 })
        .then(({ events }) => { tell({ type: 'history', room: said.room, ids: events.map(({ data }) => (data as { id: string }).id) }) })
    }
  })
  process.on('disconnect', () => process.exit(0))
  tell({ type: 'port', port: (app.server.address() as AddressInfo).port })
}

const [, , url, connections = '20'] = process.argv
if (process.send !== undefined && url !== undefined && /^(redis|nats):/.test(url)) await serve(url, Number(connections))
