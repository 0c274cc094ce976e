import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { defineRoom } from '../../lib/index.js'
import { connect, everyone, lobby, start, statsOf, type Running } from '../helpers/net.js'
import { proxied } from '../helpers/proxied.js'
import { until } from '../helpers/servers.js'

const slow = defineRoom('slow/:id', {})

t.test('a member of a built-in room that may not move for the moment stays there, and hears on', async (t) => {
  const inner = memory()
  let isAway = false
  const history: NonNullable<Adapter['history']> = async (...asked) => {
    if (isAway) throw new Refusal('unavailable', { retryAfter: 1_000 })
    return await inner.history!(...asked)
  }
  const server = await start(t, { adapter: proxied(inner, { history }), declare: (app) => { app.room(everyone) } })
  const peer = await connect(server, { token: server.token('ada') })
  const { rooms } = peer.welcome.data as { rooms: Record<string, { epoch: string, offset: number }> }
  const { epoch, offset } = rooms['@all']!
  for (const text of ['first', 'second']) await server.app.rooms.broadcastAll('notice', { text })
  for (let told = 0; told < 2; told++) await peer.next('notice')
  const move = (id: string): void => {
    peer.send({ type: 'join', room: '@all', id, data: { since: { epoch, offset: offset + 1 } } })
  }
  isAway = true
  move('a')
  t.match(await peer.next('error'), { room: '@all', id: 'a', data: { code: 'unavailable' } })
  await server.app.rooms.broadcastAll('notice', { text: 'third' })
  t.match(await peer.next('notice'), { offset: offset + 3, data: { text: 'third' } })
  isAway = false
  move('b')
  t.match(await peer.next('ack'), { id: 'b', data: { offset: offset + 1, resumed: true } })
  for (const text of ['second', 'third']) t.match(await peer.next('notice'), { data: { text } })
  await peer.fence()
})

for (const isRead of [true, false]) {
  const when = isRead ? 'is read' : 'cannot be read'
  t.test(`who comes while the list of members ${when} for a move within a built-in room is told to the member`, async (t) => {
    const inner = memory()
    const store = inner.presence!
    let step: (() => Promise<void>) | undefined
    const snapshot: typeof store.snapshot = async (...asked) => {
      const taken = await store.snapshot(...asked)
      const held = step
      step = undefined
      await held?.()
      return taken
    }
    const server = await start(t, {
      adapter: proxied(inner, { presence: proxied(store, { snapshot }) }),
      declare: (app) => { app.room(everyone, { presence: true }) }
    })
    const peer = await connect(server, { token: server.token('ada') })
    const { rooms } = peer.welcome.data as { rooms: Record<string, { epoch: string, offset: number }> }
    step = async () => {
      await connect(server, { token: server.token('bob') })
      if (!isRead) throw new Refusal('unavailable')
    }
    peer.send({ type: 'join', room: '@all', id: 'a', data: { since: rooms['@all'] } })
    if (isRead) t.match(await peer.next('ack'), { id: 'a', data: { members: { total: 1 } } })
    t.match(await peer.next('presence'), { data: { joined: [{ userId: 'bob' }] } })
    if (!isRead) t.match(await peer.next('error'), { id: 'a', data: { code: 'unavailable' } })
    await connect(server, { token: server.token('eve') })
    t.match(await peer.next('presence'), { data: { joined: [{ userId: 'eve' }] } })
    await peer.fence()
  })
}

/** A server with a room whose hook never settles, and the rooms that its broker is subscribed to. */
async function hanging (t: Test, hook: 'onJoin' | 'presence'): Promise<{
  readonly server: Running
  readonly subscribed: ReadonlySet<string>
  readonly asked: () => number
}> {
  const inner = memory()
  const subscribed = new Set<string>()
  let asked = 0
  const never = async (): Promise<never> => {
    asked++
    return await new Promise<never>(() => {})
  }
  const server = await start(t, {
    adapter: proxied(inner, {
      subscribe: (room, settings) => {
        subscribed.add(room)
        return inner.subscribe(room, settings)
      },
      unsubscribe: (room) => {
        subscribed.delete(room)
        return inner.unsubscribe(room)
      }
    }),
    presence: { grace: 0 },
    declare: (app: FastifyInstance) => {
      app.room(lobby, { presence: ({ userId }) => ({ name: userId }) })
      app.room(slow, { [hook]: never })
    }
  })
  return { server, subscribed, asked: () => asked }
}

for (const hook of ['onJoin', 'presence'] as const) {
  t.test(`a connection that ends while ${hook} of one of its first rooms never settles is in none of them`, async (t) => {
    const { server, subscribed, asked } = await hanging(t, hook)
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/ws/crowd/1?room=slow/1`, {
      headers: { authorization: `Bearer ${server.token('ada')}` }
    })
    await once(ws, 'open')
    await until('it is shown in the other room', async () => await server.app.rooms.count('crowd/1') === 1)
    t.equal(asked(), 1)
    t.same([...subscribed].sort(), ['crowd/1', 'slow/1'])
    ws.terminate()
    await until('nobody is shown', async () => await server.app.rooms.count('crowd/1') === 0)
    await until('both rooms are closed', () => subscribed.size === 0)
  })

  t.test(`a room that is being joined is let go when the connection ends while ${hook} never settles`, async (t) => {
    const { server, subscribed, asked } = await hanging(t, hook)
    const peer = await connect(server, { token: server.token('ada'), rooms: ['crowd/1'] })
    peer.send({ type: 'join', room: 'slow/1', id: 'a' })
    await until('the hook runs', () => asked() === 1)
    peer.cut()
    await until('both rooms are closed', () => subscribed.size === 0)
  })
}

t.test('what onJoin throws once its connection has gone is logged', async (t) => {
  let fail: ((error: Error) => void) | undefined
  const server = await start(t, {
    declare: (app) => {
      app.room(slow, { onJoin: async () => { await new Promise((_resolve, reject) => { fail = reject }) } })
    }
  })
  const peer = await connect(server, { token: server.token('ada') })
  peer.send({ type: 'join', room: 'slow/1', id: 'a' })
  await until('onJoin has begun', () => fail)
  peer.cut()
  await until('it is gone', async () => (await statsOf(server.app)).connections.total === 0)
  fail!(new Error('no database'))
  await until('it is logged', () => server.lines.some((line) => line.includes('no database')))
  t.match(server.loud, [{ msg: 'entering a room failed', room: 'slow/1', err: { message: 'no database' } }])
})
