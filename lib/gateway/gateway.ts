import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import { Registry } from 'prom-client'
import realtime, { type Adapter } from '../index.js'
import { ConfigError, type Fault } from './config/faults.js'
import type { GatewaySettings, HooksSettings } from './config/resolve.js'
import { Backend, type BackendTimes } from './hooks/backend.js'
import { HookCounts } from './hooks/counts.js'
import { Notices } from './hooks/notices.js'
import { RoomHooks } from './hooks/room-hooks.js'
import { faultOf, told } from './plugin-faults.js'
import { adapterOf, pluginOptions } from './plugin-options.js'
import { declareRoom } from './rooms.js'

/** Milliseconds that backends have at the end to hear of what they were not told yet. */
const LAST_NOTICES = 5_000

export interface GatewayParts {
  /** What the log goes to. @default that of Fastify, at `log.level` of the config */
  readonly logger?: FastifyServerOptions['logger']
  /** In place of the adapter of the config. */
  readonly adapter?: Adapter
  readonly times?: BackendTimes
}

interface Asked { readonly backend: Backend, readonly notices: Notices, readonly hooks: RoomHooks }

/**
 * Makes the app of a gateway, which still has to listen.
 *
 * @throws ConfigError for what only the plugin knows to be wrong
 */
export async function createGateway (settings: GatewaySettings, parts: GatewayParts = {}): Promise<FastifyInstance> {
  const { config, tls } = settings
  const options = {
    logger: parts.logger ?? { level: config.log?.level ?? 'info' },
    ...(config.trustProxy === undefined ? {} : { trustProxy: config.trustProxy }),
    ...(tls === undefined ? {} : { https: tls })
  }
  // Fastify's types tell a server with TLS from one without; here nothing depends on it.
  const app = Fastify(options as FastifyServerOptions)
  try {
    await declare(app, settings, parts)
    return app
  } catch (error) {
    await app.close()
    throw error
  }
}

async function declare (app: FastifyInstance, settings: GatewaySettings, parts: GatewayParts): Promise<void> {
  const { config } = settings
  const register = new Registry()
  const asked = createBackends(app, settings, register, parts.times)
  await allowOrigins(app, config)
  const faults: Fault[] = []
  const adapter = parts.adapter ?? await told('adapter', async () => await adapterOf(settings))
  const options = { ...await pluginOptions(settings, register, adapter), ...wholeHooks(settings, asked) }
  await told('', async () => { await app.register(realtime, options) })
  for (const room of settings.rooms) {
    try {
      declareRoom(app, room, room.hooks === undefined ? undefined : asked.get(room.hooks)!.hooks)
    } catch (error) {
      faults.push(faultOf(error, room.path))
    }
  }
  if (faults.length > 0) throw new ConfigError(faults)
}

/** One backend for each `hooks` of the config, which end behind everything else. */
function createBackends (
  app: FastifyInstance, { hooks: common, rooms }: GatewaySettings, register: Registry, times: BackendTimes | undefined
): ReadonlyMap<HooksSettings, Asked> {
  const counts = new HookCounts(register)
  const all = new Map<HooksSettings, Asked>()
  for (const hooks of [common, ...rooms.map((room) => room.hooks)]) {
    if (hooks === undefined || all.has(hooks)) continue
    const backend = new Backend(hooks, app.log, counts, times)
    const notices = new Notices(backend)
    all.set(hooks, { backend, notices, hooks: new RoomHooks(backend, notices) })
  }
  // Hooks for the end run in the opposite order: connections leave before.
  app.addHook('onClose', async () => {
    await Promise.all([...all.values()].map(async ({ backend, notices }) => {
      const left = await notices.close(LAST_NOTICES)
      if (left > 0) app.log.error({ notices: left }, 'a backend was not told of everything before the end')
      backend.close()
    }))
  })
  return all
}

/** `onOnline` and `onOffline`, which each URL is told once. */
function wholeHooks (settings: GatewaySettings, asked: ReadonlyMap<HooksSettings, Asked>): object {
  const listeners = (hook: 'online' | 'offline'): Notices[] => {
    const byUrl = new Map([...asked].filter(([{ on }]) => on.has(hook)).map(([{ url }, { notices }]) => [url, notices]))
    return [...byUrl.values()]
  }
  const [online, offline] = [listeners('online'), listeners('offline')]
  return {
    ...(online.length === 0
      ? {}
      : { onOnline: ({ userId }: { userId: string }) => { for (const each of online) each.add('online', userId, { userId }) } }),
    ...(offline.length === 0
      ? {}
      : { onOffline: ({ userId }: { userId: string }) => { for (const each of offline) each.add('offline', userId, { userId }) } })
  }
}

/** Pages of other origins need CORS for streams, polls and messages by POST. */
async function allowOrigins (app: FastifyInstance, { origins, auth }: GatewaySettings['config']): Promise<void> {
  if (origins === undefined || origins === 'same') return
  const { default: cors } = await import('@fastify/cors')
  await app.register(cors, {
    origin: origins === 'any' ? '*' : origins,
    credentials: auth?.carriers?.includes('cookie') ?? false,
    methods: ['GET', 'HEAD', 'POST'],
    allowedHeaders: ['authorization', 'content-type', 'last-event-id', 'x-connection-id'],
    exposedHeaders: ['retry-after', 'x-user-id']
  })
}
