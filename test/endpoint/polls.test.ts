import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import type { Adapter, PresenceSnapshot, PresenceStore } from '../../lib/adapters/adapter.js'
import type { Awaitable } from '../../lib/structures/awaitable.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { defineRoom } from '../../lib/index.js'
import { hashRooms } from '../../lib/protocol/cursor.js'
import { matchList } from '../helpers/match-list.js'
import { connect, declareChat, eventually, poll, postFrame, start, statsOf, type PollAnswer, type Running } from '../helpers/net.js'
import { proxied } from '../helpers/proxied.js'

interface Held {
  readonly adapter: Adapter
  /** what the adapter is asked from now on waits, or is refused */
  hold (): void
  /** What waits goes on one after another, what came last first. */
  free (): Promise<void>
  refuse (isRefused: boolean): void
  /** steps that wait */
  readonly waiting: number
}

/** What nodes share that take each other's cursors for their own. */
const SECRET = Buffer.alloc(32, 7).toString('base64url')

/** The memory adapter as one whose broker takes its time. */
function held (): Held {
  const inner = memory()
  const waiting: Array<() => void> = []
  let isHeld = false
  let isRefused = false
  const slow = async <T> (step: () => Awaitable<T>): Promise<T> => {
    if (isRefused) throw new Refusal('unavailable', { retryAfter: 1_000 })
    if (isHeld) await new Promise<void>((resolve) => { waiting.push(resolve) })
    return await step()
  }
  const adapter: Adapter = {
    name: 'held',
    start: async (host) => { await inner.start(host) },
    close: async () => { await inner.close() },
    subscribe: (room, settings) => slow(() => inner.subscribe(room, settings)),
    unsubscribe: (room) => inner.unsubscribe(room),
    publish: (room, publication, settings) => inner.publish(room, publication, settings),
    history: (room, query, settings) => slow(() => inner.history!(room, query, settings)),
    latest: (room, settings) => inner.latest!(room, settings),
    presence: inner.presence!,
    claims: inner.claims!,
    denials: inner.denials!,
    secret: async () => SECRET
  }
  return {
    adapter,
    hold: () => { isHeld = true },
    free: async () => {
      isHeld = false
      for (const resolve of waiting.splice(0).reverse()) {
        resolve()
        await sleep(20)
      }
    },
    refuse: (is) => { isRefused = is },
    get waiting () { return waiting.length }
  }
}

const textsOf =
  ({ frames }: PollAnswer): string[] =>
    frames.filter(({ type }) => type === 'said').map(({ data }) => (data as { text: string }).text)

t.test('a poll given up while its node reads the rooms leaves its events, each once, to the next one', async (t) => {
  const broker = held()
  const server = await start(t, { adapter: broker.adapter })
  const say = async (text: string): Promise<void> => {
    await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'x' })
  }
  const token = server.token('ada')
  const ask = async (cursor: string, signal?: AbortSignal): Promise<PollAnswer> => await poll(
    server,
    { token, rooms: ['chat/1', 'chat/2'], query: { since: cursor, wait: '300' } },
    signal
  )
  let { cursor } = await poll(server, { token, rooms: ['chat/1', 'chat/2'] })
  for (let round = 0; round < 6; round++) {
    const isQuiet = round % 2 === 1
    const texts = isQuiet ? [] : [`${round} missed`, `${round} live`]
    if (!isQuiet) await say(texts[0]!)
    broker.hold()
    const stop = new AbortController()
    const before = server.lines.length
    const given = ask(cursor, stop.signal).catch(() => 'given up')
    await eventually('the poll', () => server.lines.length, (count) => count > before)
    // Who stands where the room does has nothing to read.
    if (isQuiet) t.equal(broker.waiting, 0)
    else await eventually('the node reads', () => broker.waiting, (count) => count > 0)
    stop.abort()
    t.equal(await given, 'given up')
    const next = ask(cursor)
    await sleep(50)
    if (!isQuiet) await say(texts[1]!)
    await broker.free()
    await sleep(20)
    await say(`${round} later`)
    const answer = await next
    const rest = await ask(answer.cursor)
    t.same([...textsOf(answer), ...textsOf(rest)], [...texts, `${round} later`])
    if (isQuiet) t.same(textsOf(answer), [`${round} later`], 'the poll that waits hears it')
    t.same([answer.resumed, Object.keys(answer.rooms)], [true, ['chat/1', 'chat/2']])
    cursor = rest.cursor
  }
})

