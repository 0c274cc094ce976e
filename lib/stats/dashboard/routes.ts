import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { NO_STORE } from '../../errors/http.js'
import { documented, ROUTES } from '../../options/route-schemas.js'
import { page, policy } from './page-text.js'

const HEADERS = { ...NO_STORE, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' } as const

/**
 * Sends the page. Its code and style come from two routes below it, by a nonce that holds for this answer alone: so the
 * page runs what this server gives it, and no markup that anybody might bring into it.
 */
export async function sendPage (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const nonce = randomBytes(16).toString('base64url')
  const path = (request.raw.url ?? '').split('?', 1)[0]!
  // Relative, because a proxy may have taken a prefix away that only the browser knows.
  const base = path.endsWith('/') ? '' : `${path.slice(path.lastIndexOf('/') + 1)}/`
  void reply.headers({ ...HEADERS, 'content-security-policy': policy(nonce) })
  return await reply.type('text/html; charset=utf-8').send(page(base, nonce))
}

/**
 * Registers the routes of the page's code and style, which are loaded when they are asked for. They are public, as the
 * page is: none of them holds data.
 */
export function registerAssets (
  scope: FastifyInstance,
  shared: { readonly schema: FastifySchema } & Readonly<Record<string, unknown>>
): void {
  for (const [name, type, part] of [
    ['dashboard.js', 'text/javascript', 'SCRIPT'],
    ['dashboard.css', 'text/css', 'STYLE']
  ] as const) {
    const options = { ...shared, ...documented(ROUTES.statsAsset, shared.schema) }
    scope.get(`/stats/${name}`, options, async (_request, reply) => {
      const { [part]: text } = await import('./built.js')
      return await reply.headers(HEADERS).type(`${type}; charset=utf-8`).send(text)
    })
  }
}
