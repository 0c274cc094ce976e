import http from 'node:http'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { defineRoom } from '../../lib/index.js'
import { dial, rejection, until } from '../helpers/client.js'
import { connect, start, statsOf, TRANSPORTS, type NetPeer, type Running } from '../helpers/net.js'

const model = defineRoom('model/:id', {
  messages: {
    ask: { data: Type.Object({ text: Type.String() }), reply: Type.Object({ answer: Type.String() }) },
    stop: { data: Type.Object({}), concurrent: true },
    note: Type.Object({ n: Type.Integer() })
  }
})

interface Asked {
  readonly signal: AbortSignal
  readonly text: string
  answer (text: string): void
  /** why it was given up */
  readonly reason: Promise<{ code?: string }>
}

interface Model { readonly server: Running, readonly asked: Asked[], readonly notes: number[], stops: number }

/** An app whose `ask` waits for a model, and gives up when its signal says so. */
async function models (t: Test, options: Parameters<typeof start>[1] = {}): Promise<Model> {
  const asked: Asked[] = []
  const notes: number[] = []
  const own: { server: Running | undefined, stops: number } = { server: undefined, stops: 0 }
  const server = await start(t, {
    ...options,
    declare: (app) => {
      app.room(model, {
        on: {
          async ask ({ data, signal }) {
            return await new Promise((resolve, reject) => {
              const reason = new Promise<{ code?: string }>((_resolve) => {
                signal.addEventListener('abort', () => {
                  const why = signal.reason as Error & { code?: string }
                  _resolve(why)
                  reject(why)
                })
              })
              asked.push({ signal, text: data.text, reason, answer: (answer) => { resolve({ answer }) } })
            })
          },
          async stop () { own.stops++ },
          async note ({ data }) { notes.push(data.n) }
        }
      })
    }
  })
  return Object.assign(own, { server, asked, notes })
}

async function once (asked: readonly Asked[], count = 1): Promise<Asked> {
  await until(`${count} handlers run`, () => asked.length >= count)
  return asked[count - 1]!
}

