import t from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { connect, everyone, start } from '../helpers/net.js'
import { proxied } from '../helpers/proxied.js'

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
