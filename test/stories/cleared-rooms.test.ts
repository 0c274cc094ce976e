import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { cluster } from '../../lib/adapters/cluster/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { behind, dial, rejection, until, type Watched } from '../helpers/client.js'
import { assertLedger, connect, start, TRANSPORTS, type Running } from '../helpers/net.js'
import { lacking, PAIRS } from '../helpers/node-pairs.js'

const desk = defineRoom('desk/:id', {
  events: {
    said: Type.Object({ text: Type.String() }),
    note: { data: Type.Object({ id: Type.String() }), delivery: 'latest', key: 'id' },
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String() }),
      delivery: 'append',
      key: 'id',
      append: 'text'
    }
  }
})
const plain = defineRoom('plain/:id', { events: { said: Type.Object({ text: Type.String() }) } })
const room = desk.at({ id: '1' })

function declare (app: FastifyInstance): void {
  app.room(desk, { history: { size: 100, ttl: 300_000 }, flush: 5 })
  app.room(plain, { history: false })
}

/** A member with what it was told. */
interface Member extends Watched {
  readonly said: string[]
  readonly removed: string[]
  readonly texts: Map<string, string>
  readonly keys: () => string[]
  readonly gone: (isGone: boolean) => void
}

async function member (t: Parameters<typeof behind>[0], server: Running, transport: string): Promise<Member> {
  const { proxy, ...url } = await behind(t, server)
  const watched = dial(t, url, transport, { transports: [transport as 'websocket'] })
  const joined = watched.client.join(room)
  const said: string[] = []
  const removed: string[] = []
  const texts = new Map<string, string>()
  joined.on('said', ({ data }) => { said.push(data.text) })
  joined.on('removed', ({ key }) => { removed.push(key) })
  joined.on('answer', ({ data, end }) => { texts.set(data.id, `${data.text} ${JSON.stringify(end)}`) })
  await joined.joined
  return {
    ...watched,
    said,
    removed,
    texts,
    keys: () => [...joined.state.get('note')!.keys()],
    gone (isGone) {
      proxy.isDown = isGone
      if (isGone) proxy.cut()
    }
  }
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a cleared room is empty for who is in it, who comes back and who comes, on both nodes and over every transport`, {
    skip,
    timeout: 90_000
  }, async (t) => {
    const [a, b] = await nodes(t, { declare })
    const { rooms } = b.app
    const here = await Promise.all(TRANSPORTS.map(async (transport) => await member(t, a, transport)))
    const away = await Promise.all(TRANSPORTS.map(async (transport) => await member(t, a, transport)))
    const all = [...here, ...away]
    await rooms.broadcast(room, 'said', { text: 'secret' })
    await rooms.broadcast(room, 'note', { id: 'secret' })
    const ended = rooms.stream(room, 'answer', { id: 'ended' })
    const growing = rooms.stream(room, 'answer', { id: 'growing' })
    for (const writer of [ended, growing]) await writer.write('secret')
    await ended.end()
    const [last] = (await rooms.history(room)).events
    for (const { said, keys, texts } of all) {
      await until('a member has all of it', () => {
        const isAll = texts.get('ended') === 'secret "done"' && texts.has('growing')
        if (isAll && said.length === 1 && keys().length === 1) return true
        throw new Error(JSON.stringify([said, keys(), [...texts]]))
      })
    }
    for (const { gone } of away) gone(true)
    await rooms.clear(room)
    t.same((await rooms.history(room)).events, [], 'on the node that was asked it is empty at once')
    await rooms.broadcast(room, 'said', { text: 'first' })
    for (const { gone } of away) gone(false)
    for (const { client, gaps, keys, texts, said } of all) {
      await until('a member is told', () => {
        const areGone = ['ended', 'growing'].every((id) => texts.get(id) === ' "lost"')
        if (areGone && gaps.length > 0 && keys().length === 0 && client.state === 'open') return true
        throw new Error(JSON.stringify([gaps, keys(), [...texts], said]))
      })
    }
    const more = (async () => {
      await growing.write('more')
      await growing.end()
    })()
    t.equal((await rejection(more)).code, 'REALTIME_ERR_STREAM')
    await rooms.broadcast(room, 'said', { text: 'second' })
    for (const { said, gaps } of all) {
      await until('a member hears what follows', () => said.at(-1) === 'second')
      // Who was away begins where it came back, as after any gap.
      t.same(said.filter((text) => text !== 'first'), ['secret', 'second'])
      t.same(gaps, ['desk/1'], 'once')
    }
    // One that polls may have been between two polls, so that it came back.
    for (const { said } of here.slice(0, 2)) t.same(said, ['secret', 'first', 'second'])
    for (const server of [a, b]) {
      const { events, position } = await server.app.rooms.history(room)
      t.same(events.map(({ data }) => data), [{ text: 'first' }, { text: 'second' }])
      const before = { epoch: position.epoch, offset: last!.offset }
      t.same((await server.app.rooms.history(room, { since: before })).resumed, false, 'the newest position of before')
      t.same([...(await server.app.rooms.state(room)).get('note')!], [])
      for (const id of ['ended', 'growing']) {
        t.match(await server.app.rooms.read(room, 'answer', id), { data: { id, text: '' }, end: 'lost' })
      }
      const fresh = await connect(server, { token: server.token('fresh'), rooms: ['desk/1'], query: { last: '10' } })
      for (const text of ['first', 'second']) t.match(await fresh.next('said'), { data: { text } })
      await fresh.fence()
      await fresh.close()
      await assertLedger(t, server.app)
    }
    await rooms.clear(plain.at({ id: '1' }))
    t.same([a.loud, b.loud], [[], []])
  })
}

t.test('what cannot be cleared is refused with a code, and nothing of it is gone', async (t) => {
  const server = await start(t, { declare })
  const { rooms } = server.app
  t.equal((await rejection(rooms.clear('nowhere/1'))).code, 'REALTIME_ERR_ROOM_UNKNOWN')
  for (const name of [undefined, null, 7, {}, ['desk/1']]) {
    t.equal((await rejection(rooms.clear(name as never))).code, 'REALTIME_ERR_ROOM', JSON.stringify(name))
  }
  for (const capability of ['clear', 'removal']) {
    const { app } = await start(t, { adapter: lacking(capability), declare })
    await app.rooms.broadcast(room, 'said', { text: 'kept' })
    await app.rooms.broadcast(room, 'note', { id: 'kept' })
    t.match(await rejection(app.rooms.clear(room)), { code: 'REALTIME_ERR_ADAPTER', message: /cannot clear rooms/ })
    t.equal((await app.rooms.history(room)).events.length, 1)
    t.equal((await app.rooms.state(room)).get('note')!.size, 1)
    await app.rooms.clear(plain.at({ id: '1' }))
  }
})

t.test('a clear of which some was done says that nobody knows, and does the rest when it is called again', async (t) => {
  const { app: { rooms } } = await start(t, { adapter: cluster({ calls: 20 }), declare })
  for (let index = 0; index < 30; index++) await rooms.broadcast(room, 'note', { id: `${index}` })
  const left = async (): Promise<number> => (await rooms.state(room)).get('note')!.size
  t.match(await rejection(rooms.clear(room)), { code: 'unavailable', outcome: 'unknown' })
  t.equal(await left(), 10)
  await rooms.clear(room)
  t.equal(await left(), 0)
})
