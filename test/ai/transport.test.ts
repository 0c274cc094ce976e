import { mock } from 'node:test'
import type { UIMessage, UIMessageChunk } from 'ai'
import t, { type Test } from 'tap'
import { createChatTransport } from '../../lib/ai/index.js'
import { dial, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { start, statsOf, TRANSPORTS, type Running, type TransportName } from '../helpers/net.js'
import { ai, declareChats, TOKENS, type Chats } from './app.js'

/** Milliseconds between two tokens of the model. */
const PAUSE = 20

async function serve (t: Test): Promise<{ server: Running, chats: Chats }> {
  let chats: Chats | undefined
  const server = await start(t, { declare: (app) => { chats = declareChats(app, PAUSE) } })
  return { server, chats: chats! }
}

function transportOf (t: Test, server: Running, over: TransportName = 'websocket'): ReturnType<typeof createChatTransport> {
  const transport = createChatTransport(dial(t, server, 'ada', { transports: [over] }).client, ai)
  t.teardown(() => { transport.close() })
  return transport
}

function asks (text: string, abortSignal?: AbortSignal): Parameters<ReturnType<typeof createChatTransport>['sendMessages']>[0] {
  const message: UIMessage = { id: 'q1', role: 'user', parts: [{ type: 'text', text }] }
  return { trigger: 'submit-message', chatId: 'c1', messageId: undefined, messages: [message], abortSignal }
}

async function read (stream: ReadableStream<UIMessageChunk>, into: UIMessageChunk[] = []): Promise<UIMessageChunk[]> {
  for await (const chunk of stream) into.push(chunk)
  return into
}

async function turn (): Promise<void> { await new Promise((resolve) => { setImmediate(resolve) }) }

/** What a promise gives within a few turns; what never settles fails the test by its name. */
async function within<T> (what: string, promise: Promise<T>): Promise<T> {
  const late = async (): Promise<never> => {
    for (let turns = 0; turns < 20; turns++) await turn()
    throw new Error(`${what}: it does not settle`)
  }
  return await Promise.race([promise, late()])
}

const textOf = (chunks: readonly UIMessageChunk[]): string =>
  chunks.map((chunk) => chunk.type === 'text-delta' ? chunk.delta : '').join('')

for (const over of TRANSPORTS) {
  t.test(`over ${over} an answer of the AI SDK comes chunk by chunk, with its tools`, async (t) => {
    const { server } = await serve(t)
    const transport = transportOf(t, server, over)
    const chunks = await read(await transport.sendMessages(asks('how is the weather in Oslo?')))
    t.equal(textOf(chunks), TOKENS.join(''))
    t.match(chunks.find(({ type }) => type === 'tool-output-available'), { output: { town: 'Oslo', degrees: 20 } })
    t.equal(chunks.at(-1)!.type, 'finish')
  })
}

t.test('another page of the chat goes on with the answer that grows, from its beginning, and with none after its end', async (t) => {
  const { server } = await serve(t)
  const first = transportOf(t, server)
  t.equal(await first.reconnectToStream({ chatId: 'c1' }), null)
  const begun: UIMessageChunk[] = []
  const whole = read(await first.sendMessages(asks('hello')), begun)
  await until('some of it', () => textOf(begun).includes(TOKENS[10]!))
  const again = await transportOf(t, server).reconnectToStream({ chatId: 'c1' })
  t.equal(textOf(await read(again!)), TOKENS.join(''))
  t.equal(textOf(await whole), TOKENS.join(''))
  t.equal(await transportOf(t, server).reconnectToStream({ chatId: 'c1' }), null)
})

t.test('a page that comes between the question and the first word of the answer goes on with it', async (t) => {
  const writers: Array<{ write (chunk: unknown): Promise<void>, end (): Promise<void> }> = []
  const server = await start(t, {
    declare: (app) => {
      app.room(ai, {
        on: {
          async ask ({ room }) {
            writers.push(await room.stream('answer', { id: 'a' }))
            return { answer: 'a' }
          },
          stop: () => undefined
        }
      })
    }
  })
  const first = await transportOf(t, server).sendMessages(asks('hello'))
  const again = await transportOf(t, server).reconnectToStream({ chatId: 'c1' })
  t.ok(again, 'the answer has begun')
  await writers[0]!.write({ type: 'start' })
  await writers[0]!.end()
  for (const stream of [first, again!]) t.same(await read(stream), [{ type: 'start' }])
})

t.test('another page goes on with the answer that grows, however many of the chat have ended before it', async (t) => {
  const { server } = await serve(t)
  const first = transportOf(t, server)
  for (let ended = 0; ended < 3; ended++) {
    const begun: UIMessageChunk[] = []
    const whole = read(await first.sendMessages(asks(`question ${ended}`)), begun)
    await until('some of it', () => textOf(begun) !== '')
    const again = await transportOf(t, server).reconnectToStream({ chatId: 'c1' })
    t.ok(again, `it goes on behind ${ended} that have ended`)
    t.equal(textOf(await read(again!)), TOKENS.join(''))
    await whole
  }
})

interface Page {
  /** Lets the page hear a part of an answer, or its end. */
  tell (id: string, end?: string): void
  /** Goes on with an answer of the chat. */
  again (abortSignal?: AbortSignal): Promise<unknown>
  readonly transport: ReturnType<typeof createChatTransport>
}

/** A page that joins while an answer grows, and whose frames come one by one, as they do in a browser. */
function pageThatHears (joined: Promise<object> = Promise.resolve({ growing: ['answer'] })): Page {
  let tell = (_event: { data: object, end?: string | undefined }): void => undefined
  const room = {
    joined,
    on: (event: string, listener: typeof tell) => { if (event === 'answer') tell = listener },
    stream: async function * (_event: string, key: string) { yield [{ type: 'start', messageId: key }] },
    leave: async () => undefined
  }
  const transport = createChatTransport({ join: () => room } as never, ai)
  return {
    tell: (id, end) => { tell({ data: { id, chunks: [] }, end }) },
    again: async (abortSignal) => await transport.reconnectToStream({ chatId: 'c1', ...(abortSignal === undefined ? {} : { abortSignal }) }),
    transport
  }
}

t.test('answers that have ended come before the one that grows, and are not taken for it', async (t) => {
  const { tell, again } = pageThatHears()
  // A page may ask twice, as one of React does in its strict mode.
  const asked = [again(), again()]
  for (const [id, end] of [['a', 'done'], ['b', 'cancelled'], ['c', undefined]] as const) {
    await turn()
    tell(id, end)
  }
  for (const each of asked) {
    const stream = await each as ReadableStream<UIMessageChunk> | null
    t.ok(stream, 'there is one to go on with')
    matchList(t, await read(stream!), [{ type: 'start', messageId: 'c' }])
  }
})

t.test('where a page hears only of answers that have ended, there is none to go on with', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const { tell, again } = pageThatHears()
  const asked = again()
  await Promise.resolve()
  await Promise.resolve()
  for (const id of ['a', 'b']) tell(id, 'done')
  mock.timers.tick(10_000)
  t.equal(await asked, null)
})

