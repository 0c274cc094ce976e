/**
 * The longest turn of the event loop at population size: 100 000 rooms and 50 000 users with a connection each, all in
 * `@all`. The connections end in links that take everything: sockets would need more descriptors than a process has,
 * and their cost is measured elsewhere.
 *
 * One run, in a process of its own; `bench/longest-turns.ts` makes several and prints them.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { OwnConnections } from '../../dist/app/own-connections.js'
import { encodeEvent } from '../../dist/protocol/packet.js'
import { Lists } from '../../dist/stats/lists.js'
import { page } from '../../dist/stats/paging.js'
import { Metrics } from '../../dist/stats/metrics.js'
import { snapshot, type StatsSnapshot } from '../../dist/stats/snapshot.js'
import { figure } from '../table.js'
import { measure, type Turns } from './meter.js'
import { BenchNode, COMMON } from './node.js'

/** What one piece of work cost: milliseconds. */
export interface Row {
  readonly what: string
  /** The longest turn without the pauses of the collector, and with them. */
  readonly own: number
  readonly longest: number
  /** Of the processor, of all threads. */
  readonly cpu: number
}

/** What one run has found; memory in MiB. */
export interface Run {
  readonly rows: readonly Row[]
  readonly rooms: number
  readonly connections: number
  readonly roomsEach: number
  readonly empty: number
  readonly full: number
}

const CONNECTIONS = Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 50_000)
const ROOMS_EACH = 2
const PUBLISHED = 300_000
const BYTES = 32 * 1024 * 1024

const node = new BenchNode(BYTES)
await node.start()
const heap = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}
const empty = heap()

const rows: Row[] = []
const report = async (what: string, work: () => Promise<void> | void, settle?: number): Promise<Turns> => {
  const turns = await measure(work, settle)
  rows.push({ what, own: turns.own, longest: turns.longest, cpu: turns.cpu })
  return turns
}
// The first call of anything costs what its code costs to be read and compiled, however many there are.
await node.populate(0, COMMON, ROOMS_EACH)
await report(`${figure(CONNECTIONS - COMMON)} connections that come, after ${figure(COMMON)} others`, async () => {
  await node.populate(COMMON, CONNECTIONS, ROOMS_EACH)
})
const full = heap()
const rooms = node.hub.active.size

const publish = async (count: number): Promise<void> => {
  for (let index = 0; index < count; index++) {
    void node.hub.publish(`many/${(index * 7_919) % rooms}`, 'msg', { text: 'x'.repeat(100) })
    if (index % 50 === 0) await new Promise(setImmediate)
  }
}

