import type { Adapter } from '../../lib/adapters/adapter.js'
import { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import { within } from './raw.js'

/** Holds whatever passes one named point until it is opened. */
export class Gates {
  #point: string | undefined
  #reach: () => void = () => undefined
  #open: () => void = () => undefined
  #opened: Promise<void> | undefined
  #reached: Promise<void> = Promise.resolve()

  /** From here on everything waits at this point. */
  close (point: string): void {
    this.#point = point
    this.#reached = new Promise((resolve) => { this.#reach = resolve })
    this.#opened = new Promise((resolve) => { this.#open = resolve })
  }

  /** Somebody waits. */
  async reached (): Promise<void> {
    await within(`somebody waits at ${this.#point ?? 'no point'}`, 5_000, this.#reached)
  }

  open (): void {
    this.#point = undefined
    this.#open()
  }

  pass (point: string): Promise<void> | undefined {
    if (point !== this.#point) return undefined
    this.#reach()
    return this.#opened
  }
}

/**
 * The memory adapter as one whose server is elsewhere: each of its answers may have to be waited for, and it leases.
 */
export function gatedAdapter (gates: Gates): Adapter {
  const memory = new MemoryAdapter()
  const { presence, claims, denials } = memory
  return {
    name: 'gated',
    start: async (host) => { await memory.start(host) },
    close: async () => { await memory.close() },
    subscribe: (room, settings) => gates.pass('subscribe')?.then(() => memory.subscribe(room, settings)) ??
      memory.subscribe(room, settings),
    unsubscribe: (room) => { memory.unsubscribe(room) },
    publish: (room, publication, settings) => memory.publish(room, publication, settings),
    history: (room, query, settings) => memory.history(room, query, settings),
    latest: (room) => memory.latest(room),
    leases: {
      acquire: async () => {
        await gates.pass('leases')
        return true
      },
      renew: async () => undefined,
      release: async () => undefined,
      count: async () => 0
    },
    presence: {
      join: async (...args) => {
        await gates.pass('presence')
        await presence.join(...args)
      },
      leave: (...args) => presence.leave(...args),
      snapshot: (...args) => presence.snapshot(...args),
      sweep: () => { presence.sweep() }
    },
    claims: {
      claim: async (...args) => {
        const claim = await claims.claim(...args)
        await gates.pass('claim')
        return claim
      },
      settle: (...args) => claims.settle(...args),
      put: async (...args) => {
        await claims.put(...args)
        await gates.pass('put')
      },
      take: async (...args) => {
        const value = await claims.take(...args)
        await gates.pass('take')
        return value
      }
    },
    denials: {
      deny: (...args) => denials.deny(...args),
      // The answer is of before the wait, as it is when a broker's answer is on its way.
      isDenied: async (...args) => {
        const isDenied = await denials.isDenied(...args)
        await gates.pass('denials')
        return isDenied
      }
    }
  }
}
