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

async function file (name: string): Promise<Page> {
  const body = await readFile(new URL(`public/${name}`, import.meta.url), 'utf8')
  return { type: `${TYPES[name.split('.').pop()!]!}; charset=utf-8`, body }
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

/** The static files of the example by URL, all in memory. */
export async function loadPages (): Promise<Map<string, Page>> {
  return new Map([
    ['/', await file('index.html')],
    ['/app.js', await file('app.js')],
    ['/client.js', await client()],
    ['/style.css', await file('style.css')],
    ['/icon.svg', await file('icon.svg')],
    ['/eventsource.html', await file('eventsource.html')],
    ['/eventsource.js', await file('eventsource.js')]
  ])
}
