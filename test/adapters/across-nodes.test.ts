import t, { type Test } from 'tap'
import { BROKERS, type Broker } from '../helpers/brokers.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { missing, until, type Server } from '../helpers/servers.js'
import { live, node, reliable, said, type Node } from '../../lib/adapters/contract/host.js'

/** What a node is sent is counted on its way, whatever the adapter says of it. */
async function counted (
  t: Test,
  { make }: Broker,
  { port }: Server,
  id: string
): Promise<Node & { readonly proxy: FaultProxy }> {
  const proxy = new FaultProxy(port)
  const each = await node(t, make(await proxy.listen()), id)
  t.teardown(async () => { await proxy.close() })
  return { ...each, proxy }
}

const SIZE = 1_000
const EVENTS = 100
const large = (text: string): string => text.padEnd(SIZE, '.')

for (const broker of BROKERS) {
  const { name, program, start, make } = broker
  const skip = missing(program)

  for (const what of ['room', 'user'] as const) {
    t.test(`${name}: two nodes racing for the last slot of a ${what}, 500 times: never 2 winners`, {
      skip,
      timeout: 60_000
    }, async (t) => {
      const { port } = await start(t)
      const [a, b] = [await node(t, make(port), 'a'), await node(t, make(port), 'b')]
      const wins = [0, 0, 0]
      for (let round = 0; round < 500; round++) {
        const key = `${what}:${round}`
        await (round % 2 === 0 ? a : b).adapter.leases!.acquire(key, 'held', 2, 60_000)
        const won = await Promise.all([
          a,
          b
        ].map(({ adapter, host }) => adapter.leases!.acquire(key, host.nodeId, 2, 60_000)))
        wins[won.filter(Boolean).length]!++
      }
      t.same(wins, [0, 500, 0])
    })
  }

  for (const [kind, settings] of [['with history', reliable], ['without history', live]] as const) {
    t.test(
      `${name}: a node with no members of a room ${kind} receives none of its traffic, counted in events and in bytes`,
      { skip },
      async (t) => {
        const server = await start(t)
        const [a, b, c] = [
          await counted(t, broker, server, 'a'),
          await counted(t, broker, server, 'b'),
          await counted(t, broker, server, 'c')
        ]
        await a.adapter.subscribe('room/1', settings)
        await b.adapter.subscribe('room/2', settings)
        const [atA, atB] = [a.proxy.received, b.proxy.received]
        for (let index = 0; index < EVENTS; index++) {
          await c.adapter.publish('room/1', said(large(`${index}`)), settings)
        }
        await a.host.heard('room/1', EVENTS)
        await c.adapter.publish('room/2', said('fence'), settings)
        await b.host.heard('room/2', 1)
        t.same(
          [a, b, c].map(({ adapter }) => adapter.stats!().received),
          [EVENTS, 1, 0],
          'events that each node was handed by the broker'
        )
        t.ok(a.proxy.received - atA > SIZE * EVENTS, 'the node with members was sent them all')
        t.ok(
          b.proxy.received - atB < SIZE * 2,
          `the other node was sent ${b.proxy.received - atB} bytes: the fence, and what keeps the link alive`
        )
      }
    )
  }

  t.test(
    `${name}: a node whose last member has left a room receives none of its traffic any more`,
    { skip },
    async (t) => {
      const server = await start(t)
      const [a, b] = [await counted(t, broker, server, 'a'), await node(t, make(server.port), 'b')]
      await a.adapter.subscribe('room/1', live)
      await a.adapter.subscribe('room/2', live)
      await b.adapter.publish('room/1', said('heard'), live)
      await a.host.heard('room/1', 1)
      await a.adapter.unsubscribe('room/1')
      let fences = 0
      await until('a room\'s event no longer comes', async () => {
        const before = a.proxy.received
        await b.adapter.publish('room/1', said(large('')), live)
        await b.adapter.publish('room/2', said('fence'), live)
        await a.host.heard('room/2', ++fences)
        return a.proxy.received - before < SIZE
      })
      t.same(a.host.texts('room/1'), ['heard'])
    }
  )

  for (const [kind, settings] of [['with history', reliable], ['without history', live]] as const) {
    t.test(
      `${name}: a node that left a room ${kind} before it was in receives none of its traffic`,
      { skip },
      async (t) => {
        const server = await start(t)
        const [a, b] = [await counted(t, broker, server, 'a'), await node(t, make(server.port), 'b')]
        await a.adapter.subscribe('room/2', settings)
        const entering = a.adapter.subscribe('room/1', settings)
        await a.adapter.unsubscribe('room/1')
        await Promise.resolve(entering).catch(() => undefined)
        let fences = 0
        await until('a room\'s event does not come', async () => {
          const before = a.proxy.received
          await b.adapter.publish('room/1', said(large('')), settings)
          await b.adapter.publish('room/2', said('fence'), settings)
          await a.host.heard('room/2', ++fences)
          return a.proxy.received - before < SIZE
        }, 5_000)
        t.same(a.host.texts('room/1'), [])
      }
    )
  }
}
