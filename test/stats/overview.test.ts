import t, { type Test } from 'tap'
import { FakeHost } from '../../lib/adapters/contract/host.js'
import { BROKERS } from '../helpers/brokers.js'
import { matchList } from '../helpers/match-list.js'
import { chat, connect, declareChat, lobby, start, type Running, type StartOptions } from '../helpers/net.js'
import { lacking } from '../helpers/node-pairs.js'
import { missing, until } from '../helpers/servers.js'

/** What a row of one of the lists has. */
interface Row {
  readonly node: string
  readonly key: string
  readonly userId: string
  readonly isAnswering: boolean
  readonly stats: { readonly connections: { readonly total: number } }
}

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>> & {
    readonly items: readonly Row[]
    readonly events?: ReadonlyArray<{ readonly data?: unknown }>
  }
  readonly headers: Record<string, unknown>
}

interface Asked {
  readonly token?: string
  readonly body?: object
  readonly headers?: Record<string, string>
}

async function ask (
  { app, token }: Running,
  path: string,
  { token: given, body, headers = {} }: Asked = {}
): Promise<Answer> {
  const answer = await app.inject({
    method: body === undefined ? 'GET' : 'POST',
    url: `/ws/stats${path}`,
    headers: { authorization: `Bearer ${given ?? token('root', { role: 'admin' })}`, ...headers },
    ...(body === undefined ? {} : { payload: body })
  })
  return { status: answer.statusCode, body: answer.json(), headers: answer.headers }
}

async function open (t: Test, options: StartOptions = {}): Promise<Running> {
  return await start(t, {
    stats: { token: 'scraper', actions: true },
    declare: (app) => {
      declareChat(app)
      app.room(lobby, { presence: ({ user }) => ({ name: String((user as { sub: unknown }).sub) }) })
    },
    ...options
  })
}

t.test('connections are sorted, searched, filtered and paged by the server, and their ids stay secret', async (t) => {
  const server = await open(t)
  const ids: string[] = []
  for (let i = 0; i < 7; i++) {
    const peer = await connect(server, {
      token: server.token(`user-${6 - i}`),
      rooms: [`chat/${i % 2}`, ...(i === 3 ? ['chat/7'] : [])],
      transport: i === 5 ? 'sse' : 'websocket'
    })
    ids.push(peer.id)
  }
  const users = async (query: string): Promise<unknown[]> => {
    const { body, headers } = await ask(server, `/connections?${query}`)
    t.equal(headers['cache-control'], 'no-store')
    t.notOk(ids.some((id) => JSON.stringify(body).includes(id)), 'no id of a connection is shown')
    return [body.total, ...body.items.map(({ userId }) => userId)]
  }
  t.same(await users('sort=user&limit=2'), [7, 'user-0', 'user-1'])
  t.same(await users('sort=user&order=desc&limit=2'), [7, 'user-6', 'user-5'])
  t.same(await users('sort=rooms&order=desc&limit=1'), [7, 'user-3'])
  t.same(await users('sort=user&search=ER-4'), [1, 'user-4'])
  t.same(await users('sort=user&search=chat%2F7'), [1, 'user-3'])
  t.same(await users('room=chat%2F1'), [3, 'user-1', 'user-3', 'user-5'])
  t.same(await users('transport=sse'), [1, 'user-1'])
  t.same(await users('user=user-2'), [1, 'user-2'])
  t.same(await users('node=elsewhere'), [0])

  const seen: string[] = []
  let after = ''
  do {
    const { body } = await ask(server, `/connections?sort=user&limit=3${after}`)
    seen.push(...body.items.map(({ userId }: { userId: string }) => userId))
    after = body.next === undefined ? '' : `&after=${body.next}`
  } while (after !== '')
  t.same(seen, [0, 1, 2, 3, 4, 5, 6].map((i) => `user-${i}`))

  const key = (await ask(server, '/connections?user=user-3')).body.items[0]!.key
  matchList(t, (await ask(server, `/connections/${key}`)).body, {
    userId: 'user-3',
    transport: 'websocket',
    rooms: ['chat/1', 'chat/7'],
    outbox: 0,
    bytesIn: 0,
    bytesOut: Number,
    age: Number,
    silence: Number,
    isLagging: false,
    expires: Number
  })
  t.match(await ask(server, `/connections/${key}1`), { status: 404 })
  t.match(await ask(server, '/connections/nonsense'), { status: 400 })
  const wrong = ['sort=x', 'order=up', 'limit=0', 'limit=x', 'after=x', 'sort=a&sort=b', `search=${'x'.repeat(1_025)}`]
  for (const query of wrong) {
    t.match(await ask(server, `/connections?sort=user&${query}`), { status: 400, body: { code: 'invalid_message' } }, query)
  }
})

