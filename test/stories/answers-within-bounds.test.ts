import t from 'tap'
import { matchList } from '../helpers/match-list.js'
import {
  assertLedger, chat, connect, declareChat, eventually, poll, postFrame, start, statsOf, TRANSPORTS,
  type NetPeer, type Refused, type Running
} from '../helpers/net.js'
import { narrowWay } from '../helpers/narrow-way.js'
import { handshake, RawPeer, textFrame, until } from '../helpers/raw.js'

t.setTimeout(120_000)

interface Page {
  readonly position: { readonly epoch: string, readonly offset: number }
  readonly more?: boolean
  readonly events: ReadonlyArray<{ readonly offset: number }>
}
interface Posted {
  readonly status: number
  readonly body: { readonly code?: string, readonly retryAfter?: number, readonly data?: unknown }
  readonly bytes: number
}

async function post (server: Running, user: string, frame: object | undefined, path = '/ws'): Promise<Posted> {
  const answer = await fetch(`${server.url}${path}`, {
    ...(frame === undefined ? {} : { method: 'POST', body: JSON.stringify(frame) }),
    headers: {
      authorization: `Bearer ${server.token(user, { role: 'admin' })}`,
      connection: 'close',
      ...(frame === undefined ? {} : { 'content-type': 'application/json' })
    }
  })
  const text = await answer.text()
  return { status: answer.status, body: JSON.parse(text) as Posted['body'], bytes: text.length }
}

async function fill ({ app }: Running, count: number, size: number): Promise<void> {
  for (let i = 0; i < count; i++) await app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(size), by: 'y' })
}

const FAST = { rate: { messages: 10_000, burst: 10_000 } }

for (const way of ['websocket', 'uplink'] as const) {
  t.test(
    `history by ${way} comes in pages of 256 KiB at most, each going on where the one before ended, until all is read`,
    async (t) => {
      const server = await start(t, { limits: FAST })
      await fill(server, 20, 60_000)
      const peer = way === 'websocket'
        ? await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
        : undefined
      const offsets: number[] = []
      let since: object | undefined
      let pages = 0
      for (let hasMore = true; hasMore;) {
        const frame = { type: 'history', room: 'chat/1', id: `h${++pages}`, data: since === undefined ? {} : { since } }
        let page: Page
        if (peer === undefined) {
          const { body, bytes } = await post(server, 'ada', frame)
          t.ok(bytes < 263_000, `${bytes} bytes`)
          page = body.data as Page
        } else {
          peer.send(frame)
          page = (await peer.next('ack', ({ id }) => id === frame.id)).data as Page
          t.ok(JSON.stringify(page).length < 263_000)
        }
        offsets.push(...page.events.map(({ offset }) => offset))
        since = page.position
        hasMore = page.more === true
      }
      t.same(offsets, Array.from({ length: 20 }, (_, i) => i + 1))
      t.ok(pages >= 5)
      peer?.cut()
    }
  )
}

t.test(
  'an event that is larger than a page is a page of its own, and one that is left out is passed over',
  async (t) => {
    const server = await start(t, { limits: { ...FAST, outbox: 400_000, event: 262_144 } })
    const peer = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    await fill(server, 1, 250_000)
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'z'.repeat(250_000), by: 'y' }, { except: peer.id })
    await fill(server, 1, 10)
    peer.send({ type: 'history', room: 'chat/1', id: '1' })
    const first = (await peer.next('ack')).data as Page
    matchList(t, first, { more: true, position: { offset: 1 }, events: [{ offset: 1 }] })
    peer.send({ type: 'history', room: 'chat/1', id: '2', data: { since: first.position } })
    const second = (await peer.next('ack')).data as Page
    matchList(t, second, { more: undefined, resumed: true, position: { offset: 3 }, events: [{ offset: 3 }] })
    peer.cut()
  }
)

t.test('members that do not fit into one answer are counted and not listed', async (t) => {
  const server = await start(t, {
    limits: { ...FAST, outbox: 300_000, event: 200_000 },
    declare: (app) => { declareChat(app, { presence: () => ({ name: 'x'.repeat(50_000) }) }) }
  })
  const peers = await Promise.all([
    'ada',
    'bob',
    'cy'
  ].map(async (user) => await connect(server, { rooms: ['chat/1'], token: server.token(user) })))
  const { status, body } = await post(server, 'ada', { type: 'members', room: 'chat/1' })
  t.equal(status, 200)
  t.match(body.data, { total: 3, list: undefined })
  for (const peer of peers) peer.cut()
})

