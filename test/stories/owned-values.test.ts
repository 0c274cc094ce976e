import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { createPublisher, defineRoom } from '../../lib/index.js'
import { lacking, PAIRS } from '../helpers/node-pairs.js'
import { dial, rejection, until } from '../helpers/client.js'
import { connect, start, TRANSPORTS, type Frame, type NetPeer } from '../helpers/net.js'
import { cursorsOf, declarePlane, plane } from '../helpers/node-process.js'
import { missing, startRedis } from '../helpers/servers.js'

/** Milliseconds for which a member that is gone without a word is still there. */
const GRACE = 300

const isOf = (key: string) => ({ data }: Frame): boolean => (data as { by?: string, key?: string }).by === key ||
  (data as { key?: string }).key === key

// Most of it is waiting for a grace to end.
t.jobs = 2 * PAIRS.length

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a value is removed for everybody when its user has left over any transport, by a word or by the grace, and not while a tab of the user is there`, {
    buffered: true,
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, { declare: declarePlane, presence: { grace: GRACE } })
    const watcher = dial(t, b, 'watcher')
    const room = watcher.client.join(plane.at({ id: '1' }))
    await room.joined
    const raw = await connect(b, { token: b.token('raw'), rooms: ['plane/1'] })
    const move = async (peer: NetPeer, user: string, x: number): Promise<void> => {
      peer.send({ type: 'move', room: 'plane/1', id: `${user}-${x}`, data: { x } })
      await raw.next('cursor', ({ data }) => (data as { by: string, x: number }).by === user &&
        (data as { x: number }).x === x)
    }
    for (const transport of TRANSPORTS) {
      for (const end of ['leave', 'cut'] as const) {
        const user = `${transport}-${end}`
        const first = await connect(a, { transport, token: a.token(user), rooms: ['plane/1'] })
        const second = await connect(b, { token: b.token(user), rooms: ['plane/1'] })
        await move(first, user, 1)
        await move(second, user, 2)
        if (end === 'cut') first.cut()
        else await first.close()
        await move(second, user, 3)
        await new Promise((resolve) => { setTimeout(resolve, end === 'cut' ? GRACE * 2 : 50) })
        await raw.sync()
        t.notOk(raw.queue.all.some((frame) => frame.type === 'removed' && isOf(user)(frame)), `${user} is there`)
        second.send({ type: 'leave', room: 'plane/1', id: 'l' })
        await raw.next('removed', isOf(user))
        await until('the client has forgotten it', () => !cursorsOf(room).includes(user))
        await second.close()
      }
    }
    t.same([...(await a.app.rooms.state(plane.at({ id: '1' }))).get('cursor')!], [])
    t.same([a.loud, b.loud], [[], []])
  })

  t.test(`${name}: who comes to a room of which all have left sees nobody's value, and what has no owner is there`, {
    buffered: true,
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, { declare: declarePlane, presence: { grace: 50 } })
    const ada = await connect(a, { token: a.token('ada'), rooms: ['plane/1'] })
    ada.send({ type: 'move', room: 'plane/1', id: '1', data: { x: 1 } })
    await ada.next('cursor')
    await a.app.rooms.broadcast(plane.at({ id: '1' }), 'note', { id: 'n', text: 'stays' })
    await ada.close()
    await until('ada has left', async () => await b.app.rooms.count('plane/1') === 0)
    const bob = await connect(b, { token: b.token('bob'), rooms: ['plane/1'] })
    await bob.next('note')
    await bob.fence()
    t.same([...(await b.app.rooms.state('plane/1'))].map(([event, values]) => [event, values.size]), [
      ['cursor', 0], ['note', 1]
    ])
  })
}

