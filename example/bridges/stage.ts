import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import realtime from 'fastify-realtime'
import { redis } from 'fastify-realtime/redis'
import { findProgram, runRedis, stop } from '../programs.js'
import { orders } from './rooms.js'

/** milliseconds until a bridge that has died is started again */
const AGAIN = 200

/** What the bridges of the examples lead to: a Redis, and one node with a stream for everybody who asks. */
export interface Stage {
  /** for temporary files; removed at the end */
  readonly directory: string
  /** The path of a program that the example needs. */
  program (name: string): string
  /** Has a program ended with the others. */
  keep (child: ChildProcess): ChildProcess
  /** Runs a bridge as a process of its own, and starts it again when it dies. */
  supervise (script: URL, environment: NodeJS.ProcessEnv): void
}

/** Starts what all examples need, and ends the process with one line where a program is missing. */
export async function setStage (...needed: string[]): Promise<Stage> {
  const programs = new Map(['redis-server', ...needed].map((name) => [name, findProgram(name)]))
  const missing = [...programs].filter(([, path]) => path === undefined).map(([name]) => name)
  if (missing.length > 0) {
    console.error(`not found on this machine: ${missing.join(', ')} (Debian: ${[...needed, 'redis-server'].join(', ')})`)
    process.exit(1)
  }
  const directory = await mkdtemp(join(tmpdir(), 'realtime-bridge-'))
  const children = new Set<ChildProcess>()
  let isEnding = false
  const keep = (child: ChildProcess): ChildProcess => {
    children.add(child)
    child.once('exit', () => { children.delete(child) })
    return child
  }

  const { redis: server, url } = await runRedis(programs.get('redis-server')!, directory)
  keep(server)

  const app = Fastify({ forceCloseConnections: true })
  // A demo: whoever gives a name as token is that user, and may look at every order.
  await app.register(realtime, {
    authenticate: (_request, token) => token === undefined ? null : { sub: token, name: token, rooms: [] },
    auth: { requireExp: false },
    adapter: redis({ url })
  })
  app.room(orders, { authorize: () => true })
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 0) })
  console.log(`node   http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)

  const end = async (): Promise<void> => {
    if (isEnding) return
    isEnding = true
    await app.close()
    // The one that was started last first: a bridge before what it reads from.
    for (const child of [...children].reverse()) await stop(child)
    await rm(directory, { recursive: true, force: true })
    process.exit()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { void end() })
  process.on('exit', () => { for (const child of children) child.kill('SIGKILL') })

  const supervise = (script: URL, environment: NodeJS.ProcessEnv): void => {
    const child = keep(fork(fileURLToPath(script), {
      env: { ...process.env, ...environment, REDIS_URL: url },
      detached: true
    }))
    console.log(`bridge pid ${child.pid!}`)
    void once(child, 'exit').then(() => {
      if (!isEnding) setTimeout(() => { supervise(script, environment) }, AGAIN)
    })
  }
  return { directory, program: (name) => programs.get(name)!, keep, supervise }
}
