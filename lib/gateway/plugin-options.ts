import type { Registry } from 'prom-client'
import { memory, type Adapter, type RealtimeOptions } from '../index.js'
import type { GatewaySettings } from './config/resolve.js'
import { verifyByKeySet } from './jwks.js'

/** Options of the plugin that a config says as they are. */
const SAME = [
  'prefix', 'auth', 'origins', 'capacity', 'heartbeat', 'compression', 'limits', 'history', 'presence', 'drain',
  'timeouts', 'sse', 'health'
] as const

/** Milliseconds that a key server may take. */
const AUTHENTICATION = 5_000

/** Makes the options of the plugin of a config. */
export async function pluginOptions (
  settings: GatewaySettings, register: Registry, adapter: Adapter
): Promise<RealtimeOptions> {
  const { config, verification, statsToken, api } = settings
  const same = Object.fromEntries(SAME.flatMap((name) => config[name] === undefined ? [] : [[name, config[name]]]))
  const { issuer, audience, algorithms } = verification
  const stats: RealtimeOptions['stats'] = config.stats === false
    ? false
    : { register, ...(statsToken === undefined ? {} : { token: statsToken }) }
  // What a backend answers is checked in production, too: it is another program.
  const options: RealtimeOptions = {
    ...same, adapter, stats, validateOutput: true, ...(api === undefined ? {} : { api })
  }
  if (verification.kind === 'jwks') {
    const timeout = config.timeouts?.authentication ?? AUTHENTICATION
    // What a user is, the application's types say, and a config has none.
    return { ...options, authenticate: await verifyByKeySet(verification, timeout) as never }
  }
  const verify = {
    ...(issuer === undefined ? {} : { allowedIss: issuer }),
    ...(audience === undefined ? {} : { allowedAud: audience }),
    ...(algorithms === undefined ? {} : { algorithms })
  }
  const secret = verification.kind === 'secret' ? verification.key : { public: verification.key }
  // The options of @fastify/jwt are a union by the kind of secret.
  return { ...options, jwt: { secret, verify } as never }
}

/** Makes the adapter of a config. Its package is loaded now. */
export async function adapterOf ({ adapter, brokerUrl }: GatewaySettings): Promise<Adapter> {
  const { type, ...rest } = adapter
  const options = { ...rest, ...(brokerUrl === undefined ? {} : { url: brokerUrl }) } as object
  if (type === 'redis') return (await import('../adapters/redis/index.js')).redis(options)
  if (type === 'nats') return (await import('../adapters/nats/index.js')).nats(options)
  return memory()
}
