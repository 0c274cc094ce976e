import { randomBytes, randomUUID } from 'node:crypto'
import { convertToModelMessages, streamText, toUIMessageStream, type LanguageModel, type UIMessage } from 'ai'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import realtime from 'fastify-realtime'
import { pipe } from 'fastify-realtime/ai'
import { ai } from './rooms.js'

/** Whether a text has ended on purpose: somebody pressed stop, or the server closes. That is no failure. */
function isWanted (reason: unknown): boolean {
  return reason instanceof Error && (reason.name === 'AbortError' || ('code' in reason && reason.code === 'draining'))
}

/** The chats and their models: each user has one room, and its messages stand in for a database. */
export async function buildApp (model: LanguageModel, options: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify(options)
  await app.register(realtime, { jwt: { secret: randomBytes(32).toString('hex') } })   // tokens end with this process
  const chats = new Map<string, UIMessage[]>()
  /** Chats in which an answer grows. */
  const answering = new Set<string>()

  app.room(ai, {
    authorize: ({ userId, params }) => userId === params.id,
    on: {
      async ask ({ data, params, room, log }) {
        if (answering.has(params.id)) {
          throw Object.assign(new Error('One answer after the other.'), { statusCode: 409, code: 'answering' })
        }
        answering.add(params.id)
        const over = (): void => { answering.delete(params.id) }
        try {
          const id = randomUUID()
          const originalMessages = data.messages as UIMessage[]
          const messages = await convertToModelMessages(originalMessages)
          chats.set(params.id, originalMessages)
          const writer = await room.stream('answer', { id })
          const { stream } = streamText({
            model,
            messages,
            abortSignal: writer.signal,
            // An error that the model reports is a part of the answer, which the page is shown without its text.
            onError: ({ error }) => { log.error(error, 'the model has failed') }
          })
          const chunks = toUIMessageStream({
            stream,
            originalMessages,
            generateMessageId: () => id,
            onEnd: ({ messages }) => { chats.set(params.id, messages) }      // before the text ends
          })
          // Rejects where the stream of the model breaks, the text was stopped or could not be written.
          pipe(chunks, writer).catch((error: unknown) => {
            const reason: unknown = writer.signal.reason ?? error
            if (!isWanted(reason)) log.error(reason, 'an answer has failed')
          }).finally(over)
          return { answer: id }
        } catch (error) {
          over()
          throw error
        }
      },
      async stop ({ data, room }) { await room.cancel('answer', data.answer) }
    }
  })

  // A demo without passwords: each visitor is a user, who has one chat.
  app.post<{ Body: { chat: string } }>('/login', {
    schema: {
      body: {
        type: 'object', required: ['chat'], properties: { chat: { type: 'string', pattern: '^[a-z0-9-]{8,40}$' } }
      }
    }
  }, async ({ body }) => ({ token: app.jwt.sign({ sub: body.chat }, { expiresIn: '5m' }) }))

  app.get('/messages', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ user }) => chats.get((user as { sub: string }).sub) ?? [])

  return app
}
