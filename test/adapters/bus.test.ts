import { createHash } from 'node:crypto'
import { Kvm, type KV } from '@nats-io/kv'
import { connect as connectNats } from '@nats-io/transport-node'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { stateKey } from '../../lib/adapters/nats/tokens.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { parsePositions } from '../../lib/adapters/broker/payload.js'
import { matchList } from '../helpers/match-list.js'
import { connect, declareChat, lobby, start, type NetPeer, type Running } from '../helpers/net.js'
import { missing, startNats, startRedis, until } from '../helpers/servers.js'
import { node, reliable, said, textOf } from '../../lib/adapters/contract/host.js'

type Say = (where: 'control' | 'room', text: string | Buffer) => Promise<void>
/** Keeps a text as the second event of the room. */
type Keep = (text: string) => Promise<void>

interface Bus {
  readonly name: string
  readonly program: string
  readonly open: (t: Test) => Promise<{ url: string, adapter: () => ReturnType<typeof redis>, say: Say, keep: Keep }>
}

const ROOM = 'chat/1'
const CONNECTION = 'AAAAAAAAAAAAAAAAAAAAAA'

const buses: readonly Bus[] = [
  {
    name: 'redis',
    program: 'redis-server',
    open: async (t) => {
      const { url } = await startRedis(t)
      const raw = new Redis(url)
      t.teardown(() => { raw.disconnect() })
      return {
        url,
        adapter: () => redis({ url }),
        say: async (where, text) => {
          t.equal(
            await raw.call(
              'SPUBLISH',
              where === 'control' ? 'realtime:{control}:messages' : `realtime:{${ROOM}}:events`,
              text
            ),
            1,
            'the node hears it'
          )
        },
        keep: async (text) => {
          await raw.hset(`realtime:{${ROOM}}:meta`, 'offset', '2')
          await raw.xadd(`realtime:{${ROOM}}:stream`, `2-${Date.now()}`, 'e', text)
        }
      }
    }
  },
  {
    name: 'nats',
    program: 'nats-server',
    open: async (t) => {
      const { url } = await startNats(t)
      const raw = await connectNats({ servers: [url] })
      t.teardown(async () => { await raw.close() })
      return {
        url,
        adapter: () => nats({ url }),
        say: async (where, text) => {
          raw.publish(
            where === 'control' ? 'realtime.control' : `realtime.room.${Buffer.from(ROOM).toString('base64url')}`,
            text
          )
          await raw.flush()
        },
        keep: async (text) => {
          raw.publish(
            `realtime.kept.${createHash('sha1').update('chat/:id').digest('hex').slice(0, 12)}.${Buffer.from(ROOM).toString('base64url')}`,
            text
          )
          await raw.flush()
        }
      }
    }
  }
]

t.test('former positions that are none are left out and told of, those beside them count', async (t) => {
  let told = 0
  const read = (text: string): unknown => parsePositions(text, () => { told++ })
  t.same(read(''), [])
  t.same(
    read('abcdefgh 5 ABCDEFGH! 9'),
    [{ epoch: 'abcdefgh', offset: 5 }, { epoch: 'ABCDEFGH', offset: 9, isLossy: true }]
  )
  t.equal(told, 0)
  for (const wrong of [
    'x', 'abcdefgh', 'abcdefgh -1', 'abcdefgh 1.5', 'abcdefgh 1e99', 'abcdefgh NaN', 'short 1', 'abcdefgh ', '! 1',
    'abcdefgh!! 1'
  ]) {
    told = 0
    t.same(read(wrong), [], wrong)
    t.ok(told > 0, wrong)
    t.same(read(`abcdefgh 5 ${wrong}`), [{ epoch: 'abcdefgh', offset: 5 }])
  }
})

const control = (message: unknown): string => `tag node\n${JSON.stringify(message)}`
const event =
  (head: unknown, data = '{"text":"x","by":"y"}', kind = 'v'): string =>
    `${kind}\no-1\n${typeof head === 'string' ? head : JSON.stringify(head)}\n${data}`

