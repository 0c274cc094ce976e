import type { Test } from 'tap'
import { dial, until } from '../../helpers/client.js'
import type { Broker } from '../../helpers/brokers.js'
import { connect, start, type NetPeer } from '../../helpers/net.js'
import { cursorsOf, declarePlane, plane, SECRET } from '../../helpers/node-process.js'
import type { Server } from '../../helpers/servers.js'
import { startVictim } from '../../helpers/victim.js'
import { GONE, LEASE } from './times.js'

/** The values of users whose node is killed, and of users who are elsewhere too. */
export async function ownedValues (t: Test, { make }: Broker, server: Server): Promise<void> {
  const victim = await startVictim(t, server.url, { lease: LEASE })
  const here = await start(t, {
    jwt: { secret: SECRET },
    adapter: make(server.port),
    presence: { lease: LEASE },
    declare: declarePlane
  })
  const token = (user: string): string => here.token(user, {}, 600)
  const watcher = dial(t, { url: here.url, token }, 'watcher')
  const room = watcher.client.join(plane.at({ id: '1' }))
  await room.joined
  const move = async (to: { port: number, url: string }, user: string): Promise<NetPeer> => {
    const peer = await connect(to, { token: token(user), rooms: ['plane/1'] })
    peer.send({ type: 'move', room: 'plane/1', id: '1', data: { x: 1 } })
    await peer.next('ack')
    return peer
  }
  await move(victim, 'only there')
  await move(victim, 'on both')
  await connect(here, { token: token('on both'), rooms: ['plane/1'] })
  await until('both cursors', () => cursorsOf(room).length === 2)
  // Nobody is in this room but by the node that is killed.
  const alone = await connect(victim, { token: token('alone'), rooms: ['plane/2'] })
  alone.send({ type: 'move', room: 'plane/2', id: '1', data: { x: 1 } })
  await alone.next('ack')
  await victim.kill()
  const began = performance.now()
  await until('the cursor of who is gone', () => !cursorsOf(room).includes('only there'), GONE)
  t.comment(`gone ${Math.round((performance.now() - began) / 1_000)} s after the kill`)
  t.same(cursorsOf(room), ['on both'], 'who has a tab on another node keeps it')
  t.same([...(await here.app.rooms.state(plane.at({ id: '1' }))).get('cursor')!.keys()], ['on both'])
  // It came a moment later, so its lease ends later.
  await until('the cursor in the room in which nobody is', async () =>
    (await here.app.rooms.state(plane.at({ id: '2' }))).get('cursor')!.size === 0, GONE)
}
