import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import t, { type Test } from 'tap'
import { connect as dial } from '../../lib/client/index.js'
import type { LinkEvents } from '../../lib/connection/link.js'
import { CursorTrack } from '../../lib/transports/cursor-track.js'
import { SSE_HEADERS, SseLink } from '../../lib/transports/sse.js'
import { connect, eventually, start, assertLedger, statsOf, type ConnectOptions, type Running } from '../helpers/net.js'
import { sseParser, type SseFields } from '../helpers/sse-parser.js'
import { until } from '../helpers/raw.js'
import { letGo } from '../helpers/garbage.js'

interface Reader { readonly answer: IncomingMessage, readonly bytes: () => number, readonly fields: SseFields[] }

/** Reads the events of a stream with all their fields. */
async function read (t: Test, server: Running, query: string, lastId?: string): Promise<Reader> {
  const request = http.get(`${server.url}/ws/chat/1?transport=sse${query}`, {
    agent: false,
    headers: {
      authorization: `Bearer ${server.token('ada')}`,
      ...(lastId === undefined ? {} : { 'last-event-id': lastId })
    }
  })
  t.teardown(() => { request.destroy() })
  request.on('error', () => undefined)
  const [answer] = await once(request, 'response') as [IncomingMessage]
  answer.on('error', () => undefined)
  const fields: SseFields[] = []
  let bytes = 0
  const parse = sseParser((_data, event) => { fields.push(event) })
  answer.setEncoding('latin1')
  answer.on('data', (text: string) => {
    bytes += text.length
    parse(text)
  })
  return { answer, bytes: () => bytes, fields }
}

const said = async (server: Running, text: string): Promise<void> => {
  await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'x' })
}
const textsOf = ({ fields }: Reader): string[] => fields.flatMap(({ data }) => {
  const frame = JSON.parse(data!) as { type: string, data: { text: string } }
  return frame.type === 'said' ? [frame.data.text] : []
})
const got = async (reader: Reader, ...texts: string[]): Promise<void> => {
  await eventually('the events', () => textsOf(reader), (all) => all.length >= texts.length)
}

t.test('a stream has the names of its events unless it is asked for without, and is the same in everything else', async (t) => {
  const server = await start(t)
  const readers = [await read(t, server, ''), await read(t, server, '&events=named'), await read(t, server, '&events=unnamed')]
  for (const reader of readers) await until('the welcome', () => reader.fields[0])
  await said(server, 'a')
  await said(server, 'b')
  await server.app.rooms.broadcast('chat/1', 'typing', { by: 'x' })
  for (const reader of readers) await until('all events', () => reader.fields[3])
  const [plain, named, unnamed] = readers.map(({ fields }) => fields)
  t.same(plain!.map(({ event }) => event), ['realtime', 'said', 'said', 'typing'])
  t.same(named!.map(({ event }) => event), plain!.map(({ event }) => event))
  t.same(unnamed!.map(({ event }) => event), [undefined, undefined, undefined, undefined])
  for (const fields of [named!, unnamed!]) {
    t.same(fields.slice(1).map(({ data }) => data), plain!.slice(1).map(({ data }) => data))
    t.same(fields.map(({ id }) => id !== undefined), [true, true, true, false], 'ids stand where positions move')
  }
})

t.test('a stream of one form goes on where one of the other form has ended', async (t) => {
  const server = await start(t)
  for (const [first, second] of [['&events=unnamed', ''], ['', '&events=unnamed']] as const) {
    const before = await read(t, server, first)
    await until('the welcome', () => before.fields[0])
    await said(server, 'read')
    await got(before, 'read')
    before.answer.destroy()
    await said(server, 'missed')
    const after = await read(t, server, second, before.fields.at(-1)!.id)
    await got(after, 'missed')
    t.same(textsOf(after), ['missed'])
  }
})

t.test('another word for the events is refused, and no slot is held', async (t) => {
  const server = await start(t)
  for (const events of ['', 'other', 'unnamed,', 'Unnamed']) {
    const options: ConnectOptions = { transport: 'sse', rooms: ['chat/1'], query: { events }, token: server.token('ada') }
    await t.rejects(connect(server, options), { statusCode: 400, code: 'invalid_message' })
  }
  await t.rejects(
    connect(server, { transport: 'sse', rooms: ['chat/1'], query: { events: 'named' }, headers: {} }),
    { statusCode: 401, code: 'unauthorized' }
  )
  t.equal((await statsOf(server.app)).connections.slots, 0)
})

t.test('the client library asks for streams without names, and hears each event', async (t) => {
  const server = await start(t)
  const asked: string[] = []
  const client = dial(`${server.url}/ws`, {
    token: server.token('ada'),
    transports: ['sse'],
    fetch: async (url, init) => {
      asked.push(String(url))
      return await fetch(url, init)
    }
  })
  t.teardown(() => { client.close() })
  const room = client.join('chat/1')
  const heard: unknown[] = []
  room.on('said', ({ data }: { data: unknown }) => { heard.push(data) })
  await room.joined
  await said(server, 'a')
  await until('the event', () => heard[0])
  t.same(heard, [{ text: 'a', by: 'x' }])
  t.match(asked[0], /[?&]events=unnamed(&|$)/)
})

t.test('events for a reader that stops and goes on arrive whole, once and in order, and the ledger adds up', async (t) => {
  const server = await start(t, { limits: { outbox: 64_000_000 } })
  const [slow, quick] = [await read(t, server, '&events=unnamed'), await read(t, server, '')]
  for (const reader of [slow, quick]) await until('the welcome', () => reader.fields[0])
  slow.answer.pause()
  const texts = Array.from({ length: 2_000 }, (_, i) => `${i} ${'x'.repeat(i % 3 === 0 ? 9_000 : 10)}`)
  for (const [index, text] of texts.entries()) {
    await said(server, text)
    if (index % 100 === 0) await new Promise((resolve) => { setImmediate(resolve) })
  }
  await got(quick, ...texts)
  t.ok((await statsOf(server.app)).outbox.bytes > 0, 'something waits for the slow one')
  slow.answer.resume()
  await got(slow, ...texts)
  for (const reader of [slow, quick]) t.same(textsOf(reader), texts)
  await eventually('the outboxes', async () => (await statsOf(server.app)).outbox.bytes, (bytes) => bytes === 0)
  await assertLedger(t, server.app)
})

for (const by of ['server', 'reader'] as const) {
  t.test(`a socket keeps nothing of a stream that its ${by} has ended`, async (t) => {
    const sockets: Socket[] = []
    const kept: Array<WeakRef<object>> = []
    const codes: number[] = []
    let close = (): void => {}
    const server = http.createServer((_request, response) => {
      sockets.push(response.socket!)
      response.writeHead(200, SSE_HEADERS).flushHeaders()
      const link = new SseLink(response, new CursorTrack('a', []), true)
      const events = { drained: () => {}, closed: (code: number) => { codes.push(code) } } as Partial<LinkEvents>
      link.attach(events as LinkEvents)
      kept.push(new WeakRef(link), new WeakRef(events))
      close = () => { link.close() }
    }).listen(0, '127.0.0.1')
    t.teardown(() => { server.close() })
    await once(server, 'listening')
    const request = http.get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', agent: false })
    request.on('error', () => {})
    const [answer] = await once(request, 'response') as [IncomingMessage]
    answer.on('error', () => {}).resume()
    if (by === 'server') close()
    else request.destroy()
    close = () => {}
    await until('the end is told', () => codes[0])
    t.same(codes, [by === 'server' ? 1000 : 1006])
    await letGo(kept)
    t.equal(sockets.length, 1)
  })
}