t.test('a room shows who is in it and its last events, and their data to an admin who asks for it alone', async (t) => {
  const server = await open(t)
  await connect(server, { token: server.token('ada'), rooms: ['crowd/1', 'chat/1'] })
  await server.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'a secret', by: 'ada' })
  await server.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: 'another secret', by: 'ada' })

  const hidden = await ask(server, '/room?name=chat%2F1')
  matchList(t, hidden.body, {
    name: 'chat/1',
    definition: 'chat/:id',
    nodes: [{ members: 1 }],
    offset: 2,
    events: [{ type: 'said', offset: 2, bytes: Number, timestamp: Number }, { offset: 1 }]
  })
  t.notMatch(JSON.stringify(hidden.body), /secret/)
  const shown = await ask(server, '/room?name=chat%2F1&data=true&events=1')
  t.same(shown.body.events?.map(({ data }) => data), [{ text: 'another secret', by: 'ada' }])
  t.match(await ask(server, '/room?name=chat%2F1', { token: 'scraper' }), { status: 200 })
  t.match(await ask(server, '/room?name=chat%2F1&data=true', { token: 'scraper' }), { status: 403 })
  t.match(await ask(server, '/room?name=chat%2F1', { token: server.token('ada') }), { status: 403 })

  matchList(t, (await ask(server, '/room?name=crowd%2F1')).body, { presence: { total: 1, users: ['ada'] } })
  t.match(await ask(server, '/room?name=nowhere%2F1'), { status: 404, body: { code: 'room_unknown' } })
  t.match(await ask(server, '/room'), { status: 400 })
  matchList(t, (await ask(server, '/rooms?sort=members&order=desc&search=crowd')).body, {
    total: 1,
    items: [{ name: 'crowd/1', members: 1, node: String }]
  })
})

t.test('a room with presence is shown without who is there where the adapter keeps no presence', async (t) => {
  const server = await open(t, { adapter: lacking('presence') })
  const { status, body } = await ask(server, '/room?name=crowd%2F1')
  matchList(t, [status, body.name, body.presence], [200, 'crowd/1', undefined])
})

t.test('an admin ends a connection, keeps a user out and drains the node; a scraper and another page may not', async (t) => {
  const server = await open(t, {
    auth: { carriers: ['header', 'cookie'], cookie: 'session' },
    origins: ['https://app.example.com']
  })
  const ada = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
  const bob = await connect(server, { token: server.token('bob'), rooms: ['chat/1'] })
  const { key } = (await ask(server, '/connections?user=ada')).body.items[0]!
  const body = { action: 'disconnect', connection: key }
  const cookie = `session=${server.token('root', { role: 'admin' })}`
  const byCookie = async (headers: Record<string, string>, type = 'application/json'): Promise<number> =>
    (await server.app.inject({
      method: 'POST',
      url: '/ws/stats/actions',
      headers: { cookie, 'content-type': type, ...headers },
      payload: JSON.stringify({ action: 'revoke', user: 'nobody' })
    })).statusCode

  t.match(await ask(server, '/actions', { body, token: 'scraper' }), { status: 403 })
  t.match(await ask(server, '/actions', { body, token: server.token('eve') }), { status: 403 })
  t.equal(await byCookie({ origin: 'https://evil.example.com' }), 403)
  t.equal(await byCookie({ 'sec-fetch-site': 'same-site' }), 403)
  t.equal(await byCookie({}), 403, 'no origin is no consent')
  t.equal(await byCookie({ origin: 'https://app.example.com' }, 'text/plain'), 415, 'a form cannot send it')
  t.equal(await byCookie({ origin: 'https://app.example.com' }), 200)
  for (const wrong of [
    {},
    { action: 'drain' },
    { action: 'disconnect', connection: 7 },
    { action: 'revoke', user: 'x', duration: 0 },
    { action: 'restart' }
  ]) {
    t.match(await ask(server, '/actions', { body: wrong }), { status: 400, body: { code: 'invalid_message' } })
  }

  t.match(await ask(server, '/actions', { body }), { status: 200, body: { done: true } })
  t.match((await ada.next('error')).data, { code: 'unavailable' })
  t.match(await ask(server, '/actions', { body }), { status: 404 }, 'it has ended')
  t.match(await ask(server, '/actions', { body: { action: 'revoke', user: 'bob' } }), { status: 200 })
  t.match((await bob.next('error')).data, { code: 'revoked' })
  await t.rejects(connect(server, { token: server.token('bob'), rooms: ['chat/1'] }), { code: 'revoked' })
  const said = server.lines.filter((line) => line.includes('an admin acted')).map((line) => JSON.parse(line))
  t.match(said.at(-1), { action: 'revoke', user: 'bob', by: 'root' })

  const { here, viewer } = (await ask(server, '/nodes')).body
  t.same(viewer, { mayAct: true, maySeeData: true })
  t.match(await ask(server, '/actions', { body: { action: 'drain', node: 'elsewhere' } }), { status: 503 })
  t.match(await ask(server, '/actions', { body: { action: 'drain', node: here } }), { status: 200 })
  t.equal(server.app.rooms.isAccepting(), false)
})

