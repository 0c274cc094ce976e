import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { BROKERS, CLUSTER, REDIS } from '../helpers/brokers.js'
import { proxyTo } from '../helpers/fault-proxy.js'
import { ai } from '../helpers/growing-room.js'
import { start, type Running } from '../helpers/net.js'
import { missing, until } from '../helpers/servers.js'

/** Milliseconds: longer than the test. */
const FOR_GOOD = 600_000
const room = ai.at({ id: '1' })

async function run (t: Test, adapter: Adapter): Promise<Running['app']> {
  return (await start(t, { adapter, declare: (app) => { app.room(ai) } })).app
}

for (const { name, program, start: startBroker, make } of [...BROKERS, CLUSTER]) {
  t.test(`${name}: a text whose key is taken, and the answer lost, is begun by its writer and by no other`, {
    skip: missing(program)
  }, async (t) => {
    const { port } = await startBroker(t)
    const adapter = make(port)
    const texts = adapter.texts!
    const write = texts.write.bind(texts)
    let isLost = false
    t.intercept(texts, 'write', {
      value: async (...step: Parameters<typeof texts.write>) => {
        const written = await write(...step)
        if (isLost) return written
        isLost = true
        throw new Refusal('unavailable', { outcome: 'unknown' })
      }
    })
    const [app, other] = [await run(t, adapter), await run(t, make(port))]
    const writer = await app.rooms.stream(room, 'answer', { id: 'a' })
    await t.rejects(Promise.resolve(other.rooms.stream(room, 'answer', { id: 'a' })), { code: 'REALTIME_ERR_STREAM' })
    await writer.write('so far')
    await writer.end()
    t.same(await other.rooms.read(room, 'answer', 'a'), { data: { id: 'a', text: 'so far' }, end: 'done' })
  })
}

t.test('redis: a text is begun by its writer through a link that breaks before the answer is there', {
  skip: missing(REDIS.program)
}, async (t) => {
  const { port } = await REDIS.start(t)
  const { proxy, port: near } = await proxyTo(t, port)
  const [app, other] = [await run(t, REDIS.make(near)), await run(t, REDIS.make(port))]
  await (await app.rooms.stream(room, 'answer', { id: 'first' })).end()
  proxy.shut('downward', FOR_GOOD)
  const writer = app.rooms.stream(room, 'answer', { id: 'second' })
  const written = writer.write('so far')
  await until('its key is taken', async () => await other.rooms.read(room, 'answer', 'second') !== undefined)
  proxy.cut()
  await written
  await writer.end()
  t.same(await other.rooms.read(room, 'answer', 'second'), { data: { id: 'second', text: 'so far' }, end: 'done' })
})
