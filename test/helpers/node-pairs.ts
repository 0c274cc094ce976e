import type { Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { BROKERS, CLUSTER } from './brokers.js'
import { start, type Running, type StartOptions } from './net.js'
import { missing } from './servers.js'

/** Two nodes for each adapter; the same one twice where there is no broker. */
export const PAIRS: ReadonlyArray<{
  readonly name: string
  readonly skip: string | false
  readonly nodes: (t: Test, options: StartOptions) => Promise<[Running, Running]>
}> = [
  {
    name: 'memory',
    skip: false,
    async nodes (t, options) {
      const server = await start(t, { ...options, adapter: memory() })
      return [server, server]
    }
  },
  ...[...BROKERS, CLUSTER].map(({ name, program, start: run, make }) => ({
    name,
    skip: missing(program),
    async nodes (t: Test, options: StartOptions): Promise<[Running, Running]> {
      const { port } = await run(t)
      const one = async (): Promise<Running> => await start(t, { ...options, adapter: make(port) })
      return [await one(), await one()]
    }
  }))
]

/** An adapter without some of its capabilities. */
export function lacking (...names: string[]): Adapter { return without(memory(), ...names) }

/** The same object without some of its methods and properties. */
export function without<T extends object> (whole: T, ...names: string[]): T {
  return new Proxy(whole, {
    get (target, name) {
      if (names.includes(String(name))) return undefined
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    }
  })
}
