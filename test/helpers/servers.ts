import { spawn, type ChildProcess } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { delimiter, join } from 'node:path'
import { until } from '../../lib/adapters/contract/until.js'

export { until }

export interface Teardown { teardown (callback: () => unknown): void }

export interface Server {
  readonly port: number
  readonly url: string
  /** where it keeps its data */
  readonly directory: string
  /** Starts it with whatever data is there; resolves when it answers. */
  start (...more: string[]): Promise<void>
  /** Ends it at once, as a crash does. */
  kill (): Promise<void>
  /** Ends it in good order. */
  stop (): Promise<void>
  /** Freezes it: connections stay, nothing is answered. Resolves when all of its threads stand still. */
  pause (): Promise<void>
  resume (): void
}

function find (name: string): string | undefined {
  const postgres = '/usr/lib/postgresql'
  const versions = existsSync(postgres) ? readdirSync(postgres).map((version) => join(postgres, version, 'bin')) : []
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', ...versions]
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path))
}

/**
 * Why tests that need these programs are skipped; `false` when all are here. Where CI is set a missing one is an error
 * instead: a promise that was not tested is not a green one.
 */
export function missing (...names: string[]): string | false {
  const absent = names.filter((name) => find(name) === undefined)
  if (absent.length === 0) return false
  const reason = `${absent.join(', ')} not found on this machine`
  if (process.env.CI !== undefined) throw new Error(`${reason}, and CI must not skip`)
  return reason
}

/** Where each test process names the ports that are its own, so that no other takes one while its server is away. */
const TAKEN = join(tmpdir(), `fastify-realtime-ports-${userInfo().uid}`)
const own = new Set<number>()

/** The process that a port belongs to; 0 where it cannot be read, because it is being given or given back. */
function ownerOf (file: string): number {
  try {
    return Number(readFileSync(file, 'utf8'))
  } catch {
    return 0
  }
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Makes a port this process's own until it ends. */
function take (port: number): boolean {
  const file = join(TAKEN, String(port))
  if (own.size === 0) {
    mkdirSync(TAKEN, { recursive: true })
    process.once('exit', () => { for (const each of own) rmSync(join(TAKEN, String(each)), { force: true }) })
  }
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch {
    // Whoever was killed has left its ports behind; another one that sees it too may take it first.
    if (!isAlive(ownerOf(file))) rmSync(file, { force: true })
    return false
  }
  own.add(port)
  return true
}

/**
 * For servers that are ended and started again on their port. It and the one 10 000 above (the bus of a Redis Cluster)
 * are below those that systems give to outgoing connections (from 32 768 on): while its server is away, any connection
 * could take it, even one that dials the server and finds itself. It belongs to this process until that ends.
 */
export async function freePort (): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 22_000)
    if (!take(port)) continue
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('listening', () => { resolve(true) })
      server.once('error', () => { resolve(false) })
    })
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

async function answers (port: number, ask: string, expected: RegExp): Promise<boolean> {
  const socket = connect(port, '127.0.0.1').setTimeout(1_000, () => { socket.destroy() })
  try {
    await once(socket, 'connect')
    socket.write(ask)
    let seen = ''
    for await (const chunk of socket) {
      seen += String(chunk)
      if (expected.test(seen)) return true
    }
    return false
  } finally {
    socket.destroy()
  }
}

/** A server of another program: how it is started, and what it answers when it is up. */
export interface Plan {
  readonly program: string
  readonly scheme: string
  readonly args: (port: number, directory: string) => Promise<string[]>
  readonly ask: string
  readonly expected: RegExp
}

/** Starts another program on a free port. It ends with the test, and fails it where it ended by itself. */
export async function run (t: Teardown, { program, scheme, args, ask, expected }: Plan): Promise<Server> {
  const path = find(program)
  if (path === undefined) throw new Error(`${program} not found`)
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), `${program}-`))
  const fixed = await args(port, directory)
  let child: ChildProcess | undefined
  let output = ''
  let early = ''
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const exited = once(ending, 'exit')
    ending.kill('SIGCONT')
    ending.kill(signal)
    await exited
  }
  const server: Server = {
    port,
    directory,
    url: `${scheme}://127.0.0.1:${port}`,
    async start (...more) {
      const started = spawn(path, [...fixed, ...more], { stdio: ['ignore', 'pipe', 'pipe'], cwd: directory })
      child = started
      const note = (chunk: Buffer): void => { output = (output + String(chunk)).slice(-4_000) }
      started.once('exit', (code, signal) => {
        if (child === started) early = `${program} ended by itself (${signal ?? code}): ${output}`
      })
      started.stdout.on('data', note)
      started.stderr.on('data', note)
      await until(`${program} answers on port ${port}`, async () => {
        if (started.exitCode !== null) throw new Error(`${program} ended: ${output}`)
        return await answers(port, ask, expected)
      })
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    async pause () {
      const { pid } = child!
      child!.kill('SIGSTOP')
      if (!existsSync(`/proc/${pid}/task`)) return
      await until(`${program} stands still`, async () => {
        const threads = await readdir(`/proc/${pid}/task`)
        const states = await Promise.all(threads.map((thread) => readFile(
          `/proc/${pid}/task/${thread}/status`,
          'utf8'
        )))
        return states.every((state) => /^State:\s+T/m.test(state))
      })
    },
    resume () { child?.kill('SIGCONT') }
  }
  t.teardown(async () => {
    await end('SIGKILL')
    await rm(directory, { recursive: true, force: true })
    if (early !== '') throw new Error(early)
  })
  await server.start()
  return server
}

