import t from 'tap'
import { Refusal } from '../../lib/errors/refusal.js'
import { matchList } from '../helpers/match-list.js'
import {
  chat, connect, declareChat, eventually, start, statsOf, TRANSPORTS, type Frame
} from '../helpers/net.js'

const error = (code: string) => (frame: Frame): boolean =>
  frame.type === 'error' && (frame.data as { code?: string }).code === code

for (const [what, frame, code] of [
  ['invalid JSON', '{"type":', 'invalid_message'],
  ['no object', '[1]', 'invalid_message'],
  ['a lone null', 'null', 'invalid_message'],
  ['no type', '{"room":"chat/1"}', 'invalid_message'],
  ['an unknown type', { type: 'nope', room: 'chat/1', id: 'x', data: {} }, 'message_unknown'],
  ['a frame of the server', { type: 'welcome', room: 'chat/1', id: 'x' }, 'invalid_message'],
  ['a schema violation', { type: 'say', room: 'chat/1', id: 'x', data: { text: 5 } }, 'invalid_message'],
  [
    'a property too many',
    { type: 'say', room: 'chat/1', id: 'x', data: { text: 'a', admin: true } },
    'invalid_message'
  ],
  ['no room', { type: 'say', id: 'x', data: { text: 'a' } }, 'invalid_message'],
  ['a room not joined', { type: 'say', room: 'chat/2', id: 'x', data: { text: 'a' } }, 'not_joined'],
  ['a room with ..', { type: 'say', room: 'chat/..', id: 'x', data: {} }, 'room_invalid'],
  ['a join of a room with ..', { type: 'join', room: 'chat/..', id: 'x' }, 'room_invalid'],
  ['a join of a room with %00', { type: 'join', room: 'chat/%00', id: 'x' }, 'room_invalid'],
  ['a join of a room with a raw NUL', { type: 'join', room: 'chat/\u0000', id: 'x' }, 'room_invalid'],
  ['a join of a room of 300 bytes', { type: 'join', room: `chat/${'x'.repeat(295)}`, id: 'x' }, 'room_invalid'],
  ['a join of an emoji', { type: 'join', room: 'chat/\u{1F680}', id: 'x' }, 'room_invalid'],
  ['a join of a doubled slash', { type: 'join', room: 'chat//1', id: 'x' }, 'room_invalid'],
  ['a join of __proto__', { type: 'join', room: '__proto__', id: 'x' }, 'room_unknown'],
  ['a join of an undeclared room', { type: 'join', room: 'nowhere', id: 'x' }, 'room_unknown'],
  [
    'a join with a position of a string',
    { type: 'join', room: 'chat/2', id: 'x', data: { since: 'now' } },
    'invalid_message'
  ],
  [
    'a join with a negative offset',
    { type: 'join', room: 'chat/2', id: 'x', data: { since: { epoch: 'abcdefgh', offset: -1 } } },
    'invalid_message'
  ],
  [
    'a join with a huge offset',
    { type: 'join', room: 'chat/2', id: 'x', data: { since: { epoch: 'abcdefgh', offset: 1e300 } } },
    'invalid_message'
  ],
  ['an id that is a number', { type: 'say', room: 'chat/1', id: 7, data: { text: 'a' } }, 'invalid_message'],
  [
    'an id of 200 characters',
    { type: 'say', room: 'chat/1', id: 'x'.repeat(200), data: { text: 'a' } },
    'invalid_message'
  ],
  [
    'a __proto__ key',
    '{"type":"say","room":"chat/1","id":"x","data":{"text":"a","__proto__":{"admin":true}}}',
    'invalid_message'
  ],
  [
    'an escaped __proto__ key',
    '{"type":"say","room":"chat/1","id":"x","data":{"text":"a","\\u005f_proto__":{"admin":true}}}',
    'invalid_message'
  ],
  [
    'a constructor.prototype key',
    '{"type":"say","room":"chat/1","id":"x","data":{"constructor":{"prototype":{"admin":true}}}}',
    'invalid_message'
  ],
  [
    '33 levels of nesting',
    `{"type":"say","room":"chat/1","id":"x","data":${'['.repeat(33)}${']'.repeat(33)}}`,
    'invalid_message'
  ],
  ['32 768 levels of nesting', '['.repeat(32_768), 'invalid_message'],
  ['a leave of a room not joined', { type: 'leave', room: 'chat/2', id: 'x' }, 'not_joined'],
  ['a spent ticket', { type: 'auth', id: 'x', data: { ticket: 'spent' } }, 'unauthorized']
] as const) {
  t.test(`${what} is answered ${code}, and everybody goes on`, async (t) => {
    const server = await start(t)
    const [peer, other] = [
      await connect(server, { rooms: ['chat/1'], token: server.token('ada') }),
      await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
    ]
    peer.send(frame as object)
    const answer = await peer.next(code, error(code))
    t.match(answer.data, { code, message: String, retry: String })
    if (typeof frame === 'object' && 'id' in frame && frame.id === 'x') t.equal(answer.id, 'x')
    peer.send({ type: 'say', room: 'chat/1', id: 'after', data: { text: 'still here' } })
    await peer.next('ack')
    t.match((await other.next('said')).data, { text: 'still here' })
    await other.fence()
    t.same(server.loud, [])
  })
}

