import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { connect as open } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, eventually, lobby, poll, postFrame, start, statsOf, type Frame, type NetPeer, type Posted, type Running
} from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'
import { missing, startRedis, until } from '../helpers/servers.js'

const skip = missing('redis-server')

async function nodes (t: Test, count: number): Promise<Running[]> {
  const broker = await startRedis(t)
  return await Promise.all(Array.from({ length: count }, async () => await start(t, {
    adapter: redis({ url: broker.url }),
    presence: { grace: 200 },
    declare: (app) => {
      app.room(lobby, { presence: ({ userId }) => ({ name: userId }) })
      app.room(chat, {
        on: {
          async say ({ data, userId, room, sender, messageId }) {
            await room.broadcast('said', { text: data.text, by: userId }, { except: sender })
            return { id: messageId ?? 'none', sender: sender ?? 'none' }
          },
          type () {}
        }
      })
    }
  })))
}

/** Asks until the peer is there to be asked: between two polls it is not. */
async function answered ({ app }: Running, peer: NetPeer, answer: (ack: string) => Promise<void>): Promise<unknown> {
  for (;;) {
    const result = app.rooms.broadcastWithAck('chat/1', 'said', { text: 'here?', by: 'x' }, { timeout: 5_000 })
    const event = await peer.next('here?', (frame) => 'ack' in frame, 500).catch(() => undefined)
    if (event !== undefined) await answer((event as unknown as { ack: string }).ack)
    const found = await result
    if (event !== undefined) return found
  }
}

const textsOf =
  ({ queue }: NetPeer): string[] =>
    queue.all.filter(({ type }) => type === 'said').map(({ data }) => (data as { text: string }).text)

for (const transport of ['sse', 'polling'] as const) {
  t.test(`over ${transport} a POST does the same at whichever node it comes to: except, acks, pongs, members, leave`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, 2) as [Running, Running]
    const token = a.token('ada')
    const ada = await connect(a, { transport, token, rooms: ['chat/1'] })
    const bob = await connect(a, { token: a.token('bob'), rooms: ['chat/1'] })
    t.match(await postFrame(b, token, ada.id, { type: 'say', room: 'chat/1', id: '1', data: { text: 'own' } }), {
      status: 200,
      type: 'ack'
    })
    t.match(await postFrame(b, b.token('eve'), ada.id, { type: 'say', room: 'chat/1', id: '1', data: { text: 'eve\'s' } }), {
      status: 200
    })
    await bob.next('eve\'s', ({ data }) => (data as { text?: string } | undefined)?.text === 'eve\'s')
    await ada.next('said')
    t.same(
      [textsOf(ada), textsOf(bob)],
      [['eve\'s'], ['own', 'eve\'s']],
      'nobody is left out by naming the connection of another user'
    )

    await bob.close()
    for (const asking of [a, b]) {
      const result = await answered(asking, ada, async (ack) => {
        t.match(await postFrame(b, b.token('eve'), ada.id, { type: 'ack', id: ack }), { status: 200 })
        t.match(await postFrame(b, token, ada.id, { type: 'ack', id: ack }), { status: 200 })
      })
      t.same(result, { acked: ['ada'], missing: [], left: [], unknown: 0 })
    }

    const pinged = a.app.rooms.ping({ connection: ada.id }, { timeout: 5_000 })
    t.match(await postFrame(b, token, ada.id, { type: 'pong', id: 'of nothing' }), { status: 200 })
    t.match(await pinged, { alive: true })
    t.match(await postFrame(b, token, ada.id, { type: 'members', room: 'crowd/1', id: 'm' }), {
      status: 200,
      data: { total: 0 }
    })

    t.match(
      await postFrame(b, b.token('eve'), ada.id, { type: 'leave', room: 'chat/1', id: 'l' }),
      { status: 400, code: 'not_joined' },
      'the id of another user proves nothing'
    )
    t.match(await postFrame(b, token, ada.id, { type: 'leave', room: 'chat/2', id: 'l' }), {
      status: 400,
      code: 'not_joined'
    })
    t.match(await postFrame(b, token, ada.id, { type: 'leave', room: 'chat/1', id: 'l' }), {
      status: 200,
      type: 'ack',
      room: 'chat/1'
    })
    t.match(await postFrame(b, token, ada.id, { type: 'leave', room: 'chat/1', id: 'l' }), {
      status: 400,
      code: 'not_joined'
    })
    t.match(await postFrame(b, token, ada.id, { type: 'leave' }), { status: 200, type: 'ack' })
    // A poll that goes on is a new one.
    if (transport === 'sse') await ada.ended
    else ada.cut()
  })
}