/** Every request of a user that holds no connection, with the status of one that is let through. */
const REQUESTS: Record<string, { frame?: object, path?: string, status: number }> = {
  'a message': { frame: { type: 'type', room: 'chat/1', data: {} }, status: 200 },
  ping: { frame: { type: 'ping' }, status: 200 },
  pong: { frame: { type: 'pong' }, status: 200 },
  ack: { frame: { type: 'ack', id: 'made-up' }, status: 200 },
  leave: { frame: { type: 'leave', room: 'chat/1' }, status: 400 },
  'leave of all': { frame: { type: 'leave' }, status: 400 },
  members: { frame: { type: 'members', room: 'chat/1' }, status: 200 },
  history: { frame: { type: 'history', room: 'chat/1' }, status: 200 },
  'what is no frame': { frame: { type: 7 }, status: 400 },
  'a verdict': { path: '/ws/chat/1?verdict=1', status: 200 },
  'a ticket': { frame: {}, path: '/ws/ticket', status: 200 },
  stats: { path: '/ws/stats?format=json', status: 200 },
  'a listing': { path: '/ws/stats/connections', status: 200 }
}

for (const [what, { frame, path, status }] of Object.entries(REQUESTS)) {
  t.test(`${what} spends of its user's rate, before the application is asked, and of nobody else's`, async (t) => {
    let asked = 0
    const server = await start(t, {
      limits: { rate: { messages: 0.1, burst: 5 } },
      declare: (app) => {
        declareChat(app, {
          presence: true,
          authorize: () => {
            asked++
            return true
          }
        })
      }
    })
    for (let i = 0; i < 5; i++) t.equal((await post(server, 'ada', frame, path)).status, status)
    asked = 0
    const { status: refused, body } = await post(server, 'ada', frame, path)
    t.equal(refused, 429)
    t.match(body, { code: 'rate_limited' })
    t.equal(asked, 0)
    t.equal((await post(server, 'bob', frame, path)).status, status)
    t.equal((await fetch(`${server.url}/ws/health`, { headers: { connection: 'close' } })).status, 200)
  })
}

for (const transport of TRANSPORTS) {
  t.test(
    `opening by ${transport} spends of its user's rate, and past it is refused with a code and the time to wait`,
    async (t) => {
      const limits = { rate: { messages: 0.1, burst: 4 }, user: { connections: 2, then: 'reject' } } as const
      const server = await start(t, { limits, presence: { grace: 10 } })
      const open = async (user: string): Promise<void> => {
        const options = { transport, rooms: ['chat/1'], token: server.token(user) }
        if (transport === 'polling') await poll(server, options)
        else (await connect(server, options)).cut()
        await eventually(
          'it has gone',
          async () => (await statsOf(server.app)).connections.slots,
          (slots) => slots === 0
        )
      }
      for (let i = 0; i < 4; i++) await open('ada')
      const refused = await open('ada').then(() => undefined, (error: Refused) => error)
      t.match(refused, { statusCode: 429, body: { code: 'rate_limited', retry: 'backoff' } })
      t.ok(Number(refused?.headers['retry-after']) >= 1, String(refused?.headers['retry-after']))
      await open('bob')
    }
  )

  t.test(`all connections of a user come back at once by ${transport}, and once more, whatever his rate`, async (t) => {
    const server = await start(t, { limits: { rate: { messages: 0.001, burst: 5 } }, presence: { grace: 2_000 } })
    for (let round = 0; round < 2; round++) {
      const peers = await Promise.all(Array.from(
        { length: 20 },
        async () => await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
      ))
      t.equal(peers.length, 20)
      for (const peer of peers) peer.cut()
      await eventually(
        'all have gone',
        async () => (await statsOf(server.app)).connections.slots,
        (slots) => slots === 0
      )
    }
  })

  t.test(
    `over ${transport} the member lists of one answer have a bound for all its rooms: what does not fit is counted`,
    async (t) => {
      const server = await start(t, {
        limits: { outbox: 300_000, event: 200_000 },
        declare: (app) => { declareChat(app, { presence: () => ({ name: 'x'.repeat(50_000) }) }) }
      })
      const peer = await connect(server, { transport, rooms: ['chat/1', 'chat/2'], token: server.token('ada') })
      matchList(t, (peer.welcome.data as { rooms: object }).rooms, {
        'chat/1': { members: { total: 1, list: [{ userId: 'ada' }] } },
        'chat/2': { members: { total: 1, list: undefined } }
      })
      peer.cut()
    }
  )
}

