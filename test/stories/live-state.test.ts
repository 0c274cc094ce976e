import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { defineRoom } from '../../lib/index.js'
import { lacking, PAIRS } from '../helpers/node-pairs.js'
import { behind, dial, rejection, until } from '../helpers/client.js'
import { assertLedger, connect, start, TRANSPORTS, type NetPeer, type Running } from '../helpers/net.js'

const board = defineRoom('board/:id', {
  messages: {
    place: { data: Type.Object({ id: Type.String(), x: Type.Integer() }) },
    take: { data: Type.Object({ id: Type.String() }) }
  },
  events: {
    note: { data: Type.Object({ id: Type.String(), x: Type.Integer() }), delivery: 'latest', key: 'id' },
    page: { data: Type.Object({ number: Type.Integer(), by: Type.String() }), delivery: 'latest', key: 'number' },
    said: Type.Object({ text: Type.String() })
  }
})

function declareBoard (app: FastifyInstance): void {
  app.room(board, {
    on: {
      async place ({ data, room }) { await room.broadcast('note', data) },
      async take ({ data, room }) { await room.remove('note', data.id) }
    }
  })
}

/** Comes back as who it was, to another node, by what its link gave it. */
async function again (server: Running, peer: NetPeer, token: string): Promise<NetPeer> {
  const { transport, cursor, id } = peer
  const { epoch, offset } = (peer.welcome.data as { rooms: Record<string, { epoch: string, offset: number }> })
    .rooms['board/1']!
  const query = transport === 'websocket' ? { at: `0:${epoch}:${offset}`, connection: id } : { since: cursor }
  return await connect(server, { transport, token, rooms: ['board/1'], query: { ...query } as Record<string, string> })
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a value that is removed is gone for all members, for who comes back to any node, and for nobody who never had it`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, { declare: declareBoard })
    const peers = await Promise.all(TRANSPORTS.map(async (transport) => await connect(a, {
      transport,
      token: a.token(transport),
      rooms: ['board/1']
    })))
    for (const { welcome } of peers) {
      t.match(welcome.data, { rooms: { 'board/1': { latest: { keys: { note: 'id', page: 'number' }, ttl: 300_000 } } } })
    }
    const far = await connect(b, { token: b.token('far'), rooms: ['board/1'] })
    far.send({ type: 'place', room: 'board/1', id: '1', data: { id: 'kept', x: 1 } })
    far.send({ type: 'place', room: 'board/1', id: '2', data: { id: 'gone', x: 2 } })
    far.send({ type: 'place', room: 'board/1', id: '3', data: { id: 'later', x: 3 } })
    await b.app.rooms.broadcast(board.at({ id: '1' }), 'page', { number: 7, by: 'far' })
    for (const peer of peers) {
      for (const id of ['kept', 'gone', 'later']) {
        await peer.next('note', ({ type, data }) => type === 'note' && (data as { id: string }).id === id)
      }
      await peer.next('page')
    }
    far.send({ type: 'take', room: 'board/1', id: '4', data: { id: 'gone' } })
    for (const peer of [far, ...peers]) {
      t.same(await peer.next('removed'), { type: 'removed', room: 'board/1', data: { event: 'note', key: 'gone' } })
      peer.cut()
    }
    await b.app.rooms.remove('board/1', 'note', 'later')
    await a.app.rooms.remove(board.at({ id: '1' }), 'page', 7)
    for (const peer of peers) {
      const back = await again(b, peer, b.token(peer.transport))
      const keys = new Set<string>()
      while (!keys.has('later') || !keys.has('7')) keys.add((((await back.next('removed')).data) as { key: string }).key)
      // A WebSocket does not say which values it knows, and is told of all.
      t.equal(keys.has('gone'), peer.transport === 'websocket')
      await back.close()
    }
    const fresh = await connect(b, { token: b.token('fresh'), rooms: ['board/1'] })
    t.match(await fresh.next('note'), { data: { id: 'kept' } })
    await fresh.fence()
    for (const { app } of [a, b]) {
      const state = await app.rooms.state(board.at({ id: '1' }))
      t.same([...state.get('note')!], [['kept', { id: 'kept', x: 1 }]])
      t.same([...state.keys(), state.get('page')!.size], ['note', 'page', 0])
      await assertLedger(t, app)
    }
    t.same([a.loud, b.loud], [[], []])
  })
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport}: the client's state follows the values, also across a break in which some were removed`, async (t) => {
    const server = await start(t, { declare: declareBoard })
    const { proxy, ...url } = await behind(t, server)
    const { rooms } = server.app
    const { client } = dial(t, url, 'ada', { transports: [transport] })
    const room = client.join(board.at({ id: '1' }))
    const removed: string[] = []
    room.on('removed', ({ event, key }) => { removed.push(`${event} ${key} ${String(room.state.get('note')!.has(key))}`) })
    await room.joined
    t.same([...room.state].map(([event, values]) => [event, values.size]), [['note', 0], ['page', 0]])
    for (const [id, x] of [['a', 1], ['b', 2], ['a', 3], ['c', 4]] as const) {
      await rooms.broadcast('board/1', 'note', { id, x })
    }
    await until('the values', () => room.state.get('note')!.size === 3)
    t.same([...room.state.get('note')!.values()], [{ id: 'b', x: 2 }, { id: 'a', x: 3 }, { id: 'c', x: 4 }])
    await rooms.remove('board/1', 'note', 'a')
    await until('the removal', () => removed.length === 1)
    proxy.isDown = true
    proxy.cut()
    await rooms.remove('board/1', 'note', 'b')
    await rooms.remove('board/1', 'note', 'never there')
    await rooms.broadcast('board/1', 'note', { id: 'd', x: 5 })
    proxy.isDown = false
    await until('the second removal', () => room.state.get('note')!.has('d'))
    t.same([...room.state.get('note')!.keys()].sort(), ['c', 'd'])
    t.same(removed, ['note a false', 'note b false'])
  })
}

