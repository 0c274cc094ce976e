import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { connect, lobby, start, TRANSPORTS, type NetPeer } from '../helpers/net.js'

t.test('a user who comes and goes every second for thirty seconds has joined once and never left, on any transport', {
  timeout: 60_000
}, async (t) => {
  const server = await start(t, {
    presence: { grace: 3_000 },
    declare: (app) => { app.room(lobby, { presence: ({ userId }) => ({ name: userId }) }) }
  })
  const watcher = await connect(server, { rooms: ['crowd/1'], token: server.token('watcher') })
  await Promise.all(TRANSPORTS.map(async (transport) => {
    let last: NetPeer | undefined
    for (let second = 0; second < 30; second++) {
      last?.cut()
      last = await connect(server, { transport, rooms: ['crowd/1'], token: server.token(transport) })
      await sleep(1_000)
    }
  }))
  const joined: string[] = []
  for (let n = 0; n < TRANSPORTS.length; n++) {
    const { data } = await watcher.next('presence')
    const change = data as { joined: Array<{ userId: string }>, left: unknown[] }
    t.same(change.left, [])
    joined.push(...change.joined.map(({ userId }) => userId))
  }
  t.same(joined.sort(), [...TRANSPORTS].sort())
  await watcher.fence()
})