/** A redis-server of its own. It keeps nothing unless its arguments say so; a snapshot can be made with SAVE. */
export async function startRedis (t: Teardown, ...more: string[]): Promise<Server> {
  return await run(t, {
    program: 'redis-server',
    scheme: 'redis',
    args: async (port, directory) => [
      '--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '',
      '--daemonize', 'no', '--enable-debug-command', 'yes', ...more
    ],
    ask: 'PING\r\n',
    expected: /PONG|NOAUTH/
  })
}

/** The user of the page about Redis, with the rights that the adapter needs and no other, as arguments of a server. */
export function redisUser (): string[] {
  const file = readFileSync(new URL('../../example/docs/adapters/realtime.acl', import.meta.url), 'utf8')
  const rights = file.split('\n').find((line) => line.startsWith('user realtime '))!
  return ['--user', ...rights.split(' ').slice(1)]
}

/** What a client of `redisUser` says of itself. */
export const REDIS_USER = { username: 'realtime', password: 'change-me' }

/**
 * The account of the page about NATS, as lines of a configuration.
 *
 * @param prefixes in place of the one that the page has
 */
export function natsAccount (prefixes: readonly string[]): string {
  const file = readFileSync(new URL('../../example/docs/adapters/nats.conf', import.meta.url), 'utf8')
  const subjects = prefixes.map((prefix) => `"${prefix}.>"`).join(', ')
  return file.slice(file.indexOf('accounts {')).replaceAll('"realtime.>"', subjects)
}

/** What a client of `natsAccount` says of itself. */
export const NATS_USER = { user: 'realtime', pass: 'change-me' }

/**
 * A nats-server of its own.
 *
 * @param options.more lines of its configuration
 */
export async function startNats (
  t: Teardown,
  { jetstream = true, more = '' }: { jetstream?: boolean, more?: string } = {}
): Promise<Server> {
  return await run(t, {
    program: 'nats-server',
    scheme: 'nats',
    args: async (port, directory) => {
      const config = join(directory, 'nats.conf')
      const store = jetstream ? `jetstream { store_dir: ${JSON.stringify(join(directory, 'data'))} }\n` : ''
      await writeFile(config, `listen: "127.0.0.1:${port}"\n${store}${more}`)
      return ['-c', config]
    },
    ask: 'CONNECT {"verbose":false}\r\nPING\r\n',
    expected: /PONG|Authorization Violation/
  })
}

/** Three nats-servers of one cluster, with JetStream on all. */
export async function startNatsCluster (t: Teardown): Promise<Server[]> {
  const routes = await Promise.all([0, 1, 2].map(() => freePort()))
  const servers = await Promise.all(routes.map((route, index) => run(t, {
    program: 'nats-server',
    scheme: 'nats',
    args: async (port, directory) => {
      const config = join(directory, 'nats.conf')
      await writeFile(config, [
        `listen: "127.0.0.1:${port}"`,
        `server_name: n${index}`,
        `jetstream { store_dir: ${JSON.stringify(join(directory, 'data'))} }`,
        `cluster { name: test, listen: "127.0.0.1:${route}", routes: [${routes.map((other) => `"nats://127.0.0.1:${other}"`).join(', ')}] }`
      ].join('\n'))
      return ['-c', config]
    },
    ask: 'CONNECT {"verbose":false}\r\nPING\r\n',
    expected: /PONG/
  })))
  const ready = '$JS.API.INFO'
  for (const { port } of servers) {
    await until(
      'the cluster has a leader',
      async () => await answers(
        port,
        `CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB ${ready} answer 0\r\n\r\n`,
        /"streams":/
      ),
      30_000
    )
  }
  // The leader may not know all of its peers yet.
  const request = async (what: string, body: string): Promise<boolean> => await answers(
    servers[0]!.port,
    `CONNECT {"verbose":false}\r\nSUB answer 1\r\nPUB $JS.API.STREAM.${what}.probe answer ${body.length}\r\n${body}\r\n`,
    /"(config|success)":|not found/
  )
  const probe = JSON.stringify({ name: 'probe', subjects: ['probe'], num_replicas: 3 })
  await until('the cluster places a stream on all three', async () => await request('CREATE', probe), 30_000)
  await until('the stream is gone', async () => await request('DELETE', ''), 30_000)
  return servers
}

/** A redis-server that belongs to no cluster yet. */
export async function startClusterNode (t: Teardown, ...more: string[]): Promise<Server> {
  return await startRedis(t, '--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', ...more)
}

