import { Type } from '@sinclair/typebox'
import t from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { connect, declareChat, eventually, start, type Running } from '../helpers/net.js'
import { used } from '../helpers/cost.js'

interface Kept {
  readonly streams: number
  readonly historyBytes: number
  readonly historyEvicted: number
  readonly remembered: number
  readonly rememberedBytes: number
  readonly forgotten: number
}

async function keptBy ({ app }: Pick<Running, 'app'>): Promise<Kept> {
  return (await app.rooms.stats()).adapter as Kept
}

const many = defineRoom('many/:id', {
  events: {
    msg: Type.Object({ d: Type.String() }),
    score: { data: Type.Object({ d: Type.String() }), delivery: 'latest', key: 'd' }
  }
})

t.test(
  'publishing into thousands of rooms past the history budget never holds up the loop for the sake of their number',
  async (t) => {
    const server = await start(t, { history: { bytes: 1_000_000 }, declare: (app) => { app.room(many, {}) } })
    const publish = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index++) {
        void server.app.rooms.broadcast(`many/${index % 4_000}`, 'msg', { d: 'x'.repeat(200) })
        if (index % 500 === 0) await new Promise(setImmediate)
      }
    }
    await publish(4_000)
    const began = used()
    await publish(4_000)
    const took = used() - began
    const { historyBytes, historyEvicted } = await keptBy(server)
    t.ok(historyBytes <= 1_000_000, `${historyBytes} bytes`)
    t.ok(historyEvicted >= 5_000, `${historyEvicted} evicted`)
    t.ok(took < 10_000, `4 000 publications past the budget took ${Math.round(took)} ms`)
  }
)

t.test('events and latest values of rooms that nobody touches leave memory soon after their time', async (t) => {
  const server = await start(t, { history: { ttl: 300 }, declare: (app) => { app.room(many, {}) } })
  for (let index = 0; index < 300; index++) {
    await server.app.rooms.broadcast(`many/${index}`, 'msg', { d: 'x' })
    await server.app.rooms.broadcast(`many/${index}`, 'score', { d: 'x' })
  }
  await eventually('bytes of history', () => keptBy(server), ({ historyBytes }) => historyBytes === 0)
})

t.test('a member of a room is told no latest value whose time is over', async (t) => {
  const server = await start(t, { history: { ttl: 2_000 }, declare: (app) => { app.room(many, {}) } })
  const first = await connect(server, { rooms: ['many/1'], token: server.token('ada') })
  await server.app.rooms.broadcast('many/1', 'score', { d: 'x' })
  await first.next('score')
  const second = await connect(server, { rooms: ['many/1'], token: server.token('bob') })
  await second.next('score')
  await eventually('it is over', () => keptBy(server), ({ historyBytes }) => historyBytes === 0)
  const third = await connect(server, { rooms: ['many/1'], token: server.token('eve') })
  await third.fence()
})

