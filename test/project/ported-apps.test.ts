import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { connect, type Client } from 'fastify-realtime/client'
import { defineRoom, object, string } from 'fastify-realtime/contract'
import { createPeer } from 'fastify-realtime/testing'
import { io as dialSocketIo, type Socket } from 'socket.io-client'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { DEFAULTS } from '../../lib/options/defaults.js'
import { resolveOptions } from '../../lib/options/resolve.js'
import { RESERVED_TYPES } from '../../lib/protocol/frames.js'
import { RESERVED_SEGMENTS } from '../../lib/rooms/declaration.js'
import { until } from '../helpers/client.js'
import { documentOf } from '../helpers/documents.js'
import { matchList } from '../helpers/match-list.js'

/** The part of a socket.io server that is used. */
interface Old { readonly httpServer: { address (): AddressInfo }, close (): Promise<void> }

/** Each has the types of its own user, which must not become those of the tests: so they are loaded by their paths. */
async function load<T> (file: string): Promise<T> { return await import(`../../example/${file}.ts`) as T }

const SECRET = 'a secret of the test, which is long enough'

async function listen (t: Test, app: FastifyInstance): Promise<string> {
  t.teardown(() => app.close())
  return await app.listen({ port: 0, host: '127.0.0.1' })
}

/** Gives what the quoted code only declares. */
function declared (t: Test, names: Record<string, unknown>): void {
  Object.assign(globalThis, names)
  t.teardown(() => { for (const name of Object.keys(names)) Reflect.deleteProperty(globalThis, name) })
}

/** Who comes from socket.io: a token is the name of its user. */
const PEOPLE = {
  userOf: async (token: unknown) => await Promise.resolve(
    token === 'stranger' ? null : { sub: String(token), name: String(token), rooms: ['7'] }
  ),
  save: async (_project: string, text: string) => await Promise.resolve(`id of ${text}`)
}

t.test('while socket.io and the new rooms run side by side, each hears what is said on the other, and nothing that is wrong', async (t) => {
  declared(t, PEOPLE)
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: SECRET } })
  const { declareBoth } = await load<{ declareBoth (app: FastifyInstance, port: number): Old }>('docs/socket-io/both')
  const io = declareBoth(app, 0)
  t.teardown(async () => { await io.close() })
  await listen(t, app)
  const token = app.jwt.sign({ sub: 'ada', name: 'Ada', rooms: ['7'] }, { expiresIn: '1m' })
  const ada = await createPeer(app, { room: 'projects/7', token })
  const heard: unknown[] = []
  const dialOld = async (token: string): Promise<Socket> => {
    const socket = dialSocketIo(`http://127.0.0.1:${io.httpServer.address().port}`, { auth: { token }, forceNew: true })
    t.teardown(() => { socket.close() })
    await new Promise<void>((resolve, reject) => { socket.once('connect', resolve).once('connect_error', reject) })
    return socket
  }
  await t.rejects(dialOld('stranger'), { message: 'unauthorized' })
  const [bob, eve] = await Promise.all([dialOld('bob'), dialOld('eve')])
  bob.onAny((...event) => { heard.push(event) })
  t.same(await bob.emitWithAck('open', '8'), { error: 'forbidden' })
  t.same(await bob.emitWithAck('open', '7'), { ok: true })
  await eve.emitWithAck('open', '7')

  t.same(await eve.emitWithAck('comment', '7', 'old'), { id: 'id of old' })
  const old = { id: 'id of old', text: 'old', by: 'eve' }
  t.match(await ada.next('commented'), { data: old }, 'old to new')
  t.same(await eve.emitWithAck('comment', '7', 7), { error: 'invalid' })
  t.same(await eve.emitWithAck('comment', '8', 'elsewhere'), { error: 'invalid' })
  eve.emit('typing', '7')
  t.match(await ada.next('typing'), { data: { by: 'eve' } })

  ada.send({ type: 'comment', room: 'projects/7', id: '1', data: { text: 'new' } })
  t.match(await ada.next('ack'), { data: { id: 'id of new' } })
  ada.send({ type: 'type', room: 'projects/7', id: '2', data: {} })
  t.match(await ada.next('ack'), { id: '2' })
  t.match(await ada.next('commented'), { data: { text: 'new' } }, 'once in its own room')
  await until('the old client hears the new one', () => heard.length === 4)
  t.same(heard, [
    ['commented', old], ['typing', 'eve'], ['commented', { id: 'id of new', text: 'new', by: 'ada' }], ['typing', 'ada']
  ], 'new to old; and each once')
  await ada.fence()

  t.intercept(app.rooms, 'broadcast', { value: async () => await Promise.reject(new Error('of the inside')) })
  t.same(await eve.emitWithAck('comment', '7', 'again'), { error: 'internal' }, 'an old client is told nothing of the inside')
  t.equal(heard.length, 4, 'and nobody hears what the new side has refused')
})

