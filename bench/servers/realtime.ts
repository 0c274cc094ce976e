import { Type } from '@sinclair/typebox'
import realtime, { defineRoom } from 'fastify-realtime'
import type { Adapter } from 'fastify-realtime/adapter'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { fastifyOf } from './fastify.js'
import { DEFLATE, type PeerServer } from './peer.js'
import { served } from './served.js'

const Data = Type.Object({ at: Type.String(), text: Type.String({ maxLength: 2_000 }) })
export const room = defineRoom('room/:id', { messages: { say: Data }, events: { said: Data } })

/** fastify-realtime with its defaults: history, ledger, idempotent messages; limits lifted so that none is measured. */
export async function start (config: ServerConfig): Promise<PeerServer> { return await serveRealtime(config) }

/** @param adapter by default the one that is embedded */
export async function serveRealtime (config: ServerConfig, adapter?: Adapter): Promise<PeerServer> {
  const { compression, flush, presence, heartbeat } = config
  const app = fastifyOf(config)
  await app.register(realtime, {
    jwt: { secret: SECRET },
    ...(adapter === undefined ? {} : { adapter }),
    capacity: 100_000,
    limits: { rate: { messages: 1_000_000, burst: 1_000_000 } },
    compression: compression && { threshold: DEFLATE.threshold },
    ...(heartbeat === undefined ? {} : { heartbeat })
  })
  app.room(room, {
    presence,
    flush,
    on: { async say ({ data, room }) { await room.broadcast('said', data) } }
  })
  return await served(app)
}