t.test('a join is told no member list that does not fit into one answer, and pays for one that does', async (t) => {
  const server = await start(t, {
    limits: { outbox: 300_000, event: 200_000, rate: { messages: 0.001, burst: 12 } },
    declare: (app) => { declareChat(app, { presence: () => ({ name: 'x'.repeat(50_000) }) }) }
  })
  const ada = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  const bob = await connect(server, { token: server.token('bob') })
  bob.send({ type: 'join', room: 'chat/1', id: '1' })
  t.match((await bob.next('ack')).data, { members: { total: 2, list: undefined } })
  const types: string[] = []
  for (let i = 2; i < 7; i++) {
    bob.send({ type: 'join', room: `chat/${i}`, id: `${i}` })
    types.push((await bob.next('an answer', ({ id }) => id === `${i}`)).type)
  }
  t.same(types, ['ack', 'ack', 'ack', 'error', 'error'], 'three of a message and 50 kB each')
  for (const peer of [ada, bob]) peer.cut()
})

/** The id that an event asks for an answer by. */
async function asked (peer: NetPeer): Promise<string> { return (await peer.next('said') as { ack?: string }).ack! }

for (const way of ['websocket', 'uplink'] as const) {
  t.test(`an ack by ${way} is free of the rate where it is owed, and once`, async (t) => {
    const server = await start(t, { limits: { rate: { messages: 0.001, burst: 3 } } })
    const peer = await connect(server, {
      transport: way === 'websocket' ? way : 'sse',
      rooms: ['chat/1'],
      token: server.token('ada')
    })
    const results = Promise.all(Array.from(
      { length: 8 },
      async () => await server.app.rooms.broadcastWithAck('chat/1', 'said', { text: 'x', by: 'y' }, { timeout: 5_000 })
    ))
    const ids: string[] = []
    for (let i = 0; i < 8; i++) ids.push(await asked(peer))
    const answer = async (id: string): Promise<number> => {
      if (way === 'websocket') peer.send({ type: 'ack', id })
      else {
        return (await postFrame(server, server.token('ada'), peer.id, { type: 'ack', id })).status
      }
      return 200
    }
    for (const id of ids) t.equal(await answer(id), 200)
    t.same((await results).map(({ acked }) => acked), ids.map(() => ['ada']))
    // It is still waited for, because of somebody else.
    const bob = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
    void server.app.rooms.broadcastWithAck('chat/1', 'said', { text: 'x', by: 'y' }, { timeout: 5_000 })
    const again = await asked(peer)
    const statuses = []
    for (let i = 0; i < 6; i++) statuses.push(await answer(again))
    if (way === 'websocket') t.match((await peer.next('error')).data, { code: 'rate_limited' })
    else t.equal(statuses.at(-1), 429)
    bob.cut()
    peer.cut()
  })
}

t.test('a room is left whatever the rate, once and no room that cannot be left', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 0.001, burst: 20 } } })
  const peer = await connect(server, { rooms: ['chat/1', 'chat/2'], token: server.token('ada') })
  t.teardown(() => { peer.cut() })
  const refused = async (): Promise<string> => ((await peer.next('error')).data as { code: string }).code
  for (let n = 0; n < 21; n++) peer.send({ type: 'members', room: 'chat/3', id: `${n}` })
  for (let n = 0; n < 20; n++) await peer.next('error', ({ id }) => id === `${n}`)
  t.equal(await refused(), 'rate_limited')
  for (const room of ['chat/1', 'chat/2']) {
    peer.send({ type: 'leave', room, id: room })
    t.match(await peer.next('ack', ({ id }) => id === room), { type: 'ack' })
  }
  for (const room of ['chat/1', '@user/ada']) {
    peer.send({ type: 'leave', room, id: 'again' })
    t.equal(await refused(), 'rate_limited', room)
  }
})

/** Frames a few at a time, so that the rate takes them. */
async function pour (
  peer: { send: (frame: object) => void },
  count: number,
  frame: (index: number) => object
): Promise<void> {
  for (let index = 0; index < count; index++) {
    peer.send(frame(index))
    if (index % 20 === 19) await new Promise((resolve) => { setTimeout(resolve, 40) })
  }
}

