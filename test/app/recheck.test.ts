import t, { type Test } from 'tap'
import type { Adapter, AdapterHost, DenialStore } from '../../lib/adapters/adapter.js'
import { Recheck, type RecheckOptions } from '../../lib/app/recheck.js'
import { Revocations } from '../../lib/auth/revocations.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { keyOfKind } from '../../lib/protocol/key.js'
import { hostOf } from '../helpers/host-of.js'
import { matchList } from '../helpers/match-list.js'
import { connect, start, TRANSPORTS, type NetPeer, type Running, type TransportName } from '../helpers/net.js'
import { until } from '../helpers/servers.js'

interface Node extends Running {
  readonly host: AdapterHost
  readonly denials: DenialStore
  /** subjects that were asked for */
  readonly asked: string[]
  /** questions that the broker does not answer */
  failing: number
}

/** A node whose broker knows of denials of which the node has not heard. */
async function node (t: Test): Promise<Node> {
  const adapter: Adapter = memory()
  const own: Pick<Node, 'asked' | 'failing'> = { asked: [], failing: 0 }
  const host = hostOf(adapter)
  const isDenied = adapter.denials!.isDenied.bind(adapter.denials)
  adapter.denials!.isDenied = async (subjects) => {
    own.asked.push(...subjects)
    if (own.failing > 0) {
      own.failing--
      throw new Refusal('unavailable')
    }
    return await isDenied(subjects)
  }
  const running = await start(t, { adapter, presence: { grace: 5_000 } })
  return Object.assign(own, running, { host: host(), denials: adapter.denials! })
}

async function enter (t: Test, own: Running, user: string, transport: TransportName = 'websocket'): Promise<NetPeer> {
  const peer = await connect(own, { transport, token: own.token(user, { jti: `of ${user}` }), rooms: ['chat/1', 'chat/2'] })
  t.teardown(() => { peer.cut() })
  return peer
}

const HOUR = 3_600_000

for (const transport of TRANSPORTS) {
  t.test(`whoever was revoked while the node was cut off for long is not served on: ${transport}`, async (t) => {
    const own = await node(t)
    const [ada, bob, cat] = [
      await enter(t, own, 'ada', transport), await enter(t, own, 'bob', transport), await enter(t, own, 'cat', transport)
    ]
    await own.denials.deny(keyOfKind('user', 'ada'), Date.now() + HOUR)
    await own.denials.deny(keyOfKind('token', 'of bob'), Date.now() + HOUR)
    await own.app.rooms.broadcast('chat/1', 'said', { text: 'nobody has heard of it', by: 'app' })
    await ada.next('said')
    own.host.missed()
    await Promise.all([ada.ended, bob.ended])
    t.equal(own.lines.filter((line) => line.includes('call join, leave and close of that time again')).length, 1)
    if (transport === 'websocket') await t.rejects(ada.next('nothing', undefined, 10), /4503/)
    const { connections } = await own.app.rooms.connections()
    t.same(connections.map(({ user }) => user), ['cat'])
    await cat.next('said')
    cat.cut()
  })
}

t.test('a room that was taken from a user meanwhile is left, and is not entered again', async (t) => {
  const own = await node(t)
  const ada = await enter(t, own, 'ada')
  await own.denials.deny(keyOfKind('member', 'ada'), Date.now() + HOUR)
  await own.denials.deny(keyOfKind('member', 'ada', 'chat/2'), Date.now() + HOUR)
  own.host.missed()
  t.match(await ada.next('left'), { room: 'chat/2', data: { code: 'revoked' } })
  ada.send({ type: 'join', room: 'chat/2', id: 'again' })
  t.match(await ada.next('error'), { room: 'chat/2', data: { code: 'revoked' } })
  const { connections: [connection] } = await own.app.rooms.connections()
  t.same(connection!.rooms.filter((name) => name.startsWith('chat/')), ['chat/1'])
})

t.test('who was put back by the server into a room that was taken from the user stays, unless the node has not heard of that', async (t) => {
  const own = await node(t)
  const { rooms } = own.app
  const [ada, bob] = [await enter(t, own, 'ada'), await enter(t, own, 'bob')]
  await rooms.revoke({ user: 'ada', room: 'chat/1' }, { until: Date.now() + HOUR })
  t.match(await ada.next('left'), { room: 'chat/1', data: { code: 'revoked' } })
  for (const user of ['ada', 'bob']) t.equal(await rooms.join({ user }, user === 'ada' ? 'chat/1' : 'chat/3'), 1)
  await own.denials.deny(keyOfKind('member', 'bob'), Date.now() + HOUR)
  await own.denials.deny(keyOfKind('member', 'bob', 'chat/3'), Date.now() + HOUR)
  own.host.missed()
  t.match(await bob.next('left'), { room: 'chat/3', data: { code: 'revoked' } })
  t.equal(await rooms.join({ user: 'bob' }, 'chat/3'), 1)
  for (let joined = 0; joined < 2; joined++) await bob.next('joined')
  const find = own.denials.isDenied.bind(own.denials)
  let asked = 0
  own.denials.isDenied = (subjects) => {
    if (subjects.includes(keyOfKind('member', 'bob', 'chat/3'))) asked++
    return find(subjects)
  }
  own.host.missed()
  await until('it is compared once more', () => asked > 0)
  await bob.fence()
  t.equal((await rooms.connections({ room: 'chat/3' })).total, 1, 'whom the server puts back after that stays')
  const { connections: [connection] } = await rooms.connections({ user: 'ada' })
  t.same(connection!.rooms.filter((name) => name.startsWith('chat/')).sort(), ['chat/1', 'chat/2'])
})

