import { existsSync } from 'node:fs'
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect as connectNats } from '@nats-io/transport-node'
import Fastify, { type FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import pg from 'pg'
import t, { type Test } from 'tap'
import { missing, startNats, startRedis, until } from '../helpers/servers.js'
import { startStage, type Stage } from '../helpers/stage.js'

const isBuilt = existsSync(new URL('../../dist/index.js', import.meta.url))
/** Why a test is skipped: as an app has it, the examples use what was built. */
const without = (...programs: string[]): string | false => isBuilt ? missing(...programs) : 'the package is not built'

// They wait for processes and groups most of the time.
t.jobs = 2

/** milliseconds until what waits for a group of Kafka, which notices a killed consumer after 6 s, must have happened */
const PATIENCE = 60_000
const IDS = ['1', '2', '3', '4', '5']
const upTo = (count: number): number[] => Array.from({ length: count }, (_, step) => step)
const each = (count: number): Map<string, number[]> => new Map(IDS.map((id) => [id, upTo(count)]))
const sum = (steps: ReadonlyMap<string, readonly number[]>): number =>
  [...steps.values()].reduce((count, seen) => count + seen.length, 0)

t.test('records of Kafka arrive once and in order, though the bridge is killed', {
  skip: without('kcat', 'redis-server'),
  timeout: 180_000
}, async (t) => {
  const stage = await startStage(t, {
    args: ['example/kafka/start.ts'],
    source: 'kafka'
  })
  const producer = new Kafka({ brokers: [stage.source], logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  t.teardown(async () => { await producer.disconnect() })
  const produce = async (from: number, to: number): Promise<void> => {
    const messages = upTo(to).slice(from).flatMap((step) => IDS.map((key) => ({
      key,
      value: JSON.stringify({ status: 'moved', step })
    })))
    await producer.send({ topic: 'orders', messages })
  }
  await produce(0, 20)
  const steps = await stage.watch(IDS)
  await until('the first records arrive', () => sum(steps) > 0, PATIENCE)
  await stage.kill()
  await produce(20, 40)
  // What the next bridge reads again comes before these.
  await until('all arrive', () => sum(steps) >= 40 * IDS.length, PATIENCE)
  await produce(40, 41)
  await until('the last ones arrive', () => IDS.every((id) => steps.get(id)!.includes(40)), PATIENCE)
  t.same(steps, each(41))
})

/** The example with PostgreSQL, and a connection of a writer. */
async function startOutbox (t: Test): Promise<{ stage: Stage, writer: pg.Client, insert: Insert }> {
  const stage = await startStage(t, { args: ['example/postgres/start.ts'], source: 'postgres' })
  const writer = new pg.Client({ connectionString: stage.source })
  await writer.connect()
  t.teardown(async () => { await writer.end() })
  return {
    stage,
    writer,
    insert: async (id, step, event = 'changed') => {
      await writer.query('insert into outbox (room, event, data) values ($1, $2, $3)', [
        `orders/${id}`, event, { status: 'moved', step }
      ])
    }
  }
}
type Insert = (id: string, step: number, event?: string) => Promise<void>

t.test('a transactional outbox of PostgreSQL', {
  skip: without('initdb', 'postgres', 'redis-server'),
  timeout: 180_000
}, async (t) => {
  const { stage, writer, insert } = await startOutbox(t)
  const steps = await stage.watch(IDS)
  const arrives = async (id: string, step: number): Promise<void> => {
    await until(`step ${step} of order ${id}`, () => steps.get(id)!.includes(step))
  }
  const left = async (): Promise<number> =>
    Number((await writer.query<{ count: string }>('select count(*) from outbox')).rows[0]!.count)

  await t.test('what is rolled back is not sent, and what is committed is sent in order', async (t) => {
    await writer.query('begin')
    for (const step of [100, 101]) await insert('1', step)
    await writer.query('rollback')
    await writer.query('begin')
    for (const step of [0, 1]) await insert('1', step)
    await writer.query('commit')
    await arrives('1', 1)
    t.same(steps.get('1'), [0, 1])
  })

  await t.test('a bridge that is killed between the commit of a row and its broadcast loses nothing', async (t) => {
    process.kill(stage.bridge(), 'SIGSTOP')
    await insert('2', 0)
    await stage.kill()
    await arrives('2', 0)
    await insert('2', 1)
    await arrives('2', 1)
    t.same(steps.get('2'), [0, 1])
  })

  await t.test('one that is killed between the broadcast and the removal of the row doubles nothing', async (t) => {
    const holder = new pg.Client({ connectionString: stage.source })
    await holder.connect()
    t.teardown(async () => { await holder.end() })
    // The removal of a row before would wait for the lock, and all that is read behind it.
    await until('the outbox is empty', async () => await left() === 0)
    process.kill(stage.bridge(), 'SIGSTOP')
    await insert('3', 0)
    // The row can be read now, and not removed.
    await holder.query('begin')
    await holder.query('lock table outbox in exclusive mode')
    process.kill(stage.bridge(), 'SIGCONT')
    await arrives('3', 0)
    await stage.kill()
    // What waits for the lock would be done when it has it, though nobody is there any more.
    await holder.query("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
    await holder.query('rollback')
    t.equal(await left(), 1, 'the row was not removed by the bridge that was killed')
    await until('the next bridge has removed it', async () => await left() === 0)
    await insert('3', 1)
    await arrives('3', 1)
    t.same(steps.get('3'), [0, 1])
  })

  await t.test('rows that no room takes are told and removed, and what follows goes on', async (t) => {
    await insert('4', 0, 'vanished')
    await insert('4', 0)
    await arrives('4', 0)
    await until('the outbox is empty', async () => await left() === 0)
    t.match(stage.log(), /outbox \d+: .*declares no event "vanished"/)
  })
})

/** An app with the room of the page's examples, from what was built. */
async function startApp (t: Test): Promise<{ app: FastifyInstance, played: (id: string) => Promise<unknown[]> }> {
  const { default: realtime } = await import('fastify-realtime')
  const { game } = await import('../../example/readme/rooms.js')
  const app = Fastify()
  await app.register(realtime, { authenticate: () => ({ id: 'anybody' }) })
  app.room(game, {
    presence: ({ userId }) => ({ name: userId }),
    // Nobody plays here.
    on: { move: () => ({ turn: 0 }), type: () => undefined }
  })
  t.teardown(async () => { await app.close() })
  return {
    app,
    played: async (id) => (await app.rooms.history(game.at({ id }))).events.map(({ data }) => (data as Move).from)
  }
}
interface Move { readonly from: number }
const move = (from: number): string => JSON.stringify({ from, to: from + 1, by: 'ada' })

t.test('the form of the page for NATS acknowledges what was broadcast, and goes on behind it', {
  skip: without('nats-server')
}, async (t) => {
  const { port } = await startNats(t)
  const connection = await connectNats({ port })
  t.teardown(async () => { await connection.close() })
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name: 'MOVES', subjects: ['moves.*'] })
  await manager.consumers.add('MOVES', { durable_name: 'realtime', ack_policy: AckPolicy.Explicit })
  const stream = jetstream(connection)
  const { app, played } = await startApp(t)
  await app.ready()
  const { fromNats } = await import('../../example/readme/bridges.js')
  const carry = async (count: number): Promise<void> => {
    const stop = new AbortController()
    const running = fromNats(app.rooms, await stream.consumers.get('MOVES', 'realtime'), stop.signal)
    await until('all are played', async () => (await played('1')).length + (await played('2')).length >= count)
    stop.abort()
    await running
  }
  for (const from of upTo(10)) await stream.publish(`moves.${from % 2 + 1}`, move(from))
  await carry(10)
  for (const from of [10, 11]) await stream.publish(`moves.${from % 2 + 1}`, move(from))
  await carry(12)
  t.same([await played('1'), await played('2')], [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]])
})

t.test('the form of the page for Redis streams begins with what was read and not acknowledged', {
  skip: without('redis-server')
}, async (t) => {
  const { url } = await startRedis(t)
  const [redis, writer] = [new Redis(url), new Redis(url)]
  t.teardown(() => { for (const each of [redis, writer]) each.disconnect() })
  await writer.xgroup('CREATE', 'moves', 'realtime', '0', 'MKSTREAM')
  const add = async (from: number): Promise<void> => {
    await writer.xadd('moves', '*', 'game', String(from % 2 + 1), 'move', move(from))
  }
  for (const from of upTo(10)) await add(from)
  // As a bridge that was killed has left them.
  await writer.xreadgroup('GROUP', 'realtime', 'bridge', 'COUNT', 4, 'STREAMS', 'moves', '>')
  const { app, played } = await startApp(t)
  await app.ready()
  const { fromRedis } = await import('../../example/readme/bridges.js')
  const stop = new AbortController()
  const running = fromRedis(app.rooms, redis, stop.signal)
  await until('all are played', async () => (await played('2')).includes(9))
  for (const from of [10, 11]) await add(from)
  await until('the later ones are played', async () => (await played('2')).includes(11))
  stop.abort()
  t.match(await running, { accepted: 12, committed: 12 })
  t.same([await played('1'), await played('2')], [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]])
  const [unacknowledged] = await writer.xpending('moves', 'realtime') as [number]
  t.equal(unacknowledged, 0)
})