t.test('the server to which an app of socket.io moves has what the old one had: comments, who is there, and a message to one user', async (t) => {
  const app = Fastify()
  declared(t, PEOPLE)
  await (await load<{ attach (app: FastifyInstance): Promise<void> }>('docs/socket-io/after')).attach(app)
  await listen(t, app)
  const ada = await createPeer(app, { room: 'projects/7', token: 'ada' })
  const bob = await createPeer(app, { room: 'lobby', token: 'bob' })
  matchList(t, ada.welcome, { data: { rooms: { 'projects/7': { members: { list: [{ userId: 'ada' }] } } } } })
  ada.send({ type: 'comment', room: 'projects/7', id: '1', data: { text: 'hello' } })
  t.match(await ada.next('commented'), { data: { id: 'id of hello', text: 'hello', by: 'ada' } })
  bob.send({ type: 'tell', room: 'lobby', id: '1', data: { to: 'ada', text: 'psst' } })
  t.match(await ada.next('told'), { room: '@user/ada', data: { text: 'psst', by: 'bob' } })
  bob.send({ type: 'tell', room: 'lobby', id: '2', data: { to: '..', text: 'psst' } })
  t.match(await bob.next('error'), { id: '2', data: { code: 'invalid_message' } })
  await t.rejects(createPeer(app, { room: 'projects/8', token: 'ada' }), { code: 'forbidden' })
  await t.rejects(createPeer(app, { token: 'stranger' }), { code: 'unauthorized' })
})

t.test('the page that moves says who comes and goes, and says nothing of who was there before it', async (t) => {
  const shown: string[] = []
  const added: unknown[] = []
  const marked: string[] = []
  declared(t, {
    ...PEOPLE,
    userOf: async (token: string) => await Promise.resolve({ sub: token, name: token, rooms: ['42'] }),
    fetchToken: async () => await Promise.resolve('ada'),
    show: (text: string) => { shown.push(text) },
    add: (comment: unknown) => { added.push(comment) },
    mark: (id: string) => { marked.push(id) }
  })
  const app = Fastify()
  await (await load<{ attach (app: FastifyInstance): Promise<void> }>('docs/socket-io/after')).attach(app)
  const url = await listen(t, app)
  t.intercept(globalThis, 'WebSocket', {
    value: class extends WebSocket {
      constructor (address: string, protocols: string[]) {
        super(address.replace('wss://app.example.com', url.replace('http', 'ws')), protocols)
      }
    }
  })
  const bob = await createPeer(app, { room: 'projects/42', token: 'bob' })
  bob.send({ type: 'join', room: 'lobby', id: '0' })
  await bob.next('ack')
  await load('docs/socket-io/client-after')
  t.match(await bob.next('commented'), { data: { text: 'hello', by: 'ada' } })
  t.match(await bob.next('told'), { data: { text: 'hello', by: 'ada' } })
  await until('the page has the answer and the comment', () => marked.length === 1 && added.length === 1)
  t.same(marked, ['id of hello'])

  const carol = await createPeer(app, { room: 'projects/42', token: 'carol' })
  await until('the page says that carol came', () => shown.length === 1)
  carol.send({ type: 'leave', room: 'projects/42', id: '1' })
  await until('the page says that carol went', () => shown.length === 2)
  bob.send({ type: 'tell', room: 'lobby', id: '1', data: { to: 'ada', text: 'psst' } })
  await until('the page says what it was told', () => shown.length === 3)
  t.same(shown, ['carol is here', 'carol has left', 'bob: psst'])
  await app.rooms.revoke({ user: 'ada' }, { message: 'the end' })
  await until('the page is told the end', () => shown.length === 4)
})

t.test('a join that is not there in time is given up by who waits, and one that is there stays', async (t) => {
  type JoinedWithin = (room: { readonly joined: Promise<unknown> }, ms: number) => Promise<unknown>
  const { joinedWithin } = await load<{ joinedWithin: JoinedWithin }>('readme/join-within')
  await t.rejects(joinedWithin({ joined: new Promise(() => {}) }, 1), { code: 'timeout', message: 'not joined within 1 ms' })
  await t.rejects(joinedWithin({ joined: Promise.reject(new Error('forbidden')) }, 60_000), { message: 'forbidden' })
  t.same(await joinedWithin({ joined: Promise.resolve({ resumed: true }) }, 60_000), { resumed: true })
})

