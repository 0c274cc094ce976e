import type { AddressInfo } from 'node:net'
import fastifyJwt from '@fastify/jwt'
import { fastifySSE, type SSEReplyInterface } from '@fastify/sse'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { fastifyOf } from './fastify.js'
import type { PeerServer } from './peer.js'
import { Replies } from './replies.js'

interface Query { readonly room?: string | string[] }

/** Server-Sent Events by @fastify/sse, each event serialised once. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const replies = new Replies<SSEReplyInterface>()
  const app = fastifyOf(config)
  await app.register(fastifyJwt, { secret: SECRET })
  await app.register(fastifySSE, { serializer: (text) => text as string })
  app.get<{ Querystring: Query }>('/ws', {
    sse: 'only',
    preValidation: async (request) => { await request.jwtVerify() }
  }, async (request, reply) => {
    reply.sse.keepAlive()
    await reply.sse.send({ event: 'welcome', data: '{}' })
    reply.sse.onClose(replies.enter(reply.sse, [request.query.room ?? []].flat()))
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    port: (app.server.address() as AddressInfo).port,
    broadcast (room, data) {
      const text = JSON.stringify({ room, data })
      for (const sse of replies.of(room)) if (sse.isConnected) void sse.send({ event: 'said', data: text })
    }
  }
}
