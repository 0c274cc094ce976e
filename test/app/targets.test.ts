import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { AdapterHost, ControlMessage } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { checkControl } from '../../lib/adapters/broker/decode.js'
import { connect as connectClient } from '../../lib/client/index.js'
import { BROKERS, CLUSTER } from '../helpers/brokers.js'
import { hostOf } from '../helpers/host-of.js'
import { matchList } from '../helpers/match-list.js'
import { chat, connect, declareChat, eventually, inbox, start, TRANSPORTS, type NetPeer, type Running } from '../helpers/net.js'
import { missing } from '../helpers/servers.js'

const declare = (app: Running['app']): void => { app.room(inbox); declareChat(app) }

/** Starts nodes of one cluster, one after the other; with memory it is the same one again. */
type More = () => Promise<Running>

const ADAPTERS: ReadonlyArray<{ name: string, skip: string | false, open: (t: Test) => Promise<More> }> = [
  {
    name: 'memory',
    skip: false,
    open: async (t) => {
      const only = await start(t, { declare, adapter: memory(), presence: { grace: 50 } })
      return async () => only
    }
  },
  ...[...BROKERS, CLUSTER].map(({ name, program, start: run, make }) => ({
    name,
    skip: missing(program),
    open: async (t: Test): Promise<More> => {
      const { port } = await run(t)
      return async () => await start(t, { declare, adapter: make(port), presence: { grace: 50 } })
    }
  }))
]

async function enter (server: Running, user: string, rooms: string[], transport?: NetPeer['transport']): Promise<NetPeer> {
  return await connect(server, { rooms, token: server.token(user), ...(transport === undefined ? {} : { transport }) })
}

