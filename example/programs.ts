import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where Debian and others keep servers, which is not on everybody's PATH. */
const MORE = ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin', ...versions('/usr/lib/postgresql')]
/** milliseconds */
const PATIENCE = 10_000
const RETRY = 20

/** Debian has each version of PostgreSQL in a folder of its own. */
function versions (folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).map((version) => join(folder, version, 'bin')) : []
}

/** The path of an installed program; an environment variable such as REDIS_SERVER names another. */
export function findProgram (name: string): string | undefined {
  const named = process.env[name.toUpperCase().replaceAll('-', '_')]
  const places = named === undefined
    ? [...(process.env.PATH ?? '').split(delimiter), ...MORE].map((folder) => join(folder, name))
    : [named]
  return places.find((path) => existsSync(path))
}

/** The port, if it is free; without one, any that is. */
export async function freePort (wanted = 0): Promise<number> {
  const server = createServer().listen(wanted, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    throw new Error(`port ${wanted} is taken; name another, e.g. by PORT=${wanted + 1}`)
  }
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** In a process group of its own: Ctrl-C reaches the parent alone, which stops its children in the right order. */
export function run (path: string, args: readonly string[]): ChildProcess {
  return spawn(path, args, { stdio: ['ignore', 'ignore', 'inherit'], detached: true })
}

/** Resolves when somebody listens on the port. */
export async function listening (name: string, port: number, child: ChildProcess): Promise<void> {
  const end = performance.now() + PATIENCE
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${name} ended with ${child.signalCode ?? child.exitCode}`)
    }
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      if (performance.now() > end) {
        throw new Error(`${name} does not listen on port ${port} after ${PATIENCE / 1_000} s`)
      }
      await sleep(RETRY)
    } finally {
      socket.destroy()
    }
  }
}

/** A Redis on a free port, with nothing on disk but its log. */
export async function runRedis (path: string, directory: string): Promise<{ redis: ChildProcess, url: string }> {
  const port = await freePort()
  const redis = run(path, [
    '--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '',
    '--logfile', join(directory, 'redis.log')
  ])
  await listening('redis-server', port, redis)
  return { redis, url: `redis://127.0.0.1:${port}` }
}

export async function stop (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  // What reads until its input ends, as kcat does, looks for no signal meanwhile.
  child.stdin?.end()
  child.kill('SIGTERM')
  const killer = setTimeout(() => { child.kill('SIGKILL') }, PATIENCE)
  await ended
  clearTimeout(killer)
}
