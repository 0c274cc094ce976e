import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * Reads what Fastify keeps under a symbol. It is found by the symbol's description, because the app may use another
 * copy of Fastify than this package.
 */
function kept (app: object, description: string): unknown {
  for (let at: unknown = app; typeof at === 'object' && at !== null; at = Object.getPrototypeOf(at)) {
    const key = Object.getOwnPropertySymbols(at).find((symbol) => symbol.description === description)
    if (key !== undefined) return (at as Readonly<Record<symbol, unknown>>)[key]
  }
  return undefined
}

type Raw = Pick<IncomingMessage, 'headers' | 'socket'>

/**
 * Makes a function that tells the address of a client before Fastify has made a request. It uses the getter of
 * Fastify's request, so that `trustProxy` means the same as in `request.ip`. The address is `undefined` where there is
 * none: on a Unix socket, or under `inject`.
 */
export function createAddressOf (app: FastifyInstance): (raw: object) => string | undefined {
  const { prototype } = (kept(app, 'fastify.Request') ?? {}) as { prototype?: object }
  const peerOf = (raw: object): string | undefined => (raw as Partial<Raw>).socket?.remoteAddress
  if (prototype === undefined || !Reflect.has(prototype, 'ip')) return peerOf
  const request = Object.create(prototype) as { raw: object | undefined, readonly ip: unknown }
  return (raw) => {
    request.raw = raw
    try {
      return typeof request.ip === 'string' ? request.ip : undefined
    } catch {
      // The app's own trust function has thrown, as it will again for the request.
      return peerOf(raw)
    } finally {
      request.raw = undefined
    }
  }
}

interface Options {
  readonly return503OnClosing?: boolean
  readonly routerOptions?: RouterOptions
  readonly rewriteUrl?: (this: unknown, raw: object) => unknown
}

/** How the app's router reads a URL. */
export interface RouterOptions {
  readonly ignoreDuplicateSlashes?: boolean
  readonly ignoreTrailingSlash?: boolean
  readonly useSemicolonDelimiter?: boolean
}

function optionsOf (app: FastifyInstance): Options { return (kept(app, 'fastify.options') ?? {}) as Options }

/** Whether every request is refused from the beginning of `app.close()`. */
export function refusesOnClosing (app: FastifyInstance): boolean { return optionsOf(app).return503OnClosing !== false }

/** Milliseconds that Fastify gives `app.close()`, all hooks together, before it rejects; `Infinity` without a limit. */
export function closingTimeOf (app: FastifyInstance): number {
  const { pluginTimeout } = app.initialConfig
  return pluginTimeout === undefined || pluginTimeout === 0 ? Number.POSITIVE_INFINITY : pluginTimeout
}

export function routerOptionsOf (app: FastifyInstance): RouterOptions {
  return optionsOf(app).routerOptions ?? (app.initialConfig as Options).routerOptions ?? {}
}

/**
 * Returns the app's `rewriteUrl` as a function; `undefined` where there is none. The function returns `undefined` where
 * the app's gives no URL.
 */
export function rewriteUrlOf (app: FastifyInstance): ((raw: object) => string | undefined) | undefined {
  const { rewriteUrl } = optionsOf(app)
  if (typeof rewriteUrl !== 'function') return undefined
  return (raw) => {
    try {
      const url = rewriteUrl.call(app, raw)
      return typeof url === 'string' ? url : undefined
    } catch {
      return undefined
    }
  }
}