const asking = defineRoom('asking/:id', {
  events: {
    choose: { data: Type.Object({}), reply: Type.String() },
    greeted: { data: Type.Object({}), delivery: 'volatile' },
    told: Type.Object({}),
    placed: { data: Type.Object({ id: Type.String() }), delivery: 'latest', key: 'id' }
  }
})

/** Counts the requests that were given up, as their server knows. */
function cutOf ({ app }: Running): () => number {
  let cut = 0
  app.server.on('request', (_request, response) => {
    response.once('close', () => { if (!response.writableFinished) cut++ })
  })
  return () => cut
}

/** Ways in which a poll ends without an answer. */
const UNANSWERED: Record<
  string,
  (stop: AbortController, again: () => Promise<PollAnswer>, cut: () => number) => Promise<{ next: Promise<PollAnswer> }>
> = {
  'is given up': async (stop, again, cut) => {
    stop.abort()
    await eventually('it is given up', cut, (count) => count > 0)
    return { next: again() }
  },
  'is replaced by another one': async (_stop, again) => ({ next: again() })
}

for (const [how, end] of Object.entries(UNANSWERED)) {
  for (const when of ['between two polls', 'during that poll'] as const) {
    t.test(`what a client is told ${when} outlives a poll that ${how}, and is heard once`, async (t) => {
      const broker = held()
      const server = await start(t, {
        adapter: broker.adapter,
        declare: (app) => { app.room(asking, { presence: true }) }
      })
      const cut = cutOf(server)
      const { rooms } = server.app
      const token = server.token('ada')
      const room = asking.at({ id: '1' })
      const first = await poll(server, { token, rooms: ['asking/1'] })
      const ask = async (since: string, signal?: AbortSignal): Promise<PollAnswer> =>
        await poll(server, { token, rooms: ['asking/1'], query: { since, wait: '300' } }, signal)
      let asked: Promise<unknown> | undefined
      const tell = async (): Promise<void> => {
        asked = rooms.request({ connection: first.connectionId, room }, 'choose', {}, { timeout: 5_000 }).catch(() => 'none')
        await rooms.broadcast(room, 'placed', { id: 'a' })
        const other = await connect(server, { token: server.token('bob'), rooms: ['asking/1'] })
        t.teardown(async () => { await other.close() })
      }
      await rooms.broadcast(room, 'told', {})
      if (when === 'between two polls') await tell()
      broker.hold()
      const stop = new AbortController()
      const given = ask(first.cursor, stop.signal).catch(() => undefined)
      await eventually('the node reads', () => broker.waiting, (count) => count > 0)
      if (when === 'during that poll') {
        const told = tell()
        await sleep(20)
        void told
      }
      const { next } = await end(stop, async () => await ask(first.cursor), cut)
      await given
      await broker.free()
      const answers = [await next]
      for (let n = 0; n < 3; n++) answers.push(await ask(answers.at(-1)!.cursor))
      const frames = answers.flatMap(({ frames }) => frames)
      const count = (type: string): number => frames.filter((frame) => frame.type === type).length
      t.same(['choose', 'told', 'placed'].map(count), [1, 1, 1])
      const seen = JSON.stringify(answers)
      t.match(seen, /"bob"/, 'who has come')
      const { ack: id } = frames.find(({ type }) => type === 'choose') as unknown as { ack: string }
      await postFrame(server, token, first.connectionId, { type: 'ack', id, data: 'ace' })
      t.equal(await asked, 'ace')
    })
  }
}

t.test('what onJoin has sent outlives a poll that is given up, and is heard once', async (t) => {
  const inner = memory()
  let isRefused = true
  let isHeld = false
  let free!: () => void
  const freed = new Promise<void>((resolve) => { free = resolve })
  const history: NonNullable<Adapter['history']> = async (room, query, settings) => {
    if (isHeld && room === 'asking/2' && query.limit > 1) await freed
    return await inner.history!(room, query, settings)
  }
  const server = await start(t, {
    adapter: proxied(inner, { history }),
    declare: (app) => {
      app.room(asking, {
        onJoin: ({ connection, params: { id } }) => {
          if (id === '1' && isRefused) throw new Refusal('unavailable', { retryAfter: 1_000 })
          connection.send('greeted', {})
        }
      })
    }
  })
  const names = ['asking/1', 'asking/2']
  const ask = async (query: Record<string, string>, signal?: AbortSignal): Promise<PollAnswer> =>
    await poll(server, { token: server.token('ada'), rooms: names, query: { wait: '300', ...query } }, signal)
  const greetings = ({ frames }: PollAnswer): unknown[] => frames
    .filter(({ type }) => type === 'greeted').map(({ room }) => room)
  const first = await ask({})
  t.same(greetings(first), ['asking/2'])
  isRefused = false
  await server.app.rooms.broadcast(asking.at({ id: '2' }), 'told', {})
  isHeld = true
  const stop = new AbortController()
  const given = ask({ since: first.cursor }, stop.signal).catch(() => undefined)
  await eventually('the greeting waits', async () => (await statsOf(server.app)).outbox.bytes, (bytes) => bytes > 0)
  stop.abort()
  await given
  // An answer that is on its way when its peer gives it up has taken along what it says.
  await eventually('it is given up', async () => (await statsOf(server.app)).outbox.bytes, (bytes) => bytes === 0)
  free()
  const next = await ask({ since: first.cursor })
  const last = await ask({ since: next.cursor })
  t.same([...greetings(next), ...greetings(last)], ['asking/1'])
})

