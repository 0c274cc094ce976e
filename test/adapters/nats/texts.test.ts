import { once } from 'node:events'
import { connect as connectTo, createServer, type AddressInfo } from 'node:net'
import { jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import type { Adapter, RoomSettings, TextWritten } from '../../../lib/adapters/adapter.js'
import { node } from '../../../lib/adapters/contract/host.js'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { stateKey } from '../../../lib/adapters/nats/tokens.js'
import { insideOf, grown, type Part } from '../../../lib/protocol/part.js'
import { nameOf } from '../../../lib/retention/texts.js'
import { missing, startNats, until } from '../../helpers/servers.js'

const settings: RoomSettings = {
  history: false,
  latest: false,
  append: { size: 1_048_576, ttl: 60_000 },
  definition: 'ai/:id'
}

t.test('nats: a text of many steps is written again as a whole now and then, and no message is left behind that', {
  skip: missing('nats-server'),
  timeout: 60_000
}, async (t) => {
  const { port } = await startNats(t)
  const [a, b] = await Promise.all(['a', 'b'].map(async (id) => await node(t, nats({ url: `nats://127.0.0.1:${port}` }), id)))
  await b!.adapter.subscribe('ai/1', settings)
  let whole = ''
  const step = async (inside: string, from: number, number: number): Promise<TextWritten> =>
    await a!.adapter.texts!.write('ai/1', {
      type: 'answer',
      key: 'a',
      timestamp: 1,
      writer: 'one',
      number,
      lease: 60_000,
      part: { before: '{"id":"a","text":"', inside, isList: false, from, to: from + inside.length }
    }, settings)
  await step('', 0, 0)
  let repairs = 0
  for (let number = 1; number <= 600; number++) {
    const inside = `${number} `
    const written = await step(inside, whole.length, number)
    whole += inside
    if (written === 'behind') {
      repairs++
      t.equal(await step(whole, 0, number), 'written')
    } else if (written !== 'written') t.fail(written)
  }
  t.equal(repairs, 2)
  const messages = await messagesOf(port, 'realtime_texts')
  t.ok(messages < 300, `${messages} messages`)
  t.equal((await b!.adapter.texts!.read('ai/1', settings))[0]!.part.inside, whole)
  let heard: Part | undefined
  for (const { event } of b!.host.events.get('ai/1')!) heard = grown(heard, event!.part!)
  t.equal(heard!.inside, whole)
})

async function messagesOf (port: number, stream: string): Promise<number> {
  return await asked(port, async (connection) => {
    return (await (await jetstreamManager(connection)).streams.info(stream)).state.messages
  })
}

async function asked<T> (port: number, ask: (connection: NatsConnection) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: `nats://127.0.0.1:${port}` })
  try {
    return await ask(connection)
  } finally {
    await connection.close()
  }
}

async function write (
  { texts }: Adapter,
  { key, writer, number, lease = 60_000 }: { key: string, writer: string, number: number, lease?: number },
  more: { inside: string, from: number, to: number, isList?: boolean }
): Promise<TextWritten> {
  const { isList = false } = more
  const part = { before: `{"id":"${key}","text":${isList ? '[' : '"'}`, isList, ...more }
  return await texts!.write('ai/1', { type: 'answer', key, timestamp: 1, writer, number, lease, part }, settings)
}

const nothing = { inside: '', from: 0, to: 0 }

for (const [what, isList, chunk] of [
  ['text', false, '"'.repeat(60_000)],
  ['list', true, ['x'.repeat(60_000)]]
] as const) {
  t.test(`nats: a ${what} that is larger than a message is written again as a whole where the server has lost it`, {
    skip: missing('nats-server'),
    timeout: 60_000
  }, async (t) => {
    const { port } = await startNats(t)
    const url = `nats://127.0.0.1:${port}`
    const [a, b] = await Promise.all(['a', 'b'].map(async (id) => await node(t, nats({ url }), id)))
    await b!.adapter.subscribe('ai/1', settings)
    const step = async (number: number, inside: string, from: number, to: number): Promise<TextWritten> =>
      await write(a!.adapter, { key: 'a', writer: 'one', number }, { inside, from, to, isList })
    const { length } = chunk
    const wholeOf = (count: number): string => new Array(count).fill(insideOf(chunk)).join(isList ? ',' : '')
    await step(0, '', 0, 0)
    const count = 20
    for (let n = 1; n <= count; n++) t.equal(await step(n, insideOf(chunk), (n - 1) * length, n * length), 'written')
    await asked(port, async (connection) => {
      await (await jetstreamManager(connection)).streams.purge('realtime_texts')
    })
    const next = [(count + 1) * length, count + 1] as const
    t.equal(await step(next[1], insideOf(chunk), count * length, next[0]), 'behind')
    t.equal(await step(next[1], wholeOf(count + 1), 0, next[0]), 'written')
    t.equal(await step(next[1], wholeOf(count + 1), 0, next[0]), 'written', 'asked for again it is there')
    t.equal(await step(next[1] + 1, insideOf(chunk), next[0], next[0] + length), 'written')
    const [kept] = await b!.adapter.texts!.read('ai/1', settings)
    t.same([kept!.part.to, kept!.part.inside === wholeOf(count + 2)], [next[0] + length, true])
    const heard = (): Part[] => b!.host.events.get('ai/1')!.map(({ event }) => event!.part!)
    await until('it hears the last step', () => heard().at(-1)!.to === next[0] + length)
    const { from, to } = heard().at(-2)!
    t.same([to, from > 0], [next[0], true], 'a node that has the text is given the last piece, and so reads it again')
  })
}