t.test('without stats.actions nobody acts, and the viewer is told so', async (t) => {
  const server = await open(t, { stats: { token: 'scraper' } })
  const answer = await ask(server, '/actions', { body: { action: 'revoke', user: 'bob' } })
  t.match(answer, { status: 400, body: { code: 'room_invalid' } }, 'there is no such route')
  t.match((await ask(server, '/nodes')).body, { viewer: { mayAct: false, maySeeData: true } })
  t.match((await ask(server, '/nodes', { token: 'scraper' })).body, { viewer: { mayAct: false, maySeeData: false } })
})

for (const { name, program, start: run, make } of BROKERS) {
  t.test(`each node shows all nodes of ${name}, their rooms and connections, and acts on another one only where that allows it`, {
    skip: missing(program)
  }, async (t) => {
    const { port } = await run(t)
    const one = async (actions: boolean): Promise<Running> => await open(t, { adapter: make(port), stats: { actions } })
    const [a, b, c] = [await one(true), await one(true), await one(false)]
    await connect(a, { token: a.token('ada'), rooms: ['chat/1'] })
    const bob = await connect(b, { token: b.token('bob'), rooms: ['chat/1'] })
    await connect(c, { token: c.token('cleo'), rooms: ['chat/1'] })

    const { here, items } = (await ask(a, '/nodes')).body
    t.equal(items.length, 3)
    t.ok(items.every(({ isAnswering, stats }) => isAnswering === true && stats.connections.total === 1))
    const all = (await ask(a, '/connections?sort=user')).body
    t.same([all.total, ...all.items.map(({ userId }) => userId)], [3, 'ada', 'bob', 'cleo'])
    t.equal(new Set(all.items.map(({ node }) => node)).size, 3)
    t.same((await ask(a, `/connections?node=${here}`)).body.total, 1)
    t.same((await ask(a, '/rooms?sort=name')).body.total, 3, 'a room stands there once for each node')
    const members = [{ members: 1 }, { members: 1 }, { members: 1 }]
    matchList(t, (await ask(a, '/room?name=chat%2F1')).body, { nodes: members, silent: [] })

    const [, ofB = '', ofC = ''] = all.items.map(({ key }) => key)
    matchList(t, (await ask(a, `/connections/${ofB}`)).body, { userId: 'bob', rooms: ['chat/1'] })
    t.match(await ask(a, '/actions', { body: { action: 'disconnect', connection: ofC } }), { status: 403 })
    t.match(await ask(a, '/actions', { body: { action: 'disconnect', connection: ofB } }), { status: 200 })
    t.match((await bob.next('error')).data, { code: 'unavailable' })
    t.match(await ask(a, '/actions', { body: { action: 'drain', node: ofC.split('.')[0] } }), { status: 403 })
    t.equal(c.app.rooms.isAccepting(), true)
    t.match(await ask(a, '/actions', { body: { action: 'drain', node: ofB.split('.')[0] } }), { status: 200 })
    t.equal(b.app.rooms.isAccepting(), false)

    await c.app.close()
    t.equal((await ask(a, '/nodes')).body.items.length, 2, 'who has closed is gone')
    const mute = make(port)
    t.teardown(async () => { await mute.close() })
    await mute.start(new FakeHost('mute'))
    await mute.control!.send({ type: 'node', state: 'here' })
    await until('the node is known', async () => (await ask(a, '/nodes')).body.items.length === 3)
    const silent = (await ask(a, '/nodes')).body.items.find(({ node }) => node === 'mute')
    t.same(silent, { node: 'mute', isAnswering: false })
  })
}