t.test('a poll answers with what a room missed, though another room has news before it is read', async (t) => {
  const inner = memory()
  let read!: () => void
  const isRead = new Promise<void>((resolve) => { read = resolve })
  let reads = 0
  // Whoever enters asks for one event, whoever follows for many.
  const history: NonNullable<Adapter['history']> = async (room, query, settings) => {
    if (room === 'chat/1' && query.limit > 1) {
      reads++
      await isRead
    }
    return await inner.history!(room, query, settings)
  }
  const adapter = proxied(inner, { history })
  const server = await start(t, { adapter })
  const token = server.token('ada')
  const rooms = ['chat/1', 'chat/2']
  const { cursor } = await poll(server, { token, rooms })
  for (const room of rooms) await server.app.rooms.broadcast(room, 'said', { text: room, by: 'x' })
  const answer = poll(server, { token, rooms, query: { since: cursor, wait: '300' } })
  await eventually('the room is read', () => reads, (count) => count > 0)
  await server.app.rooms.broadcast('chat/2', 'said', { text: 'news', by: 'x' })
  await sleep(50)
  read()
  t.same(textsOf(await answer).sort(), ['chat/1', 'chat/2', 'news'])
})

for (const when of ['before', 'after'] as const) {
  t.test(`a poll given up while a new node enters its rooms leaves them, and every event, to the next one that comes ${when} they are entered`, async (t) => {
    const broker = held()
    const server = await start(t, { adapter: broker.adapter })
    const witness = await connect(server, { token: server.token('bob'), rooms: ['chat/1'] })
    const { epoch, offset } = (witness.welcome.data as {
      rooms: Record<string, {
        epoch: string
        offset: number
      }>
    }).rooms['chat/1']!
    // The connection has polled another node, where it stood at this position.
    const elsewhere = await start(t, { adapter: held().adapter })
    const first = await poll(elsewhere, { token: elsewhere.token('ada'), rooms: ['chat/1'] })
    const cursor = Buffer.from(
      Buffer.from(first.cursor, 'base64url').toString('latin1').replace(
        /\.[^.:]+:[^.:]+/,
        `.${epoch}:${offset.toString(36)}`
      ),
      'latin1'
    ).toString('base64url')
    const ask = async (since: string, signal?: AbortSignal): Promise<PollAnswer> => await poll(
      server,
      { token: server.token('ada'), rooms: ['chat/1'], query: { since, wait: '300' } },
      signal
    )
    const say = async (text: string): Promise<void> => {
      await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'x' })
    }
    const giveUp = async (): Promise<void> => {
      broker.hold()
      const stop = new AbortController()
      const given = ask(cursor, stop.signal).catch(() => 'given up')
      await eventually('the node reads', () => broker.waiting, (count) => count > 0)
      stop.abort()
      t.equal(await given, 'given up')
      await sleep(50)
    }
    for (let index = 0; index < 28; index++) await say(`missed ${index}`)
    await giveUp()
    if (when === 'after') {
      await broker.free()
      await sleep(50)
      await say('between')
      broker.hold()
    }
    const next = ask(cursor)
    await sleep(50)
    await say('live')
    await broker.free()
    await say('live too')
    const answer = await next
    const rest = await ask(answer.cursor)
    const told = [
      ...Array.from({ length: 28 }, (_, index) => `missed ${index}`),
      ...(when === 'after' ? ['between'] : []),
      'live',
      'live too'
    ]
    t.same([...textsOf(answer), ...textsOf(rest)], told)
    t.same([answer.connectionId, answer.resumed, Object.keys(answer.rooms)], [first.connectionId, true, ['chat/1']])
  })
}