t.test('a connection that no node has is not waited for longer than two seconds, and may be asked for again', {
  skip,
  timeout: 30_000
}, async (t) => {
  const [a] = await nodes(t, 1) as [Running]
  const gone = await connect(a, { token: a.token('ada') })
  await gone.close()
  await until(
    'it is gone',
    async () => (await a.app.rooms.stats() as { connections: { total: number } }).connections.total === 0
  )
  const began = performance.now()
  t.match(await postFrame(a, a.token('ada'), gone.id, { type: 'leave', room: 'chat/1', id: 'l' }), {
    status: 503,
    code: 'unavailable',
    retry: 'backoff'
  })
  const waited = performance.now() - began
  t.ok(waited < 4_000, `${Math.round(waited)} ms; the rest is the time of a busy machine`)
})

t.test(
  'an id that nobody was given, or another user, is no connection of the caller: no node is asked for it, and no handler is told of it',
  {
    skip,
    timeout: 30_000
  },
  async (t) => {
    const [a, b] = await nodes(t, 2) as [Running, Running]
    const ada = await connect(a, { transport: 'sse', token: a.token('ada'), rooms: ['chat/1'] })
    for (const [user, id] of [['ada', 'A'.repeat(22)], ['eve', ada.id]] as const) {
      t.match(await postFrame(b, b.token(user), id, { type: 'leave', room: 'chat/1', id: 'l' }), {
        status: 400,
        code: 'not_joined'
      })
      t.match(await postFrame(b, b.token(user), id, { type: 'auth', data: { ticket: 'x' } }), {
        status: 400,
        code: 'not_joined'
      })
      t.same(
        (await postFrame(b, b.token(user), id, {
          type: 'say',
          room: 'chat/1',
          id: `${user} ${id}`,
          data: { text: 'who?' }
        })).data,
        { id: `${user} ${id}`, sender: 'none' }
      )
    }
    t.same(
      (await postFrame(b, b.token('ada'), ada.id, { type: 'say', room: 'chat/1', id: 'own', data: { text: 'mine' } })).data,
      { id: 'own', sender: ada.id }
    )
  }
)

for (const transport of ['sse', 'polling', 'websocket'] as const) {
  t.test(
    `over ${transport} a credential is renewed by a POST at whichever node it comes to, and by no other user's ticket`,
    {
      skip,
      timeout: 30_000
    },
    async (t) => {
      const [a, b] = await nodes(t, 2) as [Running, Running]
      const ada = await connect(a, { transport, token: a.token('ada', {}, 2), rooms: ['chat/1'] })
      const ticketOf = async (token: string): Promise<string> => {
        const answer = await fetch(`${b.url}/ws/ticket`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', connection: 'close' },
          body: '{}'
        })
        return (await answer.json() as { ticket: string }).ticket
      }
      const token = b.token('ada', {}, 600)
      t.match(await postFrame(b, token, ada.id, { type: 'auth', id: 'x', data: { ticket: 'made up' } }), {
        status: 401,
        code: 'unauthorized'
      })
      const answer = await postFrame(b, token, ada.id, { type: 'auth', id: 'x', data: { ticket: await ticketOf(token) } })
      t.match(answer, { status: 200, type: 'ack', id: 'x', data: { expires: Number } })
      t.ok((answer.data as { expires: number }).expires > Date.now() + 300_000)
      const other = await postFrame(b, token, ada.id, { type: 'auth', data: { ticket: await ticketOf(b.token('eve')) } })
      t.match(other, { status: 403, code: 'forbidden' })
      if (transport !== 'polling') await ada.ended
      else ada.cut()
    }
  )
}

