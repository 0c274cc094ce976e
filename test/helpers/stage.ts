import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Type } from '@sinclair/typebox'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { connect } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { until } from './servers.js'

const orders = defineRoom('orders/:id', { events: { changed: Type.Object({ step: Type.Integer() }) } })
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** An example of a bridge, as its command runs it. */
export interface Stage {
  /** where the node listens */
  readonly url: string
  /** where the source of the records is */
  readonly source: string
  /** What the example has printed, the end of it. */
  log (): string
  /** The process of the bridge that was started last. */
  bridge (): number
  /** Kills the bridge at once, as a crash does; resolves when the next one was started. */
  kill (): Promise<void>
  /** What everybody who watches an order has been told, in order, by order. */
  watch (ids: readonly string[]): Promise<Map<string, number[]>>
}

/** @param source the word with which the example's line about its source begins */
export async function startStage (
  t: Test,
  { args, source, env = {} }: { readonly args: readonly string[], readonly source: string, readonly env?: object }
): Promise<Stage> {
  const child = spawn(process.execPath, ['--import', './scripts/typescript/register.mjs', ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const exit = once(child, 'exit')
  const bridges: number[] = []
  const places = new Map<string, string>()
  let log = ''
  t.teardown(async () => {
    child.kill('SIGTERM')
    const [code] = await exit as [number | null]
    if (code !== 0) throw new Error(`the example ended with ${code}:\n${log}`)
  })
  const note = (line: string): void => {
    log = `${log}${line}\n`.slice(-8_000)
    const [, what, place] = /^(\w+) +(?:pid )?(\S+)$/.exec(line) ?? []
    if (what === 'bridge') bridges.push(Number(place))
    else if (what !== undefined) places.set(what, place!)
  }
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', note)
  const started = until('the example has started its bridge', () => {
    if (child.exitCode !== null) throw new Error(`it ended:\n${log}`)
    return bridges.length > 0
  })
  await started.catch((error: unknown) => { throw new Error(`${String(error)}\n${log}`) })
  const url = places.get('node')!
  return {
    url,
    source: places.get(source)!,
    log: () => log,
    bridge: () => bridges.at(-1)!,
    async kill () {
      const count = bridges.length
      process.kill(bridges.at(-1)!, 'SIGKILL')
      await until('the next bridge was started', () => bridges.length > count)
    },
    async watch (ids) {
      const client = connect(`${url}/ws`, { token: 'ada', WebSocket })
      t.teardown(() => { client.close() })
      const steps = new Map<string, number[]>()
      await Promise.all(ids.map(async (id) => {
        const seen: number[] = []
        steps.set(id, seen)
        const room = client.join(orders.at({ id }))
        room.on('changed', ({ data }) => { seen.push(data.step) })
        await room.joined
      }))
      return steps
    }
  }
}