t.test('reading the history of ever new rooms, or naming them otherwise, leaves nothing behind', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 100_000, burst: 100_000 } } })
  const before = await keptBy(server)
  const statuses = new Set<number>()
  for (let index = 0; index < 30; index++) {
    const answer = await fetch(`${server.url}/ws`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${server.token('ada')}`,
        'content-type': 'application/json'
      },
      body: JSON.stringify({ type: 'history', room: `chat/new-${index}` })
    })
    await answer.text()
    statuses.add(answer.status)
    await server.app.rooms.history(`chat/own-${index}`)
  }
  t.same([...statuses], [200])
  t.equal((await keptBy(server)).streams, before.streams)
})

const shop = defineRoom('shop', {
  messages: { pay: { data: Type.Object({ n: Type.Integer() }), reply: Type.Object({ rows: Type.String() }) } }
})

t.test('an id is known for its two minutes, however many of others come between', async (t) => {
  let now = 1_000_000
  const { claims } = memory({ now: () => now })
  t.match(claims!.claim('ada pay-1', 'hash', 35_000, 'ada'), { state: 'claimed' })
  void claims!.settle('ada pay-1', 'hash', '{}', 120_000, 'ada')
  for (let index = 0; index < 30_000; index++) {
    void claims!.claim(`bob ${index}`, 'hash', 35_000, 'bob')
    void claims!.settle(`bob ${index}`, 'hash', '{}', 120_000, 'bob')
  }
  now += 119_999
  t.match(claims!.claim('ada pay-1', 'hash', 35_000, 'ada'), { state: 'settled', outcome: '{}' })
  now += 1
  t.match(claims!.claim('ada pay-1', 'hash', 35_000, 'ada'), { state: 'claimed' })
})

t.test('a revocation holds for its time, however many others there are', async (t) => {
  let now = 1_000_000
  const { denials } = memory({ now: () => now })
  void denials!.deny('user:mallory', now + 3_600_000)
  for (let index = 0; index < 30_000; index++) void denials!.deny(`user:${index}`, now + 3_600_000 + index)
  now += 3_599_999
  t.equal(denials!.isDenied(['token:x', 'user:mallory']), true)
  now += 1
  t.equal(denials!.isDenied(['user:mallory']), false)
})

t.test('a ticket and an idempotency key are known for their time, however many others there are', async (t) => {
  const settings = { history: { size: 10, ttl: 60_000 }, latest: false, definition: 'r' }
  const adapter = memory()
  const publish = (idempotencyKey: string, room = 'r'): unknown =>
    adapter.publish(
      room,
      { type: 'said', data: '1', delivery: 'reliable', timestamp: Date.now(), idempotencyKey },
      settings
    )
  const first = await publish('mine') as { position: unknown }
  void adapter.claims!.put('ticket', 'ada', 30_000)
  for (let index = 0; index < 12_000; index++) {
    void publish(`${index}`, 'other')
    void adapter.claims!.put(`ticket-${index}`, 'x', 30_000)
  }
  t.match(await publish('mine'), { position: first.position, recipients: 0 })
  t.equal(await adapter.claims!.take('ticket'), 'ada')
})

t.test(
  'outcomes are bounded in bytes: a user over his own loses his oldest, nobody else any, and it is counted and logged',
  async (t) => {
    let runs = 0
    const server = await start(t, {
      limits: { rate: { messages: 1e6, burst: 1e6 }, remembered: { perUser: 200_000, bytes: 1_000_000 } },
      declare: (app) => { app.room(shop, { on: { pay () { runs++; return { rows: 'r'.repeat(20_000) } } } }) }
    })
    const [ada, bob] = [
      await connect(server, { rooms: ['shop'], token: server.token('ada') }),
      await connect(server, { rooms: ['shop'], token: server.token('bob') })
    ]
    const pay = async (peer: typeof ada, id: string): Promise<void> => {
      peer.send({ type: 'pay', room: 'shop', id, data: { n: 1 } })
      await peer.next('ack')
    }
    await pay(ada, 'a')
    for (let index = 0; index < 40; index++) await pay(bob, `b${index}`)
    t.equal(runs, 41)
    await pay(ada, 'a')
    await pay(bob, 'b39')
    t.equal(runs, 41, 'the newest of each are still known')
    await pay(bob, 'b0')
    t.equal(runs, 42, 'his own oldest ran again')
    const { rememberedBytes, forgotten } = await keptBy(server)
    t.ok(rememberedBytes <= 230_000, `${rememberedBytes} bytes`)
    t.ok(forgotten >= 30, `${forgotten} forgotten`)
    await eventually('a log line', () => server.loud, (lines) => JSON.stringify(lines).includes('limits.remembered'))
  }
)

t.test('the bound of what is remembered is an option of its own', async (t) => {
  await t.rejects(
    start(t, { limits: { remembered: { perUser: 0 } }, declare: declareChat }),
    /options\.limits\.remembered\.perUser/
  )
})
