/**
 * A NATS adapter in a process of its own, which may have a clock of its own: `fork(this file, [url])`. Its parent says
 * what to call, such as `leases.acquire`, and is told what came of it.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { FakeHost } from '../../lib/adapters/contract/host.js'
import { clockOff } from './clock.js'
import type { Teardown } from './servers.js'
import { TYPESCRIPT } from './typescript.js'

interface Call { readonly id: number, readonly path: string, readonly args: readonly unknown[] }
interface Answer { readonly id: number, readonly result?: unknown, readonly error?: string }

export interface Remote { call (path: string, ...args: unknown[]): Promise<unknown> }

/** @param seconds by which the clock of the process is wrong */
export async function remoteNats (t: Teardown, url: string, seconds: number): Promise<Remote> {
  const child = fork(fileURLToPath(import.meta.url), [url], {
    execArgv: [...TYPESCRIPT],
    env: { ...process.env, ...clockOff(seconds) }
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const waiting = new Map<number, (answer: Answer) => void>()
  child.on('message', (answer: Answer) => { waiting.get(answer.id)?.(answer) })
  const [started] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => { throw new Error('the process ended before it was ready') })
  ]) as [Answer]
  if (started.error !== undefined) throw new Error(started.error)
  let count = 0
  return {
    call: async (path, ...args) => {
      const id = ++count
      const { result, error } = await new Promise<Answer>((resolve) => {
        waiting.set(id, resolve)
        child.send({ id, path, args } satisfies Call)
      })
      if (error !== undefined) throw new Error(error)
      return result
    }
  }
}

async function serve (url: string): Promise<void> {
  const [adapter, host] = [nats({ url }), new FakeHost('remote')]
  await adapter.start(host)
  const parts = {
    adapter,
    ...adapter,
    host: { texts: (room: string) => host.texts(room), now: () => Date.now(), gaps: () => host.gaps }
  } as unknown as Record<string, Record<string, (...args: unknown[]) => unknown>>
  process.on('message', ({ id, path, args }: Call) => {
    const [part = '', name = ''] = path.split('.')
    Promise.resolve().then(() => parts[part]![name]!(...args)).then(
      (result) => { process.send!({ id, result } satisfies Answer) },
      (error: unknown) => { process.send!({ id, error: String(error) } satisfies Answer) }
    )
  })
  process.on('disconnect', () => { process.exit() })
  process.send!({ id: 0 } satisfies Answer)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  serve(process.argv[2]!).catch((error: unknown) => { process.send!({ id: 0, error: String(error) } satisfies Answer) })
}
