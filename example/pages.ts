import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { FastifyInstance } from 'fastify'

interface Page { readonly type: string, readonly body: string }

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  css: 'text/css',
  svg: 'image/svg+xml'
}

async function file (url: URL): Promise<Page> {
  const body = await readFile(url, 'utf8')
  return { type: `${TYPES[url.pathname.split('.').pop()!]!}; charset=utf-8`, body }
}

/** The client library as one ES module for the browser. */
async function client (): Promise<Page> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(import.meta.resolve('fastify-realtime/client'))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false
  })
  return { type: TYPES.js!, body: outputFiles[0]!.text }
}

/**
 * Serves the static files of an example, all from memory, beside those that every example has: the client library as
 * `/client.js`, the common style and the icon.
 *
 * @param folder in which they are
 * @param names their names there; `index.html` is the page `/`
 */
export async function servePages (app: FastifyInstance, folder: URL, names: readonly string[]): Promise<void> {
  const shared = new URL('public/', import.meta.url)
  const pages = new Map([['/client.js', await client()]])
  for (const name of ['base.css', 'icon.svg']) pages.set(`/${name}`, await file(new URL(name, shared)))
  for (const name of names) pages.set(name === 'index.html' ? '/' : `/${name}`, await file(new URL(name, folder)))
  for (const [url, { type, body }] of pages) {
    app.get(url, async (_request, reply) => reply
      .type(type)
      .header('cache-control', 'no-cache')
      .header(
        'content-security-policy',
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
      )
      .header('x-content-type-options', 'nosniff')
      .send(body))
  }
}
