import fastify, { type FastifyInstance } from 'fastify'
import type { ServerConfig } from '../shared/messages.js'
import { readCertificate } from './certificate.js'

/** An app without a log, with TLS where it is asked for. */
export function fastifyOf ({ certificate }: ServerConfig): FastifyInstance {
  return certificate === undefined
    ? fastify()
    : fastify({ https: readCertificate(certificate) }) as unknown as FastifyInstance
}