t.test('a user whose WebSocket has ended is not online and still a member; one who polls is online for the grace, and a member behind it', async (t) => {
  const chat = defineRoom('chat/:id', { events: { said: object({ text: string() }) } })
  const open = async (grace: number, transport: 'websocket' | 'polling'): Promise<FastifyInstance> => {
    const app = Fastify()
    await app.register(realtime, { jwt: { secret: SECRET }, presence: { grace } })
    app.room(chat, { presence: true })
    const url = await listen(t, app)
    const token = app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' })
    const client = connect(`${url}/ws`, { token, WebSocket, transports: [transport] })
    await client.join(chat.at({ id: '1' })).joined
    client.close()
    return app
  }
  const offline = async (app: FastifyInstance): Promise<void> => {
    for (const end = performance.now() + 10_000; await app.rooms.isOnline('ada');) {
      if (performance.now() > end) throw new Error('ada is still online')
      await new Promise((resolve) => { setTimeout(resolve, 10) })
    }
  }
  const app = await open(60_000, 'websocket')
  await offline(app)
  matchList(t, await app.rooms.members('chat/1'), [{ userId: 'ada' }])
  const polled = await open(1_000, 'polling')
  t.equal(await polled.rooms.isOnline('ada'), true)
  t.equal((await polled.rooms.connections({ user: 'ada', room: 'chat/1' })).total, 1)
  await offline(polled)
  matchList(t, await polled.rooms.members('chat/1'), [{ userId: 'ada' }])
})

t.test('an acknowledged broadcast is acked by a page that has joined the room, with a listener or without one, and by no other', async (t) => {
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: SECRET } })
  app.room(defineRoom('@user/:id', { events: { told: object({ text: string() }) } }))
  const url = await listen(t, app)
  const client = connect(`${url}/ws`, { token: app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' }), WebSocket })
  t.teardown(() => { client.close() })
  await until('it is open', () => client.state === 'open')
  const ask = async (timeout: number): Promise<unknown> =>
    await app.rooms.broadcastWithAck('@user/ada', 'told', { text: 'hello' }, { timeout })
  matchList(t, await ask(100), { acked: [], missing: ['ada'] })
  const room = client.join('@user/ada')
  await room.joined
  matchList(t, await ask(10_000), { acked: ['ada'], missing: [] })
  let isDone = false
  room.on('told', async () => {
    await new Promise((resolve) => { setTimeout(resolve, 50) })
    isDone = true
  })
  matchList(t, await ask(10_000), { acked: ['ada'], missing: [] })
  t.ok(isDone, 'not before its listener is done')
})

t.test('an app with JWTs gives the secret alone, and its route tells the room', async (t) => {
  declared(t, PEOPLE)
  const app = Fastify()
  const { attach } = await load<{ attach (app: FastifyInstance, secret: string): Promise<void> }>('docs/socket-io/jwt')
  await attach(app, SECRET)
  const { project } = await load<{ project: never }>('docs/socket-io/rooms')
  app.room(project, { on: { comment: () => ({ id: '' }), type: () => undefined } } as never)
  await app.ready()
  t.teardown(() => app.close())
  const sign = (rooms: string[]): string => app.jwt.sign({ sub: 'ada', rooms }, { expiresIn: '1m' })
  const post = async (headers: Record<string, string>): Promise<number> =>
    (await app.inject({ method: 'POST', url: '/projects/7/comments', headers, payload: { text: 'hello' } })).statusCode
  const ada = await createPeer(app, { room: 'projects/7', token: sign(['7']) })
  t.equal(await post({}), 401)
  t.equal(await post({ authorization: `Bearer ${sign(['8'])}` }), 403)
  t.equal(await post({ authorization: `Bearer ${sign(['7'])}` }), 200)
  t.match(await ada.next('commented'), { data: { text: 'hello', by: 'ada' } })
  await ada.fence()
})