t.test('a value that would belong to nobody is refused with a code, and nothing is kept', async (t) => {
  const at = plane.at({ id: '1' })
  const server = await start(t, {
    declare: (app) => {
      declarePlane(app)
      app.post('/move', (_request, reply) => reply.broadcast(at, 'cursor', { by: 'rest', x: 1 }).send({}))
    }
  })
  const { rooms } = server.app
  t.match((await server.app.inject({ method: 'POST', url: '/move' })).json(), { code: 'REALTIME_ERR_EVENT' })
  const peer = await connect(server, { token: server.token('ada'), rooms: ['plane/1'] })
  t.equal((await rejection(rooms.broadcast(at, 'cursor', { by: 'rest', x: 1 }))).code, 'REALTIME_ERR_EVENT')
  const withAck = rooms.broadcastWithAck(at, 'cursor', { by: 'rest', x: 1 })
  t.equal((await rejection(withAck)).code, 'REALTIME_ERR_EVENT')
  const posted = async (headers: Record<string, string>, user: string): Promise<unknown> => {
    const answer = await fetch(`${server.url}/ws/plane/1`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${server.token(user)}`,
        'content-type': 'application/json',
        connection: 'close',
        ...headers
      },
      body: JSON.stringify({ type: 'move', data: { x: 1 } })
    })
    return [answer.status, (await answer.json() as { code?: string }).code]
  }
  t.same(await posted({}, 'ada'), [500, 'internal'], 'a POST that names no connection')
  const elsewhere = await connect(server, { token: server.token('bob'), rooms: ['plane/2'] })
  t.same(await posted({ 'x-connection-id': elsewhere.id }, 'bob'), [400, 'not_joined'], 'of another room')
  await peer.fence()
  t.same(await posted({ 'x-connection-id': peer.id }, 'ada'), [200, undefined])
  await peer.next('cursor')
  t.same([...(await rooms.state(at)).get('cursor')!.keys()], ['ada'])
})

t.test('what cannot have an owner is refused where it is declared', async (t) => {
  const declared = async (declare: (app: FastifyInstance) => void, adapter = lacking()): Promise<string> =>
    (await rejection(start(t, { adapter, declare }))).code
  const data = Type.Object({ id: Type.String() })
  for (const ability of ['latest', 'removal', 'presence']) {
    t.equal(await declared(declarePlane, lacking(ability)), 'REALTIME_ERR_ADAPTER', ability)
  }
  const event = (spec: object) => (app: FastifyInstance): void => {
    app.room(defineRoom('odd', { events: { odd: { data, ...spec } } }), { presence: true })
  }
  t.equal(await declared(event({ owner: true })), 'REALTIME_ERR_ROOM', 'it is not latest')
  t.equal(await declared(event({ owner: 'id', delivery: 'latest', key: 'id' })), 'REALTIME_ERR_ROOM', 'no boolean')
  t.equal(await declared((app) => {
    app.room(defineRoom('odd', { events: { odd: { data, delivery: 'latest', key: 'id', owner: true } } }))
  }), 'REALTIME_ERR_ROOM', 'there is no presence')
})

t.test('a publisher removes a value whosever it is, and sets none that would need an owner', {
  skip: missing('redis-server'),
  timeout: 30_000
}, async (t) => {
  const { url } = await startRedis(t)
  const server = await start(t, { adapter: redis({ url }), declare: declarePlane })
  const publisher = await createPublisher({ adapter: redis({ url }), rooms: [plane] })
  t.teardown(() => publisher.close())
  const peer = await connect(server, { token: server.token('ada'), rooms: ['plane/1'] })
  peer.send({ type: 'move', room: 'plane/1', id: '1', data: { x: 1 } })
  await peer.next('cursor')
  const set = publisher.broadcast(plane.at({ id: '1' }), 'cursor', { by: 'x', x: 1 })
  t.equal((await rejection(set)).code, 'REALTIME_ERR_EVENT')
  await publisher.remove(plane.at({ id: '1' }), 'cursor', 'ada')
  t.match(await peer.next('removed'), { data: { event: 'cursor', key: 'ada' } })
})
