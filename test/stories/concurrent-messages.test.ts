import { Type } from '@sinclair/typebox'
import t from 'tap'
import { defineRoom } from '../../lib/index.js'
import { dial, until } from '../helpers/client.js'
import { connect, start, TRANSPORTS, type StartOptions } from '../helpers/net.js'

const room = defineRoom('assistant/:id', {
  messages: { ask: Type.Object({}), stop: { data: Type.Object({}), concurrent: true } },
  events: {}
})
/** Nothing is refilled while a test runs. */
const RATE = { messages: 0.001, burst: 5 }

const WAYS: Record<string, StartOptions> = {
  'the rate of the connection': { limits: { rate: { ...RATE, burst: 12 } }, declare: (app) => { declare(app) } },
  'the rate of the room': { declare: (app) => { declare(app, { limits: { rate: RATE } }) } }
}

function declare (app: Parameters<NonNullable<StartOptions['declare']>>[0], options: object = {}): void {
  app.room(room, { ...options, on: { ask () {}, stop () {} } })
}

for (const [what, options] of Object.entries(WAYS)) {
  for (const transport of TRANSPORTS) {
    // By POST the rate is that of the user: a room's own is for connections.
    if (transport !== 'websocket' && what === 'the rate of the room') continue
    t.test(`over ${transport} a stop is handled where ${what} is used up, and a flood of stops is not`, async (t) => {
      const server = await start(t, options)
      const peer = await connect(server, { transport, token: server.token('ada'), rooms: ['assistant/1'] })
      const answer = async (type: string, id: string): Promise<string> => {
        peer.send({ type, room: 'assistant/1', id, data: {} })
        const frame = await Promise.race(['ack', 'error'].map((word) => peer.next(word, (frame) => frame.id === id)))
        return frame.type === 'ack' ? 'ack' : (frame.data as { code: string }).code
      }
      let asked = 0
      while (await answer('ask', `ask-${asked}`) === 'ack') asked++
      t.ok(asked > 0)
      t.equal(await answer('stop', 'stop'), 'ack')
      t.equal(await answer('ask', 'again'), 'rate_limited', 'the others wait as before')
      let stops = 1
      while (await answer('stop', `stop-${stops}`) === 'ack') stops++
      t.ok(stops <= 12, `${stops} stops`)
    })
  }
}

for (const [what, options] of Object.entries(WAYS)) {
  for (const transport of TRANSPORTS) {
    if (transport !== 'websocket' && what === 'the rate of the room') continue
    t.test(`over ${transport} our client sends a stop at once, though questions wait for ${what}`, async (t) => {
      const server = await start(t, options)
      const { client } = dial(t, server, 'ada', { transports: [transport] })
      const joined = client.join(room.at({ id: '1' }))
      await joined.joined
      const ask = async (): Promise<boolean> => await joined.send('ask', {}, { timeout: 500 }).then(() => true, () => false)
      while (await ask());
      const waits = ask()
      await joined.send('stop', {}, { timeout: 5_000 })
      t.notOk(await waits, 'the others wait as before')
    })
  }
}

t.test('our client sends a stop at once, though rooms wait for the rate to be joined', async (t) => {
  const server = await start(t, WAYS['the rate of the connection'])
  const { client } = dial(t, server, 'ada', { transports: ['websocket'] })
  const joined = client.join(room.at({ id: '1' }))
  await joined.joined
  let entered = 0
  for (let id = 2; id < 20; id++) void client.join(room.at({ id: `${id}` })).joined.then(() => { entered++ }, () => {})
  await until('some are joined', () => entered > 3)
  await joined.send('stop', {}, { timeout: 5_000 })
  t.ok(entered < 18, `${entered} are joined`)
})