t.test('a schema violation names the path and the reason of the first', async (t) => {
  const server = await start(t)
  const peer = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  peer.send({ type: 'say', room: 'chat/1', id: 'x', data: { text: 5, more: 1 } })
  matchList(t, (await peer.next('error')).data, {
    code: 'invalid_message',
    details: [{ path: '/more', message: /Unexpected/ }, { path: '/text', message: /Expected string/ }]
  })
})

for (const [what, send, end] of [
  ['a binary message', (peer: Sender) => { peer.send(Buffer.from('{"type":"ping"}')) }, /^4500 /],
  [
    'a message of 65 KiB',
    (peer: Sender) => { peer.send({ type: 'say', room: 'chat/1', data: { text: 'x'.repeat(66_560) } }) },
    /^1009/
  ],
  [
    '10 000 messages in a second',
    (peer: Sender) => {
      for (let i = 0; i < 10_000; i++) peer.send({ type: 'say', room: 'chat/1', id: `m-${i}`, data: { text: 'x' } })
    },
    /^4429 rate_limited/
  ],
  [
    '1 000 joins',
    (peer: Sender) => { for (let i = 0; i < 1_000; i++) peer.send({ type: 'join', room: `chat/j${i}`, id: `j-${i}` }) },
    /^4429 rate_limited/
  ]
] as const) {
  t.test(`${what} ends the connection with its code and nobody else's`, async (t) => {
    const server = await start(t)
    const [peer, other] = [
      await connect(server, { rooms: ['chat/1'], token: server.token('ada') }),
      await connect(server, { rooms: ['chat/2'], token: server.token('bob') })
    ]
    send(peer)
    await peer.ended
    await t.rejects(peer.next('nothing', () => false, 10), {
      message: new RegExp(`the connection ended: ${end.source.replace('^', '')}`)
    })
    await other.fence()
    t.same(server.loud, [])
    t.equal((await statsOf(server.app)).connections.total, 1)
  })
}

interface Sender { send (frame: object): void }

t.test('messages over the rate are refused with the time to wait, those within it are not', async (t) => {
  const server = await start(t, { limits: { rate: { messages: 0.001, burst: 10 } } })
  const peer = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  for (let i = 0; i < 15; i++) peer.send({ type: 'say', room: 'chat/1', id: `m-${i}`, data: { text: 'x' } })
  const refused = await peer.next('rate_limited', error('rate_limited'))
  t.match(refused.data, { code: 'rate_limited', retry: 'backoff', retryAfter: Number })
  const answers = await eventually(
    'an answer to each',
    () => peer.queue.all.filter(({ type }) => type === 'ack' || type === 'error'),
    ({ length }) => length === 15
  )
  t.equal(answers.filter(({ type }) => type === 'ack').length, 10)
})

t.test('a room with a rate of its own is not limited by the connection\'s', async (t) => {
  const server = await start(t, {
    limits: { rate: { messages: 1, burst: 5 } },
    declare: (app) => { declareChat(app, { limits: { rate: { messages: 1_000, burst: 200 } } }) }
  })
  const peer = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
  for (let i = 0; i < 60; i++) peer.send({ type: 'say', room: 'chat/1', id: `m-${i}`, data: { text: 'x' } })
  await eventually('acks', () => peer.queue.all.filter(({ type }) => type === 'ack').length, (count) => count === 60)
})