t.test(
  'frames that wait for slow handlers are bounded in bytes for all rooms of a connection: one too many is told to come later',
  async (t) => {
    let open!: () => void
    const gate = new Promise<void>((resolve) => { open = resolve })
    let handled = 0
    const server = await start(t, {
      limits: { rate: { messages: 1_000, burst: 64 } },
      declare: (app) => {
        app.room(chat, {
          on: {
            async say () {
              handled++
              await gate
              return { id: '1' }
            },
            type () {}
          }
        })
      }
    })
    const rooms = ['chat/1', 'chat/2', 'chat/3', 'chat/4']
    const peer = await connect(server, { rooms, token: server.token('ada') })
    await pour(
      peer,
      160,
      (index) => ({ type: 'say', room: rooms[index % 4], id: `m${index}`, data: { text: 'x'.repeat(60_000) } })
    )
    await peer.sync()
    const { data } = await peer.next('error')
    t.match(data, { code: 'rate_limited', message: /too many frames wait/, retryAfter: 1_000 })
    open()
    let [acked, refused] = [0, 1]
    while (acked + refused < 160) {
      const { type } = await peer.next('an answer', (frame) => frame.type === 'ack' || frame.type === 'error')
      if (type === 'ack') acked++
      else refused++
    }
    t.equal(handled, acked)
    t.ok(acked >= 60 && acked * 60_000 <= 64 * 65_536, `${acked} of 160 had room`)
    peer.send({ type: 'say', room: 'chat/1', id: 'after', data: { text: 'x' } })
    await peer.next('ack', ({ id }) => id === 'after')
    peer.cut()
  }
)

t.test(
  'frames that come before the welcome are bounded, and let go when the connection ends whatever the application does',
  async (t) => {
    const server = await start(t, {
      limits: { rate: { messages: 1_000, burst: 40 } },
      declare: (app) => { declareChat(app, { onJoin: async () => await new Promise(() => undefined) }) }
    })
    const peer = await new RawPeer(server.port).connected()
    peer.send(handshake('/ws/chat/1', { headers: { Authorization: `Bearer ${server.token('ada')}` } }))
    await until('the upgrade', () => peer.text.includes('101 Switching Protocols') ? true : undefined)
    await pour(
      { send: (frame) => { peer.send(textFrame(JSON.stringify(frame))) } },
      120,
      () => ({ type: 'say', room: 'chat/1', data: { text: 'x' } })
    )
    await until('the refusals', () => peer.text.split('too many frames wait').length > 50 ? true : undefined)
    peer.socket.destroy()
    await eventually('it has gone', async () => (await statsOf(server.app)).connections.slots, (slots) => slots === 0)
  }
)

t.test('what is sent again for a join or an opening costs its user as much as it is large', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 0.001, burst: 40 } } })
  await fill(server, 10, 60_000)
  const peer = await connect(server, { token: server.token('ada') })
  const types: string[] = []
  for (let i = 0; i < 5; i++) {
    peer.send({ type: 'join', room: 'chat/1', id: `${i}`, data: { last: 10 } })
    const { type } = await peer.next('an answer', ({ id }) => id === `${i}`)
    types.push(type)
    if (type === 'ack') for (let told = 0; told < 10; told++) await peer.next('said')
    peer.send({ type: 'leave', room: 'chat/1' })
  }
  t.same(types, ['ack', 'ack', 'ack', 'ack', 'error'], 'four times 600 kB')
  // Openings pay out of the bucket that all of the user's connections have in common.
  const other = await connect(server, { rooms: ['chat/1'], token: server.token('ada'), query: { last: '10' } })
  for (let told = 0; told < 10; told++) await other.next('said')
  other.cut()
  const refused = await connect(server, { token: server.token('ada') }).then(() => undefined, (error: Refused) => error)
  t.match(refused, { statusCode: 429, body: { code: 'rate_limited' } })
  peer.cut()
})

t.test('first polls cost their user what they are answered, however often they begin anew', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 0.001, burst: 8 } } })
  await fill(server, 10, 60_000)
  let answered = 0
  const refused = await (async () => {
    for (; answered < 12; answered++) {
      await poll(server, { rooms: ['chat/1'], token: server.token('ada'), query: { last: '10' } })
    }
    return undefined
  })().catch((error: Refused) => error)
  t.match(refused, { statusCode: 429, body: { code: 'rate_limited' } })
  t.ok(answered <= 8, `${answered} answers of 120 kB`)
})

