/**
 * One node of the chaos of streams as a process of its own: `fork(this file, [URL of redis or nats])`. It says its
 * port, writes the texts that its parent asks for, and says how many steps the adapter was asked for.
 */
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { Adapter, TextStore } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import realtime from '../../lib/index.js'
import { SECRET, stories, tokenAt } from './stream-rooms.js'

/** What the parent asks for. */
export interface Write { readonly key: string, readonly tokens: number, readonly rate: number }
export type Said =
  | { readonly is: 'ready', readonly port: number }
  | { readonly is: 'written', readonly key: string, readonly steps: number, readonly milliseconds: number, readonly error?: string }

const url = process.argv[2]!
const adapter: Adapter = url.startsWith('nats:') ? nats({ url }) : redis({ url })
const store = adapter.texts!
let steps = 0
const write: TextStore['write'] = store.write.bind(store)
// The adapter uses the rest of it itself.
store.write = (...step) => {
  steps++
  return write(...step)
}
const app = Fastify({ forceCloseConnections: true })
await app.register(realtime, {
  jwt: { secret: SECRET },
  adapter,
  heartbeat: 1_000,
  drain: { timeout: 1_000 },
  limits: { user: { connections: 1_000, then: 'reject' } }
})
app.room(stories)
await app.listen({ port: 0, host: '127.0.0.1' })

function say (said: Said): void { process.send!(said) }

async function tell ({ key, tokens, rate }: Write): Promise<void> {
  const begun = performance.now()
  const before = steps
  let error: string | undefined
  try {
    const writer = app.rooms.stream(stories.at({ id: '1' }), 'told', { id: key })
    for (let index = 0; index < tokens; index++) {
      await writer.write(tokenAt(key, index))
      const ahead = begun + (index + 1) * 1_000 / rate - performance.now()
      if (ahead > 0) await sleep(ahead)
    }
    await writer.end()
  } catch (thrown) {
    error = String(thrown)
  }
  const said = { is: 'written', key, steps: steps - before, milliseconds: performance.now() - begun } as const
  say(error === undefined ? said : { ...said, error })
}

process.on('message', (asked: Write) => { void tell(asked) })
process.on('disconnect', () => { process.exit() })
say({ is: 'ready', port: (app.server.address() as AddressInfo).port })
