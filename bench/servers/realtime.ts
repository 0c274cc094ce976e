import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { DEFLATE, type PeerServer } from './peer.js'

const Data = Type.Object({ at: Type.String(), text: Type.String({ maxLength: 2_000 }) })
const room = defineRoom('room/:id', { messages: { say: Data }, events: { said: Data } })

/** fastify-realtime with its defaults: history, ledger, idempotent messages; limits lifted so that none is measured. */
export async function start ({ compression, flush, presence }: ServerConfig): Promise<PeerServer> {
  const app = fastify()
  await app.register(realtime, {
    jwt: { secret: SECRET },
    capacity: 100_000,
    limits: { rate: { messages: 1_000_000, burst: 1_000_000 } },
    compression: compression && { threshold: DEFLATE.threshold }
  })
  app.room(room, {
    presence,
    flush,
    on: { async say ({ data, room }) { await room.broadcast('said', data) } }
  })
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
