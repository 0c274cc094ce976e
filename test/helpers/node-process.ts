/**
 * A node as a process of its own, for a test that kills it: `fork(this file, [url of redis or nats, connections of one
 * user])`. It tells its port.
 */
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import realtime, { defineRoom } from '../../lib/index.js'

export const SECRET = 'nodes'
/** A room for one. */
export const single = defineRoom('single/:id', {})

/** What the node says when it listens. */
export interface Ready { readonly port: number }

async function serve (url: string, connections: number): Promise<void> {
  const app = Fastify({ logger: false, forceCloseConnections: true })
  await app.register(realtime, {
    jwt: { secret: SECRET },
    adapter: url.startsWith('nats:') ? nats({ url }) : redis({ url }),
    limits: { user: { connections, then: 'reject' } },
    presence: { grace: 5_000 }
  })
  app.room(single, { capacity: 1 })
  await app.listen({ port: 0, host: '127.0.0.1' })
  process.on('disconnect', () => process.exit(0))
  process.send!({ port: (app.server.address() as AddressInfo).port } satisfies Ready)
}

const [, , url, connections = '20'] = process.argv
if (process.send !== undefined && url !== undefined && /^(redis|nats):/.test(url)) await serve(url, Number(connections))
