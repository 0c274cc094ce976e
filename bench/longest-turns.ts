/**
 * The longest turn of the event loop at population size: 100 000 rooms and 50 000 users with a connection each, all in
 * `@all`. The connections end in links that take everything: sockets would need more descriptors than a process has,
 * and their cost is measured elsewhere.
 *
 * `npm run bench:turns -- [connections] [--write]`; with `--write` into `bench/TURNS.md`
 */
import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { encodeEvent } from '../dist/protocol/packet.js'
import { page } from '../dist/stats/paging.js'
import { Metrics } from '../dist/stats/metrics.js'
import { snapshot, type StatsSnapshot } from '../dist/stats/snapshot.js'
import { describeMachine } from './machine.js'
import { show } from './page.js'
import { figure, table } from './table.js'
import { measure, type Turns } from './turns/meter.js'
import { BenchNode } from './turns/node.js'

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

const rows: string[][] = []
const report = async (what: string, work: () => Promise<void> | void, settle?: number): Promise<Turns> => {
  const turns = await measure(work, settle)
  rows.push([what, `${figure(turns.own)} ms`, `${figure(turns.longest)} ms`, `${figure(turns.cpu)} ms`])
  return turns
}
await report(`${figure(CONNECTIONS)} connections that come`, async () => {
  await node.populate(CONNECTIONS, ROOMS_EACH)
})
const full = heap()
const rooms = node.engine.active.size

const publish = async (count: number): Promise<void> => {
  for (let index = 0; index < count; index++) {
    void node.engine.publish(`many/${(index * 7_919) % rooms}`, 'msg', { text: 'x'.repeat(100) })
    if (index % 50 === 0) await new Promise(setImmediate)
  }
}

await report(`publishing ${figure(PUBLISHED / 3)} events within the history budget`, async () => {
  await publish(PUBLISHED / 3)
})
await report(`publishing ${figure(PUBLISHED)} events past it, which evicts`, async () => { await publish(PUBLISHED) })
const read = (): StatsSnapshot => snapshot(node.ledger, node.observer, {
  node: '',
  version: '',
  capacity: 1e6,
  slots: node.slots.taken,
  isAccepting: true,
  published: 0,
  gaps: 0,
  loop: { p50: 0, p99: 0, max: 0 },
  adapter: node.adapter.stats(),
  uptime: 0
})
const metrics = new Metrics(read)
await report('stats and metrics, 20 times each', async () => {
  for (let index = 0; index < 20; index++) {
    read()
    await new Promise(setImmediate)
    await metrics.text()
    await new Promise(setImmediate)
  }
})
await report('listing the last rooms and connections, 20 times', async () => {
  for (let index = 0; index < 20; index++) {
    page((skipped) => node.observer.rooms(skipped), rooms, { after: String(rooms - 100) })
    await new Promise(setImmediate)
    page((skipped) => node.observer.all(skipped), CONNECTIONS, { after: String(CONNECTIONS - 100) })
    await new Promise(setImmediate)
  }
})
await report('a heartbeat sweep over all connections', () => { node.heartbeat.sweep(performance.now(), Date.now()) })
await report('renewing the leases of all connections', () => { void node.slots.restore() })
await report('denying 20 000 users and tokens, closing 1 000 connections by token', async () => {
  for (let index = 0; index < 20_000; index++) {
    void node.adapter.denials.deny(`user:${index}`, Date.now() + 3_600_000)
    if (index % 20 === 0) {
      for (const connection of node.connections.ofToken(`token-${index}`)) connection.close('revoked')
    }
    if (index % 20 === 0) await new Promise(setImmediate)
  }
})
await report(
  `an event for all ${figure(node.connections.size)} members of one room`,
  () => { void node.engine.publish('@all', 'notice', { text: 'x' }) },
  1_000
)
await report(`20 events for all ${figure(node.connections.size)} in one turn`, () => {
  for (let index = 0; index < 20; index++) void node.engine.publish('@all', 'notice', { text: 'x' })
}, 3_000)
await report('an event and a presence change that a broker brings, for all of them', () => {
  void node.engine.host.event(
    '@all',
    encodeEvent({ type: 'notice', room: '@all', delivery: 'volatile', timestamp: 0 }, '{"text":"x"}')
  )
  node.engine.host.presence('@all', { sequence: 1, joined: [], left: [{ userId: 'somebody' }] })
}, 1_000)
await report('an acknowledged broadcast to all of them, and its end without an answer', async () => {
  const ack = node.acks.newId()
  const waiting = node.acks.wait(ack, 500)
  await node.engine.publish('@all', 'notice', { text: 'x' }, { ack })
  node.acks.seal(ack, 0)
  await waiting
}, 1_000)
await report('revoking and joining a user with 1 000 connections, as control messages ask', async () => {
  await node.control({ type: 'join', user: 'common', room: 'many/0' })
  await node.control({ type: 'revoke', user: 'common', until: Date.now() + 3_600_000 })
}, 1_000)
const going = node.connections.all().slice(0, 10_000)
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

const text = [
  '# The longest turn of the event loop',
  '',
  `${figure(rooms)} rooms, ${figure(CONNECTIONS)} users with one connection each, in ${ROOMS_EACH} rooms and in \`@all\`; in one process, on links that take everything, since that many`,
  'sockets do not fit into the descriptors of one process. A turn counts what its thread had of the processor. The collector marks in its pauses',
  'alone (`--no-incremental-marking`), so that the first column is without its work and the second has all of it at once.',
  '',
  ...describeMachine(),
  `Load average ${figure(loadavg()[0]!)}: above the number of cores every figure is larger than it is on a free machine.`,
  '',
  `Heap: ${figure(empty)} MiB without connections, ${figure(full)} MiB with all${globalThis.gc === undefined ? ' (not collected before)' : ''}.`,
  '',
  table(['what', 'longest turn', 'with garbage collection', 'CPU'], rows),
  '',
  'What is offered to the members of a room is the one thing in proportion to their number. To more than 4 096 it is offered in slices of 1.5 ms;',
  'the writes that it makes go in slices of 3 ms.',
  '',
  'Print it anew: `npm run bench:turns -- --write`.',
  ''
].join('\n')
show('TURNS.md', text)
process.exit()
