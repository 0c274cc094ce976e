/**
 * Records what a node of this version says and keeps, for nodes of later versions to read: `node --import tsx
 * test/adapters/record.ts` before a release, and whenever a form has changed. Writes `payloads/<version>.json`; the
 * name may be given as an argument.
 */
import { writeFileSync } from 'node:fs'
import { Kvm } from '@nats-io/kv'
import { connect } from '@nats-io/transport-node'
import { Redis } from 'ioredis'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { VERSION } from '../../lib/version.js'
import { startNats, startRedis } from '../helpers/servers.js'
import { live, node, reliable, said } from '../../lib/adapters/contract/host.js'
import { ANN, KINDS } from './control-messages.js'

/** Times begin with these digits, so that a test can read them as of its own day. */
const WRITTEN = '1700000'
const LEASE = 60_000
const CONTROLS = Object.values(KINDS).flat()

async function say ({
  publish,
  presence,
  leases,
  claims,
  denials,
  control
}: Pick<Adapter, 'publish' | 'presence' | 'leases' | 'claims' | 'denials' | 'control'>): Promise<void> {
  const at = { timestamp: 1_764_000_000_000 }
  await publish('chat/1', said('hi', { ...at, idempotencyKey: 'ann:m-1:1' }), reliable)
  await publish('chat/1', said('hi', { ...at, except: { user: 'ann', connection: ANN } }), reliable)
  await publish('chat/1', said('hi', { ...at, delivery: 'volatile', except: { connection: ANN } }), reliable)
  await publish('chat/1', said('hi', { ...at, delivery: 'volatile', ack: 'node.ack1' }), reliable)
  await publish('chat/1', said('hi', { ...at, type: 'score', delivery: 'latest', key: 'red' }), reliable)
  await publish('live/1', said('hi', at), live)
  await presence!.join('chat/1', { userId: 'ann', connection: ANN, data: { name: 'Ann' } }, LEASE)
  await presence!.join('chat/1', { userId: 'bob', connection: 'BBBBBBBBBBBBBBBBBBBBBB' }, LEASE)
  await presence!.leave('chat/1', { userId: 'bob', connection: 'BBBBBBBBBBBBBBBBBBBBBB' }, 0)
  for (const message of CONTROLS) await control!.send(message)
  await leases!.acquire('user:ann', ANN, 1, LEASE)
  await claims!.claim('ann\nm-1', 'aGFzaA==', LEASE, 'ann', 'node')
  await claims!.claim('ann\nm-2', 'aGFzaA==', LEASE, 'ann', 'node')
  await claims!.settle('ann\nm-2', 'aGFzaA==', '{"data":{"id":"7"}}', LEASE, 'ann', 'node')
  await claims!.put(
    'ticket:abc',
    JSON.stringify({ user: { sub: 'ann', exp: 4_102_444_800 }, userId: 'ann', exp: 4_102_444_800, tokenId: 't1' }),
    LEASE
  )
  await denials!.deny('user:zoe', 4_102_444_800_000)
}

function methodsOf (adapter: Adapter): Parameters<typeof say>[0] {
  const { presence, leases, claims, denials, control } = adapter
  return {
    publish: (...args) => adapter.publish(...args),
    presence: presence!,
    leases: leases!,
    claims: claims!,
    denials: denials!,
    control: control!
  }
}

async function valueOf (raw: Redis, key: string): Promise<{ type: string, value: unknown }> {
  const type = await raw.type(key)
  if (type === 'string') return { type, value: await raw.get(key) }
  if (type === 'hash') return { type, value: await raw.hgetall(key) }
  if (type === 'zset') return { type, value: await raw.zrange(key, '0', '-1', 'WITHSCORES') }
  if (type === 'list') return { type, value: await raw.lrange(key, 0, -1) }
  return { type, value: await raw.xrange(key, '-', '+') }
}

/** As it was before MONITOR wrote it in one line. */
function shown (text: string): string { return text.replaceAll('\\n', '\n') }

/** What happens soon: a stream of messages has no end that could be awaited. */
async function settle (): Promise<void> { await new Promise((resolve) => { setTimeout(resolve, 1_000) }) }

async function recordRedis (t: { teardown: (callback: () => unknown) => void }): Promise<unknown> {
  const { url } = await startRedis(t)
  const raw = new Redis(url)
  t.teardown(() => { raw.disconnect() })
  const { adapter } = await node(t, redis({ url }), 'node')
  await adapter.subscribe('live/1', live)
  await adapter.subscribe('chat/1', reliable)
  const monitor = await raw.monitor()
  t.teardown(() => { monitor.disconnect() })
  const messages: Array<{ channel: string, text: string }> = []
  monitor.on('monitor', (_time: string, [command, channel, text]: string[]) => {
    if (command?.toLowerCase() === 'spublish') messages.push({ channel: channel!, text: shown(text!) })
  })
  await say(methodsOf(adapter))
  await settle()
  const keys: Record<string, unknown> = {}
  for (const key of (await raw.keys('*')).sort()) keys[key] = await valueOf(raw, key)
  return { messages, keys }
}

async function recordNats (t: { teardown: (callback: () => unknown) => void }): Promise<unknown> {
  const { url } = await startNats(t)
  const raw = await connect({ servers: [url] })
  t.teardown(async () => { await raw.close() })
  const { adapter } = await node(t, nats({ url }), 'node')
  await adapter.subscribe('live/1', live)
  await adapter.subscribe('chat/1', reliable)
  const messages: Array<{ subject: string, headers: Record<string, string>, text: string }> = []
  const heard = raw.subscribe('realtime.>', {
    callback: (_error, message) => {
      messages.push({
        subject: message.subject,
        headers: Object.fromEntries([...message.headers ?? []].map(([name, values]) => [name, values[0]!])),
        text: message.string()
      })
    }
  })
  await raw.flush()
  await say(methodsOf(adapter))
  await settle()
  heard.unsubscribe()
  const keys: Record<string, string> = {}
  const kvm = new Kvm(raw)
  for (const bucket of ['realtime_denials', 'realtime_claims', 'realtime_state']) {
    const values = await kvm.open(bucket)
    for await (const key of await values.keys()) {
      const entry = await values.get(key)
      if (entry !== null && !key.startsWith('clock.')) keys[`${bucket}.${key}`] = entry.string()
    }
  }
  return { messages, keys }
}

const ends: Array<() => unknown> = []
const teardown = { teardown: (callback: () => unknown): void => { ends.push(callback) } }
const begun = Math.floor(Date.now() / 1_000_000)
try {
  const recorded = { controls: CONTROLS, redis: await recordRedis(teardown), nats: await recordNats(teardown) }
  let text = JSON.stringify(recorded, undefined, 2)
  // Leases may end in the next thousand seconds.
  for (const digits of [begun, begun + 1, begun + 2]) text = text.replaceAll(String(digits), WRITTEN)
  writeFileSync(new URL(`./payloads/${process.argv[2] ?? VERSION}.json`, import.meta.url), `${text}\n`)
} finally {
  for (const end of ends.reverse()) await end()
}
