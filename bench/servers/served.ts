import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type {} from 'fastify-realtime'
import type { PeerServer } from './peer.js'

/** What the benchmark needs of an app with the plugin, which listens from now on. */
export async function served (app: FastifyInstance): Promise<PeerServer> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    port: (app.server.address() as AddressInfo).port,
    broadcast (name, data) { void app.rooms.broadcast(name, 'said', data) },
    async writes () {
      const { events } = await app.rooms.stats() as { events: { writes: number } }
      return events.writes
    }
  }
}