t.test('who was put back by the server into a room that was then taken from the user again is out of it, though the node has missed only that', async (t) => {
  const own = await node(t)
  const { rooms } = own.app
  const ada = await enter(t, own, 'ada')
  const subject = keyOfKind('member', 'ada', 'chat/1')
  const version = own.denials.version!.bind(own.denials)
  let compared = 0
  own.denials.version = (of) => {
    compared++
    return version(of)
  }
  const staysOncePutBack = async (why: string): Promise<void> => {
    t.match(await ada.next('left'), { room: 'chat/1', data: { code: 'revoked' } })
    t.equal(await rooms.join({ user: 'ada' }, 'chat/1'), 1)
    await ada.next('joined')
    const before = compared
    own.host.missed()
    await until('it is compared', () => compared > before)
    await ada.fence()
    t.equal((await rooms.connections({ room: 'chat/1' })).total, 1, why)
  }
  for (const minutes of [60, 30]) {
    await rooms.revoke({ user: 'ada', room: 'chat/1' }, { until: Date.now() + minutes * 60_000 })
    await staysOncePutBack('the node has heard of all')
  }
  // It is over before the one of which the node knows.
  await own.denials.deny(subject, Date.now() + 60_000, (await version(subject))! + 1)
  own.host.missed()
  await staysOncePutBack('whom the server puts back after that stays')
})

t.test('who is taken out of a room and put back while a comparison asks for the denial stays', async (t) => {
  const own = await node(t)
  const { rooms } = own.app
  const ada = await enter(t, own, 'ada')
  const take = async (): Promise<void> => {
    await rooms.revoke({ user: 'ada', room: 'chat/1' }, { until: Date.now() + HOUR })
    t.match(await ada.next('left'), { room: 'chat/1' })
    t.equal(await rooms.join({ user: 'ada' }, 'chat/1'), 1)
    await ada.next('joined')
  }
  await take()
  const version = own.denials.version!.bind(own.denials)
  let answer = (): void => {}
  const asked = new Promise<void>((resolve) => {
    own.denials.version = async (of) => {
      resolve()
      await new Promise<void>((resolve) => { answer = resolve })
      return await version(of)
    }
  })
  own.host.missed()
  await asked
  own.denials.version = version
  await take()
  answer()
  await ada.fence()
  await ada.fence()
  t.equal((await rooms.connections({ room: 'chat/1' })).total, 1)
})

t.test('a broker that cannot be asked is asked again, and one that has lost its data once the others have told it', async (t) => {
  const own = await node(t)
  const ada = await enter(t, own, 'ada')
  await own.denials.deny(keyOfKind('user', 'ada'), Date.now() + HOUR)
  own.failing = 3
  await own.host.state(true, true)
  await ada.ended
  t.equal(own.failing, 0)
  t.same(own.lines.filter((line) => line.includes('may have been missed')), [])
  const told = own.lines.filter((line) => line.includes('call join, leave and close of that time again'))
  matchList(t, told, [/may lack its newest data/], 'told once, when all of this node is held')
})

const peersOf = (count: number): object[] => Array.from({ length: count }, (_, index) => ({
  isOpen: true,
  userId: `user ${index}`,
  identity: { userId: `user ${index}`, user: {} },
  rooms: { all: () => [] }
}))

t.test('a connection of which the broker cannot be asked keeps none of the others from being compared', async (t) => {
  const asked = new Set<string>()
  const connections = peersOf(100)
  const recheck = new Recheck({
    connections: { values: () => connections.values() } as unknown as RecheckOptions['connections'],
    denials: {
      find: async ({ userId }) => {
        asked.add(userId)
        if (userId === 'user 0') throw new Refusal('unavailable')
        return { isUser: false, isToken: false, hasLost: false, rooms: [] }
      },
      newest: async () => 0,
      heardOf: () => undefined
    },
    revocations: new Revocations(),
    joins: { leaveByServer: () => false }
  })
  await recheck.run()
  t.equal(asked.size, 100)
  asked.clear()
  await until('it is asked again', () => asked.has('user 0'))
  recheck.stop()
})

t.test('very many connections are compared a few at a time', async (t) => {
  let [open, most, asked] = [0, 0, 0]
  const connections = peersOf(1_000)
  const recheck = new Recheck({
    connections: { values: () => connections.values() } as unknown as RecheckOptions['connections'],
    denials: {
      find: async () => {
        asked++
        most = Math.max(most, ++open)
        await Promise.resolve()
        open--
        return { isUser: false, isToken: false, hasLost: false, rooms: [] }
      },
      newest: async () => 0,
      heardOf: () => undefined
    },
    revocations: new Revocations(),
    joins: { leaveByServer: () => false }
  })
  const began = performance.now()
  await recheck.run()
  t.equal(asked, 1_000)
  t.ok(most <= 25, `${most} at a time`)
  t.ok(performance.now() - began > 400, 'spread')
  const running = recheck.run()
  recheck.stop()
  await running
  t.ok(asked <= 1_025, 'one that was stopped asks no more')
})
