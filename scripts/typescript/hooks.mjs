/** Module hooks (https://nodejs.org/api/module.html#customization-hooks) for what is imported while modules run. */
import { fileURLToPath, pathToFileURL } from 'node:url'
import { blanked, mirrored, original } from './mirror.mjs'

export async function resolve (specifier, context, next) {
  if (!/^(?:\.|file:)/.test(specifier)) return await next(specifier, context)
  const url = new URL(specifier, context.parentURL)
  const path = original(fileURLToPath(url))
  const found = mirrored(path)
  if (found !== undefined) return { url: found + url.search, format: 'module', shortCircuit: true }
  const meant = pathToFileURL(path).href + url.search
  return path.endsWith('.ts') ? { url: meant, format: 'module', shortCircuit: true } : await next(meant, context)
}

/** A source that is outside the folders of the mirror. */
export async function load (url, context, next) {
  const { pathname } = new URL(url)
  if (!url.startsWith('file:') || !pathname.endsWith('.ts')) return await next(url, context)
  return { format: 'module', source: blanked(fileURLToPath(url)), shortCircuit: true }
}
