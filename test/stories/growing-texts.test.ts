import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import t from 'tap'
import realtime, { createPublisher, defineRoom, memory } from '../../lib/index.js'
import { declare as declareOf } from '../../lib/rooms/declaration.js'
import { until } from '../helpers/servers.js'
import { assertLedger, connect, start, TRANSPORTS, type Frame, type Running } from '../helpers/net.js'

const ai = defineRoom('ai/:id', {
  messages: { ask: { data: Type.Object({ id: Type.String() }), reply: Type.Object({ answer: Type.String() }) } },
  events: {
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String(), model: Type.Optional(Type.String()) }),
      delivery: 'append',
      key: 'id',
      append: 'text'
    },
    steps: {
      data: Type.Object({ run: Type.Integer(), list: Type.Array(Type.Object({ name: Type.String() })) }),
      delivery: 'append',
      key: 'run',
      append: 'list'
    },
    said: Type.Object({ text: Type.String() })
  }
})

const WORDS = ['Once', ' upon', ' a', ' time', ' "there"', '\n', ' wäs', ' 漢', ' 😀', ' end']
const WHOLE = WORDS.join('')

function declare (app: Running['app'], more: object = {}): void {
  app.room(ai, {
    flush: 5,
    ...more,
    on: {
      async ask ({ data: { id }, room }) {
        const writer = room.stream('answer', { id, model: 'm' })
        for (const word of WORDS) await writer.write(word)
        await writer.end()
        return { answer: id }
      }
    }
  })
}

