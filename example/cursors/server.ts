import { randomBytes } from 'node:crypto'
import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { integer, number, object, string } from 'fastify-realtime/contract'
import { servePages } from '../pages.js'

const place = { x: number({ minimum: 0, maximum: 1 }), y: number({ minimum: 0, maximum: 1 }) }

const board = defineRoom('boards/:id', {
  messages: { point: object(place) },
  events: {
    // The newest place of each user, which ends with the user: by a leave, after the grace, or with the node.
    pointer: { data: object({ by: string(), ...place }), delivery: 'latest', key: 'by', owner: true }
  },
  member: object({ name: string(), hue: integer() })
})

const ANIMALS = ['Otter', 'Heron', 'Fox', 'Lynx', 'Wren', 'Badger', 'Moth', 'Seal']
const hueOf = (id: string): number => [...id].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7)

const app: FastifyInstance = Fastify({ logger: { level: process.env.LOG_LEVEL ?? 'warn' } })
await app.register(realtime, {
  jwt: { secret: randomBytes(32).toString('hex') },        // of this process only: tokens end with it
  presence: { grace: 1_000 }
})
app.room(board, { // no `authorize`: every signed-in user may join
  flush: 40,                                               // what several users point at leaves in one write
  presence: ({ userId }) => ({ name: ANIMALS[Math.floor(hueOf(userId) / 45)]!, hue: hueOf(userId) }),
  on: {
    async point ({ data, userId, room, sender }) {
      await room.broadcast('pointer', { by: userId, ...data }, { except: sender })
    }
  }
})

// A demo without passwords: each tab is a guest.
app.post('/guest', async () => {
  return { token: app.jwt.sign({ sub: `guest-${randomBytes(9).toString('hex')}` }, { expiresIn: '8h' }) }
})

await servePages(app, new URL('public/', import.meta.url), ['index.html', 'app.js', 'style.css'])
closeWithGrace({ delay: 30_000 }, async () => {
  await app.rooms.drain()
  await app.close()
})
const url = await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
console.log(`The board is at ${url}/ (open it in two windows)`)
