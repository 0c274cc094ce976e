import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Answers } from './database.js'
import { assistant } from './rooms.js'

/** Milliseconds between two saves of an answer that grows, and between two looks for those that nobody writes. */
const SAVE = 1_000
const LOOK = 60_000
/** Milliseconds that a writer may be silent, before its text ends by itself. */
const TTL = 600_000

type Model = (question: string, signal: AbortSignal) => AsyncIterable<string>

/** Whether a text has ended on purpose: somebody pressed stop, or the server closes. That is no failure. */
function isWanted (reason: unknown): boolean {
  return reason instanceof Error && (reason.name === 'AbortError' || ('code' in reason && reason.code === 'draining'))
}

/** Call it behind the registration of the plugin: hooks of `onClose` run in reverse order, and it needs `app.rooms`. */
export function declareAssistant (app: FastifyInstance, answers: Answers, model: Model): void {
  const answering = new Set<string>()                  // users, each with one answer at a time
  const growing = new Map<string, Promise<void>>()     // by the id of the answer, from before its row to behind its end

  app.room(assistant, {
    append: { ttl: TTL },
    authorize: ({ userId, params }) => userId === params.id,
    on: {
      async ask ({ data: { question }, userId, room, log }) {
        if (answering.has(userId)) {
          throw Object.assign(new Error('One answer after the other.'), { statusCode: 409, code: 'answering' })
        }
        answering.add(userId)
        const id = randomUUID()
        growing.set(id, Promise.resolve())                              // `look` leaves its row alone
        const fail = (error: unknown): void => { log.error({ err: error, answer: id }, 'an answer was not saved') }
        try {
          await answers.insert({ id, user: userId, question })          // first the database,
          const writer = await room.stream('answer', { id })            // then the text and the event
          try {
            await room.broadcast('asked', { answer: id, question })
          } catch (error) {                                             // nothing may be left that grows
            writer.end({ error: { code: 'not_asked', message: 'the question was not told' } }).catch(fail)
            throw error
          }
          const saved = async function * (): AsyncGenerator<string> {
            let text = ''
            let at = Date.now()
            for await (const part of model(question, writer.signal)) {
              text += part
              yield part
              if (Date.now() - at < SAVE) continue
              await answers.save(id, text).catch(fail)                  // the next one has this one in it
              at = Date.now()
            }
          }
          growing.set(id, writer.from(saved())
            .then(() => writer.end())
            .catch((error: unknown) => {
              const reason: unknown = writer.signal.reason ?? error
              if (!isWanted(reason)) log.error(reason, 'an answer has failed')
            })
            .then(async () => {
              answering.delete(userId)                                  // the readers have the end: the user may go on,
              const kept = await app.rooms.read(assistant.at({ id: userId }), 'answer', id)
              if (kept?.end !== undefined) await answers.save(id, kept.data.text, kept.end)   // however long this takes
            })
            .catch(fail)
            .finally(() => { growing.delete(id) }))
          return { answer: id }
        } catch (error) {
          answering.delete(userId)
          growing.delete(id)                                            // `look` closes the row, where there is one
          throw error
        }
      },
      async stop ({ data, room }) { await room.cancel('answer', data.answer) }
    }
  })

  /** Closes rows that nobody writes any more: with what the room has of them, or else as lost. */
  const look = async (): Promise<void> => {
    for (const { id, user, text, savedAt } of await answers.open()) {
      if (growing.has(id)) continue
      const room = assistant.at({ id: user })
      const kept = await app.rooms.read(room, 'answer', id)
      // One without an end may be written by another node, or its writer has just died.
      if (kept !== undefined && kept.end === undefined && Date.now() - savedAt < TTL) continue
      await answers.save(id, kept?.data.text ?? text, kept?.end ?? 'lost')
      await app.rooms.broadcast(room, 'closed', { answer: id })   // a page that has loaded the row before loads again
    }
  }
  const looked = (): void => { look().catch((error: unknown) => { app.log.error(error) }) }
  let timer: NodeJS.Timeout | undefined
  app.addHook('onReady', async () => {
    timer = setInterval(looked, LOOK).unref()
    looked()
  })
  app.addHook('onClose', async () => {
    clearInterval(timer)
    await Promise.all(growing.values())                // the texts have ended with `draining`, and are being saved
  })

  app.get('/answers', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ user }, reply) => {
    const { sub } = user as { sub: string }
    await reply.position(assistant.at({ id: sub }))    // first the position, then the database
    return await answers.newest(sub, 100)
  })
}
