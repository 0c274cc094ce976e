import { randomBytes, randomUUID } from 'node:crypto'
import { Type, type Static } from '@sinclair/typebox'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import realtime from 'fastify-realtime'
import { answer as ask } from './model.js'
import { assistant } from './rooms.js'

const HOUR = 3_600_000
/** Seconds that a token lasts; the page renews it by itself. */
const TOKEN_LIFE = 300

const Visitor = Type.Object({ chat: Type.String({ pattern: '^[a-z0-9-]{8,40}$' }) })
const Answer = Type.Object({ chat: Type.String({ maxLength: 40 }), answer: Type.String({ maxLength: 64 }) })

/** Whether a text has ended on purpose: somebody pressed stop, or the server closes. That is no failure. */
function isWanted (reason: unknown): boolean {
  return reason instanceof Error && (reason.name === 'AbortError' || ('code' in reason && reason.code === 'draining'))
}

/** An assistant whose answers outlive links, reloads and tabs: a login, one room for each conversation. */
export async function buildApp (options: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify(options)

  await app.register(realtime, {
    // Of this process only: tokens end with it.
    jwt: { secret: randomBytes(32).toString('hex') }
  })

  app.room(assistant, {
    history: { size: 100, ttl: HOUR },
    append: { ttl: HOUR },
    authorize: ({ userId, params }) => userId === params.id,
    on: {
      async ask ({ data, room, log }) {
        const id = randomUUID()
        const writer = await room.stream('answer', { id })
        try {
          await room.broadcast('asked', { answer: id, question: data.question })
        } catch (error) {
          writer.end({ error: { code: 'not_asked', message: 'the question was not told' } }).catch(() => undefined)
          throw error                                    // nothing may be left that grows
        }
        // The answer goes on when the one who asked has gone. The signal is aborted by a stop, and by a failure, too.
        writer.from(ask(data.question, writer.signal))
          .then(() => writer.end())
          .catch((error: unknown) => {
            const reason: unknown = writer.signal.reason ?? error
            if (!isWanted(reason)) log.error(reason, 'an answer has failed')
          })
        return { answer: id }
      },
      async stop ({ data, room }) { await room.cancel('answer', data.answer) }
    }
  })

  // A demo without passwords: whoever knows the name of a conversation may read it.
  app.post<{ Body: Static<typeof Visitor> }>('/login', { schema: { body: Visitor } }, async ({ body }) => {
    return { token: app.jwt.sign({ sub: body.chat }, { expiresIn: TOKEN_LIFE }) }
  })

  // The same stop by REST, for what has no page.
  app.delete<{ Params: Static<typeof Answer> }>('/chats/:chat/answers/:answer', {
    schema: { params: Answer },
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ params, user }, reply) => {
    if ((user as { sub: string }).sub !== params.chat) return await reply.code(403).send()
    await app.rooms.cancel(assistant.at({ id: params.chat }), 'answer', params.answer)
    return await reply.code(204).send()
  })

  return app
}