t.test(
  'a room that was refused for the moment comes back into the polls that go on, with all that it was told meanwhile',
  async (t) => {
    const broker = held()
    const server = await start(t, { adapter: broker.adapter, declare: (app) => { declareChat(app) } })
    const token = server.token('ada')
    const ask = async (cursor?: string): Promise<PollAnswer> => await poll(server, {
      token,
      rooms: ['chat/1'],
      query: cursor === undefined ? {} : { since: cursor, wait: '200' }
    })
    broker.refuse(true)
    const first = await ask()
    matchList(t, first, {
      resumed: false,
      rooms: {},
      frames: [{ type: 'error', room: 'chat/1', data: { code: 'unavailable', retry: 'backoff' } }]
    })
    const began = performance.now()
    const second = await ask(first.cursor)
    matchList(t, second, {
      connectionId: first.connectionId,
      resumed: false,
      frames: [{ type: 'error', room: 'chat/1', data: { code: 'unavailable' } }]
    })
    t.ok(performance.now() - began > 150, 'the poll waits before it says so again')
    broker.refuse(false)
    const third = await ask(second.cursor)
    t.same(Object.keys(third.rooms), ['chat/1'])
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'hello', by: 'x' })
    const fourth = await ask(third.cursor)
    t.same([textsOf(fourth), fourth.resumed], [['hello'], true])
  }
)

t.test('a room that the client has left does not come back into its polls', async (t) => {
  const server = await start(t)
  const token = server.token('ada')
  const first = await poll(server, { token, rooms: ['chat/1'] })
  await postFrame(server, token, first.connectionId, { type: 'leave', room: 'chat/1' })
  const second = await poll(server, { token, rooms: ['chat/1'], query: { since: first.cursor, wait: '50' } })
  t.same(second.rooms, {})
})

t.test('a poll that another one ends stands where it stood, so that a loss is told to the next', async (t) => {
  const server = await start(t, {
    limits: { rate: { messages: 1, burst: 2 } },
    declare: (app) => { declareChat(app, { history: { size: 100 } }) }
  })
  const ask = async (since?: string): Promise<PollAnswer> => await poll(server, {
    token: server.token('ada'), rooms: ['chat/1'], query: since === undefined ? {} : { since, wait: '50' }
  })
  const first = await ask()
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'lost', by: 'x' })
  await server.app.rooms.clear('chat/1')
  // Who polls faster than its rate is answered later; by then the rooms have been entered.
  for (let spent = 0; spent < 2; spent++) t.equal((await ask(first.cursor)).resumed, false)
  const slow = ask(first.cursor)
  await sleep(300)
  const last = ask(first.cursor)
  const ended = await slow
  matchList(t, ended, { cursor: first.cursor, rooms: {}, frames: [] })
  t.equal((await last).resumed, false)
  t.equal((await ask(ended.cursor)).resumed, false)
})

t.test('who polls has lost nothing where more events than the history keeps were said with him left out', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { history: { size: 5 } }) } })
  const token = server.token('ada')
  const { connectionId, ...first } = await poll(server, { token, rooms: ['chat/1'] })
  let { cursor } = first
  const say = async (text: string, except?: string): Promise<void> => {
    await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'x' }, { except })
  }
  for (let round = 0; round < 3; round++) {
    const before = server.lines.length
    const polled = poll(server, { token, rooms: ['chat/1'], query: { since: cursor, wait: '200' } })
    await eventually('the poll', () => server.lines.length, (count) => count > before)
    for (let text = 0; text < 3; text++) await say(`own ${round} ${text}`, connectionId)
    const answer = await polled
    t.same([answer.resumed, answer.frames], [true, []], `the answer of round ${round}`)
    cursor = answer.cursor
  }
  await say('news')
  const { resumed, frames } = await poll(server, { token, rooms: ['chat/1'], query: { since: cursor, wait: '200' } })
  matchList(t, [resumed, frames], [true, [{ type: 'said', data: { text: 'news' } }]])
})

