import t from 'tap'
import { connect } from '@nats-io/transport-node'
import { jetstreamManager } from '@nats-io/jetstream'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { Drift, type DriftOptions } from '../../../lib/adapters/nats/drift.js'
import { node, reliable, said, textOf } from '../../../lib/adapters/contract/host.js'
import { missing, startNats, startNatsCluster, until } from '../../helpers/servers.js'

interface Made { readonly drift: Drift, readonly asked: unknown[], readonly told: object[] }

function make (replicas: number, failure?: Error): Made {
  const asked: unknown[] = []
  const told: object[] = []
  const update = async (name: string, config: object): Promise<void> => {
    asked.push([name, config])
    if (failure !== undefined) throw failure
  }
  const link = { attempt: async (ask: () => Promise<unknown>) => await ask(), jsm: { streams: { update } } }
  const log = { warn: (object: object) => { told.push(object) } }
  return { drift: new Drift({ link: link as unknown as DriftOptions['link'], replicas, storage: 'file', log }), asked, told }
}

t.test('a stream with fewer copies than are wanted gets more, and none is taken from one with more', async (t) => {
  const { drift, asked, told } = make(3)
  drift.start()
  for (const [name, replicas] of [['one', 1], ['three', 3], ['five', 5]] as const) {
    drift.settle({ name, num_replicas: replicas, storage: 'file' as never })
  }
  await new Promise(setImmediate)
  t.same([asked, told], [[['one', { num_replicas: 3 }]], []])
})

t.test('copies that the server does not give are told of once, whatever the number of streams', async (t) => {
  const failure = new Error('no suitable peers for placement')
  const { drift, asked, told } = make(3, failure)
  drift.start()
  for (const name of ['one', 'two']) drift.settle({ name, num_replicas: 1, storage: 'file' as never })
  await new Promise(setImmediate)
  t.equal(asked.length, 2)
  t.same(told, [{ err: failure, stream: 'one', copies: 1, replicas: 3 }])
})

t.test(
  'nats: streams that were made with another storage keep it, are changed otherwise, and one warning says what to do',
  { skip: missing('nats-server'), timeout: 60_000 },
  async (t) => {
    const { url } = await startNats(t)
    const { adapter } = await node(t, nats({ url, storage: 'memory' }), 'before')
    await adapter.subscribe('chat/1', reliable)
    await adapter.publish('chat/1', said('x'), reliable)
    const { adapter: after, host } = await node(t, nats({ url, storage: 'file' }), 'after')
    const settings = { ...reliable, history: { size: 7, ttl: 300_000 } }
    await after.subscribe('chat/1', settings)
    await after.publish('chat/1', said('y'), settings)
    t.same((await after.history!('chat/1', { limit: 10 }, settings)).events.map(textOf), ['x', 'y'])
    const connection = await connect({ servers: url })
    t.teardown(() => connection.close())
    const jsm = await jetstreamManager(connection)
    for await (const { config } of jsm.streams.list()) {
      t.equal(config.storage, 'memory', config.name)
      if (/^realtime_[0-9a-f]{12}$/.test(config.name)) t.equal(config.max_msgs_per_subject, 8)
    }
    t.equal(host.notes.filter((text) => text.includes('nats({ storage })')).length, 1)
  }
)

t.test(
  'nats: streams and buckets that were made with one copy have three after a start that asks for three',
  { skip: missing('nats-server'), timeout: 120_000 },
  async (t) => {
    const servers = await startNatsCluster(t)
    const url = servers.map((server) => server.url)
    const use = async (replicas: number): Promise<void> => {
      const { adapter } = await node(t, nats({ url, replicas }), `asks for ${replicas}`)
      await until('an event is accepted', async () => {
        await adapter.subscribe('chat/1', reliable)
        return await adapter.publish('chat/1', said('x'), reliable)
      })
      await until('somebody is kept out', async () => {
        await adapter.denials!.deny('eve', Date.now() + 60_000)
        return true
      })
    }
    const connection = await connect({ servers: url })
    t.teardown(() => connection.close())
    const jsm = await jetstreamManager(connection)
    const made = async (): Promise<Array<[name: string, copies: number]>> => {
      const all: Array<[string, number]> = []
      for await (const { config } of jsm.streams.list()) all.push([config.name, config.num_replicas])
      return all
    }
    await use(1)
    const before = await made()
    t.ok(before.length >= 4)
    t.ok(before.every(([, copies]) => copies === 1))
    await use(3)
    await until('all have three', async () => {
      const now = await made()
      if (now.every(([, copies]) => copies === 3)) return true
      throw new Error(JSON.stringify(now))
    }, 30_000)
  }
)
