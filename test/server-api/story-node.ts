/**
 * A node as a process of its own, for a story that kills it: `fork(this file, [url of redis, port])`. It says when it
 * is loaded, listens once it is told to, and says that too.
 */
import { once } from 'node:events'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { redis } from '../../lib/adapters/redis/adapter.js'
import realtime, { defineRoom } from '../../lib/index.js'

export const STORY_KEY = 'a-story-from-python'.padEnd(40, 'k')

const [, , url, port] = process.argv
if (process.send !== undefined && url?.startsWith('redis:') === true) {
  process.once('disconnect', () => process.exit(0))
  process.send('loaded')
  await once(process, 'message')
  const app = Fastify({ logger: false })
  await app.register(realtime, {
    jwt: { secret: 'story' },
    adapter: redis({ url }),
    history: { size: 20_000 },
    api: { keys: [{ key: STORY_KEY, name: 'python', rooms: ['tale/*'], may: ['publish', 'read'] }] }
  })
  app.room(defineRoom('tale/:id', { events: { told: Type.Object({ n: Type.Integer() }) } }))
  await app.listen({ port: Number(port), host: '127.0.0.1' })
  process.send('listens')
}
