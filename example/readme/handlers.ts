import type { FastifyInstance } from 'fastify'
import { game } from './rooms.js'
import './types.js'

export function declareGames (app: FastifyInstance): void {
  app.room(game, {
    capacity: 50,
    authorize: ({ user, params }) => user.rooms.includes(params.id),
    presence: ({ user }) => ({ name: user.name }),
    onJoin ({ connection, resumed }) {
      if (!resumed) connection.send('clock', { player: 'white', left: 300 })   // to this connection alone
    },
    on: {
      async move ({ data, params, userId, room, log }) {
        if (data.from === data.to) {
          throw Object.assign(new Error('that is no move'), { statusCode: 422, code: 'no_move' })
        }
        log.debug({ game: params.id }, 'a move')
        await room.broadcast('moved', { ...data, by: userId })
        return { turn: 1 }
      },
      async type ({ userId, room }) {
        await room.broadcast('typing', { by: userId }, { except: { user: userId } })   // in no tab of the typist
      }
    }
  })
}
