import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { REALTIME_ERR_PLUGIN } from '../errors/misuse.js'
import { DEFAULTS } from '../options/defaults.js'
import type { RealtimeOptions } from '../types/options.js'
import { checkOwnWebsocket } from './own-websocket.js'

/**
 * Warns of an old ws: the smallest version that this plugin is safe on is 8.23.0, which bounds the pongs that a flood
 * of pings makes it keep.
 */
function checkWs (app: FastifyInstance): void {
  // The types of ws leave out the options that a server keeps.
  const { options } = app.websocketServer as unknown as { options?: { maxPendingAutoPongs?: number } }
  if (options !== undefined && options.maxPendingAutoPongs === undefined) {
    app.log.warn('@fastify/websocket uses a ws older than 8.23.0, which has known denial-of-service faults; update it')
  }
}

/**
 * Refuses names that are taken: @fastify/jwt would throw an exception that no code can catch, and this error names the
 * way out.
 */
function checkJwtNames (
  app: FastifyInstance,
  { namespace, decoratorName = 'user' }: { namespace?: string, decoratorName?: string }
): void {
  const instead =
    'give authenticate: (request, token) => user, which may call the app\'s own verification, and no options.jwt'
  if (namespace !== undefined) {
    throw new REALTIME_ERR_PLUGIN(
      `options.jwt.namespace hides the verification from this plugin; remove it, or ${instead}`
    )
  }
  if (app.hasPlugin('@fastify/jwt') || app.hasDecorator('jwt')) {
    throw new REALTIME_ERR_PLUGIN(
      `options.jwt is given, but the app has a namespaced @fastify/jwt, beside which another cannot be registered; ${instead}`
    )
  }
  if (app.hasRequestDecorator(decoratorName)) {
    throw new REALTIME_ERR_PLUGIN(
      `options.jwt is given, but request.${decoratorName} is taken; set options.jwt.decoratorName to another name, or ${instead}`
    )
  }
}

/**
 * Registers @fastify/jwt and @fastify/websocket, where the app has not.
 *
 * @throws REALTIME_ERR_PLUGIN for registrations of the app that this plugin cannot use
 */
export async function registerDependencies (app: FastifyInstance, options: RealtimeOptions): Promise<void> {
  if (app.hasRequestDecorator('jwtVerify')) {
    if (options.jwt !== undefined) {
      throw new REALTIME_ERR_PLUGIN(
        'options.jwt is given, but the app has registered @fastify/jwt itself; remove options.jwt, or the app\'s registration'
      )
    }
  } else if (options.jwt !== undefined) {
    checkJwtNames(app, options.jwt as { namespace?: string, decoratorName?: string })
    const verify = { clockTolerance: DEFAULTS.tolerance, ...(options.jwt as { verify?: object }).verify }
    const { default: fastifyJwt } = await import('@fastify/jwt')
    // Its options are a union by the kind of secret, which a copy of them is no member of.
    await app.register(fastifyJwt, { ...options.jwt, verify } as never)
  } else if (options.authenticate === undefined) {
    throw new REALTIME_ERR_PLUGIN(
      'nothing can verify a credential: give jwt: { secret }, register @fastify/jwt (without namespace) before this plugin, or give authenticate: (request, token) => user'
    )
  }
  if (app.hasDecorator('websocketServer')) {
    if (options.websocket !== undefined) {
      throw new REALTIME_ERR_PLUGIN(
        'options.websocket is given, but the app has registered @fastify/websocket itself; remove options.websocket, or the app\'s registration'
      )
    }
    checkOwnWebsocket(app)
  } else await app.register(fastifyWebsocket, options.websocket ?? {})
  checkWs(app)
}
