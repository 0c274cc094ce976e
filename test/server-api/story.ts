import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort, startRedis, type Teardown } from '../helpers/servers.js'

/** The program that is killed; it has to be built. */
export const GATEWAY = fileURLToPath(new URL('../../dist/gateway/cli.js', import.meta.url))
const PUBLISHER = fileURLToPath(new URL('./publisher.py', import.meta.url))
const KEY = 'a-story-from-python'.padEnd(40, 'k')

export interface StoryOptions {
  readonly rooms: number
  /** Events of each room. */
  readonly events: number
  /** How often the gateway is killed and started again. */
  readonly kills: number
}

export interface StoryReport {
  readonly seconds: number
  readonly connections: number
  readonly cuts: number
  readonly kills: number
  /** Per room what stands in it that should not, in words; empty where each event is there once, in order. */
  readonly faults: string[]
}

/** A proxy that cuts one connection in ten: before it leads anywhere, behind the request, or within the answer. */
class CuttingProxy {
  readonly #server = createServer((down) => { this.#accept(down) })
  readonly #target: number
  connections = 0
  cuts = 0

  constructor (target: number) {
    this.#target = target
  }

  async listen (): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  #accept (down: Socket): void {
    const number = this.connections++
    const way = number % 10 === 9 ? Math.floor(number / 10) % 3 : undefined
    down.on('error', () => undefined)
    if (way === 0) {
      this.cuts++
      down.resetAndDestroy()
      return
    }
    const up = connect(this.#target, '127.0.0.1')
    up.on('error', () => { down.destroy() })
    down.on('close', () => { up.destroy() })
    down.pipe(up)
    if (way === undefined) {
      up.pipe(down)
      return
    }
    // The answer is there, so the event is published; the program does not get it, or gets a part.
    up.once('data', (chunk: Buffer) => {
      this.cuts++
      if (way === 1) down.resetAndDestroy()
      else down.write(chunk.subarray(0, chunk.length - 10), () => { down.destroy() })
    })
  }

  async close (): Promise<void> {
    this.#server.close()
    this.#server.unref()
  }
}

/** Writes the config of a gateway, and returns its path. */
async function configure (t: Teardown, port: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'story-'))
  t.teardown(async () => { await rm(directory, { recursive: true }) })
  const path = join(directory, 'realtime.json')
  const told = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] }
  await writeFile(path, JSON.stringify({
    listen: { port },
    jwt: { secret: { env: 'SECRET' } },
    adapter: { type: 'redis', url: { env: 'BROKER' } },
    history: { size: 20_000 },
    api: { keys: [{ key: { env: 'KEY' }, name: 'python', rooms: ['tale/*'], may: ['publish', 'read'] }] },
    rooms: { 'tale/:id': { events: { told: { data: told } } } }
  }))
  return path
}

/** Starts a gateway, as a shell does, and waits until it listens. */
async function start (config: string, broker: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [GATEWAY, 'serve', '--config', config], {
    env: { PATH: process.env.PATH, SECRET: 'a secret that has at least 32 bytes', KEY, BROKER: broker },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: unknown): void => {
      said = `${said}${String(chunk)}`.slice(-4_096)
      if (said.includes('listening at')) resolve()
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('exit', () => { reject(new Error(`the gateway ended: ${said}`)) })
  })
  return child
}

async function kill (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/**
 * Publishes from Python through a proxy that cuts one connection in ten, while the gateway behind it is killed and
 * started again.
 */
export async function tell (t: Teardown, { rooms, events, kills }: StoryOptions): Promise<StoryReport> {
  const redis = await startRedis(t)
  const port = await freePort()
  const config = await configure(t, port)
  let gateway: ChildProcess | undefined
  t.teardown(async () => { if (gateway !== undefined) await kill(gateway) })
  gateway = await start(config, redis.url)
  const proxy = new CuttingProxy(port)
  t.teardown(async () => { await proxy.close() })
  const began = performance.now()
  const python = spawn('python3', [PUBLISHER, String(rooms), String(events)], {
    env: {
      ...process.env,
      PYTHONDONTWRITEBYTECODE: '1',
      REALTIME_URL: `http://127.0.0.1:${await proxy.listen()}/ws`,
      REALTIME_KEY: KEY
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => { python.kill('SIGKILL') })
  let errors = ''
  python.stderr.on('data', (chunk) => { errors += String(chunk) })
  const ended = once(python, 'close')
  let published = 0
  let killed = 0
  for await (const line of createInterface(python.stdout)) {
    if (line !== '') published++
    if (killed < kills && published >= rooms * events * (killed + 1) / (kills + 1)) {
      killed++
      await kill(gateway)
      gateway = await start(config, redis.url)
    }
  }
  const [code] = await ended as [number | null]
  const seconds = (performance.now() - began) / 1_000
  if (code !== 0) throw new Error(`the publisher ended with ${String(code)}: ${errors}`)
  const faults: string[] = []
  for (let room = 0; room < rooms; room++) {
    const numbers = await read(port, `tale/${room}`)
    const wrong = numbers.findIndex((n, index) => n !== index)
    if (wrong !== -1) faults.push(`tale/${room}: ${numbers[wrong]!} at ${wrong}`)
    if (numbers.length !== events) faults.push(`tale/${room}: ${numbers.length} of ${events}`)
  }
  return { seconds, connections: proxy.connections, cuts: proxy.cuts, kills: killed, faults }
}

interface Page {
  readonly more?: boolean
  readonly position: { readonly epoch: string, readonly offset: number }
  readonly events: ReadonlyArray<{ readonly data: { readonly n: number } }>
}

async function read (port: number, room: string): Promise<number[]> {
  const numbers: number[] = []
  for (let query = ''; ;) {
    const answer = await fetch(`http://127.0.0.1:${port}/ws/api/rooms/${room}/history${query}`, {
      headers: { authorization: `Bearer ${KEY}`, connection: 'close' }
    })
    const { more = false, position, events } = await answer.json() as Page
    numbers.push(...events.map(({ data }) => data.n))
    if (!more) return numbers
    query = `?since=${position.epoch}:${position.offset}`
  }
}
