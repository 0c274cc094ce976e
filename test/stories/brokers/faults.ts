import { setTimeout as sleep } from 'node:timers/promises'
import { missingClock } from '../../helpers/clock.js'
import type { AdapterName, Broker, BrokerNeeds, Way } from './broker.js'
import type { FleetNode } from './fleet-node.js'
import { deleteBuckets } from './nats-broker.js'
import { command, commands, migrateSlot } from './redis-broker.js'

/** Where a fault happens. */
export interface Scene {
  readonly broker: Broker
  readonly nodes: readonly FleetNode[]
  /** of each node, in their order */
  readonly ways: readonly Way[]
}

export interface Fault {
  readonly name: string
  /** what happens, for the table */
  readonly title: string
  /** resolves when it is over */
  readonly run: (scene: Scene) => Promise<void>
  readonly needs?: BrokerNeeds
  /** bytes of each event; without, events are small */
  readonly pad?: number
  /** lease of presence entries, milliseconds; 60 000 by default */
  readonly lease?: number
  /** seconds by which the clock of the last node is wrong */
  readonly clock?: number
  /**
   * the broker is there for every node the whole time, but for the moment of a blink: limits hold, and a revocation
   * takes 2 s at most
   */
  readonly isBlink?: boolean
  /** the broker forgets which messages took effect: one that is sent again across that moment may do so once more */
  readonly forgets?: boolean
  /**
   * seats and visitors that nobody gave back, or that came back with older data, are there until their lease of a
   * minute ends
   */
  readonly keepsSeats?: boolean
  /** why it makes no sense for an adapter, in words */
  readonly notFor?: (adapter: AdapterName) => string | undefined
}

/** Milliseconds that something stands still: longer than a command may take, shorter than a lease. */
const STILL = 2_500
/** Milliseconds for which a server is away. */
const AWAY = 400

const isNats = (adapter: AdapterName): boolean => adapter.startsWith('nats')
const isOne = (adapter: AdapterName): boolean => adapter === 'redis' || adapter === 'nats'

function onlyGroups (adapter: AdapterName): string | undefined {
  return isOne(adapter) ? 'one server has no other' : undefined
}

function onlyRedis (adapter: AdapterName): string | undefined {
  return isNats(adapter) ? 'NATS has no such command: see cut, stream-deleted and bucket-deleted' : undefined
}

/**
 * Connections of nodes: a sentinel that loses its own in a row takes the primary for down, which is another fault. All
 * rounds go over one connection: on a busy machine one for each command stretched a blink to a quarter of a minute.
 */
async function killClients ({ broker }: Scene, type: string): Promise<void> {
  await Promise.all(broker.servers.map((server) => commands(server, async (call) => {
    for (let round = 0; round < 8; round++) {
      const list = String(await call('CLIENT', 'LIST', 'TYPE', type))
      const ids = list.split('\n').filter((line) => !line.includes(' name=sentinel-')).flatMap((line) => {
        return /^id=(\d+)/.exec(line)?.[1] ?? []
      })
      await Promise.all(ids.map((id) => call('CLIENT', 'KILL', 'ID', id, 'SKIPME', 'yes')))
      await sleep(150)
    }
  })))
}

/** The links of one node, which is the first. */
const linksOf = ({ ways }: Scene): Way['proxies'] => ways[0]!.proxies

async function shut (scene: Scene, direction: 'upward' | 'downward'): Promise<void> {
  for (const proxy of linksOf(scene)) proxy.shut(direction, STILL)
  await sleep(STILL)
}

/** @param rate bytes a second */
async function slow (scene: Scene, rate: number): Promise<void> {
  for (const { proxies } of scene.ways) for (const proxy of proxies) proxy.rate = rate
  await sleep(STILL)
  for (const { proxies } of scene.ways) for (const proxy of proxies) proxy.rate = Infinity
}

