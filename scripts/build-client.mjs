/**
 * Builds the client library into one file: as the ES module that the server gives to pages without a bundler, which is
 * text of a module of lib, so that the package serves it from wherever it was bundled to; and as a script with a
 * global, which lies in dist. The module is committed: a test compares it with what is built.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const CLIENT = new URL('../lib/client/index.ts', import.meta.url)
const BUILT = new URL('../lib/endpoint/client-script/built.ts', import.meta.url)
const GLOBAL = new URL('../dist/client.global.js', import.meta.url)

async function bundled (options) {
  const { outputFiles: [{ text }] } = await build({
    entryPoints: [fileURLToPath(CLIENT)],
    bundle: true,
    target: 'es2022',
    platform: 'browser',
    charset: 'ascii',
    minify: true,
    legalComments: 'none',
    write: false,
    ...options
  })
  return text.trim()
}

/** @returns the text of the module of lib */
export async function builtModule () {
  return [
    '// Made from lib/client by scripts/build-client.mjs: change that, not this.',
    `export const CLIENT_MODULE = ${JSON.stringify(await bundled({ format: 'esm' }))}`,
    ''
  ].join('\n')
}

/** @returns the text of the script, whose global is `realtime` */
export async function builtGlobal () { return `${await bundled({ format: 'iife', globalName: 'realtime' })}\n` }

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = await builtModule()
  if (text !== readFileSync(BUILT, { encoding: 'utf8', flag: 'a+' })) writeFileSync(BUILT, text)
  mkdirSync(new URL('.', GLOBAL), { recursive: true })
  writeFileSync(GLOBAL, await builtGlobal())
}
