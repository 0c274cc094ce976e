import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { BROKERS, CLUSTER, WORKERS } from '../helpers/brokers.js'
import { dial, until } from '../helpers/client.js'
import { proxyTo } from '../helpers/fault-proxy.js'
import { matchList } from '../helpers/match-list.js'
import {
  connect, lobby, poll, postFrame, start, TRANSPORTS, type NetPeer, type Running, type TransportName
} from '../helpers/net.js'
import { declarePlane, SECRET } from '../helpers/node-process.js'
import { missing } from '../helpers/servers.js'
import { startVictim } from '../helpers/victim.js'
import type { Adapter } from '../../lib/adapters/adapter.js'

/** Milliseconds: longer than any of these tests, in which nobody is gone by it. */
const GRACE = 600_000

interface Place {
  readonly name: string
  readonly program: string
  /** Makes the adapter of one node; absent for one that is alone. */
  readonly share?: (t: Test) => Promise<() => Adapter>
}

const PLACES: readonly Place[] = [
  { name: 'memory', program: 'node' },
  ...[...BROKERS, CLUSTER].map(({ name, program, start, make }) => ({
    name,
    program,
    share: async (t: Test) => {
      const { port } = await start(t)
      return () => make(port)
    }
  }))
]

/** Two nodes, or one that is both, and somebody on the first who watches the room. */
async function scene (
  t: Test,
  { share }: Place,
  lease?: number
): Promise<{ nodes: readonly Running[], watcher: NetPeer }> {
  const make = await share?.(t)
  const node = async (): Promise<Running> => await start(t, {
    ...(make === undefined ? {} : { adapter: make() }),
    presence: { grace: GRACE, ...(lease === undefined ? {} : { lease }) },
    declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId }) }) }
  })
  const first = await node()
  const nodes = [first, make === undefined ? first : await node()]
  return { nodes, watcher: await connect(first, { rooms: ['crowd/1'], token: first.token('watcher') }) }
}

const story = (title: string, body: (t: Test, place: Place, transport: TransportName) => Promise<void>): void => {
  for (const place of PLACES) {
    for (const transport of TRANSPORTS) {
      t.test(`${place.name}, ${transport}: ${title}`, { skip: missing(place.program), timeout: 60_000 }, async (t) => {
        await body(t, place, transport)
      })
    }
  }
}

story('who lost a link, came back and then leaves is gone at once, and was never gone before', async (t, place, transport) => {
  const { nodes: [first, second], watcher } = await scene(t, place)
  const { proxy, port } = await proxyTo(t, first!.port)
  const { client } = dial(t, { url: `http://127.0.0.1:${port}`, token: first!.token }, 'ada', { transports: [transport] })
  const room = client.join(lobby.at({ id: '1' }))
  await room.joined
  matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: 'ada' }] })
  for (let breaks = 1; breaks <= 2; breaks++) {
    const before = client.connectionId
    proxy.target = breaks === 1 ? second!.port : first!.port
    // Between two polls there is no link that could be cut.
    await until(`link ${breaks} is cut`, () => {
      proxy.cut()
      return client.connectionId !== before
    })
    await until(`break ${breaks} is over`, () => client.state === 'open' && client.connectionId !== undefined)
    await until(`in the room after break ${breaks}`, async () =>
      (await first!.app.rooms.connections({ user: 'ada', room: 'crowd/1' })).connections
        .some(({ id }) => id === client.connectionId))
  }
  await room.leave()
  matchList(t, (await watcher.next('presence', undefined, 5_000)).data, { left: [{ userId: 'ada' }] })
  await watcher.fence()
})

story('a user who is revoked is gone at once', async (t, place, transport) => {
  const { nodes: [first, second], watcher } = await scene(t, place)
  const ada = await connect(second!, { transport, rooms: ['crowd/1'], token: second!.token('ada') })
  matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: 'ada' }] })
  await first!.app.rooms.revoke({ user: 'ada' })
  matchList(t, (await watcher.next('presence', undefined, 5_000)).data, { left: [{ userId: 'ada' }] })
  await ada.ended
  await watcher.fence()
})

for (const place of PLACES.filter(({ share }) => share !== undefined)) {
  t.test(`${place.name}: who polls, goes on at another node and then leaves is gone at once`, {
    skip: missing(place.program),
    timeout: 60_000
  }, async (t) => {
    const { nodes: [first, second], watcher } = await scene(t, place)
    const asked = { rooms: ['crowd/1'], token: first!.token('ada') } as const
    const { cursor, connectionId } = await poll(first!, { ...asked, query: { transport: 'polling' } })
    matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: 'ada' }] })
    const moved = await poll(second!, { ...asked, query: { transport: 'polling', since: cursor, wait: '100' } })
    t.equal(moved.connectionId, connectionId)
    const left = await postFrame(second!, asked.token, connectionId, { type: 'leave', room: 'crowd/1' })
    t.equal(left.status, 200)
    matchList(t, (await watcher.next('presence', undefined, 5_000)).data, { left: [{ userId: 'ada' }] })
  })

  t.test(`${place.name}: a node that believes in a link which its client has replaced shows nobody by it again`, {
    skip: missing(place.program),
    timeout: 60_000
  }, async (t) => {
    const lease = 1_500
    const { nodes: [first, second], watcher } = await scene(t, place, lease)
    const open = await connect(first!, { rooms: ['crowd/1'], token: first!.token('ada') })
    matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: 'ada' }] })
    const stranger = await connect(second!, {
      rooms: ['crowd/1'], token: second!.token('eve'), query: { connection: open.id }
    })
    matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: 'eve' }] })
    const back = await connect(second!, {
      rooms: ['crowd/1'], token: second!.token('ada'), query: { connection: open.id }
    })
    await watcher.fence()
    t.equal(await first!.app.rooms.count('crowd/1'), 3, 'nobody ends what another user holds')
    back.send({ type: 'leave', room: 'crowd/1' })
    matchList(t, (await watcher.next('presence', undefined, 5_000)).data, { left: [{ userId: 'ada' }] })
    // Each node renews what it holds three times in a lease.
    await sleep(lease)
    await watcher.fence()
    stranger.cut()
  })
}

for (const { name, program, start: serve, make } of [...BROKERS, WORKERS]) {
  t.test(`${name}: who was on a node that is killed, came back by another and then leaves is gone at once`, {
    skip: missing(program),
    timeout: 60_000
  }, async (t) => {
    const { port, url } = await serve(t)
    const victim = await startVictim(t, url)
    const here = await start(t, { jwt: { secret: SECRET }, adapter: make(port), declare: declarePlane })
    const token = (user: string): string => here.token(user, {}, 600)
    const watcher = await connect(here, { rooms: ['plane/1'], token: token('watcher') })
    const lost: NetPeer[] = []
    for (const transport of TRANSPORTS) {
      lost.push(await connect(victim, { transport, rooms: ['plane/1'], token: token(transport) }))
      matchList(t, (await watcher.next('presence')).data, { joined: [{ userId: transport }] })
    }
    await victim.kill()
    for (const { transport, id } of lost) {
      const back = await connect(here, {
        transport, rooms: ['plane/1'], token: token(transport), query: { connection: id }
      })
      await watcher.fence()
      back.send({ type: 'leave', room: 'plane/1' })
      matchList(t, (await watcher.next('presence', undefined, 5_000)).data, { left: [{ userId: transport }] })
      back.cut()
    }
  })
}