await report(`publishing ${figure(PUBLISHED / 3)} events within the history budget`, async () => {
  await publish(PUBLISHED / 3)
})
await report(`publishing ${figure(PUBLISHED)} events past it, which evicts`, async () => { await publish(PUBLISHED) })
const read = (): StatsSnapshot => snapshot(node.ledger, node.inspector, {
  node: '',
  version: '',
  capacity: 1e6,
  slots: node.slots.taken,
  isAccepting: true,
  published: 0,
  gaps: 0,
  gapsTold: 0,
  loop: { p50: 0, p99: 0, max: 0 },
  adapter: node.adapter.stats(),
  uptime: 0
})
const metrics = new Metrics(read)
await report('stats and metrics, 20 times each', async () => {
  for (let index = 0; index < 20; index++) {
    read()
    await new Promise(setImmediate)
    await metrics.scrape()
    await new Promise(setImmediate)
  }
})
await report('listing the last rooms and connections, 20 times', async () => {
  for (let index = 0; index < 20; index++) {
    page((skipped) => node.inspector.rooms(skipped), rooms, { after: String(rooms - 100) })
    await new Promise(setImmediate)
    page((skipped) => node.inspector.all(skipped), CONNECTIONS, { after: String(CONNECTIONS - 100) })
    await new Promise(setImmediate)
  }
})
const lists = new Lists('bench', node.connections, node.hub)
await report('a sorted and searched page of all connections and of all rooms, 5 times', async () => {
  for (let index = 0; index < 5; index++) {
    await lists.connections({ sort: 'latency', isDescending: true, limit: 200, search: '7' })
    await lists.connections({ sort: 'user', isDescending: false, limit: 200 })
    await lists.rooms({ sort: 'members', isDescending: true, limit: 200, search: '7' })
  }
})
const own = new OwnConnections('bench', node.connections, node.hub)
await report('a page of `app.rooms.connections()`, of all, of a room and of a user, 5 times', async () => {
  const ask = { limit: 1_000, bytes: 2 ** 20 }
  for (let index = 0; index < 5; index++) {
    await own.page({ ...ask, after: { node: 'bench', number: CONNECTIONS - COMMON } })
    await own.page({ ...ask, room: '@all' })
    await own.page({ ...ask, user: 'common' })
  }
})
await report('one connection by its number, the last one, 5 times', async () => {
  for (let index = 0; index < 5; index++) await lists.connection(CONNECTIONS)
})
await report('a heartbeat sweep over all connections', () => { node.heartbeat.sweep(performance.now(), Date.now()) })
await report('renewing the leases of all connections', () => { void node.slots.restore() })
await report('denying 20 000 users and tokens, closing 1 000 connections by token', async () => {
  for (let index = 0; index < 20_000; index++) {
    void node.adapter.denials.deny(`user:${index}`, Date.now() + 3_600_000)
    if (index % 20 === 0) {
      for (const connection of node.connections.ofToken(`token-${COMMON + index}`)) connection.close('revoked')
    }
    if (index % 20 === 0) await new Promise(setImmediate)
  }
})
await report(
  `an event for all ${figure(node.connections.size)} members of one room`,
  () => { void node.hub.publish('@all', 'notice', { text: 'x' }) },
  1_000
)
await report(`20 events for all ${figure(node.connections.size)} in one turn`, () => {
  for (let index = 0; index < 20; index++) void node.hub.publish('@all', 'notice', { text: 'x' })
}, 3_000)
await report('an event and a presence change that a broker brings, for all of them', () => {
  void node.hub.host.event(
    '@all',
    encodeEvent({ type: 'notice', room: '@all', delivery: 'volatile', timestamp: 0 }, '{"text":"x"}')
  )
  node.hub.host.presence('@all', { sequence: 1, joined: [], left: [{ userId: 'somebody' }] })
}, 1_000)
await report('an acknowledged broadcast to all of them, and its end without an answer', async () => {
  const ack = node.acks.newId()
  const waiting = node.acks.wait(ack, 500)
  await node.hub.publish('@all', 'notice', { text: 'x' }, { ack })
  node.acks.seal(ack, 0)
  await waiting
}, 1_000)
await report('revoking and joining a user with 1 000 connections, as control messages ask', async () => {
  await node.control({ type: 'join', user: 'common', room: 'many/0' })
  await node.control({ type: 'revoke', user: 'common', until: Date.now() + 3_600_000 })
}, 1_000)
const going = [...node.connections.values()].slice(0, 10_000)
await report('10 000 connections that go, and the presence sweep after their grace', async () => {
  let index = 0
  for (const connection of going) {
    connection.finish('gone')
    if (++index % 10 === 0) await new Promise(setImmediate)
  }
  await delay(600)
}, 1_000)
await report('sweeping all events, expired at once', async () => {
  node.ahead = 600_000
  await delay(1_500)
}, 500)
await report(`draining ${figure(node.connections.size)} connections`, async () => { await node.drain.run() }, 500)
await node.stop()

const run: Run = { rows, rooms, connections: CONNECTIONS, roomsEach: ROOMS_EACH, empty, full }
process.stdout.write(`${JSON.stringify(run)}\n`)
process.exit()
