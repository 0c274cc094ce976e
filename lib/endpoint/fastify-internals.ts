import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'

/**
 * What Fastify keeps under a symbol; found by its description, because the app may use another copy of Fastify
 * than this package.
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
 * The address of a client before there is a request of Fastify's to ask: by the same getter, so that `trustProxy`
 * means the same here
 * as in `request.ip`. `undefined` where there is none: on a Unix socket, under `inject`.
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

export function routerOptionsOf (app: FastifyInstance): RouterOptions {
  return optionsOf(app).routerOptions ?? (app.initialConfig as Options).routerOptions ?? {}
}

/** The app's `rewriteUrl`: what it makes of the URL of a request; `undefined` where it has none, or gives no URL. */
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
