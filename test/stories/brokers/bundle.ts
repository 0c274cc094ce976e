import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/**
 * Makes one file of the process of a node: three of them begin in every run, and each would translate the whole project
 * again.
 *
 * @param directory where it is put
 * @returns its path
 */
export async function bundleNode (directory: string): Promise<string> {
  const outfile = join(directory, 'node.mjs')
  await symlink(fileURLToPath(new URL('../../../node_modules', import.meta.url)), join(directory, 'node_modules'))
  await build({
    entryPoints: [fileURLToPath(new URL('node-process.ts', import.meta.url))],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    logLevel: 'error'
  })
  return outfile
}
