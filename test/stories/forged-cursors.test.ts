import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { ConnectionIds } from '../../lib/admission/connection-ids.js'
import { encodeCursor, hashRooms } from '../../lib/protocol/cursor.js'
import { matchList } from '../helpers/match-list.js'
import { connect, declareChat, start, statsOf, type Running } from '../helpers/net.js'
import { missing, startNats, startRedis, until } from '../helpers/servers.js'

interface Poll {
  readonly status: number
  readonly id: string
  readonly code: string
  readonly cursor: string
  readonly resumed: boolean
  readonly texts: readonly string[]
}

async function poll ({ url, token }: Running, user: string, path: string, since: string): Promise<Poll> {
  const answer = await fetch(`${url}${path}?wait=30&since=${since}`, {
    headers: { authorization: `Bearer ${token(user)}`, connection: 'close' }
  })
  const { connectionId = '', code = '', cursor = '', resumed = false, frames = [] } = await answer.json() as {
    connectionId?: string
    code?: string
    cursor?: string
    resumed?: boolean
    frames?: Array<{ type: string, data: { text: string } }>
  }
  return {
    status: answer.status,
    id: connectionId,
    code,
    cursor,
    resumed,
    texts: frames.filter(({ type }) => type === 'said').map(({ data }) => data.text)
  }
}

const LIMIT = 2
const CAPACITY = 3
const MADE_UP = 'AAAAAAAAAAAAAAAAAAAAA'

t.test('a poll whose wait is refused leaves no connection, slot or user behind', async (t) => {
  const elsewhere = await start(t, { declare: (app) => { declareChat(app) } })
  const { cursor } = await poll(elsewhere, 'ada', '/ws/chat/1', '')
  const server = await start(t, { declare: (app) => { declareChat(app, { capacity: 2 }) } })
  for (const wait of ['abc', '', '-1', '1.5', '1234567890', '1&wait=2']) {
    const answer = await fetch(`${server.url}/ws/chat/1?since=${cursor}&wait=${wait}`, {
      headers: { authorization: `Bearer ${server.token('ada')}`, connection: 'close' }
    })
    t.equal(answer.status, 400, wait)
  }
  await until('no slot is taken', async () => (await statsOf(server.app)).connections.slots === 0)
  const { connections, users } = await statsOf(server.app)
  t.same([connections.total, users], [0, 0])
  for (const user of ['ada', 'bob']) await connect(server, { rooms: ['chat/1'], token: server.token(user) })
})

