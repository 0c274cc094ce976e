import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import realtime, { type RealtimeOptions } from 'fastify-realtime'
import { desk, talk } from './rooms.js'

export interface Line { readonly id: number, readonly by: string, readonly text: string }

/** Your database. */
export interface Talks {
  mayRead (user: string, talk: string): Promise<boolean>
  isAgent (user: string): Promise<boolean>
  customers (): Promise<string[]>
  newest (talk: string, count: number): Promise<Line[]>
  marks (talk: string): Promise<Record<string, number>>
  /**
   * Stores the larger one of the mark that is there and this one, and returns it:
   * insert into mark (talk, reader, up_to) values ($1, $2, $3)
   * on conflict (talk, reader) do update set up_to = greatest(mark.up_to, excluded.up_to) returning up_to
   */
  mark (talk: string, reader: string, upTo: number): Promise<number>
}

/** @param options of this plugin, such as the secret of the tokens */
export async function build (talks: Talks, options: RealtimeOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify()
  // As the hooks tell it: whose connection was lost is online until `onOffline` comes.
  const isOnline = (user: string): Promise<boolean> => app.rooms.isOnline(user, { grace: true })
  // What is so now, and asked again behind it: two hooks of one user may run at the same time.
  const tellDesk = async ({ userId: user }: { userId: string }): Promise<void> => {
    if (await talks.isAgent(user)) return
    let told: boolean
    do {
      told = await isOnline(user)
      await app.rooms.broadcast(desk, 'online', { user, isOnline: told })
    } while (told !== await isOnline(user))
  }
  await app.register(realtime, { ...options, onOnline: tellDesk, onOffline: tellDesk })

  app.room(talk, {
    authorize: ({ userId, params }) => talks.mayRead(userId, params.id),
    on: {
      async see ({ data, userId, params, room }) {
        // Tabs and devices read in their own order: a mark never goes back.
        const upTo = await talks.mark(params.id, userId, data.upTo)
        await room.broadcast('seen', { by: userId, upTo })
      }
    }
  })
  app.room(desk, { authorize: ({ userId }) => talks.isAgent(userId) })

  const onRequest = async (request: FastifyRequest): Promise<void> => { await request.jwtVerify() }

  app.get<{ Params: { id: string } }>('/talks/:id', { onRequest }, async ({ params, user }, reply) => {
    if (!await talks.mayRead((user as { sub: string }).sub, params.id)) return await reply.code(403).send()
    await reply.position(talk.at(params))               // first the position, then the lines and the marks
    return { lines: await talks.newest(params.id, 100), marks: await talks.marks(params.id) }
  })

  app.get('/desk', { onRequest }, async ({ user }, reply) => {
    if (!await talks.isAgent((user as { sub: string }).sub)) return await reply.code(403).send()
    await reply.position(desk)                          // first the position, then who is there
    const customers = await talks.customers()
    const there = await Promise.all(customers.map(isOnline))
    return customers.filter((_, at) => there[at])
  })
  return app
}