async function asking (
  t: Test,
  own: Model,
  transport: NetPeer['transport'],
  more: object = { id: 'm1' }
): Promise<{ peer: NetPeer, handler: Asked }> {
  const peer = await connect(own.server, { transport, rooms: ['model/1'], token: own.server.token('ada') })
  t.teardown(() => { peer.cut() })
  const count = own.asked.length + 1
  peer.send({ type: 'ask', room: 'model/1', data: { text: 'why?' }, ...more })
  return { peer, handler: await once(own.asked, count) }
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} a concurrent message is handled while another of its room is, and the rest waits`, async (t) => {
    const own = await models(t)
    const { server, asked, notes } = own
    const { client } = dial(t, server, 'ada', { transports: [transport] })
    const room = client.join(model.at({ id: '1' }))
    const answered = room.send('ask', { text: 'why?' })
    const noted = room.send('note', { n: 1 })
    const { answer } = await once(asked)
    await room.send('stop', {})
    t.same(notes, [], 'an ordinary message waits')
    answer('because')
    t.same(await answered, { answer: 'because' })
    await noted
    t.same(notes, [1])
    t.equal(own.stops, 1)
  })

  t.test(`over ${transport} the signal is aborted when the connection has ended for good`, async (t) => {
    const own = await models(t, { presence: { grace: 200 } })
    const { peer, handler } = await asking(t, own, transport)
    t.equal(handler.signal.aborted, false)
    peer.cut()
    t.equal((await handler.reason).code, 'unavailable')
    t.same(own.server.loud, [], 'that is no fault of the handler')
  })

  t.test(`over ${transport} the signal is aborted when access is revoked`, async (t) => {
    const own = await models(t)
    const { handler } = await asking(t, own, transport)
    await own.server.app.rooms.revoke({ user: 'ada' })
    t.equal((await handler.reason).code, 'revoked')
  })

  t.test(`over ${transport} the signal is aborted when the server takes the room from the sender, and that of no other room`, async (t) => {
    const own = await models(t)
    const { server, asked } = own
    const { rooms } = server.app
    const names = ['model/1', 'model/2', 'model/3', 'model/4']
    const peer = await connect(server, { transport, rooms: names, token: server.token('ada') })
    const other = await connect(server, { transport, rooms: names, token: server.token('bob') })
    t.teardown(() => { for (const each of [peer, other]) each.cut() })
    const ask = async (of: NetPeer, room: string): Promise<Asked> => {
      const count = asked.length + 1
      of.send({ type: 'ask', room, data: { text: 'why?' }, id: `m${count}` })
      return await once(asked, count)
    }
    const [taken, left, gone, kept] = [
      await ask(peer, names[0]!), await ask(peer, names[1]!), await ask(peer, names[2]!), await ask(peer, names[3]!)
    ]
    const [othersTaken, othersLeft] = [await ask(other, names[0]!), await ask(other, names[1]!)]
    await rooms.revoke({ user: 'ada', room: names[0]! }, { message: 'enough' })
    t.match(await taken.reason, { code: 'revoked', message: 'enough' })
    await rooms.leave({ connection: peer.id }, names[1]!)
    t.equal((await left.reason).code, 'not_joined')
    // Over a WebSocket it waits behind the message.
    peer.send({ type: 'leave', room: names[2]!, id: 'leaving' })
    if (transport === 'websocket') await peer.sync()
    else await peer.next('ack', ({ id }) => id === 'leaving')
    for (const { signal } of [gone, kept, othersTaken, othersLeft]) t.equal(signal.aborted, false)
    for (const { answer } of [gone, kept, othersTaken, othersLeft]) answer('because')
    t.same((await peer.next('ack', ({ id }) => id === 'm4')).data, { answer: 'because' })
    const closed = await ask(other, names[3]!)
    await rooms.close(names[3]!)
    t.equal((await closed.reason).code, 'unavailable', 'the members of the room were closed')
  })

  t.test(`over ${transport} the signal is aborted when the server closes, so that the close need not wait`, async (t) => {
    const own = await models(t, { drain: { timeout: 60_000 } })
    const { handler } = await asking(t, own, transport)
    const closed = own.server.app.close()
    t.equal((await handler.reason).code, 'draining')
    await closed
  })

  t.test(`over ${transport} a handler that gave up at its timeout has had no outcome: the message is handled again`, async (t) => {
    const own = await models(t, { timeouts: { handler: 200 } })
    const { peer, handler } = await asking(t, own, transport)
    t.equal((await handler.reason).code, 'timeout')
    const told = await peer.next('error', ({ id }) => id === 'm1')
    t.equal((told.data as { code: string }).code, 'timeout')
    peer.send({ type: 'ask', room: 'model/1', id: 'm1', data: { text: 'why?' } })
    const again = await once(own.asked, 2)
    again.answer('because')
    t.same((await peer.next('ack', ({ id }) => id === 'm1')).data, { answer: 'because' })
  })
}

t.test('a handler that asks for its signal once the room was taken from the sender finds it aborted, over HTTP as well', async (t) => {
  const waiting: Array<() => void> = []
  const reasons: unknown[] = []
  const server = await start(t, {
    declare: (app) => {
      app.room(model, {
        on: {
          async ask (context) {
            await new Promise<void>((resolve) => { waiting.push(resolve) })
            reasons.push((context.signal.reason as { code?: string } | undefined)?.code)
            return { answer: 'late' }
          },
          async stop () { /* nothing to stop */ },
          async note () { /* nothing to note */ }
        }
      })
    }
  })
  const frame = { type: 'ask', room: 'model/1', id: 'm1', data: { text: 'why?' } }
  const peer = await connect(server, { rooms: ['model/1'], token: server.token('ada') })
  peer.send(frame)
  const posted = fetch(`${server.url}/ws`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.token('ada')}`, 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ ...frame, id: undefined })
  })
  await until('both run', () => waiting.length === 2)
  await server.app.rooms.revoke({ user: 'ada', room: 'model/1' })
  for (const go of waiting) go()
  t.match(await (await posted).json(), { code: 'revoked', room: 'model/1' })
  await until('both have asked', () => reasons.length === 2)
  t.same(reasons, ['revoked', 'revoked'])
  peer.cut()
})

