import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/**
 * Strips the types of what runs in the children, once, so that no loader runs in the processes that are measured.
 *
 * @returns the folder of their scripts
 */
export async function buildChildren (): Promise<URL> {
  const folder = new URL('dist/', import.meta.url)
  rmSync(folder, { recursive: true, force: true })
  await build({
    entryPoints: [
      'shared',
      'servers',
      'load',
      'nodes'
    ].map((part) => fileURLToPath(new URL(`${part}/*.ts`, import.meta.url))),
    outdir: fileURLToPath(folder),
    outbase: fileURLToPath(new URL('.', import.meta.url)),
    format: 'esm',
    platform: 'node',
    target: 'node20'
  })
  return folder
}
