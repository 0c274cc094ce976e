import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { defineRoom } from '../../lib/index.js'
import { lacking, PAIRS } from '../helpers/node-pairs.js'
import { dial, rejection, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { connect, start, TRANSPORTS, type Frame } from '../helpers/net.js'

const team = defineRoom('team/:id', {
  messages: { away: Type.Object({}), wrong: Type.Object({}) },
  member: Type.Object({ mood: Type.String({ maxLength: 20 }) }, { additionalProperties: false })
})

/** The same, whose members are shown as they came. */
const fixed = defineRoom('fixed/:id', {
  messages: { away: Type.Object({}) },
  member: Type.Object({ mood: Type.String() })
})

function declareTeam (app: FastifyInstance): void {
  app.room(team, {
    limits: { rate: { messages: 1, burst: 4 } },
    presence: { data: ({ userId }) => ({ mood: `${userId} is new` }), update: true },
    async onJoin ({ userId, connection }) { if (userId === 'early') await connection.presence({ mood: 'by onJoin' }) },
    on: {
      async away ({ room }) { await room.presence({ mood: 'away' }) },
      async wrong ({ room }) { await room.presence({ mood: 'x'.repeat(21) }) }
    }
  })
  app.room(fixed, {
    presence: () => ({ mood: 'fixed' }),
    on: { async away ({ room }) { await room.presence({ mood: 'away' }) } }
  })
}

const isChange = ({ data }: Frame): boolean => (data as { changed?: unknown }).changed !== undefined

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a member changes what is shown of it over each transport, and members of all nodes are told of the change alone`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, { declare: declareTeam })
    const far = dial(t, b, 'far')
    const room = far.client.join(team.at({ id: '1' }))
    await room.joined
    const told: unknown[] = []
    room.on('presence', ({ changed }) => { for (const { userId, data } of changed) told.push([userId, data.mood]) })
    const raw = await connect(b, { token: b.token('raw'), rooms: ['team/1'] })
    for (const transport of TRANSPORTS) {
      const near = dial(t, a, transport, { transports: [transport] })
      const own = near.client.join(team.at({ id: '1' }))
      await own.joined
      await until('the member is seen', () => room.members.get(transport)?.data.mood === `${transport} is new`)
      await own.presence({ mood: 'ready' })
      await until('the change is seen by all', () => [room, own].every(({ members }) =>
        members.get(transport)?.data.mood === 'ready'))
      const { data } = await raw.next('presence', (frame) => isChange(frame) && JSON.stringify(frame).includes('ready'))
      matchList(t, data, { joined: [], left: [], changed: [{ userId: transport, data: { mood: 'ready' } }] })
      await own.presence({ mood: 'ready' })
      await own.send('away', {})
      await until('the change by the handler', () => room.members.get(transport)?.data.mood === 'away')
      t.same(told.splice(0), [[transport, 'ready'], [transport, 'away']], 'the same data again is no change')
      const second = await connect(b, { token: b.token(transport), rooms: ['team/1'] })
      const { members } = (second.welcome.data as { rooms: Record<string, { members: { list: unknown[] } }> })
        .rooms['team/1']!
      t.match(members.list.find((each) => (each as { userId: string }).userId === transport), { data: { mood: 'away' } })
      await second.close()
    }
    t.same(await a.app.rooms.members('team/1').then((list) => list.find(({ userId }) => userId === 'polling')), {
      userId: 'polling',
      data: { mood: 'away' }
    })
    await connect(a, { token: a.token('early'), rooms: ['team/1'] })
    await until('what onJoin gave', () => room.members.get('early')?.data.mood === 'by onJoin')
    t.same([a.loud, b.loud], [[], []])
  })
}

t.test('member data is what it was when it was given, whatever the app does with its object or with what it is told', async (t) => {
  const moods = { mood: 'new' }
  const own = defineRoom('own/:id', { messages: { next: Type.Object({}) }, member: Type.Object({ mood: Type.Unknown() }) })
  const odd: Record<string, unknown> = {}
  odd.self = odd
  const server = await start(t, {
    declare: (app) => {
      app.room(own, {
        presence: { data: ({ userId }) => userId === 'odd' ? { mood: odd } : moods, update: true },
        async onJoin ({ userId, connection }) {
          if (userId !== 'early') return
          const early = { mood: 'early' }
          const shown = connection.presence(early)
          early.mood = 'later'
          await shown
        },
        on: {
          async next ({ room }) {
            moods.mood += '!'
            await room.presence(moods)
          }
        }
      })
    }
  })
  const { rooms } = server.app
  const watcher = await connect(server, { token: server.token('watcher'), rooms: ['own/1'] })
  const ada = await connect(server, { token: server.token('ada'), rooms: ['own/1'] })
  for (const mood of ['new!', 'new!!']) {
    ada.send({ type: 'next', id: mood, room: 'own/1', data: {} })
    await ada.next('ack')
    const { data } = await watcher.next('presence', isChange)
    matchList(t, data, { changed: [{ userId: 'ada', data: { mood } }] })
  }
  const list = await rooms.members(own.at({ id: '1' }))
  for (const { data } of list) data.mood = 'changed by a reader'
  t.same((await rooms.members(own.at({ id: '1' }))).map(({ userId, data }) => [userId, data.mood]).sort(), [
    ['ada', 'new!!'], ['watcher', 'new']
  ])
  await connect(server, { token: server.token('early'), rooms: ['own/2'] })
  t.same((await rooms.members(own.at({ id: '2' }))).map(({ data }) => data.mood), ['early'])
  t.same(server.loud, [])
  const strange = await connect(server, { token: server.token('odd') })
  strange.send({ type: 'join', id: 'j', room: 'own/1' })
  t.match(await strange.next('error'), { data: { code: 'internal' } })
})

t.test('a change that is not allowed, does not fit or is not one of a member is refused with its code, and nobody is told', async (t) => {
  const server = await start(t, { declare: declareTeam })
  const watcher = await connect(server, { token: server.token('watcher'), rooms: ['team/1', 'fixed/1'] })
  const peer = await connect(server, { token: server.token('ada'), rooms: ['team/1', 'fixed/1'] })
  const answer = async (frame: object): Promise<Frame> => {
    peer.send({ id: 'x', ...frame })
    return await peer.next('error')
  }
  t.match(await answer({ type: 'presence', room: 'fixed/1', data: { mood: 'x' } }), {
    data: { code: 'invalid_message', message: /fixed/ }
  })
  matchList(t, await answer({ type: 'presence', room: 'team/1', data: { mood: 1 } }), {
    data: { code: 'invalid_message', details: [{ path: '/mood' }] }
  })
  t.match(await answer({ type: 'presence', room: 'team/1' }), { data: { code: 'invalid_message' } })
  t.match(await answer({ type: 'presence', room: 'team/2', data: { mood: 'x' } }), { data: { code: 'not_joined' } })
  t.match(await answer({ type: 'presence', data: { mood: 'x' } }), { data: { code: 'invalid_message' } })
  t.match(await answer({ type: 'away', room: 'fixed/1', data: {} }), { data: { code: 'internal' } })
  t.match(await answer({ type: 'wrong', room: 'team/1', data: {} }), { data: { code: 'internal' } })
  t.match(await answer({ type: 'presence', room: 'team/1', data: { mood: 1 } }), { data: { code: 'invalid_message' } })
  t.match(await answer({ type: 'presence', room: 'team/1', data: { mood: 'x' } }), {
    data: { code: 'rate_limited', retryAfter: Number }
  })
  const post = await fetch(`${server.url}/ws/team/1`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${server.token('stranger')}`,
      'content-type': 'application/json',
      connection: 'close'
    },
    body: JSON.stringify({ type: 'presence', data: { mood: 'x' } })
  })
  matchList(t, [post.status, await post.json()], [400, { code: 'not_joined' }])
  await watcher.sync()
  t.same(watcher.queue.all.filter((frame) => frame.type === 'presence' && isChange(frame)), [])
})

t.test('what a room cannot let its members change is refused where it is declared', async (t) => {
  const declared = async (declare: (app: FastifyInstance) => void, adapter = lacking()): Promise<string> =>
    (await rejection(start(t, { adapter, declare }))).code
  const data = (): { mood: string } => ({ mood: 'x' })
  t.equal(await declared((app) => {
    app.room(team, { presence: { data, update: true }, on: { away () {}, wrong () {} } })
  }, lacking('presence')), 'REALTIME_ERR_ADAPTER')
  t.equal(await declared((app) => {
    app.room(defineRoom('plain', {}), { presence: { update: true } as unknown as boolean })
  }), 'REALTIME_ERR_ROOM', 'there is no schema')
  t.equal(await declared((app) => {
    app.room(team, { presence: { update: true } as never, on: { away () {}, wrong () {} } })
  }), 'REALTIME_ERR_ROOM', 'nothing makes the first data')
  for (const presence of [{ data, updates: true }, { data, update: 'yes' }, { data: 1 }, null, 'on']) {
    t.equal(await declared((app) => {
      app.room(team, { presence: presence as never, on: { away () {}, wrong () {} } })
    }), 'REALTIME_ERR_OPTIONS', JSON.stringify(presence))
  }
})
