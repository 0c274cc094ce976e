import { fork, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findProgram, freePort, listening, run, runRedis, stop } from '../programs.js'
import { advice } from './advice.js'

const NODES = 2
const NEEDED = ['redis-server', 'nginx']

const programs = new Map(NEEDED.map((name) => [name, findProgram(name)]))
const missing = NEEDED.filter((name) => programs.get(name) === undefined)
if (missing.length > 0) {
  console.error([
    `The cluster needs ${NEEDED.join(' and ')}; not found on this machine: ${missing.join(', ')}.`,
    `  Debian, Ubuntu: sudo apt-get install ${missing.join(' ')}`,
    `  macOS:          brew install ${missing.map((name) => name === 'redis-server' ? 'redis' : name).join(' ')}`,
    'Redis 7.0 or newer. Both are run by this command with a configuration of their own; a service need not be running.'
  ].join('\n'))
  process.exit(1)
}

/** In the order in which they are stopped: the nodes tell their clients first. */
const children: {
  nodes: ChildProcess[]
  nginx: ChildProcess[]
  redis: ChildProcess[]
} = { nodes: [], nginx: [], redis: [] }
const directory = await mkdtemp(join(tmpdir(), 'realtime-cluster-'))
let isStopping = false

async function end (code: number): Promise<void> {
  if (isStopping) return
  isStopping = true
  for (const group of Object.values(children)) await Promise.all(group.map(stop))
  await rm(directory, { recursive: true, force: true })
  process.exit(code)
}

// What was begun while the end was under way.
process.on('exit', () => { for (const child of Object.values(children).flat()) child.kill('SIGKILL') })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { void end(0) })

async function startNode (environment: NodeJS.ProcessEnv): Promise<{ address: string, pid: number }> {
  const node = fork(fileURLToPath(new URL('node.ts', import.meta.url)), {
    env: { ...process.env, ...environment },
    detached: true
  })
  children.nodes.push(node)
  const ended = once(node, 'exit').then(([code, signal]) => { throw new Error(`a node ended with ${signal ?? code}`) })
  const [address] = await Promise.race([once(node, 'message'), ended]) as [string]
  ended.catch(({ message }: Error) => { if (!isStopping) console.log(`${address}: ${message}; the other goes on`) })
  return { address, pid: node.pid! }
}

async function startNginx (addresses: readonly string[]): Promise<string> {
  const port = await freePort(Number(process.env.PORT ?? 8080))
  const template = await readFile(new URL('nginx.conf', import.meta.url), 'utf8')
  const values: Record<string, string> = {
    directory,
    port: String(port),
    servers: addresses.map((address) => `server ${address} max_fails=1 fail_timeout=2s;`).join('\n    ')
  }
  const file = join(directory, 'nginx.conf')
  await writeFile(file, template.replace(/\{\{(\w+)\}\}/g, (_, name: string) => values[name]!))
  const nginx = run(programs.get('nginx')!, ['-p', directory, '-c', file, '-e', 'stderr'])
  children.nginx.push(nginx)
  await listening('nginx', port, nginx)
  return `http://127.0.0.1:${port}`
}

try {
  const { redis, url: redisUrl } = await runRedis(programs.get('redis-server')!, directory)
  children.redis.push(redis)
  const environment = { REDIS_URL: redisUrl, JWT_SECRET: randomBytes(32).toString('hex') }
  const nodes = await Promise.all(Array.from({ length: NODES }, async () => await startNode(environment)))
  const url = await startNginx(nodes.map(({ address }) => address))
  console.log(advice(url, redisUrl, nodes))
} catch (error) {
  console.error((error as Error).message)
  await end(1)
}
