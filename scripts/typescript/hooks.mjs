/** Module hooks (https://nodejs.org/api/module.html#customization-hooks) that find `x.ts` by `x.js` and blank its types. */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const IS_TYPESCRIPT = /^file:.*\.ts(\?|$)/
/** One file for each source, so that the folder does not grow with the times that a source is changed. */
const CACHE = new URL('../../node_modules/.cache/typescript/', import.meta.url)

mkdirSync(CACHE, { recursive: true })

export async function resolve (specifier, context, next) {
  const { parentURL } = context
  if (specifier.startsWith('.') && IS_TYPESCRIPT.test(parentURL)) {
    const url = new URL(specifier, parentURL)
    url.pathname = url.pathname.replace(/\.js$/, '.ts')
    if (IS_TYPESCRIPT.test(url.href) && statSync(url, { throwIfNoEntry: false }) !== undefined) return found(url.href)
  }
  return IS_TYPESCRIPT.test(specifier) ? found(specifier) : await next(specifier, context)
}

export async function load (url, context, next) {
  if (!IS_TYPESCRIPT.test(url)) return await next(url, context)
  return { format: 'module', source: await blanked(fileURLToPath(url)), shortCircuit: true }
}

function found (url) {
  return { url, format: 'module', shortCircuit: true }
}

async function blanked (path) {
  const { mtimeMs, size } = statSync(path)
  const stamp = `\n// ${mtimeMs} ${size}\n`
  const cached = new URL(`${createHash('sha1').update(path).digest('hex')}.js`, CACHE)
  const known = statSync(cached, { throwIfNoEntry: false }) === undefined ? '' : readFileSync(cached, 'utf8')
  if (known.endsWith(stamp)) return known
  const { default: { transformSync } } = await import('amaro')
  const code = transformSync(readFileSync(path, 'utf8'), { mode: 'strip-only', filename: path }).code + stamp
  // Another process may write the same file.
  const written = new URL(`${cached.href}.${process.pid}`)
  writeFileSync(written, code)
  renameSync(written, cached)
  return code
}
