import { createGateway, resolveConfig, type GatewayConfig } from 'fastify-realtime/gateway'
import type { ServerConfig } from '../shared/messages.js'
import { SECRET } from '../shared/token.js'
import { DEFLATE, type PeerServer } from './peer.js'
import { served } from './served.js'

const DATA = {
  type: 'object',
  properties: { at: { type: 'string' }, text: { type: 'string', maxLength: 2_000 } },
  required: ['at', 'text']
}
const RATE = { messages: 1_000_000, burst: 1_000_000 }

type Room = GatewayConfig['rooms'][string]

/** The rooms of the benchmark, served by a config; limits are lifted so that none is measured. */
export async function startGateway (
  { compression, flush, presence }: ServerConfig,
  say: object,
  more: { readonly room?: Partial<Room>, readonly config?: Partial<GatewayConfig> } = {}
): Promise<PeerServer> {
  const config: GatewayConfig = {
    jwt: { secret: SECRET },
    capacity: 100_000,
    limits: { rate: RATE },
    log: { level: 'silent' },
    ...(compression ? { compression: { threshold: DEFLATE.threshold } } : {}),
    ...more.config,
    rooms: {
      'room/:id': { presence, flush, messages: { say: { data: DATA, ...say } }, events: { said: { data: DATA } }, ...more.room }
    }
  }
  const app = await createGateway(resolveConfig(config, { env: {}, directory: '.' }))
  return await served(app)
}