/** What is no message of this version: each is counted, and nothing else becomes of it. */
const STRANGE: ReadonlyArray<readonly [what: string, where: 'control' | 'room', text: string | Buffer]> = [
  ['nothing', 'control', ''],
  ['bytes that are no text', 'control', Buffer.from([0xff, 0xfe, 0, 10, 0x7b])],
  ['a line without a message', 'control', 'tag node\n'],
  ['broken JSON', 'control', 'tag node\n{broken'],
  ...[
    null,
    5,
    'text',
    true,
    [],
    {}
  ].map((value) => [`JSON ${JSON.stringify(value)}`, 'control', control(value)] as const),
  ['a type of a later version', 'control', control({ type: 'teleport', user: 'ada' })],
  ['a form of a later version', 'control', control({ v: 2, type: 'revoke', user: 'ada' })],
  ['a type that objects inherit', 'control', control({ type: 'constructor' })],
  ['a join without target', 'control', control({ type: 'join', room: ROOM })],
  ['a join of an object', 'control', control({ type: 'join', user: {}, room: ROOM })],
  ['a join of an undeclared room', 'control', control({ type: 'join', user: 'ada', room: 'nowhere/1' })],
  ['a join of a name that is none', 'control', control({ type: 'join', user: 'ada', room: 'chat/../1' })],
  ['a join of a room as a list', 'control', control({ type: 'join', user: 'ada', room: [ROOM] })],
  ['a join of somebody else\'s own room', 'control', control({ type: 'join', user: 'ada', room: '@user/bob' })],
  ['a leave of everybody\'s room', 'control', control({ type: 'leave', user: 'ada', room: '@all' })],
  ['members that are none', 'control', control({ type: 'members', ack: 'x', members: null })],
  ['a member without a user', 'control', control({ type: 'members', ack: 'x', members: [{ connection: CONNECTION }] })],
  ['an answer without a connection', 'control', control({ type: 'acked', ack: 'x' })],
  ['a revocation of nobody', 'control', control({ type: 'revoke' })],
  ['a revocation of a number', 'control', control({ type: 'revoke', user: 5 })],
  ['a revocation until a word', 'control', control({ type: 'revoke', user: 'zoe', until: 'x' })],
  ['a revocation until after the end of time', 'control', control({ type: 'revoke', user: 'zoe', until: 1e300 })],
  ['a move without a user', 'control', control({ type: 'moved', connection: CONNECTION })],
  ['polls that are owed nothing', 'control', control({ type: 'owed', told: [] })],
  ['an ending for no reason', 'control', control({ type: 'owed', told: [{ user: 'ada', connection: CONNECTION }] })],
  ['an ending of nobody', 'control', control({ type: 'owed', told: [{ connection: CONNECTION, code: 'revoked' }] })],
  ['a user of a megabyte', 'control', control({ type: 'revoke', user: 'z'.repeat(1_000_000) })],
  ['nothing', 'room', ''],
  ['a word', 'room', 'hello'],
  ['a kind of a later version', 'room', 'z\no-1\n{}\n{}'],
  ['a presence that is no JSON', 'room', 'p\n{broken'],
  ...[
    null,
    5,
    [],
    {},
    { sequence: 'x', joined: [], left: [] },
    { sequence: -1, joined: [], left: [] },
    { sequence: 9e15, joined: [], left: [] },
    { sequence: 1, joined: {}, left: [] },
    { sequence: 1, joined: [null], left: [] },
    { sequence: 1, joined: [{ userId: 7 }], left: [] },
    { v: 2, sequence: 1, joined: [], left: [] }
  ]
    .map((value) => [`the presence ${JSON.stringify(value)}`, 'room', `p\n${JSON.stringify(value)}`] as const),
  [
    'a presence of a thousand brackets',
    'room',
    `p\n{"sequence":1,"joined":[],"left":[],"x":${'['.repeat(1_000)}${']'.repeat(1_000)}}`
  ],
  ['a head that is no JSON', 'room', event('{broken')],
  ['no head', 'room', 'v\no-1'],
  ['no data', 'room', 'v\no-1\n{"t":"said","s":1}'],
  ...[null, 5, [], {}].map((value) => [`the head ${JSON.stringify(value)}`, 'room', event(value)] as const),
  ['a form of a later version', 'room', event({ w: 2, t: 'said', s: 1 })],
  ['data that is no JSON', 'room', event({ t: 'said', s: 1 }, '{broken')],
  ['data in two lines', 'room', event({ t: 'said', s: 1 }, '{"text":\n"x"}')],
  ['data of a thousand brackets', 'room', event({ t: 'said', s: 1 }, `${'['.repeat(1_000)}${']'.repeat(1_000)}`)],
  ['a type with a line break', 'room', event({ t: 'said\nid: evil', s: 1 })],
  ['a type of the protocol', 'room', event({ t: 'welcome', s: 1 })],
  ['a type that is a number', 'room', event({ t: 5, s: 1 })],
  ['a time that is a word', 'room', event({ t: 'said', s: 'now' })],
  ['a time beyond whole numbers', 'room', event({ t: 'said', s: 1e20 })],
  ['an unknown delivery', 'room', event({ t: 'said', s: 1, d: 'append' })],
  ['a key that is an object', 'room', event({ t: 'score', s: 1, d: 'latest', k: {} }, '{}', 'l 5')],
  ['whom to leave out: nobody', 'room', event({ t: 'said', s: 1, x: null, a: 'zz.1' })],
  ['whom to leave out: a word', 'room', event({ t: 'said', s: 1, x: CONNECTION })],
  ['whom to leave out: no connection', 'room', event({ t: 'said', s: 1, x: { user: 'ada' } })],
  ['an id to answer that is a number', 'room', event({ t: 'said', s: 1, a: 5 })],
  [
    'a version that is a word',
    'room',
    event({ t: 'score', s: 1, d: 'latest', k: 'a' }, '{"team":"a","points":1}', 'l x')
  ],
  [
    'a version beyond whole numbers',
    'room',
    event({ t: 'score', s: 1, d: 'latest', k: 'a' }, '{"team":"a","points":1}', 'l 1e300')
  ],
  [
    'a version of the year 2255',
    'room',
    event({ t: 'score', s: 1, d: 'latest', k: 'a' }, '{"team":"a","points":1}', 'l 9000000000000000')
  ]
]

