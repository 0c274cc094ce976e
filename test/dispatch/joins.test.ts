import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { defineRoom } from '../../lib/index.js'
import { matchList } from '../helpers/match-list.js'
import { connect, everyone, lobby, start, statsOf, TRANSPORTS, type Refused, type Running } from '../helpers/net.js'
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
    matchList(t, await peer.next('presence'), { data: { joined: [{ userId: 'bob' }] } })
    if (!isRead) t.match(await peer.next('error'), { id: 'a', data: { code: 'unavailable' } })
    await connect(server, { token: server.token('eve') })
    matchList(t, await peer.next('presence'), { data: { joined: [{ userId: 'eve' }] } })
    await peer.fence()
  })
}

/** A server with a room whose hook never settles, and the rooms that its broker is subscribed to. */
async function hanging (t: Test, hook: 'authorize' | 'onJoin' | 'presence', handler?: number): Promise<{
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
    timeouts: handler === undefined ? {} : { handler },
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

for (const hook of ['authorize', 'onJoin', 'presence'] as const) {
  const told = { level: 40, room: 'slow/1', code: 'timeout', hook, limit: 'timeouts.handler', value: 100 }
  const warnings = ({ lines }: Running): object[] => {
    return lines.map((line) => JSON.parse(line) as { level: number }).filter(({ level }) => level >= 40)
  }

  t.test(`a join whose ${hook} never settles is refused at timeouts.handler, and what waits behind it is handled`, async (t) => {
    const { server, subscribed, asked } = await hanging(t, hook, 100)
    const peer = await connect(server, { token: server.token('ada') })
    peer.send({ type: 'join', room: 'slow/1', id: 'a' })
    peer.send({ type: 'leave', room: 'slow/1', id: 'b' })
    t.match(await peer.next('error'), { id: 'a', room: 'slow/1', data: { code: 'timeout', retry: 'backoff' } })
    t.match(await peer.next('error'), { id: 'b', room: 'slow/1', data: { code: 'not_joined' } })
    await peer.fence()
    t.equal(asked(), 1)
    t.equal(subscribed.size, 0)
    matchList(t, warnings(server), [told])
  })

  for (const transport of TRANSPORTS) {
    t.test(`over ${transport} a connection whose ${hook} of one of its first rooms never settles is answered at timeouts.handler`, async (t) => {
      const { server, subscribed } = await hanging(t, hook, 100)
      const options = { transport, token: server.token('ada'), rooms: ['crowd/1', 'slow/1'] }
      if (hook === 'authorize') {
        const refusal = await connect(server, options).catch((error: Refused) => error)
        t.match(refusal, { statusCode: 504, body: { code: 'timeout', retry: 'backoff', room: 'slow/1' } })
        t.equal(subscribed.size, 0)
      } else {
        const peer = await connect(server, options)
        t.match(await peer.next('error'), { room: 'slow/1', data: { code: 'timeout' } })
        t.same([...subscribed], ['crowd/1'])
        await peer.close()
      }
      matchList(t, warnings(server), [told])
    })
  }
}

t.test('hooks that nobody waits for may hang, and hold up nobody', async (t) => {
  const hung: string[] = []
  const hang = (name: string) => async (): Promise<never> => {
    hung.push(name)
    return await new Promise<never>(() => {})
  }
  const server = await start(t, {
    onRefused: hang('onRefused'),
    onOnline: hang('onOnline'),
    onOffline: hang('onOffline'),
    presence: { grace: 0 },
    timeouts: { handler: 100 },
    declare: (app) => {
      app.room(slow, { onLeave: hang('onLeave'), onOccupied: hang('onOccupied'), onVacated: hang('onVacated') })
    }
  })
  for (const round of ['a', 'b']) {
    const peer = await connect(server, { token: server.token('ada'), rooms: ['slow/1'] })
    peer.send({ type: 'join', room: 'unknown/1', id: round })
    await peer.next('error')
    peer.send({ type: 'leave', room: 'slow/1', id: round })
    await peer.next('ack')
    await peer.fence()
    await peer.close()
  }
  const all = ['onRefused', 'onOnline', 'onOffline', 'onLeave', 'onOccupied', 'onVacated']
  await until('all of them run twice', () => all.every((name) => hung.filter((each) => each === name).length === 2))
})

/** What queries of some libraries are: no promise, and they begin once somebody waits for them. */
function query (name: string, run: string[]): Promise<void> {
  const then: Promise<void>['then'] = async (resolve, reject) => {
    run.push(name)
    return await Promise.reject(new Error(`${name} has no database`)).then(resolve, reject)
  }
  return { then } as Promise<void>
}

t.test('a query that onLeave or onRefused returns is run, and what it throws is logged', async (t) => {
  const run: string[] = []
  const server = await start(t, {
    onRefused: () => query('onRefused', run),
    declare: (app) => { app.room(slow, { onLeave: () => query('onLeave', run) }) }
  })
  const peer = await connect(server, { token: server.token('ada'), rooms: ['slow/1'] })
  peer.send({ type: 'join', room: 'unknown/1', id: 'a' })
  await peer.next('error')
  await peer.close()
  await until('both are logged', () => server.loud.length === 2)
  t.same(run, ['onRefused', 'onLeave'])
  matchList(t, server.loud, [
    { msg: 'onRefused failed', err: { message: 'onRefused has no database' } },
    { msg: 'onLeave failed', room: 'slow/1', err: { message: 'onLeave has no database' } }
  ])
})

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
  matchList(t, server.loud, [{ msg: 'entering a room failed', room: 'slow/1', err: { message: 'no database' } }])
})