for (const { name, program, open } of [
  {
    name: 'redis',
    program: 'redis-server',
    open: async (t: Test) => { const { url } = await startRedis(t); return () => redis({ url }) }
  },
  {
    name: 'nats',
    program: 'nats-server',
    open: async (t: Test) => { const { url } = await startNats(t); return () => nats({ url }) }
  }
]) {
  const skip = missing(program)
  const pair = async (t: Test): Promise<[Running, Running]> => {
    const make: () => Adapter = await open(t)
    const one = (): Promise<Running> => start(t, {
      adapter: make(),
      limits: { user: { connections: LIMIT, then: 'reject' } },
      declare: (app) => { declareChat(app, { capacity: CAPACITY }) }
    })
    return [await one(), await one()]
  }

  t.test(
    `${name}: a cursor that names the user's own WebSocket on another node takes no slot over`,
    { skip },
    async (t) => {
      const [a, b] = await pair(t)
      const open = [await connect(a, { token: a.token('mallory') }), await connect(a, { token: a.token('mallory') })]
      for (const { id } of open) {
        const forged = await poll(b, 'mallory', '/ws', encodeCursor(id, hashRooms([]), []))
        t.match(forged, { status: 429, code: 'user_limit' })
      }
      await t.rejects(
        connect(b, { token: b.token('mallory') }),
        /too many connections of this user/,
        'the limit holds over both nodes'
      )
      for (const peer of open) await peer.fence()
    }
  )

  t.test(
    `${name}: an id that users made up, or that one of them was given, is not shared by others to pass the capacity of a room`,
    { skip },
    async (t) => {
      const [a, b] = await pair(t)
      const path = '/ws/chat/7'
      const given = await poll(a, 'ua0', path, '')
      t.equal(given.status, 200)
      const statuses: number[] = []
      for (const [index, id] of [given.id, `${MADE_UP}Q`, given.id, `${MADE_UP}g`, `${MADE_UP}Q`].entries()) {
        const { status, id: got } = await poll(
          index % 2 === 0 ? b : a,
          `u${index}`,
          path,
          encodeCursor(id, hashRooms(['chat/7']), [{}])
        )
        statuses.push(status)
        t.not(got, id)
      }
      t.same(statuses, [200, 200, 503, 503, 503])
    }
  )

  t.test(
    `${name}: a poll goes on at another node under its id and with one slot, from where it stood`,
    { skip },
    async (t) => {
      const [a, b] = await pair(t)
      const path = '/ws/chat/7'
      let last = await poll(a, 'ada', path, '')
      await connect(a, { token: a.token('ada') })
      for (const [round, server] of [b, a, b, b, a].entries()) {
        await server.app.rooms.broadcast('chat/7', 'said', { text: `round ${round}`, by: 'x' })
        const next = await until('the node that was polled before has let go', async () => {
          const answer = await poll(server, 'ada', path, last.cursor)
          return answer.status === 200 ? answer : undefined
        })
        t.equal(next.id, last.id)
        t.same([next.resumed, next.texts], [true, [`round ${round}`]])
        last = next
      }
    }
  )

  t.test(
    `${name}: a poll with an id of a node that shares no secret keeps its place under a new id`,
    { skip },
    async (t) => {
      const [a, b] = await pair(t)
      const path = '/ws/chat/7'
      const { position } = await a.app.rooms.broadcast('chat/7', 'said', { text: 'seen', by: 'x' })
      await a.app.rooms.broadcast('chat/7', 'said', { text: 'missed', by: 'x' })
      const former = `${MADE_UP}w`
      const answer = await poll(b, 'ada', path, encodeCursor(former, hashRooms(['chat/7']), [{ position: position! }]))
      t.not(answer.id, former)
      matchList(t, answer, { status: 200, resumed: true, texts: ['missed'] })
      const again = await poll(b, 'ada', path, answer.cursor)
      t.equal(again.id, answer.id)
    }
  )
}

t.test('an id proves one user, one use and one spelling, on every node that shares the secret', async (t) => {
  let shared: string | undefined
  const broker = { secret: async (proposed: string) => (shared ??= proposed) }
  const failed = (error: unknown): void => { t.error(error as Error) }
  const [a, b, alone] = [
    new ConnectionIds(broker, failed),
    new ConnectionIds(broker, failed),
    new ConnectionIds(memory(), failed)
  ]
  for (const ids of [a, b, alone]) {
    ids.start()
    t.teardown(() => { ids.stop() })
  }
  await until('both agree', () => b.isProven(a.create('ada'), 'ada') && a.isProven(b.create('ada'), 'ada'))
  const id = a.create('ada')
  t.match(id, /^[A-Za-z0-9_-]{22}$/)
  for (const [other, user] of [
    [id, 'bob'],
    [id, 'ada '],
    [id, ''],
    [`${MADE_UP}A`, 'ada'],
    ['', 'ada'],
    [`${id}A`, 'ada'],
    [id.slice(1), 'ada']
  ] as const) {
    t.equal(b.isProven(other, user), false, `${other} of ${user}`)
  }
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for (let place = 0; place < id.length; place++) {
    for (const char of alphabet) {
      const changed = `${id.slice(0, place)}${char}${id.slice(place + 1)}`
      if (changed !== id && b.isProven(changed, 'ada')) t.fail(`${changed} is another spelling of ${id}`)
    }
  }
  t.equal(alone.isProven(id, 'ada'), false, 'a node of its own')
  shared = undefined
  b.agree()
  await until('a new secret is shared', () => shared !== undefined)
  t.equal(b.isProven(id, 'ada'), true, 'a broker that lost its data gets the secret that is in use')
})
