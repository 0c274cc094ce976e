import t from 'tap'
import { Refusal } from '../../lib/index.js'
import { ai } from '../helpers/growing-room.js'
import { behind, dial, rejection, until } from '../helpers/client.js'
import { connect, start, TRANSPORTS, type Frame, type Running } from '../helpers/net.js'

const room = ai.at({ id: '1' })
const declare = (app: Running['app']): void => { app.room(ai, { flush: 5 }) }
const isEnd = ({ end }: Frame): boolean => end !== undefined

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} the readers of a text that is cancelled are told so, and its writer by a signal`, async (t) => {
    const { app, token, ...server } = await start(t, { declare })
    const reader = await connect({ ...server, app } as Running, { transport, token: token('ada'), rooms: ['ai/1'] })
    const writer = app.rooms.stream(room, 'answer', { id: 'a' })
    await writer.write('some of it')
    t.equal(writer.signal.aborted, false)
    await reader.next('answer')
    await app.rooms.cancel(room, 'answer', 'a')
    t.match(await reader.next('answer', isEnd), { end: { code: 'cancelled' } })
    t.equal(writer.signal.aborted, true)
    t.match(await rejection(writer.write('more')), { name: 'AbortError' })
    t.same(await app.rooms.read(room, 'answer', 'a'), {
      data: { id: 'a', text: 'some of it' },
      end: { code: 'cancelled', message: 'the stream was cancelled' }
    })
    reader.cut()
  })

  t.test(`over ${transport} a client that missed the end of a text which has expired is told that it is lost`, async (t) => {
    const server = await start(t, { declare: (app) => { app.room(ai, { flush: 5, append: { ttl: 300 } }) } })
    const { proxy, ...url } = await behind(t, server)
    const { client } = dial(t, url, 'ada', { transports: [transport] })
    const joined = client.join(room)
    const heard: unknown[] = []
    joined.on('answer', ({ end }) => { heard.push(end) })
    await joined.joined
    const parts: string[] = []
    const reading = rejection((async () => { for await (const part of joined.stream('answer', 'a')) parts.push(part) })())
    const writer = server.app.rooms.stream(room, 'answer', { id: 'a' })
    await writer.write('some of it')
    await until('it is heard', () => parts.length === 1)
    proxy.isDown = true
    proxy.cut()
    await writer.end()
    await until('it has expired', async () => await server.app.rooms.read(room, 'answer', 'a') === undefined)
    proxy.isDown = false
    t.match(await reading, { code: 'lost' })
    t.same(heard, [undefined, 'lost'])
  })
}

// One that polls may be between two polls then, and is told by the next server.
for (const transport of ['websocket', 'sse'] as const) {
  t.test(`over ${transport} the readers are told that a text ends with its server`, async (t) => {
    const server = await start(t, { declare })
    const reader = await connect(server, { transport, token: server.token('ada'), rooms: ['ai/1'] })
    const writer = server.app.rooms.stream(room, 'answer', { id: 'a' })
    await writer.write('some of it')
    await reader.next('answer')
    const closed = server.app.close()
    t.match(await reader.next('answer', isEnd), { end: { code: 'draining' } })
    t.match(writer.signal.reason, { code: 'draining' })
    await closed
  })
}

t.test('the readers of a text whose source fails are told of the own errors of the application alone', async (t) => {
  const { app } = await start(t, { declare })
  const own = Object.assign(new Error('ask about the weather'), { statusCode: 422, code: 'off_topic' })
  const internal = { code: 'internal', message: 'the source of the text failed' }
  const failures: ReadonlyArray<readonly [error: unknown, end: object]> = [
    [own, { code: 'off_topic', message: 'ask about the weather' }],
    [new Refusal('unavailable', { message: 'try later' }), { code: 'unavailable', message: 'try later' }],
    [new Error('secret'), internal],
    // What a client of a model throws, with the answer of its provider.
    [Object.assign(new Error('the key sk-secret is wrong'), { statusCode: 401 }), internal],
    [Object.assign(new Error('secret'), { statusCode: 500, code: 'broken' }), internal],
    [undefined, internal]
  ]
  for (const [index, [error, end]] of failures.entries()) {
    const writer = await app.rooms.stream(room, 'answer', { id: `a${index}` })
    const rejected: unknown[] = []
    await writer.from((async function * () {
      yield 'so far'
      throw error
    })()).catch((reason: unknown) => { rejected.push(reason) })
    t.same(rejected, [error])
    t.match(await app.rooms.read(room, 'answer', `a${index}`), { data: { text: 'so far' }, end })
  }
})

t.test('a chunk that is refused ends the text for its readers, and its source', async (t) => {
  const { app } = await start(t, { declare })
  let ended = 0
  async function * source (): AsyncGenerator<string> {
    try {
      yield 'so far'
      yield 7 as never
      yield 'never'
    } finally {
      ended++
    }
  }
  const writer = await app.rooms.stream(room, 'answer', { id: 'a' })
  const refused = await rejection(writer.from(source()))
  t.match(refused, { code: 'REALTIME_ERR_STREAM', message: /is a string, got number/ })
  t.match(await app.rooms.read(room, 'answer', 'a'), {
    data: { text: 'so far' },
    end: { code: 'internal', message: 'a part of the text was refused' }
  })
  t.equal(ended, 1, 'the source')
  t.equal(writer.signal.reason, refused, 'what makes the text is told by the signal')
  t.equal(await rejection(writer.end()), refused)
})

t.test('where the key of a text is refused, its source is ended unread', async (t) => {
  const { app } = await start(t, { declare })
  await app.rooms.stream(room, 'answer', { id: 'a' })
  let ended = 0
  const source = {
    [Symbol.asyncIterator]: () => source,
    next: async () => ({ done: false as const, value: 'never' }),
    return: async () => {
      ended++
      return { done: true as const, value: undefined }
    }
  }
  t.match(await rejection(app.rooms.stream(room, 'answer', { id: 'a' }).from(source)), { code: 'REALTIME_ERR_STREAM' })
  t.equal(ended, 1)
})

t.test('the signal of a writer says whether its text was cancelled or its source failed', async (t) => {
  const { app } = await start(t, { declare })
  const fault = new Error('the model is out of order')
  const failed = await app.rooms.stream(room, 'answer', { id: 'failed' })
  t.equal(failed.signal.aborted, false)
  t.equal(await rejection(failed.from((async function * () { throw fault })())), fault)
  t.equal(failed.signal.reason, fault)
  t.equal(await rejection(failed.end({ error: { code: 'late', message: 'too late' } })), fault)
  const cancelled = await app.rooms.stream(room, 'answer', { id: 'cancelled' })
  await app.rooms.cancel(room, 'answer', 'cancelled')
  t.equal((cancelled.signal.reason as Error).name, 'AbortError')
})

t.test('a text that is cancelled while its key is being taken ends when it is', async (t) => {
  const { app } = await start(t, { declare })
  const writer = app.rooms.stream(room, 'answer', { id: 'a' })
  const cancelled = app.rooms.cancel(room, 'answer', 'a')
  await until('it has ended', () => writer.signal.aborted)
  await cancelled
  t.match(await app.rooms.read(room, 'answer', 'a'), { end: { code: 'cancelled' } })
})

t.test('to cancel what nobody writes changes nothing, and what is no key or event is refused', async (t) => {
  const { app } = await start(t, { declare })
  await app.rooms.cancel(room, 'answer', 'nobody')
  const writer = await app.rooms.stream(room, 'answer', { id: 'a' })
  await writer.end()
  await app.rooms.cancel(room, 'answer', 'a')
  t.same(await app.rooms.read(room, 'answer', 'a'), { data: { id: 'a', text: '' }, end: 'done' })
  t.match(await rejection(app.rooms.cancel(room, 'answer', {} as never)), { code: 'REALTIME_ERR_STREAM' })
  t.match(await rejection(app.rooms.cancel(room, 'other' as never, 'a')), { code: 'REALTIME_ERR_EVENT' })
})

t.test('a second stream that is refused does not keep the first one from being cancelled', async (t) => {
  const { app } = await start(t, { declare })
  const first = await app.rooms.stream(room, 'answer', { id: 'a' })
  const second = app.rooms.stream(room, 'answer', { id: 'a' })
  t.match(await rejection(second.write('x')), { code: 'REALTIME_ERR_STREAM' })
  t.equal(second.signal.aborted, true)
  t.equal(first.signal.aborted, false)
  await app.rooms.cancel(room, 'answer', 'a')
  t.equal(first.signal.aborted, true)
})
