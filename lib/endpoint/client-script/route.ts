import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { documented, ROUTES } from '../../options/route-schemas.js'
import { VERSION } from '../../version.js'
import type { SharedOptions } from '../public-routes.js'
import { CLIENT_MODULE } from './built.js'

const HEADERS = { 'cross-origin-resource-policy': 'cross-origin', 'x-content-type-options': 'nosniff' }
const FOR_EVER = 'public, max-age=31536000, immutable'

/**
 * Registers `client.js` in a scope that has the prefix: the client library as one ES module, for pages without a
 * bundler. Under its version it is kept for ever, under another one or none it is asked for again by its ETag.
 */
export function registerClientScript (scope: FastifyInstance, shared: SharedOptions): void {
  const hash = createHash('sha256').update(CLIENT_MODULE).digest('base64url').slice(0, 16)
  let packed: Buffer | undefined
  scope.get('/client.js', { ...shared, ...documented(ROUTES.client, shared.schema) }, async (request, reply) => {
    const isPacked = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
    // Each form has its own tag, because a cache keeps them apart by it.
    const tag = `"${hash}${isPacked ? '-gzip' : ''}"`
    const isNamed = (request.query as { v?: unknown }).v === VERSION
    const vary = reply.getHeader('vary')
    void reply.header('vary', vary === undefined ? 'Accept-Encoding' : `${String(vary)}, Accept-Encoding`)
    // It is the same for everybody, so any page may load it, unless the application's CORS has answered already.
    if (!reply.hasHeader('access-control-allow-origin')) void reply.header('access-control-allow-origin', '*')
    void reply.headers({ ...HEADERS, etag: tag, 'cache-control': isNamed ? FOR_EVER : 'public, no-cache' })
    if (String(request.headers['if-none-match'] ?? '').split(/, ?(?:W\/)?|^W\//).includes(tag)) {
      return await reply.code(304).send()
    }
    void reply.type('text/javascript; charset=utf-8')
    if (!isPacked) return await reply.send(CLIENT_MODULE)
    packed ??= gzipSync(CLIENT_MODULE, { level: 9 })
    return await reply.header('content-encoding', 'gzip').send(packed)
  })
}