t.test('who comes while the rooms of a poll are being entered is told to that poll, in order', async (t) => {
  const inner = memory()
  const waiting = new Map<string, () => void>()
  const heldRooms = new Set<string>()
  const store = inner.presence!
  const snapshot = async (...asked: Parameters<PresenceStore['snapshot']>): Promise<PresenceSnapshot> => {
    const taken = await store.snapshot(...asked)
    // The poll is the first to ask; those who come ask behind it.
    if (heldRooms.delete(asked[0])) await new Promise<void>((resolve) => { waiting.set(asked[0], resolve) })
    return taken
  }
  const server = await start(t, {
    adapter: proxied(inner, { presence: proxied(store, { snapshot }) }),
    declare: (app) => { declareChat(app, { presence: true }) }
  })
  const rooms = ['chat/1', 'chat/2']
  const token = server.token('ada')
  const { cursor } = await poll(server, { token, rooms })
  for (const room of rooms) heldRooms.add(room)
  const polled = poll(server, { token, rooms, query: { since: cursor, wait: '300' } })
  const users = ['bob', 'eve']
  for (const [index, userId] of users.entries()) {
    const room = rooms[index]!
    const free = await eventually(room, () => waiting.get(room), (resolve) => resolve !== undefined)
    await connect(server, { token: server.token(userId), rooms: ['chat/1'] })
    free!()
  }
  const { frames } = await polled
  matchList(t, frames, users.map((userId) => ({ type: 'presence', room: 'chat/1', data: { joined: [{ userId }] } })))
})

t.test('who polls again because an answer was lost is told once more that the server took him out of the room', async (t) => {
  const server = await start(t)
  const rooms = ['chat/1', 'chat/2']
  const token = server.token('ada')
  const ask = async (since?: string, signal?: AbortSignal): Promise<PollAnswer> => await poll(
    server,
    { token, rooms, query: since === undefined ? {} : { since, wait: '50' } },
    signal
  )
  const first = await ask()
  const takeOut = async (): Promise<void> => { await server.app.rooms.leave({ connection: first.connectionId }, 'chat/1') }
  await takeOut()
  const left = [{ type: 'left', room: 'chat/1', data: { code: 'left' } }]
  for (const time of ['first', 'second']) matchList(t, (await ask(first.cursor)).frames, left, `the ${time} time`)
  // Nor is it told by a poll that is given up.
  const stop = new AbortController()
  const before = server.lines.length
  const given = ask(first.cursor, stop.signal).catch(() => 'given up')
  await eventually('the poll', () => server.lines.length, (count) => count > before)
  stop.abort()
  await given
  const told = await ask(first.cursor)
  matchList(t, told.frames, left)
  t.same(Object.keys(told.rooms), ['chat/2'])
  const next = await ask(told.cursor)
  t.same([next.frames, next.resumed, Object.keys(next.rooms)], [[], true, ['chat/2']], 'who has heard it is not told again')
  t.same((await ask(next.cursor)).frames, [])
})

t.test('also in a room that keeps no history is who polls told again that he is out, until he has heard so', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { history: false }) } })
  const token = server.token('ada')
  const ask = async (since?: string): Promise<PollAnswer> => await poll(
    server,
    { token, rooms: ['chat/1', 'chat/2'], query: since === undefined ? {} : { since, wait: '50' } }
  )
  let { connectionId, cursor } = await ask()
  for (const room of ['chat/1', 'chat/2']) {
    await server.app.rooms.leave({ connection: connectionId }, room)
    let told: PollAnswer | undefined
    for (const time of ['first', 'second', 'third']) {
      told = await ask(cursor)
      matchList(t, told.frames, [{ type: 'left', room, data: { code: 'left' } }], `the ${time} time, ${room}`)
    }
    cursor = told!.cursor
    t.same((await ask(cursor)).frames, [], `${room}, heard`)
    t.same((await ask(cursor)).frames, [], `${room}, heard long ago`)
  }
})

t.test('a room that refuses for good who comes from another node is told of again where the answer was lost', async (t) => {
  const declared = (isRefused: boolean) => (app: FastifyInstance): void => {
    declareChat(app, { history: false, onJoin: () => { if (isRefused) throw new Refusal('forbidden') } })
  }
  const [before, server] = await Promise.all([false, true].map((isRefused) => start(t, {
    adapter: proxied(memory(), { secret: async () => SECRET }),
    declare: declared(isRefused)
  })))
  const token = server!.token('ada')
  const { cursor } = await poll(before!, { token, rooms: ['chat/1'] })
  const ask = async (since: string): Promise<PollAnswer> => await poll(
    server!,
    { token, rooms: ['chat/1'], query: { since, wait: '50' } }
  )
  let told: PollAnswer | undefined
  for (const time of ['first', 'second', 'third']) {
    told = await ask(cursor)
    matchList(t, told.frames, [{ type: 'error', room: 'chat/1', data: { code: 'forbidden' } }], `the ${time} time`)
  }
  t.same((await ask(told!.cursor)).frames, [])
})

