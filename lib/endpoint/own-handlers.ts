import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Upgrade } from '../transports/websocket.js'

/**
 * Makes upgrades go through the handlers of some routes: those that `onRoute` hooks of the app have put around the
 * plugin's own, and then that one. @fastify/websocket puts one around it too, which completes every upgrade and so
 * passes by what an app checks there; it lets a request pass whose socket it does not see.
 *
 * It is called before the routes are declared, so that its hook is the last of all.
 *
 * @param isOurs whether a route, by its URL without the prefix, completes upgrades itself
 */
export function handleUpgrades (
  scope: FastifyInstance,
  upgradeOf: (request: FastifyRequest) => Upgrade | undefined,
  isOurs: (path: string) => boolean
): void {
  scope.addHook('onRoute', (route) => {
    if (route.method !== 'GET' || !isOurs(route.routePath)) return
    const { handler } = route
    route.handler = function (request, reply) {
      if (!request.ws) return handler.call(this, request, reply)
      const upgrade = upgradeOf(request)
      if (upgrade !== undefined) {
        hide(request, reply, upgrade)
        return handler.call(this, request, reply)
      }
      // The peer has gone.
      void reply.hijack()
    }
  })
}

/** Hides the socket of an upgrade that @fastify/websocket keeps with the request, until the request is answered. */
function hide ({ raw }: FastifyRequest, { raw: response }: FastifyReply, { socket }: Upgrade): void {
  const kept = raw as unknown as Record<symbol, unknown>
  const key = Object.getOwnPropertySymbols(kept).find((symbol) => kept[symbol] === socket)
  if (key === undefined) return
  kept[key] = undefined
  const show = (): void => { kept[key] = socket }
  // The hook of @fastify/websocket that ends the socket of a refused upgrade comes next.
  response.prependOnceListener('finish', show)
  response.prependOnceListener('error', show)
}
