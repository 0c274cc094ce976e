import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify'
import { Refusal } from '../errors/refusal.js'
import { httpError } from '../errors/http.js'
import type { UpgradeGuard } from './upgrade-guard.js'

const refusal = new Refusal('protocol', {
  message: 'this URL serves no WebSocket',
  as: { code: 'upgrade_refused', statusCode: 426 }
})
const body = JSON.stringify(httpError(refusal))

/**
 * Answers upgrades to the app's plain routes with 426. Otherwise @fastify/websocket completes them and then closes the
 * WebSocket, which a silent peer can drag out for half a minute. It holds for the routes declared after this call; of
 * earlier routes it cannot be told which serve WebSockets.
 *
 * @param isOurs routes that complete their upgrades themselves; by default all with `config.realtime`
 */
export function refusePlainUpgrades (
  fastify: FastifyInstance, guard: Pick<UpgradeGuard, 'upgradeOf'>, onRefused?: (
    refusal: Refusal,
    request: FastifyRequest
  ) => void,
  isOurs: (route: {
    readonly url: string
    readonly config?: { realtime?: unknown }
  }) => boolean = ({ config }) => config?.realtime === true
): void {
  const refuse: onRequestHookHandler = (request, reply, done) => {
    if (guard.upgradeOf(request.raw) === undefined) {
      done()
      return
    }
    onRefused?.(refusal, request)
    // The body is a string, so that no response schema of the route changes it. RFC 9110 15.5.22 asks for the protocol
    // that would be accepted.
    void reply.code(426).headers({
      connection: 'close, upgrade',
      upgrade: 'HTTP/1.1',
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store'
    }).send(body)
  }

  fastify.addHook('onRoute', (route) => {
    const { websocket, wsHandler } = route as { websocket?: boolean, wsHandler?: unknown }
    if (websocket === true || wsHandler !== undefined ||
      isOurs(route as { url: string, config?: { realtime?: unknown } })) {
      return
    }
    const own = route.onRequest === undefined ? [] : [route.onRequest].flat()
    // The HEAD route that Fastify derives from a GET route comes with the hooks of that route.
    if (!own.includes(refuse)) route.onRequest = [refuse, ...own]
  })
}
