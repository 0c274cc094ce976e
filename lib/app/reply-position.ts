import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Readiness } from '../admission/readiness.js'
import { REALTIME_ERR_NOT_READY, REALTIME_ERR_ROOM } from '../errors/misuse.js'
import type { Position } from '../protocol/position.js'
import type { Hub } from '../rooms/hub.js'
import { nameOf } from '../rooms/room-name.js'

/** Positions of the rooms whose state an answer holds: `<room> <epoch>:<offset>`, joined by commas. */
export const POSITION_HEADER = 'x-realtime-position'

/**
 * `reply.position`: says up to which event of a room an answer holds its state, so that a client that loads it hears
 * what follows, and nothing twice.
 */
export function declareReplyPosition (app: FastifyInstance, hub: Hub, readiness: Readiness): void {
  app.decorateReply('position', async function (this: FastifyReply, room: unknown): Promise<Position> {
    if (!readiness.isServing) throw new REALTIME_ERR_NOT_READY('reply.position works from onReady until close')
    const name = nameOf(room)
    const { top } = await hub.history(name, undefined, 0)
    if (top.epoch === '') {
      throw new REALTIME_ERR_ROOM(
        `"${name}" keeps no history, so it has no position; declare the room with history, and an adapter that keeps it`
      )
    }
    const others = String(this.getHeader(POSITION_HEADER) ?? '').split(',')
      .filter((other) => other !== '' && !other.startsWith(`${name} `))
    this.header(POSITION_HEADER, [...others, `${name} ${top.epoch}:${top.offset}`].join())
    return top
  })
}