for (const transport of ['sse', 'polling'] as const) {
  t.test(`the client over ${transport} speaks, hears, acks and leaves through a balancer that never picks the same node twice`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const all = await nodes(t, 3)
    const balancer = new FaultProxy(all.map(({ port }) => port))
    const port = await balancer.listen()
    t.teardown(async () => { await balancer.close() })
    // A socket of its own for each request, so that each is another turn.
    const ask: typeof fetch = async (input, init) => await fetch(input, {
      ...init,
      headers: { ...init?.headers as Record<string, string>, connection: 'close' }
    })
    const client = open(`http://127.0.0.1:${port}/ws`, {
      token: all[0]!.token('ada'),
      transports: [transport],
      fetch: ask,
      WebSocket
    })
    t.teardown(() => { client.close() })
    const room = client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    room.on('said', ({ data }) => { heard.push(data.text) })
    await room.joined
    const witness = await connect(all[1]!, { token: all[1]!.token('bob'), rooms: ['chat/1'] })
    for (let index = 0; index < 6; index++) {
      t.match(await room.send('say', { text: `own ${index}` }), { id: String })
      await all[index % 3]!.app.rooms.broadcast('chat/1', 'said', { text: `other ${index}`, by: 'x' })
    }
    await until('all is heard', () => heard.length >= 6, 20_000)
    t.same(heard, Array.from({ length: 6 }, (_, index) => `other ${index}`), 'its own are not sent to it')
    t.equal(textsOf(witness).filter((text) => text.startsWith('own')).length, 6)
    await witness.close()
    for (const node of all) {
      // Between two polls it is not there to be asked.
      await until(
        'it has answered',
        async () => (await node.app.rooms.broadcastWithAck('chat/1', 'said', { text: 'here?', by: 'x' }, {
          timeout: 2_000
        })).acked.includes('ada'),
        20_000
      )
    }
    room.leave()
    await eventually('it has left', async () => {
      const before = heard.length
      await all[0]!.app.rooms.broadcast('chat/1', 'said', { text: 'gone?', by: 'x' })
      await new Promise((resolve) => { setTimeout(resolve, 300) })
      return heard.length === before
    }, Boolean)
  })
}

const quiz = defineRoom('quiz/:id', {
  events: { choose: { data: Type.Object({}), reply: Type.String() }, said: Type.Object({ text: Type.String() }) }
})
const QUIZ = { presence: { grace: 10_000 }, declare: (app: Running['app']) => { app.room(quiz) } }

/** A peer that polls one node and then the other one, which has told the first of it. */
class Walker {
  readonly token: string
  readonly #nodes: readonly [Running, Running]
  id = ''
  cursor = ''

  constructor (nodes: readonly [Running, Running], user: string) {
    this.#nodes = nodes
    this.token = nodes[0].token(user)
  }

  async poll (node: Running, wait = '0'): Promise<{ readonly frames: Frame[], readonly rooms: object }> {
    const since: Record<string, string> = this.cursor === '' ? {} : { since: this.cursor, wait }
    const { connectionId, cursor, frames, rooms } = await poll(node, {
      rooms: ['quiz/1'],
      token: this.token,
      query: since
    })
    this.id = connectionId
    this.cursor = cursor
    return { frames, rooms }
  }

  async move (): Promise<void> {
    const { id } = this
    const [from, to] = this.#nodes
    await this.poll(to)
    t.equal(this.id, id)
    if (from !== to) await until('it has left', async () => (await statsOf(from.app)).connections.total === 0)
  }

