import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { copyPrograms } from './consumer.js'
import { plainEnv, run, runWell, type Ran } from './run.js'
import { ROOT, type Tarball } from './tarball.js'

/** What the tests of the core and the programs load, besides the package. */
const NEEDED = [
  '@fastify/cookie', '@fastify/cors', '@fastify/csrf-protection', '@fastify/http-proxy', '@fastify/rate-limit',
  '@fastify/swagger', '@fastify/under-pressure', '@nats-io/jetstream', '@nats-io/kv', '@nats-io/transport-node',
  '@sinclair/typebox', '@types/node', 'esbuild', 'eventsource-parser', 'fast-check', 'fast-jwt', 'fastify',
  'ioredis', 'selfsigned', 'tap', 'tsx', 'typescript'
]
interface Manifest { readonly devDependencies: Readonly<Record<string, string>> }

const QUIET = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel', 'error']

/**
 * An app's folder with the tarball installed by npm, and with this checkout's tests. What the tests load as `../lib` is
 * the package's own `dist`: they run against what is published.
 */
export class Workspace {
  readonly directory: string
  /** The file that is installed. */
  readonly tarball: string

  private constructor (directory: string, tarball: string) {
    this.directory = directory
    this.tarball = tarball
  }

  static async create (directory: string, tarball: Tarball): Promise<Workspace> {
    const workspace = new Workspace(directory, tarball.path)
    await mkdir(directory)
    await writeFile(join(directory, 'package.json'), '{ "private": true, "type": "module" }')
    const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Manifest
    await workspace.install(tarball.path, ...NEEDED.map((name) => `${name}@${devDependencies[name]!}`))
    for (const name of ['test', 'tsconfig.json']) await cp(join(ROOT, name), join(directory, name), { recursive: true })
    await symlink('node_modules/fastify-realtime/dist', join(directory, 'lib'))
    await copyPrograms(directory)
    return workspace
  }

  /** Installs packages in place of those that are there. @throws Error with what npm says */
  async install (...packages: readonly string[]): Promise<void> {
    // Versions beyond the ranges of peers are tried as well.
    const args = ['install', '--legacy-peer-deps', ...QUIET, ...packages]
    await runWell('npm', args, { cwd: this.directory, deadline: 300_000 })
  }

  /** Packages in a folder of their own, as programs to run. @returns the folder */
  async aside (name: string, ...packages: readonly string[]): Promise<string> {
    const directory = join(this.directory, '..', name)
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'package.json'), '{ "private": true }')
    await runWell('npm', ['install', ...QUIET, ...packages], { cwd: directory, deadline: 300_000 })
    return directory
  }

  /** What a program prints. */
  async program (path: string, ...args: readonly string[]): Promise<string> {
    return (await runWell(path, args, { cwd: this.directory })).stdout
  }

  async versionOf (name: string): Promise<string> {
    const manifest = await readFile(join(this.directory, 'node_modules', name, 'package.json'), 'utf8')
    return (JSON.parse(manifest) as { version: string }).version
  }

  /** Runs a test file by one version of Node. */
  async test (file: string, node: string): Promise<Ran> {
    const env = plainEnv({ TAP_TIMEOUT: '480' })
    return await run(node, ['--import', 'tsx', `test/${file}`], { cwd: this.directory, env, deadline: 480_000 })
  }
}
