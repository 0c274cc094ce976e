import t from 'tap'
import { connect } from '@nats-io/transport-node'
import { jetstreamManager } from '@nats-io/jetstream'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { Copies, type CopiesOptions } from '../../../lib/adapters/nats/copies.js'
import { node, reliable, said } from '../../../lib/adapters/contract/host.js'
import { missing, startNatsCluster, until } from '../../helpers/servers.js'

interface Made { readonly copies: Copies, readonly asked: unknown[], readonly told: object[] }

function make (replicas: number, failure?: Error): Made {
  const asked: unknown[] = []
  const told: object[] = []
  const update = async (name: string, config: object): Promise<void> => {
    asked.push([name, config])
    if (failure !== undefined) throw failure
  }
  const link = { attempt: async (ask: () => Promise<unknown>) => await ask(), jsm: { streams: { update } } }
  const log = { warn: (object: object) => { told.push(object) } }
  return { copies: new Copies({ link: link as unknown as CopiesOptions['link'], replicas, log }), asked, told }
}

t.test('a stream with fewer copies than are wanted gets more, and none is taken from one with more', async (t) => {
  const { copies, asked, told } = make(3)
  copies.start()
  for (const [name, replicas] of [['one', 1], ['three', 3], ['five', 5]] as const) {
    copies.raise({ name, num_replicas: replicas })
  }
  await new Promise(setImmediate)
  t.same([asked, told], [[['one', { num_replicas: 3 }]], []])
})

t.test('copies that the server does not give are told of once, whatever the number of streams', async (t) => {
  const failure = new Error('no suitable peers for placement')
  const { copies, asked, told } = make(3, failure)
  copies.start()
  for (const name of ['one', 'two']) copies.raise({ name, num_replicas: 1 })
  await new Promise(setImmediate)
  t.equal(asked.length, 2)
  t.same(told, [{ err: failure, stream: 'one', copies: 1, replicas: 3 }])
})

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