t.test('an answer costs what it is large: of few large ones more are refused than of many small ones', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 1, burst: 40 } } })
  await fill(server, 10, 60_000)
  const statuses: number[] = []
  for (let i = 0; i < 8; i++) statuses.push((await post(server, 'ada', { type: 'history', room: 'chat/1' })).status)
  t.ok(statuses.filter((status) => status === 200).length <= 4, statuses.join())
  const peer = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
  const types: string[] = []
  for (let i = 0; i < 8; i++) {
    peer.send({ type: 'history', room: 'chat/1', id: `${i}` })
    types.push((await peer.next('an answer', ({ id }) => id === `${i}`)).type)
  }
  t.ok(types.filter((type) => type === 'ack').length <= 4, types.join())
  peer.cut()
  t.ok(statuses.includes(200) && types.includes('ack'), 'some of the large ones are answered')
  for (let i = 0; i < 8; i++) {
    t.equal((await post(server, 'cat', { type: 'history', room: 'chat/2' })).status, 200, 'each of the small ones is')
  }
})

t.test(
  'polls that come faster than the rate wait, and lose nothing; polls that flood end their connection',
  async (t) => {
    const server = await start(t, { limits: { rate: { messages: 20, burst: 5 } } })
    const options = { rooms: ['chat/1'], token: server.token('ada') }
    let { cursor } = await poll(server, options)
    const begun = performance.now()
    const heard: string[] = []
    for (let i = 0; i < 15; i++) {
      await server.app.rooms.broadcast('chat/1', 'said', { text: String(i), by: 'y' })
      const answer = await poll(server, { ...options, query: { since: cursor, wait: '0' } })
      cursor = answer.cursor
      heard.push(
        ...answer.frames.filter(({ type }) => type === 'said').map(({ data }) => (data as { text: string }).text)
      )
    }
    t.ok(performance.now() - begun > 400, 'ten of them waited 50 ms each')
    t.same(heard, Array.from({ length: 15 }, (_, i) => String(i)))
    await eventually(
      'it is ended',
      async () => {
        // Again and again: thirty of them are no flood where a busy machine takes a second for them.
        await Promise.allSettled(Array.from(
          { length: 30 },
          async () => await poll(server, { ...options, query: { since: cursor, wait: '0' } })
        ))
        return (await statsOf(server.app)).closes
      },
      (closes) => (closes.rate_limited ?? 0) > 0
    )
  }
)

/** Masked control frames without payload: as raw bytes, so that no client library paces them. */
function control (opcode: number, count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => Buffer.from([opcode, 0x80, 1, 2, 3, 4])))
}

for (const [what, opcode] of [['pings', 0x89], ['pongs', 0x8a]] as const) {
  t.test(`a flood of ${what} ends its connection with 4429, and is read no further`, async (t) => {
    const server = await start(t, { limits: { rate: { messages: 10, burst: 20 } } })
    const peer = await new RawPeer(server.port).connected()
    peer.send(handshake('/ws/chat/1', { headers: { Authorization: `Bearer ${server.token('mallory')}` } }))
    await until('the welcome', () => peer.text.includes('"welcome"') ? true : undefined)
    const { writes } = (await statsOf(server.app)).events
    for (let i = 0; i < 20; i++) peer.send(control(opcode, 5_000))
    await until(
      'the close frame',
      () => peer.received.includes(Buffer.from([0x88])) && peer.text.includes('rate_limited') ? true : undefined
    )
    t.match(
      await eventually(
        'it is counted',
        async () => (await statsOf(server.app)).closes,
        (closes) => closes.rate_limited === 1
      ),
      { rate_limited: 1 }
    )
    t.ok((await statsOf(server.app)).events.writes - writes <= 4, 'answers of one turn are one write')
    await until('the socket ends, whatever the peer does', () => peer.ended || peer.closed ? true : undefined)
    peer.socket.destroy()
  })
}

