import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { connect as connectClient } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { proxyTo } from '../helpers/fault-proxy.js'
import { connect, start, TRANSPORTS, type Running } from '../helpers/net.js'
import { missing, startNats, startRedis, until, type Server, type Teardown } from '../helpers/servers.js'

const ai = defineRoom('ai/:id', {
  events: {
    answer: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' }
  }
})

interface Broker {
  readonly name: string
  readonly program: string
  readonly start: (t: Teardown) => Promise<Server>
  readonly make: (port: number) => Adapter
}

const brokers: readonly Broker[] = [
  {
    name: 'redis',
    program: 'redis-server',
    start: startRedis,
    make: (port) => redis({ url: `redis://127.0.0.1:${port}` })
  },
  {
    name: 'nats',
    program: 'nats-server',
    start: startNats,
    make: (port) => nats({ url: `nats://127.0.0.1:${port}` })
  }
]

async function run (t: Test, adapter: Adapter): Promise<Running> {
  return await start(t, { adapter, declare: (app) => { app.room(ai) } })
}

for (const { name, program, start: startBroker, make } of brokers) {
  t.test(`${name}: readers on another node have the text whole while their node loses its broker and comes back`, {
    skip: missing(program),
    timeout: 60_000
  }, async (t) => {
    const broker = await startBroker(t)
    const { proxy, port } = await proxyTo(t, broker.port)
    const [here, there] = [await run(t, make(broker.port)), await run(t, make(port))]
    const ended = await Promise.all(TRANSPORTS.map(async (transport) => {
      const client = connectClient(`${there.url}/ws`, { token: there.token(transport), transports: [transport] })
      t.teardown(() => { client.close() })
      const room = client.join(ai.at({ id: '1' }))
      const end = new Promise<string>((resolve) => {
        room.on('answer', ({ data, end }) => { if (end === 'done') resolve(data.text) })
      })
      await room.joined
      return { end }
    }))
    const writer = here.app.rooms.stream(ai.at({ id: '1' }), 'answer', { id: 'a' })
    let whole = ''
    const write = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        const token = `${whole.length} `
        whole += token
        await writer.write(token)
        await new Promise((resolve) => setTimeout(resolve, 3))
      }
    }
    await write(50)
    proxy.cut()
    await write(50)
    await writer.end()
    for (const { end } of ended) t.equal(await end, whole)
    t.same((await there.app.rooms.read('ai/1', 'answer', 'a'))!.data, { id: 'a', text: whole })
  })

  t.test(`${name}: a poll goes on at another node, which sends what is behind its cursor`, {
    skip: missing(program),
    timeout: 60_000
  }, async (t) => {
    const broker = await startBroker(t)
    const [here, there] = [await run(t, make(broker.port)), await run(t, make(broker.port))]
    const writer = here.app.rooms.stream('ai/1', 'answer', { id: 'a' })
    await writer.write('x'.repeat(5_000))
    const kept = async ({ app }: Running, length: number): Promise<void> => {
      await until('it is kept', async () => {
        const text = await app.rooms.read('ai/1', 'answer', 'a') as { data: { text: string } } | undefined
        return text?.data.text.length === length
      })
    }
    await kept(here, 5_000)
    const token = here.token('ada')
    const ada = await connect(here, { transport: 'polling', token, rooms: ['ai/1'] })
    t.match(await ada.next('answer'), { from: 0 })
    const { cursor } = ada
    ada.cut()
    await writer.write('y')
    await kept(there, 5_001)
    const again = await connect(there, { transport: 'polling', token, rooms: ['ai/1'], query: { since: cursor } })
    t.match(await again.next('answer'), { data: { text: 'y' }, from: 5_000 })
    await writer.end()
    t.match(await again.next('answer'), { from: 5_001, end: 'done' })
  })
}
