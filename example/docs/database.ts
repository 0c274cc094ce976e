import type { FastifyInstance } from 'fastify'
import { Refusal } from 'fastify-realtime'
import { defineRoom, integer, object, string } from 'fastify-realtime/contract'
import type { Pool } from 'pg'

export const auction = defineRoom('auctions/:id', {
  messages: { bid: { data: object({ amount: integer({ minimum: 1 }) }), reply: object({ amount: integer() }) } },
  events: { raised: object({ by: string(), amount: integer() }) }
})

export function declareAuctions (app: FastifyInstance, pool: Pool): void {
  app.room(auction, { // no `authorize`: every signed-in user may join
    on: {
      async bid ({ data, params, userId, messageId, room, log }) {
        // One statement is a transaction by itself. `messageId` is the same when the message is sent again.
        const raised = await pool.query(
          `update auctions set amount = $2, bidder = $3, bid = $4
           where id = $1 and (amount < $2 or bid = $4) returning amount`,
          [params.id, data.amount, userId, messageId]
        ).catch((error: unknown) => {
          log.error(error)
          throw new Refusal('unavailable', { retryAfter: 1_000 })   // the client sends it again by itself
        })
        if (raised.rowCount === 0) {
          throw Object.assign(new Error('somebody has bid more'), { statusCode: 409, code: 'too_low' })
        }
        await room.broadcast('raised', { by: userId, amount: data.amount })   // behind the commit
        return { amount: data.amount }
      }
    }
  })
}