t.test('a few pings are each answered, in order, with what they carried', async (t) => {
  const server = await start(t)
  const peer = await new RawPeer(server.port).connected()
  peer.send(handshake('/ws/chat/1', { headers: { Authorization: `Bearer ${server.token('ada')}` } }))
  await until('the welcome', () => peer.text.includes('"welcome"') ? true : undefined)
  peer.send(Buffer.concat([...'abcdefghij'].map((letter) => Buffer.from([
    0x89,
    0x81,
    0,
    0,
    0,
    0,
    letter.charCodeAt(0)
  ]))))
  const expected = Buffer.concat([...'abcdefghij'].map((letter) => Buffer.from([0x8a, 1, letter.charCodeAt(0)])))
  await until('ten pongs', () => peer.received.includes(expected) ? true : undefined)
  peer.socket.destroy()
})

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} an ordinary client is never refused for its rate`, async (t) => {
    const server = await start(t)
    const peer = await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
    for (let i = 0; i < 30; i++) {
      peer.send({ type: 'say', room: 'chat/1', id: `m${i}`, data: { text: String(i) } })
      await peer.next('ack', ({ id }) => id === `m${i}`)
      await peer.next('said', ({ data }) => (data as { text: string }).text === String(i))
    }
    t.same((await statsOf(server.app)).refusals, {})
    peer.cut()
  })
}

async function say ({ app }: Running, room: string, size: number, by = room): Promise<void> {
  await app.rooms.broadcast(room, 'said', { text: 'x'.repeat(size), by })
}

for (const [count, size] of [[5, 250_000], [32, 33_000]] as const) {
  t.test(`a poll of ${count} rooms that has missed ${size} bytes in each has all of it in a few answers, once`, async (t) => {
    const server = await start(t, { limits: FAST })
    const rooms = Array.from({ length: count }, (_, n) => `chat/${n}`)
    const options = { token: server.token('ada'), rooms }
    let { cursor } = await poll(server, options)
    for (const room of rooms) await say(server, room, size)
    const heard: unknown[] = []
    let polls = 0
    while (heard.length < count && polls < 30) {
      const answer = await poll(server, { ...options, query: { since: cursor, wait: '2000' } })
      ;({ cursor } = answer)
      polls++
      t.ok(answer.frames.length * size < 65_536 + 2 * size, `${answer.frames.length} frames in one answer`)
      heard.push(...answer.frames.map(({ room }) => room))
    }
    t.same(heard.toSorted(), rooms.toSorted())
    const { frames } = await poll(server, { ...options, query: { since: cursor, wait: '20' } })
    t.same(frames, [], 'nothing comes twice')
    await assertLedger(t, server.app)
    t.same(server.loud, [])
  })
}

t.test('a room that fills each answer of a poll alone keeps no other room from being read', async (t) => {
  const server = await start(t, { limits: FAST })
  const rooms = ['chat/busy', 'chat/1', 'chat/2', 'chat/3']
  const options = { token: server.token('ada'), rooms }
  for (const room of rooms) await say(server, room, 100_000)
  let { cursor, frames } = await poll(server, { ...options, query: { last: '1' } })
  const heard = frames.map(({ room }) => room)
  for (let polls = 0; polls < 6; polls++) {
    await say(server, 'chat/busy', 100_000)
    await say(server, 'chat/busy', 100_000);
    ({ cursor, frames } = await poll(server, { ...options, query: { since: cursor, wait: '2000' } }))
    heard.push(...frames.map(({ room }) => room))
  }
  t.same(heard.slice(0, 5), ['chat/busy', 'chat/1', 'chat/2', 'chat/3', 'chat/busy'])
})

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} who comes on a slow link to 32 rooms with a large last event each gets them all, once and in order`, {
    timeout: 60_000
  }, async (t) => {
    const server = await start(t, { limits: FAST })
    const rooms = Array.from({ length: 32 }, (_, n) => `chat/${n}`)
    for (const room of rooms) for (const by of ['first', 'second']) await say(server, room, 200_000, by)
    // The way cuts what is still in its buffers when the server ends a socket, as it does behind each answer.
    const { port } = transport === 'polling' ? server : await narrowWay(t, server.port, 65_536, 6_000_000)
    const peer = await connect({ ...server, port, url: `http://127.0.0.1:${port}` }, {
      transport, token: server.token('ada'), rooms, query: { last: '2' }
    })
    const heard = (): string[] => peer.queue.all.filter(({ type }) => type === 'said')
      .map(({ room, data }) => `${room} ${(data as { by: string }).by}`)
    let end = ''
    void peer.ended.then(() => { end = 'ended' })
    await eventually('all of it', () => end || heard().length, (count) => count === 64 || count === 'ended', 30_000)
    t.same(heard().toSorted(), rooms.flatMap((room) => [`${room} first`, `${room} second`]).toSorted())
    for (const room of rooms) {
      t.same(heard().filter((each) => each.startsWith(`${room} `)), [`${room} first`, `${room} second`])
    }
    await peer.close()
    t.same(server.loud, [])
  })
}
