import type { FastifyReply } from 'fastify'

/**
 * Sends JSON as it is: serializers and `preSerialization` hooks of the app are for the app's own answers, and would
 * change what clients read.
 */
export function sendJson (reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(value))
}