/** Three redis-servers that share the slots of a cluster. */
export async function startCluster (t: Teardown, ...more: string[]): Promise<Server[]> {
  const servers = await Promise.all([0, 1, 2].map(() => startClusterNode(t, ...more)))
  const bounds = [0, 5461, 10923, 16384]
  const first = servers[0]!
  for (const [index, { port }] of servers.entries()) {
    await tell(port, `CLUSTER ADDSLOTSRANGE ${bounds[index]!} ${bounds[index + 1]! - 1}`, /\+OK/)
    await tell(port, `CLUSTER SET-CONFIG-EPOCH ${index + 1}`, /\+OK/)
    if (index > 0) await tell(port, `CLUSTER MEET 127.0.0.1 ${first.port}`, /\+OK/)
  }
  // A server that may serve a part of the slots says that its state is ok before it has heard who has the others.
  const complete = /cluster_state:ok\s+cluster_slots_assigned:16384\s+cluster_slots_ok:16384[^]*cluster_known_nodes:3/
  for (const { port } of servers) {
    await until(
      'the cluster is complete',
      async () => await answers(port, 'CLUSTER INFO\r\nQUIT\r\n', complete),
      20_000
    )
  }
  return servers
}

/** A primary with one replica, and three sentinels that agree by two on who the primary is. */
export interface Sentinels {
  /** the name that the sentinels know it by */
  readonly name: string
  /** what a client is told: where the sentinels are */
  readonly nodes: ReadonlyArray<{ readonly host: string, readonly port: number }>
  readonly primary: Server
  readonly replica: Server
  readonly sentinels: readonly Server[]
  /** Resolves when sentinels that still run name the replica as the primary. */
  promoted (): Promise<void>
}

export async function startSentinel (t: Teardown, ...more: string[]): Promise<Sentinels> {
  // Else a primary waits five seconds for more replicas before it sends its data to the first.
  const prompt = ['--repl-diskless-sync-delay', '0', ...more]
  const primary = await startRedis(t, ...prompt)
  const replica = await startRedis(t, ...prompt, '--replicaof', '127.0.0.1', String(primary.port))
  // A sentinel that came before the replica would not look for it again within ten seconds.
  await until(
    'the replica follows',
    async () => await answers(primary.port, 'INFO replication\r\nQUIT\r\n', /state=online/)
  )
  const name = 'main'
  const sentinels = await Promise.all([0, 1, 2].map(() => run(t, {
    program: 'redis-server',
    scheme: 'redis',
    args: async (port, directory) => {
      const config = join(directory, 'sentinel.conf')
      await writeFile(config, [
        `port ${port}`, 'bind 127.0.0.1', `dir ${directory}`, 'daemonize no',
        `sentinel monitor ${name} 127.0.0.1 ${primary.port} 2`,
        `sentinel down-after-milliseconds ${name} 500`,
        `sentinel failover-timeout ${name} 3000`
      ].join('\n'))
      return [config, '--sentinel']
    },
    ask: 'PING\r\n',
    expected: /PONG/
  })))
  for (const { port } of sentinels) {
    await until(
      'the sentinels know each other',
      async () => await answers(port, 'INFO sentinel\r\nQUIT\r\n', /status=ok,.*slaves=1,sentinels=3/),
      20_000
    )
  }
  return {
    name,
    nodes: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })),
    primary,
    replica,
    sentinels,
    promoted: async () => {
      const told = new RegExp(`\r\n${replica.port}\r\n`)
      const ask = `SENTINEL GET-MASTER-ADDR-BY-NAME ${name}\r\nQUIT\r\n`
      await until('the replica is promoted', async () => {
        const heard = await Promise.all(sentinels.map(({ port }) => answers(port, ask, told).catch(() => false)))
        return heard.filter(Boolean).length >= 2
      }, 40_000)
    }
  }
}

async function tell (port: number, command: string, expected: RegExp): Promise<void> {
  if (!await answers(port, `${command}\r\nQUIT\r\n`, expected)) throw new Error(`${command} was refused`)
}

/**
 * An nginx before `target`, with its default settings and what upgrades need; `more` are directives of the location.
 */
export async function startNginx (t: Teardown, target: number, more = ''): Promise<Server> {
  return await run(t, {
    program: 'nginx',
    scheme: 'http',
    args: async (port, directory) => {
      const file = join(directory, 'nginx.conf')
      await writeFile(file, `
        daemon off; master_process off; pid ${directory}/pid; error_log stderr warn;
        events { worker_connections 4096; }
        http {
          access_log off;
          ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`).join(' ')}
          map $http_upgrade $connection_upgrade { default upgrade; '' close; }
          server {
            listen 127.0.0.1:${port};
            location / {
              proxy_pass http://127.0.0.1:${target};
              proxy_http_version 1.1;
              proxy_set_header Upgrade $http_upgrade;
              proxy_set_header Connection $connection_upgrade;
              proxy_set_header Host $http_host;
              ${more}
            }
          }
        }
      `)
      return ['-p', directory, '-c', file]
    },
    ask: 'GET / HTTP/1.0\r\n\r\n',
    expected: /^HTTP/
  })
}