t.test('the signal of a POST without a connection is aborted when its user loses the room, and not when another is', async (t) => {
  const own = await models(t)
  const { server, asked } = own
  const post = async (room: string): Promise<Response> => await fetch(`${server.url}/ws`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.token('ada')}`, 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ type: 'ask', room, data: { text: 'why?' } })
  })
  const answers = [post('model/1'), post('model/2')]
  await once(asked, 2)
  await server.app.rooms.revoke({ user: 'bob', room: 'model/1' })
  await server.app.rooms.leave({ user: 'ada' }, 'model/1')
  t.same(asked.map(({ signal }) => signal.aborted), [false, false], 'it was in no room, so it has left none')
  await server.app.rooms.revoke({ user: 'ada', room: 'model/1' })
  const refused = await Promise.race(answers.map(async (answer) => await answer))
  t.match(await refused.json(), { code: 'unavailable', room: 'model/1' }, 'it had no outcome')
  t.match(asked.map(({ signal }) => signal.reason as { code?: string } | undefined).find(Boolean), { code: 'revoked' })
  t.equal(asked.filter(({ signal }) => signal.aborted).length, 1)
  for (const { answer } of asked) answer('because')
  await Promise.all(answers)
})

t.test('a handler that nobody waits for runs on where it does not look at its signal, and its outcome is kept', async (t) => {
  let end = (): void => undefined
  const runs: string[] = []
  const server = await start(t, {
    declare: (app) => {
      app.room(model, {
        on: {
          async ask ({ data }) {
            runs.push(data.text)
            await new Promise<void>((resolve) => { end = resolve })
            return { answer: 'late' }
          },
          async stop () { /* nothing to stop */ },
          async note () { /* nothing to note */ }
        }
      })
    }
  })
  const frame = { type: 'ask', room: 'model/1', id: 'm1', data: { text: 'why?' } }
  const first = await connect(server, { rooms: ['model/1'], token: server.token('ada') })
  first.send(frame)
  await until('it runs', () => runs.length === 1)
  first.cut()
  await first.ended
  const second = await connect(server, { rooms: ['model/1'], token: server.token('ada') })
  t.teardown(() => { second.cut() })
  second.send(frame)
  end()
  t.same((await second.next('ack', ({ id }) => id === 'm1')).data, { answer: 'late' })
  t.same(runs, ['why?'])
})

/** Posts a message and leaves the answer unread. */
function post (server: Running, frame: object, headers: object = {}): http.ClientRequest {
  const request = http.request(`${server.url}/ws`, {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${server.token('ada')}`, 'content-type': 'application/json', ...headers }
  })
  request.on('error', () => undefined)
  request.end(JSON.stringify({ type: 'ask', room: 'model/1', data: { text: 'why?' }, ...frame }))
  return request
}

t.test('a caller over HTTP without a connection gives up when it hangs up', async (t) => {
  const own = await models(t)
  for (const id of [undefined, 'm1']) {
    const count = own.asked.length + 1
    const request = post(own.server, { id })
    const handler = await once(own.asked, count)
    request.destroy()
    t.equal((await handler.reason).code, 'unavailable')
  }
  t.same(own.server.loud, [])
})

