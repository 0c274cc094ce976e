import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import { nats } from '../../lib/adapters/nats/index.js'
import { redis } from '../../lib/adapters/redis/index.js'
import { node, reliable, said, type Node } from '../../lib/adapters/contract/host.js'
import type { Adapter } from '../../lib/adapters/adapter.js'
import type { FaultProxy } from '../helpers/fault-proxy.js'
import { until, type Teardown } from '../helpers/servers.js'
import { ADAPTERS, missingServer, type AdapterName, type Way } from '../stories/brokers/broker.js'
import { startNatsBroker } from '../stories/brokers/nats-broker.js'
import { startRedisBroker } from '../stories/brokers/redis-broker.js'

/** Milliseconds for which a link stays dead: longer than any test, as behind a firewall that has forgotten it. */
const FOR_GOOD = 600_000
/** Milliseconds in which a node notices it, and has links that work: a check, one request, and the way back. */
const NOTICED = 15_000
/** Milliseconds for which new links lead to somebody who accepts them and says nothing. */
const MUTE = 5_000
/** More than one on each shard. */
const ROOMS = Array.from({ length: 9 }, (_, index) => `chat/${index}`)

function adapterOf ({ adapter: { kind, options, ...plan } }: Way): Adapter {
  if (kind === 'nats') return nats(options)
  if (!('cluster' in plan) || plan.cluster === undefined) return redis(options)
  const { nodes, natMap } = plan.cluster
  return redis({ ...options, client: new Cluster(nodes, { natMap, lazyConnect: true }) })
}

interface Story {
  /** the ways of the first of them */
  readonly proxies: readonly FaultProxy[]
  readonly near: Node
  readonly far: Node
}

async function story (t: Teardown, adapter: AdapterName): Promise<Story> {
  const broker = adapter.startsWith('nats')
    ? await startNatsBroker(t, adapter)
    : await startRedisBroker(t, adapter, {})
  const [way, other] = [await broker.way(), await broker.way()]
  const near = await node(t, adapterOf(way), 'near')
  return { proxies: way.proxies, near, far: await node(t, adapterOf(other), 'far') }
}

/** Accepts connections and never says a word. */
async function mute (t: Teardown): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Both nodes hear what each of them publishes in each room. */
async function talk (t: Test, { near, far }: Story, word: string): Promise<void> {
  for (const [from, to] of [[near, far], [far, near]] as const) {
    await Promise.all(ROOMS.map(async (room) => {
      const text = `${word} from ${from.host.nodeId}`
      await until(`"${text}" is accepted in ${room}`, async () => {
        await from.adapter.publish(room, said(text, { idempotencyKey: text }), reliable)
        return true
      }, NOTICED)
      await until(`${to.host.nodeId} hears "${text}" in ${room}`, () => to.host.texts(room).includes(text), NOTICED)
    }))
  }
  for (const { host } of [near, far]) t.same(host.gaps, [], `${host.nodeId} was told of no loss`)
}

t.jobs = 2

for (const adapter of ADAPTERS) {
  const run = (title: string, body: (t: Test) => Promise<void>): void => {
    void t.test(title, { skip: missingServer(adapter), buffered: true }, body)
  }

  run(`${adapter}: a node whose links are dead, and stay so without a word, makes others and misses nothing`, async (t) => {
    const all = await story(t, adapter)
    for (const { adapter } of [all.near, all.far]) {
      await Promise.all(ROOMS.map((room) => adapter.subscribe(room, reliable)))
    }
    await talk(t, all, 'before')
    for (const proxy of all.proxies) proxy.kill(undefined, FOR_GOOD)
    await talk(t, all, 'after')
  })

  run(`${adapter}: links that are accepted and never answered are given up, so that a node is there again`, async (t) => {
    const all = await story(t, adapter)
    for (const { adapter } of [all.near, all.far]) {
      await Promise.all(ROOMS.map((room) => adapter.subscribe(room, reliable)))
    }
    await talk(t, all, 'before')
    const targets = all.proxies.map(({ target }) => target)
    const silent = await mute(t)
    for (const proxy of all.proxies) {
      proxy.target = silent
      proxy.cut()
    }
    await sleep(MUTE)
    for (const [index, proxy] of all.proxies.entries()) proxy.target = targets[index]!
    await talk(t, all, 'after')
  })
}