t.test('at most limits.rooms rooms are on one connection', async (t) => {
  const server = await start(t, { limits: { rooms: 3, rate: { messages: 1_000, burst: 1_000 } } })
  const peer = await connect(server, { token: server.token('ada') })
  for (let i = 0; i < 4; i++) peer.send({ type: 'join', room: `chat/${i}`, id: `j-${i}` })
  t.match(await peer.next('error'), { id: 'j-3', room: 'chat/3', data: { code: 'room_limit' } })
  await t.rejects(connect(server, { token: server.token('ada'), rooms: ['chat/1', 'chat/2', 'chat/3', 'chat/4'] }), {
    code: 'room_limit'
  })
})

t.test('only application/json is posted, and a body too large is 413', async (t) => {
  const server = await start(t)
  const post = async (body: string, type = 'application/json'): Promise<[number, string]> => {
    const answer = await fetch(`${server.url}/ws/chat/1`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.token('ada')}`, 'content-type': type },
      body
    })
    return [answer.status, (await answer.json() as { code: string }).code]
  }
  t.same(await post('type=say', 'application/x-www-form-urlencoded'), [415, 'invalid_message'])
  t.same(await post('{"type":"type","data":{}}', 'text/plain'), [415, 'invalid_message'])
  t.same(await post(`{"type":"say","data":{"text":"${'x'.repeat(66_000)}"}}`), [413, 'message_too_large'])
  t.same(await post('{"type":'), [400, 'invalid_message'])
  t.same(await post('{"type":"say","data":{"text":1}}'), [400, 'invalid_message'])
  t.same(await post('{"type":"nope","data":{}}'), [400, 'message_unknown'])
  t.same(await post('{"type":"join"}'), [400, 'invalid_message'])
  t.same(server.loud, [])
})

for (const transport of TRANSPORTS) {
  t.test(`${transport}: what a handler answers with 401 is about its message, and not about the credential of its sender`, async (t) => {
    const server = await start(t, {
      declare: (app) => {
        app.room(chat, {
          on: {
            say ({ data: { text } }) {
              throw text === 'word'
                ? new Refusal('unauthorized')
                : Object.assign(new Error('sign the form'), { statusCode: Number(text), code: 'unauthorized' })
            },
            type () {}
          }
        })
      }
    })
    const peer = await connect(server, { transport, rooms: ['chat/1'], token: server.token('ada') })
    const answers: unknown[] = []
    for (const [id, text] of ['401', '403', '401', 'word'].entries()) {
      // The third is the first, sent again.
      peer.send({ type: 'say', room: 'chat/1', id: `m${id % 2 === 0 ? 0 : id}`, data: { text } })
      const { data } = await peer.next('error')
      answers.push(`${(data as { code: string }).code} ${(data as { retry: string }).retry}`)
    }
    t.same(answers, ['unauthorized never', 'unauthorized never', 'unauthorized never', 'unauthorized refresh'])
    t.same((await statsOf(server.app)).connections.total, 1)
  })
}

t.test('a handler that throws, rejects, hangs or answers nonsense harms no other connection, nor the process', async (t) => {
  const faults: unknown[] = []
  const onFault = (error: unknown): void => { faults.push(error) }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)
  t.teardown(() => {
    process.off('uncaughtException', onFault)
    process.off('unhandledRejection', onFault)
  })
  const cycle: { id: string, self?: unknown } = { id: 'x' }
  cycle.self = cycle
  const acts: Record<string, () => unknown> = {
    throws: () => { throw new Error('secret text') },
    rejects: async () => { await null; throw new Error('secret text') },
    'rejects late': async () => {
      await new Promise((resolve) => { setTimeout(resolve, 5) })
      throw new Error('secret text')
    },
    'throws a 409': () => { throw Object.assign(new Error('seat taken'), { statusCode: 409, code: 'SEAT_TAKEN' }) },
    'throws undefined': () => { throw undefined }, // eslint-disable-line no-throw-literal
    hangs: async () => await new Promise(() => undefined),
    'answers a cycle': () => cycle,
    'answers a BigInt': () => ({ id: 'x', n: 1n }),
    'answers against its schema': () => ({ id: 7 })
  }
  const server = await start(t, {
    timeouts: { handler: 100 },
    declare: (app) => {
      app.room(chat, { on: { say: ({ data }) => acts[data.text]!() as { id: string }, type () {} } })
    }
  })
  const [peer, other] = [
    await connect(server, { rooms: ['chat/1'], token: server.token('ada') }),
    await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
  ]
  const outcomes: Record<string, string> = {}
  for (const act of Object.keys(acts)) {
    peer.send({ type: 'say', room: 'chat/1', id: act, data: { text: act } })
    const answer = await peer.next('error')
    outcomes[act] = (answer.data as { code: string }).code
    t.notMatch(JSON.stringify(answer), /secret/)
  }
  t.same(outcomes, {
    throws: 'internal',
    rejects: 'internal',
    'rejects late': 'internal',
    'throws a 409': 'SEAT_TAKEN',
    'throws undefined': 'internal',
    hangs: 'timeout',
    'answers a cycle': 'internal',
    'answers a BigInt': 'internal',
    'answers against its schema': 'internal'
  })
  await other.fence()
  await peer.fence()
  t.same(faults, [])
})

for (const place of ['authorize', 'onJoin', 'onLeave', 'presence'] as const) {
  for (const how of ['throws', 'rejects'] as const) {
    t.test(
      `when ${place} ${how} the peer is told internal at most, the error is logged, the process lives`,
      async (t) => {
        const faults: unknown[] = []
        const onFault = (error: unknown): void => { faults.push(error) }
        process.on('unhandledRejection', onFault)
        t.teardown(() => { process.off('unhandledRejection', onFault) })
        const act = (): never => { throw new Error('secret text') }
        const server = await start(t, {
          declare: (app) => {
            declareChat(app, { [place]: how === 'throws' ? act : async () => { await null; act() } })
          }
        })
        const peer = await connect(server, { token: server.token('ada') })
        peer.send({ type: 'join', room: 'chat/1', id: 'j' })
        const answer = await peer.next(place === 'onLeave' ? 'ack' : 'error')
        if (answer.type === 'error') t.match(answer, { id: 'j', room: 'chat/1', data: { code: 'internal' } })
        t.notMatch(JSON.stringify(answer), /secret/)
        peer.send({ type: 'leave', room: 'chat/1' })
        await peer.sync()
        await eventually('the log', () => server.loud.length, (count) => count > 0)
        t.same(faults, [])
      }
    )
  }
}

t.test(
  'a message sent twice with one id takes effect once and is acked both times, over WebSocket and POST alike',
  async (t) => {
    let runs = 0
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => { release = resolve })
    const server = await start(t, {
      declare: (app) => {
        app.room(chat, {
          on: {
            async say ({ data, room }) {
              runs++
              if (data.text === 'slow') await gate
              await room.broadcast('said', { text: data.text, by: 'x' })
              return { id: `run-${runs}` }
            },
            type () {}
          }
        })
      }
    })
    const peer = await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    const frame = { type: 'say', room: 'chat/1', id: 'c-1', data: { text: 'once' } }
    peer.send(frame)
    const first = await peer.next('ack')
    peer.send(frame)
    t.same(await peer.next('ack'), first)
    const posted = await fetch(`${server.url}/ws/chat/1`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.token('ada')}`, 'content-type': 'application/json' },
      body: JSON.stringify(frame)
    })
    t.same(await posted.json(), first)
    peer.send({ ...frame, data: { text: 'other' } })
    t.match((await peer.next('error')).data, { code: 'duplicate' })
    t.equal(runs, 1)
    const [slow, again] = [
      await connect(server, { rooms: ['chat/1'], token: server.token('ada') }),
      await connect(server, { rooms: ['chat/1'], token: server.token('ada') })
    ]
    const held = { type: 'say', room: 'chat/1', id: 'c-2', data: { text: 'slow' } }
    slow.send(held)
    await slow.sync()
    again.send(held)
    await again.sync()
    release()
    t.same(
      await again.next('ack'),
      await slow.next('ack'),
      'in progress it is not run twice: the second waits for the first'
    )
    t.equal(runs, 2)
    const bob = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
    bob.send(frame)
    await bob.next('ack')
    t.equal(runs, 3, 'ids are unique per user')
  }
)