t.test('a handler that asks for its signal after its connection was taken out of the room or has ended is told', async (t) => {
  const contexts: Array<{ readonly signal: AbortSignal }> = []
  const ends: Array<() => void> = []
  const server = await start(t, {
    declare: (app) => {
      app.room(model, {
        on: {
          async ask (context) {
            contexts.push(context)
            return await new Promise((resolve) => { ends.push(() => { resolve({ answer: 'because' }) }) })
          },
          async stop () {},
          async note () {}
        }
      })
    }
  })
  const posted = async (id: string, connection: string): Promise<{ readonly signal: AbortSignal }> => {
    post(server, { id }, { 'x-connection-id': connection })
    await until('the handler runs', () => contexts.length === Number(id))
    return contexts.at(-1)!
  }
  const peer = await connect(server, { transport: 'sse', rooms: ['model/1'], token: server.token('ada') })
  const taken = await posted('1', peer.id)
  await server.app.rooms.leave({ room: 'model/1' }, 'model/1')
  t.match(taken.signal.reason, { code: 'not_joined', room: 'model/1' })
  const after = await posted('2', peer.id)
  t.equal(after.signal.aborted, false, 'begun after it was taken out: whoever posts need not be in the room')
  const ended = await posted('3', peer.id)
  peer.cut()
  await until('the connection is gone', async () => (await statsOf(server.app)).connections.total === 0)
  t.match(ended.signal.reason, { code: 'unavailable', message: /gone/ })
  for (const end of ends) end()
})

t.test('a client that posts again while its connection lives gets the answer of the first run', async (t) => {
  const own = await models(t)
  const peer = await connect(own.server, { transport: 'sse', rooms: ['model/1'], token: own.server.token('ada') })
  t.teardown(() => { peer.cut() })
  const request = post(own.server, { id: 'm1' }, { 'x-connection-id': peer.id })
  const handler = await once(own.asked)
  request.destroy()
  await peer.sync()
  t.equal(handler.signal.aborted, false)
  peer.send({ type: 'ask', room: 'model/1', id: 'm1', data: { text: 'why?' } })
  await peer.sync()
  handler.answer('because')
  t.same((await peer.next('ack', ({ id }) => id === 'm1')).data, { answer: 'because' })
  t.equal(own.asked.length, 1)
})

t.test('the signal of a handler that has ended is not aborted by what comes later', async (t) => {
  const own = await models(t)
  const { peer, handler } = await asking(t, own, 'websocket')
  handler.answer('because')
  await peer.next('ack', ({ id }) => id === 'm1')
  await peer.close()
  await until('the connection is gone', async () => (await statsOf(own.server.app)).connections.total === 0)
  t.equal(handler.signal.aborted, false)
})

t.test('more concurrent messages at once than may wait are refused, and take none of the others with them', async (t) => {
  const handlers: Array<() => void> = []
  const many = defineRoom('many/:id', { messages: { work: { data: Type.Object({}), concurrent: true } } })
  const server = await start(t, {
    limits: { rate: { messages: 1_000, burst: 40 } },
    declare: (app) => {
      app.room(many, { on: { work: async () => { await new Promise<void>((resolve) => { handlers.push(resolve) }) } } })
    }
  })
  const { client } = dial(t, server, 'ada', { queue: { messages: 1_000 } })
  const room = client.join(many.at({ id: '1' }))
  await room.joined
  const peer = await connect(server, { rooms: ['many/1'], token: server.token('bob') })
  t.teardown(() => { peer.cut() })
  const send = (id: string): void => { peer.send({ type: 'work', room: 'many/1', id, data: {} }) }
  for (let n = 0; n < 30; n++) send(`${n}`)
  await until('they run', () => handlers.length === 30)
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  for (let n = 30; n < 65; n++) send(`${n}`)
  const { data } = await peer.next('error', ({ id }) => id === '64')
  t.match(data, { code: 'rate_limited', message: /wait/ })
  for (const end of handlers) end()
  for (let n = 0; n < 64; n++) await peer.next('ack', ({ id }) => id === `${n}`)
  t.equal(handlers.length, 64)
})

t.test('a contract whose concurrent is no boolean is refused', async (t) => {
  const wrong = defineRoom('wrong/:id', {
    messages: { work: { data: Type.Object({}), concurrent: 'yes' as unknown as boolean } }
  })
  const declare = (app: Running['app']): void => { app.room(wrong, { on: { work: async () => undefined } }) }
  const error = await rejection(start(t, { declare }))
  t.match(error, { code: 'REALTIME_ERR_ROOM', message: /concurrent is true or false/ })
})
