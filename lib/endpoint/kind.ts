import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Kind } from '../admission/query.js'
import { Refusal } from '../errors/refusal.js'
import { Exchanges } from './exchanges.js'

/** Tells what a request to a room's URL asks for. */
export function kindOf (request: FastifyRequest): Kind {
  if (request.ws) return 'websocket'
  if (request.method === 'POST') return 'uplink'
  const { verdict, transport } = request.query as { verdict?: unknown, transport?: unknown }
  if (request.method === 'HEAD' || verdict === '1') return 'verdict'
  if (transport === 'sse') return 'sse'
  return transport !== 'polling' && /(^|,)\s*text\/event-stream\s*(;|,|$)/i.test(request.headers.accept ?? '')
    ? 'sse'
    : 'polling'
}

/**
 * Refuses a WebSocket of which a proxy has made a plain GET. Nobody would read what is answered to it as a poll, which
 * would take a slot and show its user as present until `presence.grace` is over.
 */
export function checkNoLostUpgrade ({ headers }: FastifyRequest): void {
  if (headers['sec-websocket-key'] === undefined) return
  throw new Refusal('protocol', {
    message: 'a WebSocket came without its headers Upgrade and Connection',
    why: { fix: 'let the proxy in front of the app pass both headers on' }
  })
}

/**
 * Refuses a stream or poll that is pipelined. It is answered late or never; behind another answer on one socket it
 * would hold its slots as long, without being served.
 */
export function checkOwnTurn ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (Exchanges.isBehind(raw, reply.raw)) {
    throw new Refusal('protocol', {
      message: 'a stream or a poll waits for no other answer on its connection (HTTP pipelining)'
    })
  }
}
