import type { FastifyInstance } from 'fastify'
import { after } from '../../structures/timers.js'
import { listenFault } from '../check.js'
import { ConfigError } from '../config/faults.js'
import type { GatewaySettings } from '../config/resolve.js'
import { createGateway } from '../gateway.js'

/** Milliseconds beyond the drain after which the process ends in any case. */
const SPARE = 20_000
const DRAIN = 20_000

/**
 * Starts a gateway.
 *
 * @throws ConfigError where it cannot listen
 */
export async function serve (settings: GatewaySettings): Promise<FastifyInstance> {
  const app = await createGateway(settings)
  try {
    await app.listen(settings.listen)
    return app
  } catch (error) {
    await app.close()
    throw error instanceof ConfigError ? error : new ConfigError([listenFault(error, settings)])
  }
}

/**
 * Ends it in good order: connections leave one after another, backends hear of it.
 *
 * @param late called where that takes too long
 */
export async function stop (app: FastifyInstance, { config }: GatewaySettings, late: () => void): Promise<void> {
  const timer = after(late, (config.drain?.timeout ?? DRAIN) + SPARE)
  // While the app closes, Fastify answers every plain request with 503, polls among them.
  await app.rooms.drain()
  await app.close()
  clearTimeout(timer)
}
