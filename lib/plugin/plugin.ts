import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { AppRooms } from '../app/app-rooms.js'
import { decorateRoom } from '../app/declare-room.js'
import { declareReplyBroadcast } from '../app/reply-broadcast.js'
import { declareReplyPosition } from '../app/reply-position.js'
import { createPrefix } from '../endpoint/prefix.js'
import { REALTIME_ERR_PLUGIN } from '../errors/misuse.js'
import { resolveOptions } from '../options/resolve.js'
import { loadInterpreter } from '../protocol/validate.js'
import type { RealtimeOptions } from '../types/options.js'
import { registerDependencies } from './dependencies.js'
import { createFoundation } from './foundation.js'
import { RealtimeNode } from './node.js'
import { registerRoutes } from './routes.js'

const plugin: FastifyPluginAsync<RealtimeOptions> = async (app, options) => {
  if (app.hasDecorator('rooms')) {
    if (!(app.rooms instanceof AppRooms)) {
      throw new REALTIME_ERR_PLUGIN('app.rooms is decorated by the app or another plugin; give that decorator another name')
    }
    throw new REALTIME_ERR_PLUGIN('fastify-realtime is registered twice in this app; register it once, at the root')
  }
  const settings = resolveOptions(options)
  const prefix = await createPrefix(app, settings.prefix)
  await registerDependencies(app, options)
  await loadInterpreter()
  const api = options.api === undefined ? undefined : await import('../server-api/server-api.js')
  const node = new RealtimeNode(createFoundation(app, options, settings, prefix), api?.ServerApi)
  const { hub, auth, readiness } = node.core

  app.decorate('rooms', node.rooms)
  decorateRoom(app, { declarations: hub.declarations, adapter: node.foundation.adapter, settings, readiness })
  declareReplyBroadcast(app, hub, {
    userIdOf: (request) => auth.userIdOf(request),
    readiness,
    failures: node.foundation.failures
  })
  declareReplyPosition(app, hub, readiness)
  await registerRoutes(app, node)

  app.addHook('onReady', async () => { await node.start() })
  app.addHook('onListen', async () => { node.listens() })
  app.addHook('preClose', async () => { await node.drain() })
  app.addHook('onClose', async () => { await node.stop() })
}

export default fp(plugin, { fastify: '^5.0.0', name: 'fastify-realtime' })