  async say (node: Running, frame: object): Promise<Posted> { return await postFrame(node, this.token, this.id, frame) }
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a peer that polls another node after it was asked may answer at either, whichever node has asked`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, QUIZ)
    const eve = b.token('eve')
    for (const asking of [a, b]) {
      for (const at of [a, b]) {
        const ada = new Walker([a, b], 'ada')
        await ada.poll(a)
        const ask = async (): Promise<unknown> =>
          await asking.app.rooms.request({ connection: ada.id, room: 'quiz/1' }, 'choose', {}, { timeout: 20_000 }).catch(
            ({ code }: { code: string }) => code
          )
        const asked = Promise.all([ask(), ask()])
        const ackOf = (frames: Frame[], type: string): string[] =>
          frames.filter((frame) => frame.type === type).map((frame) => (frame as unknown as { ack: string }).ack)
        const chosen: string[] = []
        while (chosen.length < 2) chosen.push(...ackOf((await ada.poll(a, '5000')).frames, 'choose'))
        let told: Promise<object> | undefined
        let said: string | undefined
        // It is offered to who is there when it comes, and not to a peer between two polls.
        while (said === undefined) {
          const polled = ada.poll(a, '1000')
          await ada.say(a, { type: 'pong', id: 'a fence' })
          told = asking.app.rooms.broadcastWithAck('quiz/1', 'said', { text: 'x' }, { timeout: 3_000 })
          said = ackOf((await polled).frames, 'said')[0]
        }
        const pinged = a.app.rooms.ping({ connection: ada.id }, { timeout: 20_000 })
        const ping = (await ada.poll(a, '5000')).frames.find(({ type }) => type === 'ping')!.id
        await ada.move()
        t.match(await postFrame(at, eve, ada.id, { type: 'ack', id: chosen[0], data: 'joker' }), { status: 200 })
        t.match(await ada.say(at, { type: 'ack', id: chosen[0], data: 'ace' }), { status: 200 })
        t.match(await ada.say(at, { type: 'ack', id: chosen[1], error: 5 }), { status: 400 })
        t.match(await ada.say(at, { type: 'ack', id: said }), { status: 200 })
        t.match(await postFrame(at, eve, ada.id, { type: 'pong', id: ping }), { status: 200 })
        t.match(await ada.say(at, { type: 'pong', id: ping }), { status: 200 })
        t.match(await pinged, { alive: true })
        t.same((await asked).toSorted(), ['ace', 'invalid_message'], 'which of them came first is not said')
        t.same(await told, { acked: ['ada'], missing: [], left: [], unknown: 0 })
        await ada.say(at, { type: 'leave' })
      }
    }
  })
}

/** What the node has told before is known to the other one when that has answered. */
async function fence ({ app }: Running): Promise<void> { await app.rooms.connections() }

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a peer that is asked between two polls hears the question once, at whichever node it polls next`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, QUIZ)
    for (const node of [a, b]) {
      const nobody = node.app.rooms.request({ user: 'nobody', room: 'quiz/1' }, 'choose', {})
      await t.rejects(nobody, { code: 'not_joined' }, 'it knows the other one')
    }
    const acksOf = (frames: Frame[]): string[] => frames.filter(({ type }) => type === 'choose').map(
      (frame) => (frame as unknown as { ack: string }).ack
    )
    for (const asking of [a, b]) {
      const other = await connect(b, { token: b.token('ada'), rooms: ['quiz/1'] })
      const ada = new Walker([a, b], 'ada')
      const ask = async (target: { user: string } | { connection: string }): Promise<unknown> =>
        await asking.app.rooms.request({ ...target, room: 'quiz/1' }, 'choose', {}, { timeout: 20_000 }).catch(
          ({ code }: { code: string }) => code
        )
      const heard = async (asked: number): Promise<string[]> => {
        await fence(asking)
        const acks: string[] = []
        while (acks.length < asked) acks.push(...acksOf((await ada.poll(b, '5000')).frames))
        acks.push(...acksOf((await ada.poll(b)).frames))
        t.equal(acks.length, asked)
        return acks
      }
      await ada.poll(a)
      const answers = [ask({ connection: ada.id }), ask({ user: 'ada' })]
      const { ack } = await other.next('choose') as unknown as { ack: string }
      for (const id of await heard(2)) {
        if (id === ack) other.send({ type: 'ack', id, error: { code: 'busy', message: 'not now' } } as never)
        t.match(await ada.say(b, { type: 'ack', id, data: id }), { status: 200 })
      }
      matchList(t, await Promise.all(answers), [String, ack])
      await ada.say(b, { type: 'leave' })
      await until('it has gone', async () => (await statsOf(a.app)).connections.total === (a === b ? 1 : 0))

      const leaver = new Walker([a, b], 'ada')
      await leaver.poll(a)
      const unanswered = asking.app.rooms.request({ connection: leaver.id, room: 'quiz/1' }, 'choose', {}, { timeout: 20_000 })
      const refused = t.rejects(unanswered, { code: 'not_joined' }, 'it has gone without an answer')
      await fence(asking)
      let told: string[] = []
      while (told.length === 0) told = acksOf((await leaver.poll(b, '5000')).frames)
      await leaver.say(b, { type: 'leave' })
      await refused
      await other.close()
    }
  })
}

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: a peer that polls hears at another node too that it was taken out of its room, once, and stays out`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, QUIZ)
    const left = { type: 'left', room: 'quiz/1', data: { code: 'left' } }
    const parked = new Walker([a, b], 'ada')
    await parked.poll(a)
    await a.app.rooms.leave({ connection: parked.id }, 'quiz/1')
    await a.app.rooms.broadcast('quiz/1', 'said', { text: 'not for who has left' })
    await fence(a)
    const { frames, rooms } = await parked.poll(b, '5000')
    matchList(t, frames, [left])
    t.same(rooms, {})
    for (const node of [b, a, b]) t.same(await parked.poll(node), { frames: [], rooms: {} })
    t.equal((await b.app.rooms.broadcast('quiz/1', 'said', { text: 'nobody is here' })).recipients, 0)

    const told = new Walker([a, b], 'ada')
    await told.poll(a)
    await a.app.rooms.leave({ connection: told.id }, 'quiz/1')
    matchList(t, (await told.poll(a, '5000')).frames, [left])
    t.same(await told.poll(b), { frames: [], rooms: {} })

    const again = new Walker([a, b], 'ada')
    await again.poll(a)
    await a.app.rooms.leave({ connection: again.id }, 'quiz/1')
    await again.poll(a, '5000')
    const polled = again.poll(a, '5000')
    await eventually('it is put into the room', async () => await a.app.rooms.join({ connection: again.id }, 'quiz/1'), Boolean)
    matchList(t, (await polled).frames, [{ type: 'joined', room: 'quiz/1' }])
    await fence(a)
    t.match((await again.poll(b)).rooms, { 'quiz/1': Object })

    const own = new Walker([a, b], 'ada')
    await own.poll(a)
    t.match(await own.say(b, { type: 'leave', room: 'quiz/1' }), { status: 200 })
    await fence(a)
    for (const node of [b, b, a]) t.same(await own.poll(node), { frames: [], rooms: {} })
    await Promise.all([parked, told, again, own].map(async (each) => await each.say(b, { type: 'leave' })))
  })

  t.test(`${name}: a peer that polls hears at another node too why its connection was ended for good`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const [a, b] = await nodes(t, QUIZ)
    for (const by of [a, b]) {
      const ada = new Walker([a, b], 'ada')
      await ada.poll(a)
      await by.app.rooms.revoke({ connection: ada.id }, { message: 'out' })
      await until('it has ended', async () => (await statsOf(a.app)).connections.total === 0)
      await fence(a)
      const refused = await ada.poll(b).catch((error: unknown) => error)
      t.match(refused, { statusCode: 403, body: { code: 'revoked', message: 'out' } })
    }
  })
}
