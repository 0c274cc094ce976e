import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createSigner } from 'fast-jwt'
import { WebSocket } from 'ws'
import { startRedis, type Server, type Teardown } from '../../test/helpers/servers.js'

const sign = createSigner({ key: 'a day', expiresIn: 600_000 })

/** A line of a node's log. */
export interface Line { readonly level: number, readonly msg: string, readonly [field: string]: unknown }

/** A node as an operator has it: its address, its log and its metrics. */
export class DayNode {
  readonly lines: Line[] = []
  readonly #child: ChildProcess
  url = ''

  constructor (redis: string) {
    const node = fileURLToPath(new URL('node.ts', import.meta.url))
    this.#child = fork(node, [redis], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], execArgv: ['--import', 'tsx'] })
    let rest = ''
    this.#child.stdout!.on('data', (chunk: Buffer) => {
      const parts = (rest + String(chunk)).split('\n')
      rest = parts.pop()!
      for (const part of parts) this.lines.push(JSON.parse(part) as Line)
    })
  }

  async ready (): Promise<void> {
    const [{ port }] = await once(this.#child, 'message') as [{ port: number }]
    this.url = `http://127.0.0.1:${port}`
  }

  async end (signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill(signal)
    await exited
  }

  /** The samples of a metric that match, added up; `undefined` where the node does not answer, or refuses to. */
  async metric (name: string, labels = ''): Promise<number | undefined> {
    const answer = await fetch(`${this.url}/ws/stats?format=prometheus`, {
      headers: { authorization: 'Bearer a-token-for-the-day' },
      signal: AbortSignal.timeout(5_000)
    }).catch(() => undefined)
    if (answer?.ok !== true) return undefined
    const found = (await answer.text()).split('\n')
      .filter((line) => line.startsWith(name) && /[ {]/.test(line[name.length]!) && line.includes(labels))
    return found.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
  }

  async post (path: string): Promise<void> { await fetch(`${this.url}${path}`, { method: 'POST' }) }

  /** A connection, or the status with which it was refused. */
  async connect (user: string, room: string, token = sign({ sub: user })): Promise<WebSocket | number> {
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/ws/chat/${room}`, {
      headers: { authorization: `Bearer ${token}` }
    })
    return await new Promise((resolve) => {
      socket.once('unexpected-response', (_request, { statusCode = 0 }) => { resolve(statusCode) })
      socket.on('error', () => { resolve(0) })
      socket.once('message', () => { resolve(socket) })
    })
  }

  async member (user: string, room: string): Promise<WebSocket> {
    const socket = await this.connect(user, room)
    if (typeof socket === 'number') throw new Error(`${user} was refused with ${socket}`)
    return socket
  }
}

/** Three nodes with one Redis. */
export interface Cluster { readonly redis: Server, readonly nodes: readonly [DayNode, DayNode, DayNode] }

export async function startCluster (t: Teardown): Promise<Cluster> {
  const redis = await startRedis(t)
  const nodes = [new DayNode(redis.url), new DayNode(redis.url), new DayNode(redis.url)] as const
  for (const node of nodes) {
    t.teardown(async () => { await node.end('SIGKILL') })
    await node.ready()
  }
  return { redis, nodes }
}
