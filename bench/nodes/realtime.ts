import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { redis } from 'fastify-realtime/redis'
import { SECRET } from '../shared/token.js'
import type { NodePeer } from './peer.js'

const room = defineRoom('room/:id', {
  events: { said: Type.Object({ at: Type.String(), by: Type.String(), text: Type.String() }) }
})

/** fastify-realtime with its defaults: history in Redis, offsets, ledger. */
export async function start (url: string): Promise<NodePeer> {
  const app = fastify()
  await app.register(realtime, { jwt: { secret: SECRET }, capacity: 100_000, adapter: redis({ url }) })
  app.room(room)
  await app.listen({ host: '127.0.0.1', port: 0 })
  return {
    port: (app.server.address() as AddressInfo).port,
    packages: ['fastify-realtime', 'ioredis'],
    async broadcast (name, event) { await app.rooms.broadcast(name, 'said', event) }
  }
}