t.test('a page that comes back to a chat whose answer has ended since it joined has none to go on with', async (t) => {
  const { tell, again } = pageThatHears()
  const first = again()
  await turn()
  tell('a')
  t.ok(await first, 'it grew when the page joined')
  tell('a', 'done')
  t.equal(await within('it comes back', again()), null)
})

t.test('a page that asks behind the end of the answer that grew when it joined has none to go on with', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const { tell, again } = pageThatHears()
  const first = again()
  await turn()
  tell('a', 'done')
  mock.timers.tick(10_000)
  t.equal(await first, null)
  t.equal(await within('it asks again', again()), null)
})

t.test('a page waits for an answer that grows, but not where a later join tells of none', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  let growing = ['answer']
  let left = 0
  const room = { on: () => undefined, leave: async () => { left++ } }
  const transport = createChatTransport({
    join: () => ({ ...room, joined: Promise.resolve({ growing }) })
  } as never, ai)
  let found: unknown
  void transport.reconnectToStream({ chatId: 'c1' }).then((stream) => { found = stream })
  for (let looks = 0; looks < 3; looks++) {
    await turn()
    mock.timers.tick(10_000)
  }
  await turn()
  t.equal(found, undefined, 'a model may think for long')
  // As after a link that broke while the answer ended and was forgotten.
  growing = []
  mock.timers.tick(10_000)
  await turn()
  t.equal(found, null)
  t.equal(left, 4, 'it has left the room as often as it has asked')
})

t.test('a page that gives up while it waits for the join, or for the answer, has none to go on with', async (t) => {
  const stopped = AbortSignal.abort()
  t.equal(await within('given up before', pageThatHears().again(stopped).catch(() => null)), null)
  for (const joined of [undefined, new Promise<object>(() => undefined)]) {
    const stop = new AbortController()
    const asked = pageThatHears(joined).again(stop.signal).catch(({ name }: Error) => name)
    await turn()
    stop.abort()
    t.equal(await within('given up meanwhile', asked), 'AbortError')
  }
})

