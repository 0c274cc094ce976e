import type { FastifyReply } from 'fastify'

/** Headers of every answer of a room's URL, which differs for each caller. */
export const ANSWER_HEADERS = { 'cache-control': 'no-store', vary: 'Accept, Origin, Authorization' } as const

/** The `Vary` of an answer, together with that of the app's hooks. */
export function varied (reply: FastifyReply): string {
  const own = reply.getHeader('vary')
  return own === undefined ? ANSWER_HEADERS.vary : `${String(own)}, ${ANSWER_HEADERS.vary}`
}
