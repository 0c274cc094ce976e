import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { Child } from '../../bench/child.js'
import { run, startRedis, type Server, type Teardown } from '../../test/helpers/servers.js'
import type { Loader } from './loader.js'
import type { Node, Usage } from './node.js'

const NODES = 3
const LOADERS = 2
/** Connections of one balancer: each is two descriptors, of which a process here may have 20 000. */
const OF_BALANCER = 8_000
/** Connections after which it is told how many there are. */
const AT_ONCE = 1_000
const LOADER = fileURLToPath(new URL('loader.ts', import.meta.url))
const NODE = fileURLToPath(new URL('node.ts', import.meta.url))
const TYPESCRIPT = { core: undefined, nodeArguments: ['--import', new URL('../typescript/register.mjs', import.meta.url).href] }

function configOf (port: number, targets: readonly number[]): string {
  return `
global
  maxconn ${OF_BALANCER + 500}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend web
  bind 127.0.0.1:${port}
  option forwardfor
  default_backend app
backend app
  balance leastconn
  option httpchk GET /ws/health
  default-server check inter 2s fall 5 rise 1
  timeout check 10s
${targets.map((target, index) => `  server node${index + 1} 127.0.0.1:${target}`).join('\n')}
`
}

async function startBalancer (t: Teardown, targets: readonly number[]): Promise<Server> {
  return await run(t, {
    program: 'haproxy',
    scheme: 'http',
    async args (port, directory) {
      const file = join(directory, 'haproxy.cfg')
      await writeFile(file, configOf(port, targets))
      return ['-db', '-f', file]
    },
    ask: 'GET /ws/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    expected: /^HTTP\/1\.. 200/
  })
}

/** Three nodes with one Redis, behind balancers that share them, and processes with very many connections. */
export class Stage {
  readonly redis: Server
  readonly nodes: ReadonlyArray<{ readonly child: Child<Node>, readonly url: string }>
  readonly balancers: readonly Server[]
  readonly loaders: ReadonlyArray<Child<Loader>>

  private constructor (of: Pick<Stage, 'redis' | 'nodes' | 'balancers' | 'loaders'>) {
    this.redis = of.redis
    this.nodes = of.nodes
    this.balancers = of.balancers
    this.loaders = of.loaders
  }

  static async start (t: Teardown, connections: number): Promise<Stage> {
    const redis = await startRedis(t)
    const nodes = await Promise.all(Array.from({ length: NODES }, async () => {
      const child = new Child<Node>(NODE, TYPESCRIPT)
      t.teardown(async () => { await child.end() })
      const port = await child.call('start', redis.url)
      return { child, url: `http://127.0.0.1:${port}`, port }
    }))
    const balancers: Server[] = []
    for (let each = 0; each < Math.ceil(connections / OF_BALANCER); each++) {
      balancers.push(await startBalancer(t, nodes.map(({ port }) => port)))
    }
    const loaders = Array.from({ length: LOADERS }, () => {
      const child = new Child<Loader>(LOADER, TYPESCRIPT)
      t.teardown(async () => { await child.end() })
      return child
    })
    return new Stage({ redis, nodes, balancers, loaders })
  }

  get url (): string { return `${this.balancers[0]!.url}/ws/stats` }

  /** @param came called with how many are in */
  async fill (connections: number, came: (n: number) => void): Promise<void> {
    const common = { connections, loaders: this.loaders.length, ports: this.balancers.map(({ port }) => port) }
    for (let from = 0; from < connections; from += AT_ONCE) {
      const below = Math.min(connections, from + AT_ONCE)
      await Promise.all(this.loaders.map(async (child, loader) => {
        await child.call('connect', { ...common, from, below, loader })
      }))
      came(below)
    }
  }

  /** Has users with names say so many messages a second; 0 ends it. */
  async speak (perSecond: number): Promise<void> {
    await Promise.all(this.loaders.map(async (child) => { await child.call('speak', perSecond / this.loaders.length) }))
  }

  async usage (): Promise<Usage[]> { return await Promise.all(this.nodes.map(async ({ child }) => await child.call('usage'))) }

  /** What the nodes use in so many milliseconds. */
  async usageIn (ms: number): Promise<Usage[]> {
    await this.usage()
    await sleep(ms)
    return await this.usage()
  }

  async open (): Promise<number> {
    const parts = await Promise.all(this.loaders.map(async (child) => await child.call('open')))
    return parts.reduce((sum, n) => sum + n, 0)
  }
}
