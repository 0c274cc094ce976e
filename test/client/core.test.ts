import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect, type CoreClient, type CoreOptions } from '../../lib/client/core.js'
import { answers, liveState, members, packageSocket, serverJoins, tickets, wake } from '../../lib/client/parts/index.js'
import { share } from '../../lib/client/share.js'
import { growingTexts } from '../../lib/client/texts.js'
import { defineRoom } from '../../lib/index.js'
import { behind, dialsNothing, rejection, until } from '../helpers/client.js'
import { start, TRANSPORTS, type Running } from '../helpers/net.js'
import { board, declareBoard } from '../views/rooms.js'

function dialCore (
  t: Test, { url, token }: Pick<Running, 'token'> & { readonly url: string | URL }, options: CoreOptions = {}
): CoreClient {
  const client = connect(typeof url === 'string' ? `${url}/ws` : new URL('/ws', url), { token: () => token('ada'), timeout: 2_000, WebSocket, ...options })
  t.teardown(() => { client.close() })
  return client
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} the core goes on across a break, and has members, values and texts where it is given their parts`, async (t) => {
    const app = await start(t, { declare: declareBoard })
    const { proxy, ...net } = await behind(t, app)
    const dialled = (use: CoreOptions['use']) => {
      const room = dialCore(t, net, { transports: [transport], ...use && { use } }).join(board.at({ id: '1' }))
      const heard: string[] = []
      room.on('*', ({ type, data }) => { heard.push(`${type} ${JSON.stringify(data)}`) })
      return { room, heard }
    }
    const bare = dialled(undefined)
    const equipped = dialled([members, liveState, growingTexts])
    const both = [bare, equipped]
    await Promise.all(both.map(async ({ room }) => await room.joined))
    const hear = async (part: string): Promise<void> => {
      await until(`${part} in both; heard: ${JSON.stringify(both.map(({ heard }) => heard))}`, () =>
        both.every(({ heard }) => heard.some((each) => each.includes(part))))
    }
    t.match(await bare.room.send('say', { text: 'one' }), { id: 'one' })
    await hear('"one"')
    proxy.cut()
    t.match(await bare.room.send('say', { text: 'two' }), { id: 'two' })
    await hear('"two"')
    await bare.room.send('score', { team: 'red', points: 3 })
    await hear('score')
    await bare.room.send('write', { id: 'a1', text: 'a long text' })
    await hear('answer')
    await until('the whole text', () => equipped.heard.some((each) => each.includes('"alongtext"')))
    t.equal(equipped.room.state.get('score')?.get('red')?.points, 3)
    await until('the member', () => equipped.room.members.get('ada')?.data.name === 'ADA')
    t.same([bare.room.state.size, bare.room.members.size], [0, 0])
    for (const { heard } of both) {
      t.equal(heard.filter((each) => each.startsWith('said')).length, 2, 'each once')
      t.notOk(heard.some((each) => /^(presence|removed|gap)/.test(each)), 'what is no event is not heard as one')
    }
  })
}

t.test('the core takes a URL as an object too, and refuses one with a query or a fragment at the call', async (t) => {
  const app = await start(t)
  await dialCore(t, { ...app, url: new URL(app.url) }).join('chat/1').joined
  for (const more of ['?tenant=7', '?', '#top']) {
    for (const url of [`${app.url}/ws${more}`, new URL(`${app.url}/ws${more}`), `/ws${more}`]) {
      t.throws(() => connect(url, { transports: ['sse'] }), { code: 'REALTIME_ERR_OPTIONS' }, String(url))
    }
  }
})

t.test('the core does nothing with a path while a page is rendered on a server, and can be closed', async (t) => {
  await dialsNothing(t, (options) => connect('/ws', { ...options, use: [wake, share()] }))
})

t.test('without tickets a link whose credential expires is replaced, with them it stays', async (t) => {
  const app = await start(t)
  const token = (sub: string): string => app.token(sub, {}, 2)
  const clients = [undefined, [tickets]].map((use) => dialCore(t, { ...app, token }, { ...use && { use } }))
  const errors: unknown[] = []
  const states = clients.map((client) => {
    const states: string[] = []
    client.on('state', ({ state }) => { states.push(state!) })
    client.on('error', (error) => { errors.push(error) })
    return states
  })
  await Promise.all(clients.map(async (client) => { await client.join('chat/1').joined }))
  await until('the other link', () => states[0]!.length >= 3)
  t.same(states[0]!.slice(0, 3), ['open', 'reconnecting', 'open'])
  t.same(states[1], ['open'])
  t.same(errors, [])
})

t.test('a question of the server is answered where the core is given what answers', async (t) => {
  const asking = defineRoom('asking/:id', {
    events: { confirm: { data: Type.Object({ order: Type.String() }), reply: Type.Object({ ok: Type.Boolean() }) } }
  })
  const app = await start(t, { declare: (app) => { app.room(asking, {}) } })
  for (const [name, use] of [['ada', undefined], ['bob', [answers]]] as const) {
    const client = dialCore(t, { ...app, token: () => app.token(name) }, { ...use && { use: [...use] } })
    const room = client.join(asking.at({ id: '1' }))
    room.on('confirm', () => ({ ok: true }))
    await room.joined
    const asked = app.app.rooms.request({ user: name, room: asking.at({ id: '1' }) }, 'confirm', { order: '7' })
    if (use) t.same(await asked, { ok: true })
    else t.match(await rejection(asked), { code: /./ })
  }
})

t.test('a room that the server joins is heard without asking, once: who leaves it asks to come back', async (t) => {
  let asked = 0
  const app = await start(t, {
    declare (app) {
      app.room(defineRoom('given/:id', { events: { told: Type.Object({}) } }), {
        authorize () {
          asked++
          return true
        }
      })
    }
  })
  const client = dialCore(t, app, { use: [serverJoins] })
  const given = new Promise((resolve) => { client.on('joined', resolve) })
  await until('a link', () => client.state === 'open')
  await app.app.rooms.join({ user: 'ada' }, 'given/1')
  await given
  const room = client.join('given/1')
  await room.joined
  t.equal(asked, 0)
  await room.leave()
  await client.join('given/1').joined
  t.equal(asked, 1)
})

t.test('where the platform has no WebSocket the core takes a stream, or that of the package ws', async (t) => {
  const app = await start(t)
  const own = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket')
  if (own) {
    Reflect.deleteProperty(globalThis, 'WebSocket')
    t.teardown(() => { Object.defineProperty(globalThis, 'WebSocket', own) })
  }
  const long = (sub: string): string => app.token(sub, { more: 'x'.repeat(6_100) })
  for (const [transport, use, token] of [
    ['sse', [], app.token], ['websocket', [packageSocket], app.token], ['websocket', [packageSocket, tickets], long]
  ] as const) {
    const client = dialCore(t, { ...app, token }, { WebSocket: undefined, use: [...use] })
    await client.join('chat/1').joined
    t.equal(client.transport, transport)
  }
})