t.test('a transport that is closed while a page waits for an answer has none to go on with', async (t) => {
  const { again, transport } = pageThatHears()
  const asked = again()
  await turn()
  transport.close()
  t.equal(await within('closed', asked), null)
})

t.test('a chat whose room has ended with its client is joined again when the client has a link again', async (t) => {
  const { server } = await serve(t)
  const { client } = dial(t, server, 'ada')
  const transport = createChatTransport(client, ai)
  t.teardown(() => { transport.close() })
  t.equal(textOf(await read(await transport.sendMessages(asks('hello')))), TOKENS.join(''))
  client.close()
  client.reconnect()
  t.equal(textOf(await read(await transport.sendMessages(asks('hello again')))), TOKENS.join(''))
})

t.test('an answer that is stopped ends at the model, and for other pages too', async (t) => {
  const { server, chats } = await serve(t)
  const stop = new AbortController()
  const mine: UIMessageChunk[] = []
  const reading = read(await transportOf(t, server).sendMessages(asks('hello', stop.signal)), mine)
  await until('some of it', () => textOf(mine) !== '')
  const other = read((await transportOf(t, server).reconnectToStream({ chatId: 'c1' }))!)
  stop.abort()
  await t.rejects(reading, { name: 'AbortError' })
  const seen = await other
  t.equal(seen.at(-1)!.type, 'abort')
  t.ok(textOf(seen).length < TOKENS.join('').length, 'not all of it')
  t.same(chats.stopped, chats.answers)
})

t.test('an answer that is stopped before its key is known is stopped when it is', async (t) => {
  const { server, chats } = await serve(t)
  const stop = new AbortController()
  const asked = transportOf(t, server).sendMessages(asks('hello', stop.signal))
  stop.abort()
  await t.rejects(asked, { name: 'AbortError' })
  await until('the model is told', () => chats.stopped.length === 1)
})

t.test('a model that fails is an error of the chat', async (t) => {
  const { server } = await serve(t)
  const chunks = await read(await transportOf(t, server).sendMessages(asks('fail')))
  t.equal(chunks.at(-1)!.type, 'error')
})

t.test('a REST handler stops an answer', async (t) => {
  const { server, chats } = await serve(t)
  const reading = read(await transportOf(t, server).sendMessages(asks('hello')))
  await until('it grows', () => chats.answers.length === 1)
  await server.app.rooms.cancel(ai.at({ id: 'c1' }), 'answer', chats.answers[0]!)
  t.equal((await reading).at(-1)!.type, 'abort')
  t.same(chats.stopped, chats.answers)
})

t.test('rooms of chats that nobody reads are left, and one that is read stays', async (t) => {
  const { server } = await serve(t)
  const { client } = dial(t, server, 'ada')
  const transport = createChatTransport(client, ai)
  const reading = read(await transport.sendMessages(asks('hello')))
  for (let n = 0; n < 40; n++) await transport.reconnectToStream({ chatId: `other-${n}` })
  await until('the rest is left', async () => (await statsOf(server.app)).rooms.active <= 16)
  t.equal(textOf(await reading), TOKENS.join(''))
  transport.close()
  await until('all are left', async () => (await statsOf(server.app)).rooms.active === 0)
})

t.test('a reply without the key of an answer is a mistake of the server that is named', async (t) => {
  const room = {
    joined: Promise.resolve({}),
    on: () => () => undefined,
    send: async () => ({}),
    leave: async () => undefined
  }
  const transport = createChatTransport({ join: () => room } as never, ai)
  await t.rejects(transport.sendMessages(asks('hello')), { message: /no string "answer"/ })
})

t.test('a part without a chunk that is known here does not keep the rest waiting', async (t) => {
  const room = {
    joined: Promise.resolve({}),
    on: () => () => undefined,
    send: async () => ({ answer: 'a' }),
    async * stream () { yield * [[5], [], [{ type: 'start' }], [null], [{ type: 'finish' }]] },
    leave: async () => undefined
  }
  const strange = createChatTransport({ join: () => room } as never, ai)
  t.same((await read(await strange.sendMessages(asks('hello')))).map(({ type }) => type), ['start', 'finish'])
})

t.test('a text of another event that grows is no answer to go on with', async (t) => {
  const room = {
    joined: Promise.resolve({ growing: ['log'] }),
    on: () => () => undefined,
    send: async () => ({ answer: 'a' }),
    leave: async () => undefined
  }
  const transport = createChatTransport({ join: () => room } as never, ai)
  t.equal(await transport.reconnectToStream({ chatId: 'c1' }), null)
})
