import t from 'tap'
import { heldRoom, holdRoom } from '../../lib/views/held-room.js'
import { dial, until } from '../helpers/client.js'
import { start } from '../helpers/net.js'
import { declareBoard } from './rooms.js'

t.test('the newest events are shown once each when the client was closed and connects again', async (t) => {
  const server = await start(t, { declare: (app) => { declareBoard(app) } })
  const { client } = dial(t, server, 'ada')
  const texts = (): unknown[] => heldRoom(client, 'board/1')!.events(5, 'said', undefined)
    .map((event) => (event as { data: { text: string } }).data.text)
  // As a component does, which renders what has changed.
  t.teardown(holdRoom(client, 'board/1', () => { texts() }))
  texts()
  await until('it is joined', () => heldRoom(client, 'board/1')!.status().status === 'joined')
  for (const text of ['a', 'b']) await server.app.rooms.broadcast('board/1', 'said', { text, by: 'server' })
  await until('the events', () => texts().length === 2)
  client.close()
  client.reconnect()
  await until('it is joined again', () => heldRoom(client, 'board/1')!.status().status === 'joined')
  await server.app.rooms.broadcast('board/1', 'said', { text: 'c', by: 'server' })
  await until('the next event', () => texts().includes('c'))
  t.same(texts(), ['a', 'b', 'c'])
})
