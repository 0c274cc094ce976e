import t, { type Test } from 'tap'
import { bridge } from '../../lib/bridge/index.js'
import { createPublisher } from '../../lib/index.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { createPeer } from '../../lib/testing/index.js'
import { ai } from '../helpers/growing-room.js'
import { chat, connect, declareChat, everyone, inbox, start, TRANSPORTS, type NetPeer, type Running } from '../helpers/net.js'

type Call = (...args: unknown[]) => Promise<unknown>
type Row = readonly [args: readonly unknown[], code: 'OPTIONS' | 'TARGET', says: string]

const SAID = ['chat/1', 'said', { text: 'x', by: 'eve' }] as const

/** Calls of `app.rooms` with a name that is misspelt, or known to another call alone. */
const MISSPELT: Readonly<Record<string, readonly Row[]>> = {
  broadcast: [
    [[...SAID, { exept: 'x' }], 'OPTIONS', 'exept is no option of a broadcast; did you mean "except"?'],
    [[...SAID, { except: 'x', timeout: 1 }], 'OPTIONS', 'timeout is no option of a broadcast; known here: except, id'],
    [[...SAID, { except: { user: 'x', romm: 'y' } }], 'OPTIONS', 'romm is no part of except of a broadcast; did you mean'],
    [[...SAID, { exept: undefined }], 'OPTIONS', 'exept is no option of a broadcast']
  ],
  broadcastWithAck: [
    [[...SAID, { timeuot: 1 }], 'OPTIONS', 'timeuot is no option of a broadcast; did you mean "timeout"?']
  ],
  request: [
    [[{ user: 'bob', romm: 'chat/1' }, 'shipped', {}], 'TARGET', 'romm is no part of a target of request; did you mean "room"?'],
    [[{ user: 'bob' }, 'shipped', { order: 'x' }, { time: 1 }], 'OPTIONS', 'time is no option of request']
  ],
  join: [
    [[{ user: 'bob', conection: 'x' }, 'chat/2'], 'TARGET', 'did you mean "connection"?'],
    [[{ user: 'bob', tokenId: 'x' }, 'chat/2'], 'TARGET', 'tokenId is no part of a target of join; known here: user']
  ],
  leave: [[[{ user: 'bob', conection: 'x' }, 'chat/1'], 'TARGET', 'conection is no part of a target of leave']],
  close: [
    [[{ user: 'bob', romm: 'chat/1' }], 'TARGET', 'romm is no part of a target of close; did you mean "room"?'],
    [[{ user: 'bob' }, { mesage: 'x' }], 'OPTIONS', 'mesage is no option of close; did you mean "message"?']
  ],
  revoke: [
    [[{ user: 'bob', romm: 'chat/1' }], 'TARGET', 'romm is no part of a target of revoke; did you mean "room"?'],
    [[{ user: 'bob', romm: undefined }], 'TARGET', 'romm is no part of a target of revoke'],
    [[{ user: 'bob' }, { untill: 5 }], 'OPTIONS', 'untill is no option of revoke; did you mean "until"?']
  ],
  ping: [
    [[{ user: 'bob', room: 'chat/1' }], 'TARGET', 'room is no part of a target of ping; known here: user, connection'],
    [[{ user: 'bob' }, { timeot: 1 }], 'OPTIONS', 'timeot is no option of ping; did you mean "timeout"?']
  ],
  connections: [
    [[{ userId: 'ada' }], 'OPTIONS', 'userId is no option of connections; did you mean "user"?'],
    [[{ rooms: ['chat/1'] }], 'OPTIONS', 'did you mean "room"?']
  ],
  isOnline: [[['ada', { gracee: true }], 'OPTIONS', 'gracee is no option of isOnline; did you mean "grace"?']],
  history: [[['chat/1', { sinse: { epoch: 'x', offset: 1 } }], 'OPTIONS', 'did you mean "since"?']],
  stream: [[['ai/1', 'answer', { id: 'a' }, { singal: 5 }], 'OPTIONS', 'did you mean "signal"?']],
  drain: [[[{ timeuot: 5 }], 'OPTIONS', 'timeuot is no option of drain; did you mean "timeout"?']]
}
/** Calls that take neither a target nor options. */
const PLAIN = [
  'broadcastAll', 'sendToUser', 'remove', 'clear', 'state', 'cancel', 'read', 'members', 'count', 'isAccepting', 'stats',
  'publish', 'constructor'
]