t.test('who is put into a room again before he heard that he was out is told no more that he is', async (t) => {
  const server = await start(t)
  const token = server.token('ada')
  const ask = async (since?: string): Promise<PollAnswer> => await poll(
    server,
    { token, rooms: ['chat/1'], query: since === undefined ? {} : { since, wait: '100' } }
  )
  const { connectionId, cursor } = await ask()
  const target = { connection: connectionId }
  await server.app.rooms.leave(target, 'chat/1')
  // Only an open poll can be put into a room, and one that has something to tell is soon over.
  const answer = await eventually('a poll in which it is in again', async () => {
    const ending = { isOver: false }
    const polled = ask(cursor).finally(() => { ending.isOver = true })
    let joined = 0
    while (joined === 0 && !ending.isOver) {
      joined = await server.app.rooms.join(target, 'chat/1')
      await setImmediate()
    }
    return { joined, ...await polled }
  }, ({ joined }) => joined === 1)
  matchList(t, answer.frames, [{ type: 'left' }, { type: 'joined' }])
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'hello', by: 'x' })
  for (const since of [cursor, answer.cursor]) {
    const { frames, rooms } = await ask(since)
    matchList(t, frames, [{ type: 'said', data: { text: 'hello' } }])
    t.same(Object.keys(rooms), ['chat/1'])
  }
})

t.test('who was refused by a room, put into it by the server and taken out again does not come back into it', async (t) => {
  const broker = held()
  const server = await start(t, { adapter: broker.adapter })
  const token = server.token('ada')
  const ask = async (since?: string): Promise<PollAnswer> => await poll(
    server,
    { token, rooms: ['chat/1'], query: since === undefined ? {} : { since, wait: '3000' } }
  )
  broker.refuse(true)
  const { connectionId, cursor, frames } = await ask()
  matchList(t, frames, [{ type: 'error', room: 'chat/1', data: { code: 'unavailable' } }])
  // Only an open poll can be put into a room: this one has tried the room again, and waits.
  const polled = ask(cursor)
  const target = { connection: connectionId }
  await eventually('the join', async () => {
    broker.refuse(false)
    const joined = await server.app.rooms.join(target, 'chat/1')
    broker.refuse(true)
    return joined
  }, (joined) => joined === 1)
  t.equal(await server.app.rooms.leave(target, 'chat/1'), 1)
  broker.refuse(false)
  const answer = await polled
  t.same(answer.frames.map(({ type }) => type), ['joined', 'left'], 'nor is told that it was refused')
  const next = await poll(server, { token, rooms: ['chat/1'], query: { since: answer.cursor, wait: '50' } })
  t.same([next.frames, next.rooms], [[], {}])
})

t.test('a room that a connection enters too late keeps the place of the same connection, which has come back', async (t) => {
  const broker = held()
  const server = await start(t, {
    adapter: broker.adapter,
    declare: (app) => { declareChat(app, { capacity: 1 }) }
  })
  const [token, room] = [server.token('ada'), 'chat/2']
  const { cursor, connectionId } = await poll(server, { token, rooms: ['chat/1'] })
  const given = poll(server, { token, rooms: ['chat/1'], query: { since: cursor } }).catch((error: unknown) => error)
  broker.hold()
  let joined = Promise.resolve(0)
  // It enters rooms while its poll is open.
  await eventually('the node enters the room', async () => {
    if (broker.waiting === 0) joined = server.app.rooms.join({ connection: connectionId }, room)
    await sleep(20)
    return broker.waiting
  }, (count) => count > 0)
  const left = await fetch(`${server.url}/ws`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'x-connection-id': connectionId },
    body: JSON.stringify({ type: 'leave' })
  })
  t.equal(left.status, 200)
  await given
  const text = Buffer.from(cursor, 'base64url').toString('latin1').replace(hashRooms(['chat/1']), hashRooms([room]))
  const since = Buffer.from(text, 'latin1').toString('base64url')
  const back = poll(server, { token, rooms: [room], query: { since, wait: '300' } })
  await sleep(100)
  await broker.free()
  t.equal(await joined, 0)
  t.equal((await back).connectionId, connectionId)
  await t.rejects(poll(server, { token: server.token('bob'), rooms: [room] }), { code: 'room_full' })
})
