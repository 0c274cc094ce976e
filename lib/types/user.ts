import type { FastifyRequest } from 'fastify'

/**
 * Says once what a user is:
 * `declare module 'fastify-realtime' { interface RealtimeTypes { user: Ada } }`. Without it a user is what @fastify/jwt
 * says that `request.user` is.
 */
export interface RealtimeTypes { }

/** The user of a connection: what `authenticate` returns, or what the verified token says. */
export type User = RealtimeTypes extends {
  /** what the application declares a user to be */
  user: infer U
} ? U : FastifyRequest['user']
