import t from 'tap'
import type { NamedRoom } from '../../lib/client/index.js'
import { dial, rejection, until } from '../helpers/client.js'
import { heldChat } from '../helpers/held-chat.js'
import { chat, start, statsOf, TRANSPORTS } from '../helpers/net.js'

async function loop (room: NamedRoom): Promise<string[]> {
  const read: string[] = []
  for await (const { type } of room) read.push(type)
  return read
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport}: who leaves takes the room away from nobody else who has joined it`, async (t) => {
    const app = await start(t)
    const { client, errors } = dial(t, app, 'ada', { transports: [transport] })
    const active = async (): Promise<number> => (await statsOf(app.app)).rooms.active
    const say = async (text: string): Promise<void> => {
      await app.app.rooms.broadcast('chat/1', 'said', { text, by: 'server' })
    }
    const heard: string[] = []
    const join = (name: string): NamedRoom => {
      const room = client.join('chat/1')
      room.on('said', ({ data }) => { heard.push(`${name} ${(data as { text: string }).text}`) })
      return room
    }
    const one = join('one')
    const two = join('two')
    t.not(one, two)
    const [{ growing }] = await Promise.all([one.joined, two.joined])
    t.equal(await active(), 1)
    const three = join('three')
    t.same(await three.joined, { growing }, 'a room that is joined is joined at once')
    const loops = [loop(one), loop(three)]

    await say('a')
    await until('all three', () => heard.length === 3)
    await one.leave()
    t.match(await rejection(one.send('type', {})), { code: 'left' })
    await say('b')
    await until('the other two', () => heard.length === 5)
    t.same(heard, ['one a', 'two a', 'three a', 'two b', 'three b'])
    t.same(await loops[0], ['said'], 'the loop over the events of who has left ends')
    t.equal(await active(), 1)

    await Promise.all([two.leave(), three.leave()])
    await until('nobody is in the room', async () => await active() === 0)
    t.same(await loops[1], ['said', 'said'])
    t.same(errors, [])
  })
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport}: what waits in the queue of who leaves is not sent, and that of another one is`, async (t) => {
    const { declare, handled, release } = heldChat()
    const app = await start(t, { declare })
    const { client } = dial(t, app, 'ada', { transports: [transport] })
    const one = client.join(chat.at({ id: '1' }))
    const two = client.join(chat.at({ id: '1' }))
    await Promise.all([one.joined, two.joined])
    const sent = Array.from({ length: 40 }, async (_, n) => await rejection(one.send('say', { text: `one ${n}` })))
    const kept = two.send('say', { text: 'two' })
    await until('the first message', () => handled.length > 0)
    await one.leave()
    t.same(new Set((await Promise.all(sent)).map(({ code }) => code)), new Set(['left']))
    release()
    t.same(await kept, { id: 'two' })
    // As many as may be in flight of one room.
    const flying = transport === 'websocket' ? 32 : 1
    t.same(handled, [...Array.from({ length: flying }, (_, n) => `one ${n}`), 'two'])
  })
}

t.test('who leaves before a room is joined rejects alone, and its messages with it', async (t) => {
  const app = await start(t)
  const { client } = dial(t, app, 'ada')
  const one = client.join(chat.at({ id: '1' }))
  const two = client.join(chat.at({ id: '1' }))
  const sent = one.send('say', { text: 'of one' })
  const kept = two.send('say', { text: 'of two' })
  const { signal } = new AbortController()
  void client.join(chat.at({ id: '1' }), { signal: AbortSignal.abort() }).joined.catch(() => {})
  client.join(chat.at({ id: '1' }), { signal })
  await one.leave()
  t.match(await rejection(sent), { code: 'left' })
  t.match(await rejection(one.joined), { code: 'left' })
  await two.joined
  t.match(await kept, { id: /-/ })
})

t.test('a refusal is told to each who has joined the room', async (t) => {
  const app = await start(t)
  const { client, errors } = dial(t, app, 'ada')
  const rooms = [client.join('nothing/1'), client.join('nothing/1')]
  for (const { joined } of rooms) t.match(await rejection(joined), { code: 'room_unknown', room: 'nothing/1' })
  t.equal(errors.length, 1)
})

t.test('a room that is left while a stream is opened again is left at the server too', async (t) => {
  const server = await start(t)
  let leaving: Promise<void> | undefined
  const { client } = dial(t, server, 'ada', {
    transports: ['sse'],
    fetch: async (url, init) => {
      // What serves more rooms is another link, which is being opened.
      if (String(url).includes('&room=chat%2F2')) leaving ??= left.leave()
      return await fetch(url, init)
    }
  })
  const left = client.join('chat/1')
  await left.joined
  const asked = client.join('chat/2')
  await asked.joined
  await leaving
  await until('the room is left', async () => (await server.app.rooms.connections({ room: 'chat/1' })).total === 0, 3_000)
  t.equal((await server.app.rooms.connections({ room: 'chat/2' })).total, 1)
})