/** Positions stand in the messages of Redis alone. */
const STRANGE_POSITIONS: typeof STRANGE = [
  ['no position', 'room', 'r\n'],
  ['an offset that is a word', 'room', event({ t: 'said', s: 1 }, '{}', 'r abcdefgh NaN')],
  ['an offset beyond whole numbers', 'room', event({ t: 'said', s: 1 }, '{}', 'r abcdefgh 9007199254740993')],
  ['an offset below 0', 'room', event({ t: 'said', s: 1 }, '{}', 'r abcdefgh -1')],
  ['an epoch of another length', 'room', event({ t: 'said', s: 1 }, '{}', 'r abc 5')],
  ['an epoch with a line break', 'room', 'r abcd\nfgh 5\no-1\n{"t":"said","s":1}\n{}'],
  ['the next place with a head that is no JSON', 'room', event('{broken', '{}', 'r EPOCH NEXT')],
  ['the next place with the head null', 'room', event(null, '{}', 'r EPOCH NEXT')],
  ['the next place with data that is no JSON', 'room', event({ t: 'said', s: 1 }, '{broken', 'r EPOCH NEXT')]
]

/** What nodes keep in a NATS server, as somebody else may write it. */
async function bucketsOf (t: Test, url: string): Promise<Record<'state' | 'claimed' | 'denied', KV>> {
  const connection = await connectNats({ servers: [url] })
  t.teardown(async () => { await connection.close() })
  const kvm = new Kvm(connection)
  return {
    state: await kvm.open('realtime_state'),
    claimed: await kvm.open('realtime_claims'),
    denied: await kvm.open('realtime_denials')
  }
}

async function undecodable ({ app }: Running): Promise<number> {
  return ((await app.rooms.stats()).adapter as { undecodable: number }).undecodable
}

