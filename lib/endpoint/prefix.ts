import type { FastifyInstance } from 'fastify'
import { REALTIME_ERR_OPTIONS } from '../errors/misuse.js'
import { routerOptionsOf, type RouterOptions } from './fastify-internals.js'

/** Where the plugin is mounted. It is found out once, and used wherever a URL is read, matched or written. */
export interface Prefix {
  /** The prefix as Fastify's routes have it, with the prefixes of the scopes around it. */
  readonly route: string
  /** The prefix as it stands in a URL. */
  readonly url: string
  /**
   * Returns the part of a request's URL below the prefix, undecoded. The router has matched the URL, whose prefix may
   * be spelled in many ways (`/%77s`, `//ws`, `/WS`, `http://host/ws`, as its options allow) but always has as many
   * segments.
   *
   * @param more segments of the route between the prefix and its wildcard
   */
  below (url: string, more?: number): string
}

const DUPLICATE_SLASHES = /\/{2,}/g

function countSegments (path: string): number { return path.split('/').length - 1 }

function createBelow (
  route: string,
  { ignoreDuplicateSlashes, ignoreTrailingSlash, useSemicolonDelimiter }: RouterOptions
): Prefix['below'] {
  const depth = countSegments(ignoreDuplicateSlashes === true ? route.replace(DUPLICATE_SLASHES, '/') : route)
  const delimiter = useSemicolonDelimiter === true ? /[?#;]/ : /[?#]/
  return (url, more = 0) => {
    // A request target may be in absolute form (RFC 9112 3.2.2).
    const target = url.startsWith('/') ? url : url.slice(Math.max(0, url.indexOf('/', url.indexOf('://') + 3)))
    const end = target.search(delimiter)
    let path = end === -1 ? target : target.slice(0, end)
    if (ignoreDuplicateSlashes === true) path = path.replace(DUPLICATE_SLASHES, '/')
    if (ignoreTrailingSlash === true && path.endsWith('/')) path = path.slice(0, -1)
    let at = 0
    for (let i = 0; i < depth + more; i++) {
      at = path.indexOf('/', at + 1)
      if (at === -1) return ''
    }
    return path.slice(at + 1)
  }
}

/** The prefixes by server, for the peers of tests. */
const prefixes = new WeakMap<object, Prefix>()

/**
 * @param own the plugin's option
 * @throws REALTIME_ERR_OPTIONS for a prefix from which the name of a room could not be told
 */
export async function createPrefix (app: FastifyInstance, own: string): Promise<Prefix> {
  let route = own
  // Fastify decides how prefixes are joined.
  await app.register(async (scope) => { route = scope.prefix }, { prefix: own })
  // The router writes a colon as two of them.
  const literal = route.replaceAll('::', '\0')
  if (/[:*]/.test(literal)) {
    throw new REALTIME_ERR_OPTIONS(
      `the plugin is registered below "${route}", a prefix with a parameter, which no room's name would tell apart; register it ` +
        'in a scope whose prefix has none, and put the parameter into the rooms: defineRoom(\'tenant/:tenant/chat/:id\', ...)'
    )
  }
  const prefix: Prefix = {
    route,
    url: encodeURI(literal.replaceAll('\0', ':')),
    below: createBelow(route, routerOptionsOf(app))
  }
  prefixes.set(app.server, prefix)
  return prefix
}

/** The prefix under which the plugin answers on a server. */
export function prefixOf ({ server }: FastifyInstance): Prefix | undefined { return prefixes.get(server) }
