import { fork, type ChildProcess } from 'node:child_process'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Ready } from './node-process.js'
import type { Teardown } from './servers.js'
import { TYPESCRIPT } from './typescript.js'

/** A node in a process of its own that a test kills. */
export interface Victim {
  readonly port: number
  readonly url: string
  /** Ends it as a crash does; resolves when it is gone. */
  kill (): Promise<void>
}

export interface VictimOptions {
  /** of one user */
  readonly connections?: number
  /** of presence, in milliseconds */
  readonly lease?: number
  /** Is told what its hooks for whole users and rooms are called with; without it the node has none. */
  readonly onCall?: (call: string) => void
}

/** The start of the one before: at the same time they would take the processor from each other and from the test. */
let starting: Promise<unknown> = Promise.resolve()

/** What it says when it listens: a worker says other things before. */
async function readyOf (child: ChildProcess): Promise<Ready> {
  return await new Promise((resolve) => {
    child.on('message', (message: Partial<Ready> | string) => {
      if (typeof message === 'object' && message.port !== undefined) resolve({ port: message.port })
    })
  })
}

/** A worker of this process. */
function forkWorker (exec: string, args: string[]): ChildProcess {
  cluster.setupPrimary({ exec, args, execArgv: [...TYPESCRIPT] })
  return cluster.fork().process
}

/** @param url of the Redis or NATS that it shares with the other nodes; `cluster:<name>` for this process */
export async function startVictim (
  t: Teardown,
  url: string,
  { connections = 20, lease = 60_000, onCall }: VictimOptions = {}
): Promise<Victim> {
  const program = fileURLToPath(new URL('./node-process.ts', import.meta.url))
  const args = [url, String(connections), String(lease), ...onCall === undefined ? [] : ['hooks']]
  const start = async (): Promise<{ child: ChildProcess, port: number }> => {
    const child = url.startsWith('cluster:')
      ? forkWorker(program, args)
      : fork(program, args, { execArgv: [...TYPESCRIPT] })
    t.teardown(() => child.kill('SIGKILL'))
    child.on('message', (message: unknown) => { if (typeof message === 'string') onCall?.(message) })
    const { port } = await readyOf(child)
    return { child, port }
  }
  const started = starting.then(start)
  starting = started.catch(() => {})
  const { child, port } = await started
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    async kill () {
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    }
  }
}
