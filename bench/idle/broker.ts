import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Adapter } from '../../dist/adapters/adapter.js'
import { nats } from '../../dist/adapters/nats/adapter.js'
import { redis } from '../../dist/adapters/redis/adapter.js'

/** Ticks of the kernel's clock in a second, by which it counts CPU. */
const TICKS = 100

async function freePort (): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

/** A server of its own for each measurement. */
export interface Broker {
  readonly name: string
  readonly adapter: () => Adapter
  /** requests of clients since it was started */
  readonly requests: () => Promise<number>
  /** CPU since it was started, milliseconds */
  readonly cpu: () => number
  readonly stop: () => void
}

function cpuOf ({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 1_000 / TICKS
}

function server (
  command: string,
  args: readonly string[],
  directory: string
): { child: ChildProcess, stop: () => void } {
  const child = spawn(command, [...args], { stdio: 'ignore' })
  const stop = (): void => {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.on('exit', stop)
  return { child, stop }
}

export async function startRedis (): Promise<Broker> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-idle-'))
  const port = await freePort()
  const { child, stop } = server(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
    directory
  )
  const url = `redis://127.0.0.1:${port}`
  const client = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  await client.ping()
  return {
    name: 'Redis',
    adapter: () => redis({ url, timeout: 30_000 }),
    // A script is one request, whatever it calls inside.
    requests: async () => {
      const calls = (await client.info('commandstats')).matchAll(/^cmdstat_(?:evalsha|eval):calls=(\d+)/gm)
      return [...calls].reduce((sum, [, count]) => sum + Number(count), 0)
    },
    cpu: () => cpuOf(child),
    stop: () => {
      client.disconnect()
      stop()
    }
  }
}

export async function startNats (): Promise<Broker> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-idle-'))
  const [port, monitor] = [await freePort(), await freePort()]
  const { child, stop } = server(
    'nats-server',
    ['-a', '127.0.0.1', '-p', String(port), '-m', String(monitor), '-js', '-sd', directory],
    directory
  )
  const read = async (): Promise<{ in_msgs: number }> => {
    const answer = await fetch(`http://127.0.0.1:${monitor}/varz`)
    return await answer.json() as { in_msgs: number }
  }
  for (let tries = 0; ; tries++) {
    try {
      await read()
      break
    } catch (error) {
      if (tries === 100) throw error
      await delay(50)
    }
  }
  return {
    name: 'NATS',
    adapter: () => nats({ url: `nats://127.0.0.1:${port}`, timeout: 30_000 }),
    requests: async () => (await read()).in_msgs,
    cpu: () => cpuOf(child),
    stop
  }
}
