import type { FastifyInstance, preParsingHookHandler } from 'fastify'
import { REALTIME_ERR_PLUGIN } from '../errors/misuse.js'

/** Fastify would wait for a body that other code has read until the client gives up, and nothing would be logged. */
const refuse: preParsingHookHandler = (_request, _reply, payload, done) => {
  const { readableEnded } = payload as { readableEnded?: boolean }
  if (readableEnded !== true) return done(null, payload)
  done(
    new REALTIME_ERR_PLUGIN(
      'other code has read the body of this request, as app.use(express.json()) does; give such a parser only to the routes that need it: app.post(path, express.json(), ...)'
    )
  )
}

/** Refuses requests of a scope whose bodies were read before its routes could; routes are registered after this. */
export function refuseReadBodies (scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    if (route.method === 'POST') route.preParsing = [...[route.preParsing ?? []].flat(), refuse]
  })
}