t.test('the names that a contract cannot have are listed as the code has them', (t) => {
  const listed = (page: string, begin: string): string[] => {
    const line = documentOf(page).split('\n').find((each) => each.includes(begin))
    if (line === undefined) throw new Error(`${page} has no "${begin}"`)
    const list = line.slice(line.indexOf(begin) + begin.length).split(/[.;)]( |$)/)[0]!
    return [...list.matchAll(/`([^`]+)`/g)].map(([, name]) => name!).sort()
  }
  for (const page of ['docs/guides/from-socket-io.md', 'docs/reference/contracts.md']) {
    t.same(listed(page, 'reserved frame types: '), [...RESERVED_TYPES].sort(), page)
  }
  t.same(listed('docs/reference/contracts.md', 'is one of our URLs ('), [...RESERVED_SEGMENTS].sort())
  t.end()
})

t.test('the defaults that the guide sets beside those of socket.io are those of the code', (t) => {
  const guide = documentOf('docs/guides/from-socket-io.md')
  const number = (value: number): string => value.toLocaleString('en').replaceAll(',', ' ')
  for (const said of [
    `\`limits.message\` (${number(DEFAULTS.message)} bytes)`,
    `\`limits.event\` (${number(DEFAULTS.event)})`,
    `(${DEFAULTS.history.ttl / 60_000} minutes, ${DEFAULTS.history.size} events of a room)`,
    `\`heartbeat\` (${DEFAULTS.heartbeat / 1_000} s)`,
    `\`presence.grace\` (${DEFAULTS.presence.grace / 1_000} s)`,
    `${DEFAULTS.rate.messages} messages per second of one connection (\`limits.rate\`)`,
    `${resolveOptions({}).limits.user.connections} connections of one user (\`limits.user\`)`,
    `${number(DEFAULTS.capacity)} of the process (\`capacity\`)`
  ]) t.ok(guide.includes(said), said)
  t.end()
})

t.test('as many bytes as the guide says fit into a message as base64', async (t) => {
  const kilobytes = Number(/base64 up to some (\d+) kB/.exec(documentOf('docs/guides/from-socket-io.md'))![1])
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: SECRET } })
  app.room(defineRoom('files/:id', {
    messages: { put: object({ bytes: string() }) },
    events: { added: object({ bytes: string() }) }
  }), { on: { async put ({ data, room }) { await room.broadcast('added', data) } } })
  await app.ready()
  t.teardown(() => app.close())
  const authorization = `Bearer ${app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' })}`
  const put = async (size: number): Promise<number> => (await app.inject({
    method: 'POST',
    url: '/ws/files/1',
    headers: { authorization },
    payload: { type: 'put', data: { bytes: Buffer.alloc(size * 1_000).toString('base64') } }
  })).statusCode
  t.equal(await put(kilobytes), 200)
  t.equal(await put(kilobytes + 5), 413)
})

interface Picture { readonly type: string, readonly bytes: Buffer }

type Upload = (file: Blob) => Promise<void>

type Token = () => Promise<string>

type OpenAlbum = (client: Client, id: string, token: Token, show: (url: string) => void) => Promise<Upload>

t.test('a picture is uploaded once, shown to the members by its URL, and loaded from there', async (t) => {
  const kept = new Map<string, Picture>()
  const { declareAlbums } = await load<{ declareAlbums (app: FastifyInstance, store: object): void }>('docs/pictures/server')
  const { openAlbum } = await load<{ openAlbum: OpenAlbum }>('docs/pictures/client')
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: SECRET } })
  declareAlbums(app, {
    put: async (id: string, picture: Picture) => { await Promise.resolve(kept.set(id, picture)) },
    get: async (id: string) => await Promise.resolve(kept.get(id)),
    mayEnter: async (user: string) => await Promise.resolve(user !== 'stranger')
  })
  const url = await listen(t, app)
  // In a page a path is enough.
  const { fetch: real } = globalThis
  t.intercept(globalThis, 'fetch', {
    value: async (path: string | URL, init?: RequestInit) => await real(new URL(path, url), init)
  })
  const tokenOf = (sub: string) => async () => await Promise.resolve(app.jwt.sign({ sub }, { expiresIn: '1m' }))
  const open = async (sub: string, shown: string[]): Promise<Upload> => {
    const client = connect(`${url}/ws`, { token: tokenOf(sub), WebSocket })
    t.teardown(() => { client.close() })
    return await openAlbum(client, '1', tokenOf(sub), (each) => { shown.push(each) })
  }
  const [ofAda, ofBob]: [string[], string[]] = [[], []]
  const [upload] = await Promise.all([open('ada', ofAda), open('bob', ofBob)])
  for (const type of ['image/png', 'image/jpeg']) {
    await upload(new Blob([type], { type }))
    await until('the other member is shown it', () => ofBob.length === ofAda.length)
    const answer = await fetch(ofBob.at(-1)!)
    t.equal(answer.headers.get('content-type'), type)
    t.equal(await answer.text(), type)
  }
  t.equal(ofBob.length, 2)
  t.same(ofAda, ofBob, 'the sender is shown it once')
  await t.rejects(upload(new Blob(['<svg>'], { type: 'image/svg+xml' })), /415/)
  t.equal((await fetch('/pictures/none')).status, 404)
  const stranger = await real(`${url}/albums/1`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await tokenOf('stranger')()}`, 'content-type': 'image/png' },
    body: 'x'
  })
  t.equal(stranger.status, 403)
  t.equal((await real(`${url}/albums/1`, { method: 'POST', headers: { 'content-type': 'image/png' }, body: 'x' })).status, 401)
})
