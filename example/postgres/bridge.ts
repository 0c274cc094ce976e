import pg from 'pg'
import { createPublisher } from 'fastify-realtime'
import { bridge } from 'fastify-realtime/bridge'
import { redis } from 'fastify-realtime/redis'
import { orders } from '../bridges/rooms.js'
import { Outbox } from './outbox.js'

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.on(signal, () => { stop.abort() })

const publisher = await createPublisher({ adapter: redis({ url: process.env.REDIS_URL! }), rooms: [orders] })
const client = new pg.Client({ connectionString: process.env.DATABASE_URL!, application_name: 'bridge' })
// Without its connection it has no lock any more: whoever supervises it starts it again.
client.on('error', (error) => { throw error })
await client.connect()

const outbox = new Outbox(client)
await bridge(publisher, outbox.rows(stop.signal), ({ id, room, event, data }) => ({
  room, event, data, idempotencyKey: `outbox/${id}`
}), {
  signal: stop.signal,
  commit: async (row, more) => { await outbox.remove(row, more) },
  // In earnest: to a table of its own.
  onRefused: ({ id }, error) => { console.error(`outbox ${id}: ${String(error)}`) }
})
await client.end()
await publisher.close()
process.exit()
