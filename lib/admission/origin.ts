import type { FastifyRequest } from 'fastify'
import { redacting } from '../errors/redact.js'
import { Refusal, type Why } from '../errors/refusal.js'
import type { Settings } from '../options/resolve.js'

function isSame (origin: string, request: FastifyRequest): boolean {
  if (!URL.canParse(origin)) return false
  const { host, protocol, origin: plain } = new URL(origin)
  if (plain !== origin || (protocol !== 'http:' && protocol !== 'https:')) return false
  // A proxy that ends TLS makes https look like http; the reverse does not happen honestly.
  if (protocol === 'http:' && request.protocol === 'https') return false
  const own = `${protocol}//${request.host}`
  return URL.canParse(own) && new URL(own).host === host
}

/**
 * Checks whether a page may use this server. Browsers let any page open a WebSocket with the user's cookies; only the
 * Origin shows which page it is.
 *
 * @param isAmbient whether the credential is one that a browser adds on its own (a cookie): then a missing Origin is
 *   no consent
 * @param isWrite whether it is an upgrade or a POST
 * @param page the origin that the page would have sent with an upgrade, for a request that asks for the reason of a
 *   refusal
 * @throws Refusal `origin_refused`
 */
export function checkOrigin (
  request: FastifyRequest,
  origins: Settings['origins'],
  isAmbient: boolean,
  isWrite: boolean,
  page?: string
): void {
  const { origin = page } = request.headers
  if (origin !== undefined) {
    const isAllowed = origins === 'any' ||
      (origins === 'same'
        ? isSame(origin, request)
        : typeof origins === 'function'
          ? isAnsweredTrue(redacting(request, () => origins(origin, request) as unknown))
          : origins.includes(origin))
    if (!isAllowed) throw new Refusal('origin_refused', { why: compared(origin, request, origins) })
    return
  }
  if (!isAmbient) return
  const site = request.headers['sec-fetch-site']
  // A same-origin EventSource sends no Origin, but says which site it comes from.
  if (isWrite || site === 'cross-site' || site === 'same-site') {
    throw new Refusal('origin_refused', {
      message: 'the header Origin is missing: a cookie alone does not say which page asks',
      why: {
        ...(site === undefined ? {} : { site }),
        fix:
          'a credential that browsers add by themselves needs an Origin that options.origins allows, and this request has none: send Origin, or another carrier of auth.carriers'
      }
    })
  }
}

function isAnsweredTrue (answer: unknown): boolean {
  // A promise is no answer, and a failure of it would end the process.
  if (answer instanceof Promise) answer.catch(() => {})
  return answer === true
}

/**
 * Finds the origin of the page behind a GET. The GET has none where the browser takes the page for one of this server,
 * which a server behind a proxy that does not pass `Host` on cannot confirm. This package's client names it in the
 * query; for others the referrer tells.
 */
export function pageOf ({ query, headers: { referer } }: FastifyRequest): string | undefined {
  const { origin } = query as { origin?: unknown }
  if (typeof origin === 'string') return origin
  return referer !== undefined && URL.canParse(referer) ? new URL(referer).origin : undefined
}

function compared (origin: string, request: FastifyRequest, origins: Settings['origins']): Why {
  const forwarded = request.headers['x-forwarded-host']
  const isUntrusted = forwarded !== undefined && request.ips === undefined
  return {
    origin: origin.slice(0, 255),
    host: request.host,
    protocol: request.protocol,
    ...(isUntrusted ? { forwarded: String(forwarded).slice(0, 255) } : {}),
    origins: typeof origins === 'function' ? 'a function' : origins,
    ...(origins === 'same'
      ? {
          fix: isUntrusted
            ? 'a proxy says the host in x-forwarded-host: set trustProxy in the options of Fastify, or have the proxy pass Host on'
            : 'the host of the page is not the host of the request: have the proxy pass Host on, or name the page in options.origins'
        }
      : {})
  }
}