/** What a reader has by the rule of one line: keep what is before `from`, put the part behind it. */
function readBy (frames: readonly Frame[], type = 'answer', property = 'text'): { whole: unknown, isRead: boolean } {
  let whole: string | unknown[] = property === 'text' ? '' : []
  let isRead = true
  for (const { data, from } of frames.filter((frame) => frame.type === type)) {
    if (from! > whole.length) isRead = false
    const part = data[property] as string & unknown[]
    whole = typeof whole === 'string' ? whole.slice(0, from) + part : [...whole.slice(0, from), ...part]
  }
  return { whole, isRead }
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} a text reaches those who were there in parts, and one who comes later in one frame`, async (t) => {
    const server = await start(t, { declare })
    const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['ai/1'] })
    const writer = server.app.rooms.stream(ai.at({ id: '1' }), 'answer', { id: 'a', model: 'm' })
    for (const word of WORDS.slice(0, 5)) {
      await writer.write(word)
      await ada.next('answer')
    }
    const bob = await connect(server, { transport, token: server.token('bob'), rooms: ['ai/1'] })
    t.match(await bob.next('answer'), {
      room: 'ai/1',
      data: { id: 'a', model: 'm', text: WORDS.slice(0, 5).join('') },
      from: 0
    })
    await writer.from(WORDS.slice(5))
    await writer.end()
    for (const peer of [ada, bob]) {
      const last = await peer.next('answer', ({ end }) => end !== undefined)
      t.equal(last.end, 'done')
      t.same(readBy(peer.queue.all), { whole: WHOLE, isRead: true })
    }
    const cid = await connect(server, { transport, token: server.token('cid'), rooms: ['ai/1'] })
    const { data, from, end } = await cid.next('answer')
    t.same([data, from, end], [{ id: 'a', model: 'm', text: WHOLE }, 0, 'done'])
    await cid.fence()
    t.same(await server.app.rooms.read('ai/1', 'answer', 'a'), { data, end: 'done' })
    await assertLedger(t, server.app)
  })

  t.test(`over ${transport} one who comes before the first part of a text is shown that it has begun`, async (t) => {
    const server = await start(t, { declare })
    const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['ai/1'] })
    const writer = await server.app.rooms.stream('ai/1', 'answer', { id: 'a' })
    t.same(await server.app.rooms.read('ai/1', 'answer', 'a'), { data: { id: 'a', text: '' } })
    const bob = await connect(server, { transport, token: server.token('bob'), rooms: ['ai/1'] })
    const { data, from, end } = await bob.next('answer')
    t.same([data, from, end], [{ id: 'a', text: '' }, 0, undefined])
    await writer.write('some of it')
    for (const peer of [ada, bob]) {
      const first = await peer.next('answer')
      t.same([first.data, first.from], [{ id: 'a', text: 'some of it' }, 0], 'who was there hears of it by its first part')
    }
    await writer.end()
    await assertLedger(t, server.app)
  })

  t.test(`over ${transport} a member asks for the whole of a text, and is refused one that is not kept`, async (t) => {
    const server = await start(t, { declare })
    const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['ai/1'] })
    const writer = server.app.rooms.stream('ai/1', 'answer', { id: 'a' })
    await writer.write('whole')
    await ada.next('answer')
    ada.send({ type: 'read', room: 'ai/1', id: '1', data: { event: 'answer', key: 'a' } })
    const { id, data, from, end } = await ada.next('answer')
    t.same([id, data, from, end], ['1', { id: 'a', text: 'whole' }, 0, undefined])
    for (const [asked, code] of [
      [{ event: 'answer', key: 'b' }, 'invalid_message'],
      [{ event: 'said', key: 'a' }, 'invalid_message'],
      [{ event: 'answer' }, 'invalid_message']
    ]) {
      ada.send({ type: 'read', room: 'ai/1', id: '2', data: asked })
      t.match(await ada.next('error'), { id: '2', data: { code } })
    }
    if (transport === 'websocket') {
      ada.send({ type: 'read', room: 'ai/2', id: '3', data: { event: 'answer', key: 'a' } })
      t.match(await ada.next('error'), { id: '3', data: { code: 'not_joined' } })
    }
    await writer.end()
  })
}

// A socket has no cursor.
for (const transport of ['sse', 'polling'] as const) {
  t.test(`over ${transport} one who comes back gets of each text what is behind what its cursor knows`, async (t) => {
    const server = await start(t, { declare })
    const { rooms } = server.app
    const ada = await connect(server, { transport, token: server.token('ada'), rooms: ['ai/1'] })
    const writer = rooms.stream('ai/1', 'answer', { id: 'a' })
    const other = rooms.stream('ai/1', 'steps', { run: 7 })
    await writer.write('x'.repeat(2_000))
    await ada.next('answer')
    await other.write({ name: 'one' })
    await ada.next('steps')
    const { cursor } = ada
    ada.cut()
    await writer.write('y')
    await other.end()
    const bob = await connect(server, {
      transport,
      token: server.token('ada'),
      rooms: ['ai/1'],
      query: { since: cursor }
    })
    t.match(await bob.next('answer'), { data: { text: 'y' }, from: 2_000 })
    const { data, end } = await bob.next('steps')
    t.same([readBy([...ada.queue.all, { type: 'steps', data, from: data.list.length === 0 ? 1 : 0 }], 'steps', 'list').whole, end], [[{ name: 'one' }], 'done'])
    await writer.end({ error: { code: 'gave_up', message: 'no more' } })
    t.same((await bob.next('answer')).end, { code: 'gave_up', message: 'no more' })
    await bob.fence()
  })
}

for (const transport of TRANSPORTS) {
  t.test(
    `over ${transport} texts above history.bytes reach members by their parts, and those who come as a whole`,
    async (t) => {
      const server = await start(t, { declare, history: { bytes: 300_000 }, adapter: memory() })
      const rooms = ['ai/1', 'ai/2']
      const join = (user: string): ReturnType<typeof connect>[] => {
        return rooms.map((room) => connect(server, { transport, token: server.token(user), rooms: [room] }))
      }
      const first = await Promise.all(join('ada'))
      const writers = rooms.map((room) => server.app.rooms.stream(room, 'answer', { id: 'a' }))
      const write = async (chunk: string): Promise<void> => {
        for (const [index, writer] of writers.entries()) {
          await writer.write(chunk)
          await first[index]!.next('answer')
        }
      }
      await write('y'.repeat(60_000))
      await write('y'.repeat(60_000))
      for (const word of WORDS.slice(0, 5)) await write(word)
      const later = await Promise.all(join('bob'))
      for (const peer of later) {
        const { data, from } = await peer.next('answer')
        t.equal(from, 0)
        t.equal(data.text, 'y'.repeat(120_000) + WORDS.slice(0, 5).join(''))
      }
      for (const word of WORDS.slice(5)) await write(word)
      for (const writer of writers) await writer.end()
      for (const peer of [...first, ...later]) {
        await peer.next('answer', ({ end }) => end === 'done')
        t.same(readBy(peer.queue.all), { whole: 'y'.repeat(120_000) + WHOLE, isRead: true })
        const sizes = peer.queue.all.filter(({ type }) => type === 'answer').map(({ data }) => data.text.length)
        t.ok(sizes.reduce((sum, size) => sum + size) < 121_000, 'each part once')
      }
      for (const room of rooms) t.equal((await server.app.rooms.read(room, 'answer', 'a'))?.end, 'done')
      await assertLedger(t, server.app)
    }
  )
}

t.test('the asker reads its answer while its question is being handled, and a client cannot append', async (t) => {
  const server = await start(t, { declare })
  const ada = await connect(server, { token: server.token('ada'), rooms: ['ai/1'] })
  ada.send({ type: 'ask', room: 'ai/1', id: '1', data: { id: 'a' } })
  t.match(await ada.next('ack'), { data: { answer: 'a' } })
  t.same(readBy(ada.queue.all), { whole: WHOLE, isRead: true })
  ada.send({ type: 'answer', room: 'ai/1', id: '2', data: { id: 'a', text: 'mine' } })
  t.match(await ada.next('error'), { id: '2', data: { code: 'message_unknown' } })
  await t.rejects(server.app.rooms.broadcast('ai/1', 'answer', { id: 'a', text: '' }), { code: 'REALTIME_ERR_EVENT' })
})

t.test('what a writer may not do is refused with a code, and changes nothing', async (t) => {
  const server = await start(t, { declare: (app) => { declare(app, { append: { size: 10 } }) } })
  const { rooms } = server.app
  const writer = await rooms.stream('ai/1', 'answer', { id: 'a' })
  await t.rejects(Promise.resolve(rooms.stream('ai/1', 'answer', { id: 'a' })), { code: 'REALTIME_ERR_STREAM' })
  await t.rejects(rooms.stream('ai/1', 'answer', { id: 'a' }).write('x'), { code: 'REALTIME_ERR_STREAM' })
  for (const head of [undefined, {}, { id: 7 }, { id: 'b', text: 'x' }, { id: 'b', model: 7 }]) {
    await t.rejects(Promise.resolve(rooms.stream('ai/1', 'answer', head as never)), { code: 'REALTIME_ERR_EVENT' })
  }
  await t.rejects(Promise.resolve(rooms.stream('ai/1', 'said', { id: 'b' })), { code: 'REALTIME_ERR_EVENT' })
  for (const chunk of [7, null, undefined, {}, ['x']]) {
    await t.rejects(writer.write(chunk), { code: 'REALTIME_ERR_STREAM' })
  }
  await writer.write('0123456789')
  await t.rejects(writer.write('0'), { code: 'message_too_large' })
  await t.rejects(writer.write('0'), { code: 'message_too_large' })
  await t.rejects(writer.end(), { code: 'message_too_large' })
  t.match(await rooms.read('ai/1', 'answer', 'a'), {
    data: { text: '0123456789' },
    end: { code: 'message_too_large' }
  })
  await t.rejects(rooms.stream('ai/1', 'answer', { id: 'a' }).write('x'), { code: 'REALTIME_ERR_STREAM' })
  const steps = await rooms.stream('ai/1', 'steps', { run: 1 })
  await t.rejects(steps.write('one'), { code: 'REALTIME_ERR_STREAM' })
  await t.rejects(steps.write({ name: 7 }), { code: 'REALTIME_ERR_STREAM' })
  await t.rejects(steps.end({ error: {} as never }), { code: 'REALTIME_ERR_STREAM' })
  await steps.end()
  await t.rejects(steps.end(), { code: 'REALTIME_ERR_STREAM' })
  const stop = new AbortController()
  const aborted = await rooms.stream('ai/1', 'answer', { id: 'c' }, { signal: stop.signal })
  await aborted.write('so far')
  stop.abort(new Error('enough'))
  await t.rejects(aborted.write('more'), /enough/)
  await t.rejects(Promise.resolve(rooms.stream('ai/1', 'answer', { id: 'd' }, { signal: stop.signal })), /enough/)
  const text = await until('it has ended', async () => {
    const found = await rooms.read('ai/1', 'answer', 'c')
    return found?.end === undefined ? false : found
  })
  t.match(text, { data: { text: 'so far' }, end: { code: 'aborted' } })
})

t.test('what is written is what the item was at the call, also while the key is being taken', async (t) => {
  const { app: { rooms } } = await start(t, { declare })
  const writer = rooms.stream('ai/1', 'steps', { run: 1 })
  const item: { name: unknown } = { name: '' }
  const write = async (name: unknown): Promise<void> => {
    item.name = name
    await writer.write(item as { name: string })
  }
  const [wrong, ...written] = [5, '1', '2', '3'].map(write)
  await t.rejects(wrong!, { code: 'REALTIME_ERR_STREAM', message: /a chunk is refused/ })
  await Promise.all([...written, write('4')])
  await writer.end()
  t.same(await rooms.read('ai/1', 'steps', '1'), {
    data: { run: 1, list: ['1', '2', '3', '4'].map((name) => ({ name })) }, end: 'done'
  })
  const taken = rooms.stream('ai/1', 'steps', { run: 1 })
  await t.rejects(taken.write({ name: 5 } as never), { code: 'REALTIME_ERR_STREAM', message: /has ended/ })
})

t.test('a text that ends for a reason that says nothing rejects what is written behind it', async (t) => {
  const server = await start(t, { declare })
  const { rooms } = server.app
  for (const [id, reason] of [['a', null], ['b', ''], ['c', 0]] as const) {
    const stop = new AbortController()
    const writer = await rooms.stream('ai/1', 'answer', { id }, { signal: stop.signal })
    stop.abort(reason)
    for (const call of [writer.write('more'), writer.end()]) {
      t.equal(await call.then(() => 'resolved', (error: unknown) => error), reason)
    }
  }
  const writer = await rooms.stream('ai/1', 'answer', { id: 'd' })
  const { signal } = writer
  const broken = async function * (): AsyncGenerator<string> {
    yield 'so far'
    const nothing: unknown = undefined
    throw nothing
  }
  t.equal(await writer.from(broken()).then(() => 'resolved', (error: unknown) => error), undefined)
  t.ok(signal.aborted, 'the signal tells of it')
  await t.rejects(writer.write('more'), /failed/)
})

t.test('a text is forgotten some time after its end, and its key is free then', async (t) => {
  const server = await start(t, { declare: (app) => { declare(app, { append: { ttl: 50 } }) } })
  const { rooms } = server.app
  const writer = await rooms.stream('ai/1', 'answer', { id: 'a' })
  await writer.write('so far')
  await writer.end()
  await until('it has expired', async () => await rooms.read('ai/1', 'answer', 'a') === undefined)
  await (await rooms.stream('ai/1', 'answer', { id: 'a' })).end()
})

t.test('when the server drains, what is being written ends, its readers are told and its writer too', async (t) => {
  const server = await start(t, { declare, drain: { timeout: 200 } })
  const { rooms } = server.app
  const writer = await rooms.stream('ai/1', 'answer', { id: 'a' })
  await writer.write('so far')
  await rooms.drain()
  await t.rejects(writer.write('more'), { code: 'draining' })
  t.match(await rooms.read('ai/1', 'answer', 'a'), { data: { text: 'so far' }, end: { code: 'draining' } })
})

t.test('a source that throws ends the text with an error that does not say what was thrown', async (t) => {
  const server = await start(t, { declare })
  const { rooms } = server.app
  async function * source (): AsyncGenerator<string> {
    yield 'so far'
    throw new Error('a secret of the server')
  }
  await t.rejects(rooms.stream('ai/1', 'answer', { id: 'a' }).from(source()), /a secret/)
  t.match(await rooms.read('ai/1', 'answer', 'a'), { data: { text: 'so far' }, end: { code: 'internal' } })
  t.notMatch(JSON.stringify(await rooms.read('ai/1', 'answer', 'a')), /secret/)
})

t.test('a declaration that cannot work is refused with what to do', async (t) => {
  const { app } = await start(t, { declare: () => {} })
  const other = Fastify()
  t.teardown(async () => { await other.close() })
  const without = Object.assign(memory(), { name: 'forgetful', texts: undefined })
  await other.register(realtime, { jwt: { secret: 'a test' }, adapter: without })
  t.throws(() => other.room(ai, { on: { ask: () => ({ answer: '' }) } }), {
    code: 'REALTIME_ERR_ROOM',
    message: /"ai\/:id" declares the event "answer" .* the forgetful adapter does not keep/
  })
  t.equal(await createPublisher({ adapter: without, rooms: [ai] }).catch(({ code }: { code: string }) => code), 'REALTIME_ERR_ROOM')
  t.throws(() => other.room(defineRoom('a/:id', { events: { said: Type.Object({}) } })).room(
    defineRoom('b', { events: { e: { data: Type.Object({ id: Type.String() }), key: 'id' } } })
  ), { code: 'REALTIME_ERR_ROOM' })
  const data = {
    id: Type.String(),
    flag: Type.Boolean(),
    text: Type.String(),
    long: Type.String({ minLength: 1 }),
    0: Type.String()
  }
  for (const [more, message] of [
    [{}, /needs key/],
    [{ key: 'id' }, /needs append/],
    [{ key: 'id', append: 'nope' }, /does not have/],
    [{ key: 'id', append: 'flag' }, /neither a string nor an array/],
    [{ key: 'id', append: 'long' }, /minLength/],
    [{ key: 'id', append: 'id' }, /its own key/],
    [{ key: '0', append: 'text' }, /a number/],
    [{ key: 'flag', append: 'text' }, /neither a string nor a number/],
    [{ key: 'id', append: 'text', delivery: 'latest' }, /only delivery: 'append' uses/]
  ] as const) {
    const events = { e: { data: Type.Object(data), delivery: 'append', ...more } }
    t.throws(() => defineRoom('c', { events } as never) && declareWith(defineRoom('c', { events } as never)), {
      code: 'REALTIME_ERR_ROOM',
      message
    })
  }
  t.throws(() => defineRoom('d', { events: { read: Type.Object({}) } }) && declareWith(defineRoom('d', { events: { read: Type.Object({}) } })), { code: 'REALTIME_ERR_ROOM' })
  t.equal(app.rooms.isAccepting(), true)
})

function declareWith (definition: unknown): void {
  declareOf(definition, {}, {}, { history: false }, undefined)
}
