import http from 'node:http'
import t from 'tap'
import { matchList } from '../helpers/match-list.js'
import { declareChat, eventually, poll, postFrame, start, type PollAnswer, type Running } from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'

/** Polls without a cursor, as a client does that has changed its rooms, and names its former connection. */
async function pollAnew (
  server: Running,
  token: string,
  rooms: readonly string[],
  { connectionId }: Pick<PollAnswer, 'connectionId'>,
  query: Record<string, string> = {}
): Promise<PollAnswer> {
  return await poll(server, { token, rooms, query: { connection: connectionId, ...query } })
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a poll that names other rooms and its former connection is that connection, on any node`, { skip }, async (t) => {
    const left: string[] = []
    const [a, b] = await nodes(t, {
      limits: { user: { connections: 1, then: 'reject' } },
      declare: (app) => {
        declareChat(app, { capacity: 1, onLeave: ({ params }: { params: { id: string } }) => { left.push(params.id) } })
      }
    })
    const token = a.token('ada')
    const first = await poll(a, { token, rooms: ['chat/1', 'chat/2'] })
    const { epoch, offset } = first.rooms['chat/1']!
    await a.app.rooms.broadcast('chat/1', 'said', { text: 'missed', by: 'x' })
    const second = await pollAnew(b, token, ['chat/1', 'chat/3'], first, { at: `0:${epoch!}:${offset!}` })
    t.equal(second.connectionId, first.connectionId)
    t.same(Object.keys(second.rooms), ['chat/1', 'chat/3'])
    const { frames } = second.frames.length > 0
      ? second
      : await poll(b, { token, rooms: ['chat/1', 'chat/3'], query: { since: second.cursor } })
    matchList(t, frames, [{ type: 'said', data: { text: 'missed' } }], 'it goes on where it says that it stands')
    await eventually('the room that is no longer named is left', () => left.join(), (rooms) => rooms.includes('2'))
    for (const [room, total] of [['chat/1', 1], ['chat/2', 0], ['chat/3', 1]] as const) {
      await eventually(room, async () => (await b.app.rooms.connections({ room })).total, (count) => count === total)
    }
    await eventually(
      'one connection',
      async () => (await b.app.rooms.connections({ user: 'ada' })).total,
      (total) => total === 1
    )
  })
}

t.test('a poll that names a connection of another user is a connection of its own', async (t) => {
  const server = await start(t)
  const first = await poll(server, { token: server.token('ada'), rooms: ['chat/1'] })
  const second = await pollAnew(server, server.token('bob'), ['chat/1'], first)
  t.not(second.connectionId, first.connectionId)
  t.equal((await server.app.rooms.connections({ room: 'chat/1' })).total, 2)
})

t.test('who names other rooms stays out of the one that the server took, and hears so', async (t) => {
  const server = await start(t)
  const token = server.token('ada')
  const first = await poll(server, { token, rooms: ['chat/1', 'chat/2'] })
  await server.app.rooms.leave({ connection: first.connectionId }, 'chat/1')
  const second = await pollAnew(server, token, ['chat/1', 'chat/2', 'chat/3'], first)
  matchList(t, second.frames, [{ type: 'left', room: 'chat/1', data: { code: 'left' } }])
  t.same(Object.keys(second.rooms), ['chat/2', 'chat/3'])
  const third = await pollAnew(server, token, ['chat/1', 'chat/2'], second)
  t.same([Object.keys(third.rooms), third.frames], [['chat/1', 'chat/2'], []], 'who has heard it may come back')
})

t.test('a room that a client has left by POST is entered when it is named anew', async (t) => {
  const server = await start(t)
  const token = server.token('ada')
  const first = await poll(server, { token, rooms: ['chat/1', 'chat/2'] })
  await postFrame(server, token, first.connectionId, { type: 'leave', room: 'chat/1' })
  const second = await pollAnew(server, token, ['chat/1', 'chat/2'], first)
  t.same(Object.keys(second.rooms), ['chat/1', 'chat/2'])
  const third = await poll(server, { token, rooms: ['chat/1', 'chat/2'], query: { since: second.cursor, wait: '0' } })
  t.same(Object.keys(third.rooms), ['chat/1', 'chat/2'], 'and kept')
})

t.test('a room that is full refuses a poll that names it anew, which keeps its connection and its other rooms', async (t) => {
  const server = await start(t, { declare: (app) => { declareChat(app, { capacity: 1 }) } })
  await poll(server, { token: server.token('bob'), rooms: ['chat/2'] })
  const token = server.token('ada')
  const first = await poll(server, { token, rooms: ['chat/1'] })
  const refused: unknown = await pollAnew(server, token, ['chat/1', 'chat/2'], first).catch((error: unknown) => error)
  t.match(refused, { body: { code: 'room_full', room: 'chat/2' } })
  const next = await poll(server, { token, rooms: ['chat/1'], query: { since: first.cursor, wait: '0' } })
  t.same([next.connectionId, Object.keys(next.rooms)], [first.connectionId, ['chat/1']])
})

t.test('why a connection was ended between two polls is told to a poll that names other rooms', async (t) => {
  const server = await start(t)
  const token = server.token('ada')
  const first = await poll(server, { token, rooms: ['chat/1'] })
  await server.app.rooms.revoke({ connection: first.connectionId })
  const refused: unknown = await pollAnew(server, token, ['chat/1', 'chat/2'], first).catch((error: unknown) => error)
  t.match(refused, { body: { code: 'revoked' } })
})

async function left (server: Running): Promise<void> {
  await eventually(
    'the room that is no longer named is left',
    async () => (await server.app.rooms.connections({ room: 'chat/2' })).total,
    (total) => total === 0
  )
}

for (const [how, change] of [
  ['was answered', async (server, token, first) => { await pollAnew(server, token, ['chat/1'], first, { wait: '0' }) }],
  ['was given up', async (server, token, { connectionId }) => {
    const asked = http.get(`${server.url}/ws/chat/1?connection=${connectionId}`, {
      agent: false, headers: { authorization: `Bearer ${token}` }
    })
    asked.on('error', () => undefined)
    await left(server)
    asked.destroy()
  }]
] as ReadonlyArray<readonly [string, (server: Running, token: string, first: PollAnswer) => Promise<void>]>) {
  t.test(`a poll that goes back to the rooms and the cursor of before a change that ${how} is in all of them`, async (t) => {
    const joins: string[] = []
    const server = await start(t, {
      declare: (app) => {
        declareChat(app, { onJoin: ({ params }: { params: { id: string } }) => { joins.push(params.id) } })
      }
    })
    const token = server.token('ada')
    const first = await poll(server, { token, rooms: ['chat/1', 'chat/2'] })
    await change(server, token, first)
    await left(server)
    await server.app.rooms.broadcast('chat/2', 'said', { text: 'missed', by: 'x' })
    const back = await poll(server, { token, rooms: ['chat/1', 'chat/2'], query: { since: first.cursor } })
    t.equal(back.connectionId, first.connectionId)
    matchList(t, back, { resumed: true, rooms: { 'chat/2': { resumed: true } }, frames: [{ data: { text: 'missed' } }] })
    await server.app.rooms.broadcast('chat/2', 'said', { text: 'next', by: 'x' })
    const next = await poll(server, { token, rooms: ['chat/1', 'chat/2'], query: { since: back.cursor } })
    matchList(t, next.frames, [{ data: { text: 'next' } }])
    t.same(joins, ['1', '2', '2'])
  })
}

t.test('a room that the server took before a change of rooms stays left for a cursor that says so', async (t) => {
  const server = await start(t)
  const token = server.token('ada')
  const rooms = ['chat/1', 'chat/2']
  const first = await poll(server, { token, rooms })
  await server.app.rooms.leave({ connection: first.connectionId }, 'chat/2')
  const told = await poll(server, { token, rooms, query: { since: first.cursor } })
  matchList(t, told.frames, [{ type: 'left', room: 'chat/2' }])
  await pollAnew(server, token, ['chat/1'], told, { wait: '0' })
  const back = await poll(server, { token, rooms, query: { since: told.cursor, wait: '0' } })
  t.same(Object.keys(back.rooms), ['chat/1'])
})
