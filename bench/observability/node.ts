import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'
import { SECRET } from '../shared/token.js'
import { Crowd } from './crowd.js'

export const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ ok: Type.Boolean() }) } },
  events: { said: Type.Object({ text: Type.String() }) }
})

const EVENT = { text: 'an event of about a hundred bytes, which is what most applications send: an order, a price, a line' }
/** Speakers that send one message after the other. */
const SPEAKERS = 40

/** A loop whose cost is measured for each message. */
export interface Loop {
  readonly title: string
  readonly members: number
  readonly rooms: number
  /** Does so many messages, up to the last delivery. */
  run (node: Measured, messages: number): Promise<void>
  /** Messages of one slice. */
  readonly slice: number
}

/** The loops of `npm run bench` that messages go through: single events to many, and a chat that is spoken in. */
export const LOOPS: readonly Loop[] = [
  {
    title: 'W1: single events to 500 members',
    members: 500,
    rooms: 1,
    slice: 60,
    async run ({ app, crowd, loop }, messages) {
      for (let each = 0; each < messages; each++) {
        const heard = crowd.ask({ ask: 'await', events: loop.members })
        await app.rooms.broadcast('chat/0', 'said', EVENT)
        await heard
      }
    }
  },
  {
    title: `W3: chat, 50 rooms of 10, ${SPEAKERS} speaking, ingest and acks included`,
    members: 500,
    rooms: 50,
    slice: 2_000,
    async run ({ crowd, loop }, messages) {
      await crowd.ask({ ask: 'speak', messages: messages / SPEAKERS, speakers: SPEAKERS })
      await crowd.ask({ ask: 'await', events: messages * loop.members / loop.rooms })
    }
  }
]

/** A node with its members. */
export interface Measured { readonly app: FastifyInstance, readonly crowd: Crowd, readonly loop: Loop }

export async function startNode (loop: Loop): Promise<Measured> {
  const app = Fastify()
  await app.register(realtime, {
    jwt: { secret: SECRET },
    limits: { rate: { messages: 1_000_000, burst: 1_000_000 } }
  })
  app.room(chat, {
    presence: true,
    on: {
      async say ({ data, room }) {
        await room.broadcast('said', data)
        return { ok: true }
      }
    }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const crowd = new Crowd()
  const { port } = app.server.address() as AddressInfo
  await crowd.ask({ ask: 'connect', port, members: loop.members, rooms: loop.rooms })
  return { app, crowd, loop }
}