for (const { name, skip, open } of ADAPTERS) {
  t.test(`on ${name}: a room is a target of join, leave, close and revoke, on all nodes`, { skip }, async (t) => {
    const more = await open(t)
    const [a, b] = [await more(), await more()]
    const { rooms } = a.app
    const [here, there, other] = [
      await enter(a, 'ada', ['chat/1']), await enter(b, 'bob', ['chat/1']), await enter(b, 'eve', ['chat/2'])
    ]
    await rooms.join({ room: 'chat/1' }, 'chat/3')
    for (const peer of [here, there]) t.match(await peer.next('joined'), { room: 'chat/3' })
    await rooms.leave({ room: chat.at({ id: '3' }) }, 'chat/1')
    for (const peer of [here, there]) t.match(await peer.next('left'), { room: 'chat/1', data: { code: 'left' } })
    await rooms.leave({ room: 'chat/3' }, 'chat/3')
    for (const peer of [here, there]) t.match(await peer.next('left'), { room: 'chat/3' })
    await rooms.join({ user: 'bob' }, 'chat/2')
    await there.next('joined', ({ room }) => room === 'chat/2')
    await rooms.close('chat/2', { code: 'unauthorized', message: 'the plan has changed' })
    for (const peer of [there, other]) {
      t.match(await peer.next('error'), {
        data: { code: 'unauthorized', retry: 'refresh', message: 'the plan has changed' }
      })
      await peer.ended
    }
    t.equal(await rooms.close({ room: 'chat/2' }), 0)
    await here.fence()
    const again = await enter(b, 'ada', ['chat/1'])
    await rooms.revoke({ room: 'chat/1' }, { message: 'closed for today' })
    t.match((await again.next('error')).data, { code: 'revoked', message: 'closed for today' })
    await again.ended
    await here.fence()
    // Members of a room are closed, and nobody is kept out.
    const back = await enter(b, 'ada', ['chat/1'])
    await rooms.close({ user: 'ada' })
    for (const peer of [here, back]) {
      t.match((await peer.next('error')).data, { code: 'unavailable', retry: 'backoff' })
      await peer.ended
    }
  })

  t.test(`on ${name}: a room is taken from a user, who hears why and is kept out of it alone`, { skip }, async (t) => {
    const more = await open(t)
    const [a, b] = [await more(), await more()]
    const { rooms } = a.app
    const peers: NetPeer[] = []
    for (const transport of TRANSPORTS) peers.push(await enter(b, 'ada', ['chat/1', 'chat/2'], transport))
    const bob = await enter(b, 'bob', ['chat/1'])
    const left = await rooms.revoke({ user: 'ada', room: 'chat/1' }, { message: 'three warnings' })
    t.equal(left, a === b ? 3 : 0, 'the number on this node')
    for (const peer of peers) {
      t.match(await peer.next('left'), { room: 'chat/1', data: { code: 'revoked', message: 'three warnings' } })
      if (peer.transport === 'websocket') await peer.fence()
    }
    await bob.fence()
    // A node that was not there then asks the adapter.
    for (const server of [a, b, await more()]) {
      for (const transport of TRANSPORTS) {
        await t.rejects(enter(server, 'ada', ['chat/1'], transport), { body: { code: 'revoked', room: 'chat/1' } } as unknown as Error, transport)
      }
      const post = await fetch(`${server.url}/ws/chat/1`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.token('ada')}`, 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ type: 'say', id: 'x', data: { text: 'x' } })
      })
      matchList(t, [post.status, await post.json()], [403, { code: 'revoked', room: 'chat/1' }])
      const other = await enter(server, 'ada', ['chat/2'])
      other.send({ type: 'join', room: 'chat/1', id: 'j' })
      t.match((await other.next('error', ({ id }) => id === 'j')).data, { code: 'revoked', retry: 'never' })
      await other.fence()
      other.cut()
    }
    // The server itself may let the user in again.
    await rooms.join({ user: 'ada' }, 'chat/1')
    t.match(await peers[0]!.next('joined'), { room: 'chat/1' })
    await rooms.revoke({ user: 'bob', room: 'chat/1' }, { until: Date.now() })
    t.match(await bob.next('left'), { data: { code: 'revoked', message: 'access was revoked' } })
    bob.send({ type: 'join', room: 'chat/1', id: 'again' })
    await bob.next('ack', ({ id }) => id === 'again')
    for (const peer of [...peers, bob]) peer.cut()
  })
}

for (const { name, skip, open } of ADAPTERS) {
  t.test(`on ${name}: a broadcast leaves out lists of connections, users and rooms, live and replayed`, { skip }, async (t) => {
    const more = await open(t)
    const [a, b] = [await more(), await more()]
    const { rooms } = a.app
    const peers = {
      one: await enter(b, 'ada', ['chat/1']),
      two: await enter(b, 'ada', ['chat/1']),
      bob: await enter(b, 'bob', ['chat/1']),
      eve: await enter(b, 'eve', ['chat/1', 'chat/2'], 'sse'),
      fay: await enter(b, 'fay', ['chat/1'])
    }
    const { position: since } = await rooms.broadcast('chat/1', 'said', { text: 'begin', by: 'x' })
    const cases: Array<[string, unknown, string[]]> = [
      ['by id', peers.one.id, ['two', 'bob', 'eve', 'fay']],
      ['a user', { user: 'ada' }, ['bob', 'eve', 'fay']],
      ['a room', [{ room: chat.at({ id: '2' }) }], ['one', 'two', 'bob', 'fay']],
      ['all kinds', [peers.one.id, { connection: peers.two.id }, { user: 'bob' }, { room: 'chat/2' }], ['fay']],
      ['nobody', [], ['one', 'two', 'bob', 'eve', 'fay']]
    ]
    for (const [text, except] of cases) await rooms.broadcast('chat/1', 'said', { text, by: 'x' }, { except: except as never })
    for (const [key, peer] of Object.entries(peers)) {
      const heard = (): string[] => peer.queue.all.filter(({ type }) => type === 'said')
        .map(({ data }) => (data as { text: string }).text).filter((text) => text !== 'begin')
      const due = cases.filter(([,, offered]) => offered.includes(key)).map(([text]) => text)
      await eventually(`what ${key} hears`, heard, (list) => list.at(-1) === 'nobody')
      t.same(heard(), due, key)
    }
    const again = await enter(a, 'eve', ['chat/2'])
    again.send({ type: 'join', room: 'chat/1', id: 'j', data: { since } })
    await again.next('said', ({ data }) => (data as { text: string }).text === 'nobody')
    t.same(again.queue.all.filter(({ type }) => type === 'said').map(({ data }) => (data as { text: string }).text),
      ['by id', 'a user', 'nobody'])
    const answered = await rooms.broadcastWithAck('chat/1', 'said', { text: 'x', by: 'x' }, {
      timeout: 500,
      except: [{ user: 'ada' }, { user: 'bob' }, { room: 'chat/2' }]
    })
    t.same([...answered.acked, ...answered.missing], ['fay'])
    for (const bad of [5, {}, { user: '' }, [null], [{ user: 'a', room: 'chat/1' }], [{ room: '../x' }], new Array(33).fill('x')]) {
      await t.rejects(rooms.broadcast('chat/1', 'said', { text: 'x', by: 'x' }, { except: bad as never }), {
        code: /^REALTIME_ERR_(OPTIONS|ROOM)$/
      })
    }
    for (const peer of [...Object.values(peers), again]) peer.cut()
  })
}

t.test('a client that is closed comes back and is told nothing it missed twice; a room taken from it ends', async (t) => {
  const server = await start(t, { declare })
  const client = connectClient(`${server.url}/ws`, { token: () => server.token('ada') })
  t.teardown(() => client.close())
  const room = client.join(chat.at({ id: '1' }))
  const heard: string[] = []
  room.on('said', ({ data }) => { heard.push(data.text) })
  await room.joined
  for (const text of ['one', 'two']) {
    await server.app.rooms.close('chat/1', { code: 'draining' })
    await server.app.rooms.broadcast('chat/1', 'said', { text, by: 'x' })
    await eventually('the event', () => heard, (list) => list.at(-1) === text)
  }
  t.same(heard, ['one', 'two'])
  const left: object[] = []
  client.on('left', (told) => { left.push(told) })
  await server.app.rooms.revoke({ user: 'ada', room: 'chat/1' }, { message: 'enough' })
  await eventually('the end of the room', () => left.length, (count) => count === 1)
  matchList(t, left, [{ room: 'chat/1', code: 'revoked', message: 'enough' }])
  await t.rejects(room.send('say', { text: 'x' }), { code: 'revoked' })
  await t.rejects(client.join(chat.at({ id: '1' })).joined, { code: 'revoked' })
})

t.test('targets and codes that are none are refused, by the call and on the bus', async (t) => {
  const { app: { rooms } } = await start(t, { declare })
  for (const target of [{ user: 'a', room: 'chat/1' }, { connection: 'c', room: 'chat/1' }, { room: 5 }, { room: 'x/1' }, {}]) {
    await t.rejects(rooms.join(target as never, 'chat/2'), { code: /^REALTIME_ERR_(TARGET|ROOM|ROOM_UNKNOWN)$/ })
    await t.rejects(rooms.close(target as never), { code: /^REALTIME_ERR_(TARGET|ROOM|ROOM_UNKNOWN)$/ })
  }
  for (const target of [
    { user: 'ada', connection: 'c' }, { user: 'ada', tokenId: 't' }, { tokenId: 't', connection: 'c' },
    { tokenId: 't', room: 'chat/1' }, { tokenId: 't', user: 'ada', room: 'chat/1' }
  ]) await t.rejects(rooms.revoke(target as never), { code: 'REALTIME_ERR_TARGET', message: / and / }, JSON.stringify(target))
  // Where a request that has no user becomes such a target, all members of the room would be meant.
  for (const lost of [{ user: undefined, room: 'chat/1' }, { user: 'ada', room: undefined }, { room: 'chat/1', tokenId: undefined }]) {
    const calls = [rooms.revoke(lost as never), rooms.close(lost as never), rooms.leave(lost as never, 'chat/1'), rooms.join(lost as never, 'chat/2')]
    for (const call of calls) await t.rejects(call, { code: 'REALTIME_ERR_TARGET', message: / of a target is undefined; | is no part of a target / })
  }
  const two = { user: 'ada', connection: 'c' } as never
  for (const asked of [rooms.close(two), rooms.ping(two), rooms.leave(two, 'chat/1'), rooms.join(two, 'chat/1')] as Array<Promise<never>>) {
    await t.rejects(asked, { code: 'REALTIME_ERR_TARGET', message: 'a target names one, not user and connection' })
  }
  await t.rejects(rooms.revoke({ connection: 'c', room: 'chat/1' } as never), { code: 'REALTIME_ERR_TARGET' })
  await t.rejects(rooms.revoke({ user: 'a', room: '@all' }), { code: 'REALTIME_ERR_ROOM' })
  for (const code of ['revoked', 'replaced', 'forbidden', 'left', 'timeout', 5]) {
    await t.rejects(rooms.close('chat/1', { code: code as never }), { code: 'REALTIME_ERR_OPTIONS', message: /unavailable/ })
  }
  const expel = { type: 'expel', user: 'a', room: 'chat/1', until: 5 }
  const close = { type: 'close', of: 'chat/1', code: 'draining' }
  for (const good of [expel, close, { type: 'join', of: 'a', room: 'b' }]) t.same(checkControl(good), good)
  const bad: object[] = [
    ...['user', 'room', 'until'].map((field) => ({ ...expel, [field]: null })),
    { ...expel, message: 5 },
    { ...close, of: '../a' },
    { ...close, code: 'toString' },
    { type: 'close', code: 'draining' },
    { type: 'join', of: 'a', room: '@all' },
    { type: 'revoke', message: 'x' }
  ]
  for (const each of bad) t.equal(checkControl(each), undefined, JSON.stringify(each))
})

/** A node, and what it takes from other nodes. */
async function toldNode (t: Test): Promise<Running & { readonly host: AdapterHost }> {
  const adapter = memory()
  const host = hostOf(adapter)
  const limits = { user: { connections: 30, then: 'reject' } } as const
  return Object.assign(await start(t, { declare, adapter, limits }), { host: host() })
}

t.test('who logs in again after a logout is not ended when the other nodes are told of it again, and who was there is', async (t) => {
  const node = await toldNode(t)
  const { host } = node
  const before = await enter(node, 'ada', ['chat/1'])
  const logout = { type: 'revoke', user: 'ada', until: Date.now(), id: 'first' } as const
  host.control(logout, 'another')
  await before.ended
  const after = await enter(node, 'ada', ['chat/1'])
  host.control(logout, 'another')
  await after.fence()
  host.control({ ...logout, id: 'second' }, 'another')
  await after.ended
})

t.test('a logout that is heard of late spares who came since, but for the seconds by which clocks may differ', async (t) => {
  const node = await toldNode(t)
  const { host, app: { rooms } } = node
  const { connections: [ada] } = await enter(node, 'ada', ['chat/1']).then(async () => await rooms.connections({ user: 'ada' }))
  const bob = await enter(node, 'bob', ['chat/1'])
  host.control({ type: 'revoke', user: 'ada', until: ada!.since - 60_000, id: 'long ago' }, 'another')
  host.control({ type: 'expel', user: 'ada', room: 'chat/1', until: ada!.since - 60_000, id: 'long ago too' }, 'another')
  host.control({ type: 'revoke', user: 'bob', until: ada!.since - 1_000, id: 'in doubt' }, 'another')
  await bob.ended
  const { connections } = await rooms.connections()
  t.same(connections.map(({ user }) => user), ['ada'])
  t.ok(connections[0]!.rooms.includes('chat/1'))
})

t.test('what a clock that was set says of the time when a connection was opened does not spare it', async (t) => {
  const node = await toldNode(t)
  const { now } = Date
  t.teardown(() => { Date.now = now })
  for (const minutes of [10, -10]) {
    const peer = await enter(node, 'ada', ['chat/1'])
    const before = Date.now()
    Date.now = () => now() + minutes * 60_000
    node.host.control({ type: 'revoke', user: 'ada', until: minutes > 0 ? before : Date.now() }, 'another')
    await peer.ended
    Date.now = now
  }
})

t.test('who was put back by the server into a room that was taken from the user stays when that is told again, and not when it is told first', async (t) => {
  const node = await toldNode(t)
  const { host, app: { rooms } } = node
  const ada = await enter(node, 'ada', ['chat/1'])
  const expel = { type: 'expel', user: 'ada', room: 'chat/1', until: Date.now() + 600_000, id: 'first' } as const
  host.control(expel, 'another')
  t.match(await ada.next('left'), { room: 'chat/1', data: { code: 'revoked' } })
  t.equal(await rooms.join({ user: 'ada' }, 'chat/1'), 1)
  host.control(expel, 'another')
  t.equal((await rooms.connections({ room: 'chat/1' })).connections.length, 1)
  host.control({ ...expel, id: 'second' }, 'another')
  t.equal((await rooms.connections({ room: 'chat/1' })).connections.length, 0)
})

const OUT = [
  ['leave', { type: 'leave', of: 'chat/1', room: 'chat/2' }],
  ['revoke', { type: 'expel', user: 'ada', room: 'chat/2', until: 8.64e15 }]
] as const

for (const [how, message] of OUT) {
  for (const where of ['on this node', 'on another node']) {
    t.test(`many connections that are taken out of a room by ${how} ${where} while they are put in stay out`, async (t) => {
      const node = await toldNode(t)
      const { app: { rooms }, host } = node
      for (let count = 0; count < 12; count++) await enter(node, 'ada', ['chat/1'])
      if (where === 'on this node') {
        const joining = rooms.join({ user: 'ada' }, 'chat/2')
        await nextTurn()
        await (how === 'leave' ? rooms.leave({ user: 'ada' }, 'chat/2') : rooms.revoke({ user: 'ada', room: 'chat/2' }))
        await joining
      } else {
        for (const told of [{ type: 'join', of: 'chat/1', room: 'chat/2' }, message] satisfies ControlMessage[]) {
          host.control(told, 'another')
          await nextTurn()
        }
      }
      // These are behind the ones before.
      t.equal(await rooms.join({ user: 'ada' }, 'chat/3'), 12)
      t.same((await rooms.connections({ room: 'chat/2' })).connections, [])
      t.equal(await rooms.join({ user: 'ada' }, 'chat/2'), 12, 'a later join lets them in')
    })
  }
}

const TOLD: ReadonlyArray<{
  readonly how: string
  readonly told: readonly ControlMessage[]
  readonly there: number
  /** Whether those who are told of are in the first room alone before. */
  readonly isMove?: true
}> = [
  {
    how: 'all of a user leave and enter',
    told: [{ type: 'leave', user: 'ada', room: 'chat/2' }, { type: 'join', user: 'ada', room: 'chat/2' }],
    there: 26
  },
  {
    how: 'all of a room leave, and one enters',
    told: [{ type: 'leave', of: 'chat/1', room: 'chat/2' }, { type: 'join', user: 'bob', room: 'chat/2' }],
    there: 1
  },
  {
    how: 'the room is taken from a user, and one enters',
    told: [
      { type: 'expel', user: 'ada', room: 'chat/2', until: 8.64e15 }, { type: 'join', of: 'chat/3', room: 'chat/2' }
    ],
    there: 2
  },
  {
    how: 'all of a room enter the next one and leave it',
    told: [
      { type: 'join', of: 'chat/1', room: 'chat/2' }, { type: 'leave', of: 'chat/1', room: 'chat/1' }
    ],
    there: 26,
    isMove: true
  }
]

for (const { how, told, there, isMove } of TOLD) {
  t.test(`what another node tells of many connections at once takes effect on each in its order: ${how}`, async (t) => {
    const node = await toldNode(t)
    const { app: { rooms }, host } = node
    for (let count = 0; count < 26; count++) {
      const last = count < 24 ? [] : ['chat/3']
      await enter(node, count < 25 ? 'ada' : 'bob', ['chat/1', ...(isMove ? [] : ['chat/2']), ...last])
    }
    for (const message of told) host.control(message, 'another')
    // These are behind the ones before.
    t.equal(await rooms.join({ user: 'ada' }, 'chat/4'), 25)
    await eventually('the room', async () => (await rooms.connections({ room: 'chat/2' })).total, (total) => total === there)
  })
}