/** A proxy that holds each request of a kind until something else has been done. */
async function holding (t: Test, target: number, word: string, meanwhile: () => Promise<void>): Promise<number> {
  const server = createServer((down) => {
    const up = connectTo(target, '127.0.0.1')
    for (const socket of [down, up]) socket.on('error', () => undefined)
    up.pipe(down)
    down.on('data', (chunk) => {
      if (!chunk.includes(word)) {
        up.write(chunk)
        return
      }
      down.pause()
      void meanwhile().finally(() => {
        up.write(chunk)
        down.resume()
      })
    })
    down.on('close', () => { up.destroy() })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}

t.test('nats: of two that want the key of a text while that gives way one is the first, and the other is told so', {
  skip: missing('nats-server'),
  timeout: 60_000
}, async (t) => {
  const { port } = await startNats(t)
  const begun: TextWritten[] = []
  const begin = async ({ adapter }: { adapter: Adapter }, key: string, writer: string): Promise<TextWritten> =>
    await write(adapter, { key, writer, number: 0 }, nothing)
  const slow = await holding(t, port, 'STREAM.PURGE.realtime_texts', async () => {
    begun.push(await begin(b!, 'a', 'two'))
  })
  const [a, b, c] = await Promise.all([slow, port, port].map(async (each, index) =>
    await node(t, nats({ url: `nats://127.0.0.1:${each}` }), `node-${index}`)))
  await write(b!.adapter, { key: 'a', writer: 'one', number: 0 }, nothing)
  await write(b!.adapter, { key: 'a', writer: 'one', number: 1, lease: 1 }, { inside: 'x', from: 0, to: 1 })
  const [opened] = await b!.adapter.texts!.read('ai/1', settings)
  const { version, begun: first } = opened!.part
  await until('it is lost', async () => {
    const known = { type: 'answer', key: 'a', version, begun: first, to: 1 }
    const [text] = await b!.adapter.texts!.check('ai/1', [known], settings)
    return text?.part.end === 'lost'
  })
  // The room is full: the text that was lost first gives way, and then another one.
  await asked(port, async (connection) => {
    const bucket = await new Kvm(connection).open('realtime_state')
    const names = Array.from({ length: 998 }, (_, n) => [nameOf({ type: 'answer', key: `other ${n}` }), 0])
    const lost = ['a', 'b'].map((key, n) => [nameOf({ type: 'answer', key }), Date.now() + n])
    await bucket.put(stateKey('texts', 'ai/1'), JSON.stringify([...names, ...lost]))
  })
  t.equal(await begin(a!, 'x', 'four'), 'written')
  await until('the second has asked', () => begun.length === 1)
  begun.push(await begin(c!, 'a', 'three'))
  t.same(begun, ['written', 'busy'])
  t.equal(await write(b!.adapter, { key: 'a', writer: 'two', number: 1 }, { inside: 'mine', from: 0, to: 4 }), 'written')
  const texts = await c!.adapter.texts!.read('ai/1', settings, { type: 'answer', key: 'a' })
  t.same(texts.map(({ part: { inside, end } }) => [inside, end]), [['mine', undefined]])
})

t.test('nats: who wants the key of a text whose silent writer goes on at that moment is told that it is busy', {
  skip: missing('nats-server'),
  timeout: 60_000
}, async (t) => {
  const { port } = await startNats(t)
  let wrote: TextWritten | undefined
  const slow = await holding(t, port, '"lost"', async () => {
    wrote ??= await write(b!.adapter, { key: 'a', writer: 'one', number: 2 }, { inside: 'y', from: 1, to: 2 })
  })
  const [a, b] = await Promise.all([slow, port].map(async (each, index) =>
    await node(t, nats({ url: `nats://127.0.0.1:${each}` }), `node-${index}`)))
  await write(b!.adapter, { key: 'a', writer: 'one', number: 0 }, nothing)
  await write(b!.adapter, { key: 'a', writer: 'one', number: 1, lease: 1 }, { inside: 'x', from: 0, to: 1 })
  const begin = async (): Promise<TextWritten> => await write(a!.adapter, { key: 'a', writer: 'two', number: 0 }, nothing)
  await until('its lease is over', async () => {
    t.equal(await begin(), 'busy')
    return wrote !== undefined
  })
  t.equal(wrote, 'written')
})

t.test('nats: a writer whose first step is accepted while it is sent again has its key', {
  skip: missing('nats-server'),
  timeout: 60_000
}, async (t) => {
  const { port } = await startNats(t)
  const begin = async ({ adapter }: { adapter: Adapter }): Promise<TextWritten> => {
    return await write(adapter, { key: 'a', writer: 'one', number: 0 }, nothing)
  }
  const before: TextWritten[] = []
  const slow = await holding(t, port, '"n":0', async () => { before.push(await begin(b!)) })
  const [a, b] = await Promise.all([slow, port].map(async (each, index) =>
    await node(t, nats({ url: `nats://127.0.0.1:${each}` }), `node-${index}`)))
  t.same([await begin(a!), ...before], ['written', 'written'])
  t.equal(await write(a!.adapter, { key: 'a', writer: 'one', number: 1 }, { inside: 'x', from: 0, to: 1 }), 'written')
})
