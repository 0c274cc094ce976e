import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'

/** Calls of a script are one command of a client; what the script calls is counted apart. */
const SCRIPTS = ['evalsha', 'eval']
/** What this benchmark itself asks. */
const OURS = /^(info|config|flushall|client)/

export interface BrokerReading {
  readonly commands: ReadonlyMap<string, number>
  /** CPU of the server since it was started, microseconds */
  readonly cpu: number
  /** bytes that it has sent since the last reset */
  readonly sent: number
}

/** One redis-server for the whole run, on a free port, which keeps nothing on disk. */
export class Broker {
  readonly #directory = mkdtempSync(join(tmpdir(), 'bench-redis-'))
  #child!: ChildProcess
  #client!: Redis
  url = ''
  version = ''

  async start (): Promise<void> {
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as AddressInfo
    probe.close()
    await once(probe, 'close')
    this.#child = spawn(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--dir', this.#directory, '--save', ''],
      { stdio: 'ignore' }
    )
    process.on('exit', () => { this.#end() })
    const failed = once(this.#child, 'exit').then(() => { throw new Error('redis-server ended') })
    failed.catch(() => undefined)
    this.url = `redis://127.0.0.1:${port}`
    this.#client = new Redis(this.url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
    // Refused until the server listens; it comes again.
    this.#client.on('error', () => undefined)
    const info = await Promise.race([this.#client.info('server'), failed])
    this.version = /^redis_version:(\S+)/m.exec(info)![1]!
  }

  async empty (): Promise<void> { await this.#client.flushall() }

  async reset (): Promise<void> { await this.#client.config('RESETSTAT') }

  async read (): Promise<BrokerReading> {
    const [commands, cpu, stats] = await Promise.all([
      this.#client.info('commandstats'),
      this.#client.info('cpu'),
      this.#client.info('stats')
    ])
    const seconds = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(cpu)![1])
    return {
      commands: new Map([...commands.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)]
        .map(([, name, calls]) => [name!, Number(calls)] as const)
        .filter(([name]) => !OURS.test(name))),
      cpu: (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1e6,
      sent: Number(/^total_net_output_bytes:(\d+)/m.exec(stats)![1])
    }
  }

  #end (): void {
    this.#child.kill('SIGKILL')
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** Commands that clients sent, of those that were run. */
export function sentOf (commands: ReadonlyMap<string, number>): number {
  const all = [...commands]
  const fromClients = all.some(([name]) => SCRIPTS.includes(name))
    ? all.filter(([name]) => SCRIPTS.includes(name))
    : all
  return fromClients.reduce((sum, [, calls]) => sum + calls, 0)
}