export const FAULTS: readonly Fault[] = [
  {
    name: 'kill',
    title: 'a node is killed (-9)',
    lease: 3_000,
    isBlink: true,
    keepsSeats: true,
    run: async ({ nodes }) => {
      await nodes[0]!.kill()
      await sleep(1_000)
    }
  },
  {
    name: 'node-stop',
    title: 'a node stands still',
    run: async ({ nodes }) => {
      nodes[0]!.pause()
      await sleep(STILL)
      nodes[0]!.resume()
    }
  },
  {
    name: 'stop',
    title: 'the broker stands still (SIGSTOP, SIGCONT)',
    run: async ({ broker }) => {
      await Promise.all(broker.servers.map((server) => server.pause()))
      await sleep(STILL)
      for (const server of broker.servers) server.resume()
    }
  },
  {
    name: 'restart-all',
    title: 'the broker crashes and is back with all its data',
    needs: { isDurable: true },
    run: async ({ broker }) => { await broker.restart('all', AWAY) }
  },
  {
    name: 'restart-older',
    title: 'the broker crashes and is back with older data',
    forgets: true,
    keepsSeats: true,
    run: async ({ broker }) => {
      await broker.snapshot()
      await sleep(700)
      await broker.restart('older', AWAY)
    }
  },
  {
    name: 'restart-none',
    title: 'the broker crashes and is back with no data',
    forgets: true,
    run: async ({ broker }) => { await broker.restart('none', AWAY) }
  },
  {
    name: 'flush',
    title: 'FLUSHALL',
    forgets: true,
    notFor: onlyRedis,
    run: async ({ broker }) => {
      for (const server of broker.servers) await command(server, 'FLUSHALL').catch(() => undefined)
      await sleep(1_000)
    }
  },
  ...['normal', 'pubsub'].map((type): Fault => ({
    name: `client-kill-${type}`,
    title: `CLIENT KILL TYPE ${type}, 8 times`,
    isBlink: true,
    notFor: onlyRedis,
    run: (scene) => killClients(scene, type)
  })),
  {
    name: 'cut',
    title: 'the links of all nodes are cut, 8 times',
    isBlink: true,
    run: async ({ ways }) => {
      for (let round = 0; round < 8; round++) {
        for (const { proxies } of ways) for (const proxy of proxies) proxy.cut()
        await sleep(150)
      }
    }
  },
  {
    name: 'half-open',
    title: 'the links of a node are dead, and nobody says so',
    run: async (scene) => {
      for (const proxy of linksOf(scene)) proxy.kill(undefined, STILL)
      await sleep(STILL)
    }
  },
  { name: 'one-way-up', title: 'nothing gets from a node to the broker', run: (scene) => shut(scene, 'upward') },
  { name: 'one-way-down', title: 'nothing gets from the broker to a node', run: (scene) => shut(scene, 'downward') },
  { name: 'slow', title: 'links of 50 kB/s, events of 1 kB', pad: 1_000, run: (scene) => slow(scene, 50_000) },
  { name: 'narrow', title: 'links of 8 kB/s, events of 1 kB', pad: 1_000, run: (scene) => slow(scene, 8_000) },
  {
    name: 'failover',
    title: 'another server is made the leader, in good order',
    needs: { hasReplicas: true },
    notFor: onlyGroups,
    run: async ({ broker }) => {
      await broker.failOver()
      await sleep(1_000)
    }
  },
  {
    name: 'migration',
    title: 'a slot moves to another master',
    isBlink: true,
    notFor: (adapter) => adapter === 'redis-cluster' ? undefined : 'only a Redis Cluster has slots',
    run: async ({ broker }) => {
      await migrateSlot(broker)
      await sleep(1_000)
    }
  },
  {
    name: 'leader-stopped',
    title: 'the leader stands still until another leads',
    needs: { hasReplicas: true },
    notFor: onlyGroups,
    run: async ({ broker }) => {
      const leader = await broker.leader()
      await leader.pause()
      await sleep(broker.adapter === 'sentinel' ? 3_000 : 6_000)
      leader.resume()
      await sleep(500)
    }
  },
  {
    name: 'stream-deleted',
    title: 'what holds the history is deleted',
    run: async ({ broker }) => {
      await broker.deleteHistory()
      await sleep(1_000)
    }
  },
  {
    name: 'bucket-deleted',
    title: 'what holds presence, leases, claims and denials is deleted',
    forgets: true,
    notFor: (adapter) => isNats(adapter) ? undefined : 'Redis keeps them in keys of their own: see flush',
    run: async ({ broker }) => {
      await deleteBuckets(broker)
      await sleep(1_000)
    }
  },
  ...[3_600, -3_600].map((clock): Fault => ({
    name: clock > 0 ? 'clock-ahead' : 'clock-behind',
    title: `the clock of a node is an hour ${clock > 0 ? 'ahead' : 'behind'}`,
    clock,
    isBlink: true,
    notFor: () => missingClock === false ? undefined : missingClock,
    run: () => sleep(2_000)
  }))
]
