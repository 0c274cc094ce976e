import { cp, mkdir, readdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { plainEnv, runWell } from './run.js'
import { ROOT, unpack, type Tarball } from './tarball.js'

const SOURCES = fileURLToPath(new URL('./consumer', import.meta.url))

/** Copies the programs that use the package, in each way there is. */
export async function copyPrograms (into: string): Promise<void> {
  await cp(SOURCES, into, { recursive: true })
}

/** An app's folder with the package unpacked in it; everything else is what this checkout has installed. */
export async function linkedConsumer (tarball: Tarball, directory: string): Promise<void> {
  const modules = join(directory, 'node_modules')
  await mkdir(modules)
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (name !== 'fastify-realtime') await symlink(join(ROOT, 'node_modules', name), join(modules, name))
  }
  await unpack(tarball, join(modules, 'fastify-realtime'))
  await copyPrograms(directory)
}

export type Heard = Record<'websocket' | 'sse' | 'polling', boolean>

/**
 * Runs one of the programs.
 *
 * @param command what runs it: a Node, Bun, Deno, with the arguments before the program's name
 * @returns over which transports its client heard its own message
 */
export async function smoke (
  directory: string, program: readonly string[], command: readonly string[] = [process.execPath]
): Promise<Heard> {
  const [first, ...rest] = [...command, ...program]
  const { stdout } = await runWell(first!, rest, { cwd: directory, env: plainEnv({ NODE_NO_WARNINGS: '1' }) })
  return JSON.parse(/^SMOKE (.+)$/m.exec(stdout)?.[1] ?? '{}') as Heard
}

/** Bundles a program. @returns what the bundler warned of in files of the package */
export async function bundle (
  directory: string, bundler: string, entry: string, out: string, target: 'node' | 'browser'
): Promise<string[]> {
  const args = ['build.mjs', bundler, join(directory, entry), join(directory, out), target]
  const { stdout } = await runWell(process.execPath, args, { cwd: directory, deadline: 180_000 })
  return JSON.parse(/^WARNINGS (.+)$/m.exec(stdout)?.[1] ?? '["it said nothing"]') as string[]
}