const declare = (app: Running['app']): void => {
  app.room(inbox)
  app.room(everyone)
  app.room(ai)
  declareChat(app)
}

async function refused (t: Test, call: () => Promise<unknown>, code: string, says: string): Promise<void> {
  // A writer is no promise, and is awaited as one.
  const error = await Promise.resolve().then(call)
    .then(() => undefined, (error: unknown) => error) as Error & { code?: string }
  t.equal(error?.code, `REALTIME_ERR_${code}`, says)
  t.ok(error?.message.includes(says), error?.message)
}

for (const transport of TRANSPORTS) {
  t.test(`a call of app.rooms with an unknown name is refused and does nothing to a peer over ${transport}`, async (t) => {
    const server = await start(t, { declare })
    const bob: NetPeer = await connect(server, { rooms: ['chat/1'], token: server.token('bob'), transport })
    const rooms = server.app.rooms as unknown as Record<string, Call>
    for (const [name, rows] of Object.entries(MISSPELT)) {
      for (const [args, code, says] of rows) await refused(t, async () => await rooms[name]!(...args), code, says)
    }
    await bob.fence()
    const { connections } = await server.app.rooms.connections({ user: 'bob' })
    t.same(connections.map(({ rooms }) => rooms.includes('chat/1')), [true], 'he is where he was')
    t.equal(server.app.rooms.isAccepting(), true)
  })
}

t.test('every method of app.rooms that takes a target or options is in the table', async (t) => {
  const { app } = await start(t, { declare })
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(app.rooms))
  t.same(names.sort(), [...Object.keys(MISSPELT), ...PLAIN].sort())
})

t.test('the room of a handler, a publisher, a bridge and createPeer refuse unknown names, too', async (t) => {
  let room: Record<string, Call> | undefined
  const adapter = memory()
  const server = await start(t, {
    adapter,
    declare: (app) => {
      app.room(ai)
      app.room(chat, {
        on: {
          say: () => ({ id: 'x' }),
          type (context) { room = context.room as unknown as Record<string, Call> }
        }
      })
    }
  })
  const bob = await connect(server, { rooms: ['chat/1'], token: server.token('bob') })
  bob.send({ type: 'type', room: 'chat/1', id: '1', data: {} })
  await bob.next('ack')
  const [, event, data] = SAID
  await refused(t, async () => await room!.broadcast!(event, data, { exept: 'x' }), 'OPTIONS', 'did you mean "except"?')
  await refused(t, async () => await room!.stream!('a', {}, { singal: 5 }), 'OPTIONS', 'did you mean "signal"?')
  await refused(t, async () => await createPublisher({ adapter, rooms: [], log: undefined, limit: {} } as never), 'OPTIONS', 'did you mean "limits"?')
  await refused(t, async () => await createPublisher(undefined as never), 'OPTIONS', 'are an object')
  const publisher = await createPublisher({ adapter: memory(), rooms: [chat] })
  t.teardown(async () => { await publisher.close() })
  await refused(t, async () => await publisher.broadcast(...SAID, { exept: 'x' } as never), 'OPTIONS', 'did you mean "except"?')
  const one = (made: object, options?: object): Promise<unknown> =>
    bridge(server.app.rooms, [1], (() => made) as never, options)
  const made = { room: 'chat/1', event, data, idempotencyKey: 'a' }
  await refused(t, async () => await one({ ...made, exept: 'x' }), 'OPTIONS', 'exept is no part of a bridged event')
  await refused(t, async () => await one(made, { comit: () => {} }), 'OPTIONS', 'did you mean "commit"?')
  await refused(t, async () => await createPeer(server.app, { rooom: 'x' } as never), 'OPTIONS', 'did you mean "room"?')
  await refused(t, async () => await createPeer(server.app, null as never), 'OPTIONS', 'options of createPeer()')
  await bob.fence()
})

t.test('app.room refuses options that are no object by the code of options', async (t) => {
  await start(t, {
    declare: (app) => {
      for (const bad of [null, 5, 'x']) t.throws(() => app.room(inbox, bad as never), { code: 'REALTIME_ERR_OPTIONS' })
    }
  })
})
