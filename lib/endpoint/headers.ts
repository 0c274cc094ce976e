import type { FastifyReply } from 'fastify'

/** Of every answer of a room's URL, which is each caller's own. */
export const ANSWER_HEADERS = { 'cache-control': 'no-store', vary: 'Accept, Origin, Authorization' } as const

/** What an answer varies by, in addition to what the app's hooks have set. */
export function varied (reply: FastifyReply): string {
  const own = reply.getHeader('vary')
  return own === undefined ? ANSWER_HEADERS.vary : `${String(own)}, ${ANSWER_HEADERS.vary}`
}
