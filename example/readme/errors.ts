import type { FastifyInstance } from 'fastify'

export function declareMoves (app: FastifyInstance): void {
  app.post<{ Body: { from: number, to: number } }>('/games/7/moves', {
    onRequest: async (request) => { await request.jwtVerify() }
  }, async ({ body, user, log }, reply) => {
    try {
      return await app.rooms.broadcast('games/7', 'moved', { ...body, by: (user as { sub: string }).sub })
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === 'unavailable') return await reply.code(503).send()     // the broker is away: a word of the codes
      if (code === 'REALTIME_ERR_EVENT') log.error(error)                 // the data does not fit: ours to mend
      throw error
    }
  })
}