for (const { name, program, open } of buses) {
  t.test(
    `${name}: whatever is said on its channels, the process, the connections and the events go on, and it is counted`,
    {
      skip: missing(program),
      timeout: 120_000
    },
    async (t) => {
      const { adapter, say } = await open(t)
      const server = await start(t, {
        adapter: adapter(),
        declare: (app) => {
          declareChat(app)
          app.room(lobby, { presence: () => ({ name: 'x' }) })
        }
      })
      const ada: NetPeer = await connect(server, { rooms: [ROOM], token: server.token('ada') })
      const broadcast = async (text: string): Promise<{ epoch: string, offset: number }> => {
        const { position } = await server.app.rooms.broadcast(ROOM, 'said', { text, by: 'x' })
        await ada.next(`said ${text}`, ({ type, data }) => type === 'said' && (data as { text: string }).text === text)
        return position!
      }
      let top = await broadcast('before')
      let count = await undecodable(server)
      t.equal(count, 0)
      for (const [what, where, text] of [...STRANGE, ...(name === 'redis' ? STRANGE_POSITIONS : [])]) {
        await say(
          where,
          typeof text === 'string' ? text.replace('EPOCH', top.epoch).replace('NEXT', String(top.offset + 1)) : text
        )
        count++
        await until(`${what} on ${where} is counted`, async () => await undecodable(server) === count, 5_000)
        top = await broadcast(`after ${what} on ${where}`)
      }
      await ada.fence()
      t.equal((await server.app.rooms.stats() as { connections: { total: number } }).connections.total, 1)
      const said = server.loud as Array<{ msg: string, kind?: string, size?: number, undecodable?: number }>
      matchList(
        t,
        said,
        [{ msg: /cannot read/, kind: 'control' }, { msg: /cannot read/, kind: 'control', size: 0 }],
        'what the adapter and what the node cannot read, once a minute each'
      )
      t.equal(said.length, 2)
      t.notMatch(server.lines.join(''), /teleport|nowhere\/1|evil/, 'without a word of it')
    }
  )

  // Redis has this state in types of its own, which hold no text that could be unreadable.
  if (name === 'nats') {
    t.test(
      `${name}: what is kept as state and cannot be read counts as none and is counted, and the next change mends it`,
      {
        skip: missing(program)
      },
      async (t) => {
        const { adapter, url } = await open(t)
        const own = await node(t, adapter())
        const { leases, claims, denials, presence } = own.adapter
        await denials!.isDenied(['user:nobody'])
        await leases!.count('user:nobody')
        await claims!.take('nobody')
        const { state, claimed, denied } = await bucketsOf(t, url)
        const keys = [
          [state, stateKey('lease', 'user:ann')],
          [claimed, stateKey('claim', 'ann 1')],
          [claimed, stateKey('value', 'ticket')],
          [state, stateKey('presence', ROOM)]
        ] as const
        const counted = (): number => Number(own.adapter.stats!().undecodable)
        const unread = async (what: string, read: () => unknown): Promise<unknown> => {
          const before = counted()
          const value = await read()
          t.ok(counted() > before, what)
          return value
        }
        for (const text of ['}', 'null', '[]', '{"v":"9"}', '"x"']) {
          for (const [bucket, key] of keys) await bucket.put(key, text)
          await denied.put(stateKey('denial', 'user:ann'), text)
          t.equal(await unread(`lease ${text}`, () => leases!.count('user:ann')), 0)
          t.equal(await unread(`value ${text}`, () => claims!.take('ticket')), undefined)
          t.equal(await unread(`denial ${text}`, () => denials!.isDenied(['user:ann'])), false)
          t.match(await unread(`presence ${text}`, () => presence!.snapshot(ROOM, 10)), { total: 0 })
          t.match(await unread(`claim ${text}`, () => claims!.claim('ann 1', 'hash', 1_000)), { state: 'claimed' })
        }
        t.equal(await leases!.acquire('user:ann', 'a', 1, 60_000), true)
        t.equal(await leases!.acquire('user:ann', 'b', 1, 60_000), false)
        await claims!.put('ticket', 'ada', 60_000)
        t.equal(await claims!.take('ticket'), 'ada')
        const before = counted()
        t.equal(await claims!.take('ticket'), undefined, 'what was taken can be read, and has nothing left')
        t.equal(counted(), before)
      }
    )
  }

  if (name === 'nats') {
    t.test(
      `${name}: what a later version keeps as state is left alone: whoever needs it is refused for now, and who is denied in it is denied`,
      {
        skip: missing(program)
      },
      async (t) => {
        const { adapter, url } = await open(t)
        const { leases, claims, denials, presence } = (await node(t, adapter())).adapter
        await denials!.isDenied(['user:nobody'])
        await leases!.count('user:nobody')
        await claims!.take('nobody')
        const { state, claimed, denied } = await bucketsOf(t, url)
        const later = '{"v":2,"of":"tomorrow"}'
        const keys = [
          [state, stateKey('lease', 'user:ann')],
          [claimed, stateKey('claim', 'ann 1')],
          [claimed, stateKey('value', 'ticket')],
          [state, stateKey('presence', ROOM)]
        ] as const
        for (const [bucket, key] of keys) await bucket.put(key, later)
        await denied.put(stateKey('denial', 'user:ann'), later)
        const entry = { userId: 'ann', connection: CONNECTION }
        const asks: Array<() => Promise<unknown>> = [
          async () => await leases!.acquire('user:ann', 'a', 1, 60_000),
          async () => await leases!.release('user:ann', 'a'),
          async () => await claims!.claim('ann 1', 'hash', 1_000),
          async () => await claims!.take('ticket'),
          async () => await presence!.join(ROOM, entry, 60_000),
          async () => await denials!.deny('user:ann', Date.now() + 60_000)
        ]
        for (const ask of asks) await t.rejects(ask(), { code: 'unavailable' })
        t.equal(await denials!.isDenied(['user:ann']), true)
        for (const [bucket, key] of keys) t.equal((await bucket.get(key))!.string(), later)
        t.equal((await denied.get(stateKey('denial', 'user:ann')))!.string(), later)
      }
    )
  }

  t.test(`${name}: fields that a later version adds are left out, what is known beside them counts`, {
    skip: missing(
      program
    )
  }, async (t) => {
    const { adapter, say } = await open(t)
    const server = await start(t, { adapter: adapter() })
    const ada = await connect(server, { rooms: [ROOM], token: server.token('ada') })
    await say(
      'room',
      event(
        { t: 'said', s: 5, w: 1, later: { x: 1 }, x: { connection: CONNECTION, later: 1 } },
        '{"text":"heard","by":"y"}',
        'v 1'
      )
    )
    t.match(await ada.next('said'), { type: 'said', data: { text: 'heard' }, timestamp: 5 })
    await say('room', event({ t: 'declaredelsewhere', s: 5 }, '{}'))
    t.match(await ada.next('declaredelsewhere'), { data: {} }, 'an event that only the other version declares')
    await say('control', control({ v: 1, type: 'revoke', user: 'ada', message: 'm'.repeat(500_000), later: [] }))
    await ada.ended
    t.equal(await undecodable(server), 0)
  })

  t.test(
    `${name}: an event in the history that cannot be read is a gap for who follows and for who resumes over it, and is not told again`,
    {
      skip: missing(
        program
      )
    },
    async (t) => {
      const { adapter, keep } = await open(t)
      const [a, b] = [await node(t, adapter(), 'a'), await node(t, adapter(), 'b')]
      await a.adapter.subscribe(ROOM, reliable)
      const first = await b.adapter.publish(ROOM, said('first'), reliable)
      await a.host.heard(ROOM, 1)
      await keep('o-1\n{"t":"said","s":1,"w":2}\n{"text":"of a later version"}')
      const third = await b.adapter.publish(ROOM, said('third'), reliable)
      t.same(await a.host.heard(ROOM, 2), ['first', 'third'])
      const { epoch, offset } = first.position!
      t.equal(third.position!.offset, offset + 2)
      t.same(a.host.gaps, [{ room: ROOM, epoch, from: offset, to: offset + 1 }])
      for (const { adapter } of [a, b]) {
        const over = await adapter.history!(ROOM, { since: first.position, limit: 10 }, reliable)
        t.same([over.resumed, over.floor], [false, { epoch, offset: offset + 1 }])
        const behind = await adapter.history!(ROOM, { since: over.floor, limit: 10 }, reliable)
        t.same([behind.resumed, behind.events.map(textOf)], [true, ['third']])
      }
      t.ok(Number(a.adapter.stats!().undecodable) > 0 && Number(b.adapter.stats!().undecodable) > 0)
    }
  )
}
