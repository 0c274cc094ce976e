import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

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
 * The static files of an example by URL, all in memory, and the client library as `/client.js`.
 *
 * @param folder in which they are
 * @param names their names there; `index.html` is the page `/`
 */
export async function loadPages (folder: URL, names: readonly string[]): Promise<Map<string, Page>> {
  const pages = new Map([['/client.js', await client()]])
  for (const name of names) pages.set(name === 'index.html' ? '/' : `/${name}`, await file(new URL(name, folder)))
  return pages
}
