import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { defineRoom, Refusal } from '../../lib/index.js'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { BROKERS } from '../helpers/brokers.js'
import { proxyTo } from '../helpers/fault-proxy.js'
import { connect, declareChat, inbox, start, type Running } from '../helpers/net.js'
import { proxied } from '../helpers/proxied.js'
import { missing, until } from '../helpers/servers.js'

const declare = (app: Running['app']): void => { app.room(inbox); declareChat(app) }
async function membersOf ({ app }: Running, room: string): Promise<number> {
  return (await app.rooms.connections({ room })).connections.length
}

for (const { name, program, start: run, make } of BROKERS) {
  t.test(`on ${name}: whom another node puts into a room while the link blinks is in it afterwards, and who was taken out again is not`, {
    skip: missing(program)
  }, async (t) => {
    const server = await run(t)
    const { proxy, port } = await proxyTo(t, server.port)
    const adapter = make(port)
    const near = await start(t, { declare, adapter })
    const far = await start(t, { declare, adapter: make(server.port) })
    // The longer a link is away, the further apart its connections come back.
    for (const [round, away] of [0, 700, 1_500].entries()) {
      const rooms = ['chat/old']
      const [ann, bob] = [
        await connect(near, { rooms, token: near.token(`ann-${round}`) }),
        await connect(near, { rooms, token: near.token(`bob-${round}`), transport: 'sse' })
      ]
      const room = `chat/new-${round}`
      proxy.isDown = true
      proxy.cut()
      await until('the link is down', () => adapter.stats!().isUp === false)
      for (const user of ['ann', 'bob']) await far.app.rooms.join({ user: `${user}-${round}` }, room)
      await far.app.rooms.join({ user: `bob-${round}` }, `${room}-left`)
      await far.app.rooms.leave({ user: `bob-${round}` }, `${room}-left`)
      await sleep(away)
      proxy.isDown = false
      for (const peer of [ann, bob]) await peer.next('joined', (frame) => frame.room === room)
    }
    // What was put off by an earlier round would be there by now.
    for (const round of [0, 1, 2]) t.equal(await membersOf(near, `chat/new-${round}-left`), 0)
  })
}

t.test('whom the server puts into a room while the adapter is away is in it once that is back, unless he was taken out', async (t) => {
  let isAway = true
  let asked = 0
  const inner = memory()
  const subscribe: Adapter['subscribe'] = async (...given) => {
    asked++
    if (isAway) throw new Refusal('unavailable')
    return await inner.subscribe(...given)
  }
  const greeted: string[] = []
  const server = await start(t, {
    adapter: proxied(inner, { subscribe }),
    declare: (app) => {
      declareChat(app)
      app.room(defineRoom('shop/:id', {}), {
        onJoin: ({ room }) => {
          greeted.push(room.name)
          throw new Refusal('unavailable')
        }
      })
    }
  })
  const { rooms } = server.app
  const peer = await connect(server, { token: server.token('ada') })
  const gone = await connect(server, { token: server.token('bob') })
  for (const room of ['chat/1', 'chat/2', 'chat/3']) t.equal(await rooms.join({ user: 'ada' }, room), 0)
  t.equal(await rooms.join({ user: 'bob' }, 'chat/4'), 0)
  await rooms.leave({ user: 'ada' }, 'chat/2')
  await rooms.leave({ user: 'ada' }, 'chat/3')
  t.equal(await rooms.join({ user: 'ada' }, 'chat/3'), 0)
  gone.close()
  t.equal(await rooms.join({ user: 'ada' }, 'chat/5'), 0)
  peer.send({ type: 'leave', room: 'chat/5', id: 'x' })
  t.match(await peer.next('error'), { data: { code: 'not_joined' } })
  const before = asked
  await until('another attempt that fails', () => asked > before)
  isAway = false
  const heard = [await peer.next('joined'), await peer.next('joined')].map(({ room }) => room)
  t.same(heard.sort(), ['chat/1', 'chat/3'])
  await peer.fence()
  for (const room of ['chat/2', 'chat/4', 'chat/5']) t.equal(await membersOf(server, room), 0, room)
  t.same(server.loud, [], 'nobody was refused')
  t.equal(await rooms.join({ user: 'ada' }, 'shop/1'), 0)
  // By then it would have been tried again.
  isAway = true
  t.equal(await rooms.join({ user: 'ada' }, 'chat/6'), 0)
  isAway = false
  t.match(await peer.next('joined'), { room: 'chat/6' })
  t.same(greeted, ['shop/1'], 'the hook that refused is not called again')
})
