import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runWell } from './run.js'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Tarball {
  readonly path: string
  /** what it holds, by path */
  readonly files: readonly string[]
}

/** A folder that nobody else has, removed by `teardown`. */
export async function temporary (teardown: (callback: () => Promise<void>) => unknown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fastify-realtime-'))
  teardown(async () => { await rm(directory, { recursive: true, force: true }) })
  return directory
}

/** Packs what was built last, as it would be published. Needs no network. */
export async function pack (into: string): Promise<Tarball> {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', into]
  const { stdout } = await runWell('npm', args, { cwd: ROOT })
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string, files: ReadonlyArray<{ path: string }> }]
  return { path: join(into, filename), files: files.map(({ path }) => path) }
}

export async function unpack ({ path }: Tarball, into: string): Promise<void> {
  await mkdir(into, { recursive: true })
  await runWell('tar', ['-xzf', path, '-C', into, '--strip-components', '1'], { cwd: into })
}
