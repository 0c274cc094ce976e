import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import * as v from 'valibot'
import * as z from 'zod'
import realtime, { defineRoom } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'

/** Declares a room `ai` with texts of this schema, by `id` in `text`. */
async function appOf (t: Test, data: object): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'texts' } })
  const events = { said: { data, delivery: 'append', key: 'id', append: 'text' } }
  // The type of a schema that is chosen at run time is not known here.
  app.room(defineRoom('ai', { events } as never), { flush: 1 })
  return app
}

/** What one who comes later gets of a text. */
async function written (app: FastifyInstance, head: object, chunks: unknown[]): Promise<unknown> {
  await app.ready()
  const writer = app.rooms.stream('ai', 'said', head)
  for (const chunk of chunks) await writer.write(chunk as string)
  await writer.end()
  const peer = await createPeer(app, { room: 'ai', token: app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 }) })
  const { data } = await peer.next('said')
  await peer.close()
  return data
}

t.test('a growing text has what its schema makes of the head and of each chunk', async (t) => {
  const app = await appOf(t, z.object({
    id: z.string().toLowerCase(),
    at: z.string().transform(Number).pipe(z.number()),
    text: z.string().toUpperCase()
  }))
  t.same(await written(app, { id: 'A', at: '7' }, ['ab', 'c']), { id: 'a', at: 7, text: 'ABC' })
})

t.test('a growing list has each item as its schema makes it', async (t) => {
  const app = await appOf(t, z.object({ id: z.string(), text: z.array(z.object({ n: z.number().default(1) })) }))
  t.same(await written(app, { id: 'a' }, [{}, { n: 2, more: 3 }]), { id: 'a', text: [{ n: 1 }, { n: 2 }] })
})

t.test('a schema that leaves the key out of the head is refused, so that no two texts are one', async (t) => {
  const app = await appOf(t, z.object({ text: z.string() }))
  await app.ready()
  await t.rejects(app.rooms.stream('ai', 'said', { id: 'a' }).write('x'), { code: 'REALTIME_ERR_EVENT', message: /"id"/ })
})

t.test('a schema that does not show what grows is refused at declaration', async (t) => {
  await t.rejects(appOf(t, v.object({ id: v.string(), text: v.string() })), {
    code: 'REALTIME_ERR_ROOM',
    message: /does not have, or does not show/
  })
})
