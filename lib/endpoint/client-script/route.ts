import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { documented, ROUTES } from '../../options/route-schemas.js'
import { VERSION } from '../../version.js'
import type { SharedOptions } from '../public-routes.js'

const HEADERS = { 'cross-origin-resource-policy': 'cross-origin', 'x-content-type-options': 'nosniff' }
const FOR_EVER = 'public, max-age=31536000, immutable'

interface Script { readonly text: string, readonly hash: string }

/** Loads the text of the library, which most nodes are never asked for. */
async function load (): Promise<Script> {
  const { CLIENT_MODULE: text } = await import('./built.js')
  return { text, hash: createHash('sha256').update(text).digest('base64url').slice(0, 16) }
}

/**
 * Registers `client.js` in a scope that has the prefix: the client library as one ES module, for pages without a
 * bundler. Under its version it is kept for ever, under another one or none it is asked for again by its ETag.
 */
export function registerClientScript (scope: FastifyInstance, shared: SharedOptions): void {
  let script: Script | undefined
  let packed: Buffer | undefined
  scope.get('/client.js', { ...shared, ...documented(ROUTES.client, shared.schema) }, async (request, reply) => {
    const { text, hash } = script ??= await load()
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
    if (!isPacked) return await reply.send(text)
    packed ??= gzipSync(text, { level: 9 })
    return await reply.header('content-encoding', 'gzip').send(packed)
  })
}