t.test('what cannot be removed is refused with a code, and nothing is sent', async (t) => {
  const server = await start(t, { declare: declareBoard })
  const { rooms } = server.app
  const peer = await connect(server, { token: server.token('ada'), rooms: ['board/1'] })
  const refused = async (room: string, event: string, key: unknown): Promise<string> =>
    (await rejection(rooms.remove(room, event, key as string))).code
  t.equal(await refused('board/1', 'nothing', 'a'), 'REALTIME_ERR_EVENT', 'an event that is not declared')
  t.equal(await refused('board/1', 'said', 'a'), 'REALTIME_ERR_EVENT', 'an event that is not latest')
  t.equal(await refused('board/1', 'note', 'k'.repeat(1_025)), 'REALTIME_ERR_EVENT', 'a key that is too long')
  for (const key of [undefined, null, {}, true]) t.equal(await refused('board/1', 'note', key), 'REALTIME_ERR_EVENT')
  t.equal(await refused('nowhere', 'note', 'a'), 'REALTIME_ERR_ROOM_UNKNOWN')
  t.equal((await rejection(rooms.state('nowhere'))).code, 'REALTIME_ERR_ROOM_UNKNOWN')
  const long = rooms.broadcast('board/1', 'note', { id: 'k'.repeat(1_025), x: 1 })
  t.equal((await rejection(long)).code, 'REALTIME_ERR_EVENT', 'a value whose key is too long')
  await rooms.remove('board/1', 'note', 'k'.repeat(1_024))
  await peer.next('removed')
  await peer.fence()
  t.equal((await rooms.state('board/1')).get('note')!.size, 0)
})

t.test('an adapter that cannot remove values says so, with a code', async (t) => {
  const server = await start(t, { adapter: lacking('removal', 'latest'), declare: declareBoard })
  const { rooms } = server.app
  t.equal((await rejection(rooms.remove('board/1', 'note', 'a'))).code, 'REALTIME_ERR_ADAPTER')
  t.equal((await rejection(rooms.state('board/1'))).code, 'REALTIME_ERR_ADAPTER')
})
