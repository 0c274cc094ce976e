import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

let bundled: Promise<string> | undefined

/** What files of CommonJS in a module ask for. */
const COMMONJS = `
import { createRequire } from 'node:module'
import { fileURLToPath as toPath } from 'node:url'
const require = createRequire(import.meta.url)
const __filename = toPath(import.meta.url)
const __dirname = toPath(new URL('.', import.meta.url))
`

/**
 * Makes one file of the process of a node, what it imports included: three of them begin in every run, and each would
 * translate the whole project again and look for some hundred files, which is most of the work of a start. It is made
 * once for all runs of this process.
 *
 * @param directory where it is put
 * @returns its path
 */
export async function bundleNode (directory: string): Promise<string> {
  const path = join(directory, 'node.mjs')
  await symlink(fileURLToPath(new URL('../../../node_modules', import.meta.url)), join(directory, 'node_modules'))
  await writeFile(path, await (bundled ??= bundle()))
  return path
}

async function bundle (): Promise<string> {
  const { outputFiles: [file] } = await build({
    entryPoints: [fileURLToPath(new URL('node-process.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    banner: { js: COMMONJS },
    logLevel: 'error'
  })
  return file!.text
}
