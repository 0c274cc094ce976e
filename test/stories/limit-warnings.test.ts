import { Type } from '@sinclair/typebox'
import t from 'tap'
import { LIMITS, LimitWarnings, TIMES, type WatchedLimit } from '../../lib/errors/limit-warnings.js'
import { defineRoom } from '../../lib/index.js'
import { apiSchema } from '../../lib/options/api.js'
import { resolveOptions } from '../../lib/options/resolve.js'
import { optionsSchema, roomOptionsSchema } from '../../lib/options/schema.js'
import { NodeWatch } from '../../lib/plugin/node-watch.js'
import { connect, declareChat, eventually, start, type NetPeer, type Running, type StartOptions } from '../helpers/net.js'
import { handshake, RawPeer } from '../helpers/raw.js'

interface Line { readonly level: number, readonly msg: string, readonly limit?: string }
interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly anyOf?: readonly Schema[]
}

/** The numbers of the options, by their paths. */
function numbersOf ({ type, properties = {}, anyOf = [] }: Schema, path = ''): string[] {
  return [
    ...type === 'integer' || type === 'number' ? [path] : [],
    ...anyOf.flatMap((each) => numbersOf(each, path)),
    ...Object.entries(properties).flatMap(([name, of]) => numbersOf(of, path === '' ? name : `${path}.${name}`))
  ]
}

const isTime = (path: string): boolean =>
  /(^|\.)(heartbeat|ttl|grace|lease|loopDelay|timeout|comment|age|flush)$/.test(path) || path.startsWith('timeouts.')

/** Numbers that nothing can use up, and what they are. */
const NO_LIMITS: Readonly<Record<string, string>> = {
  'compression.threshold': 'a bound from below',
  'history.size': 'how much is kept: each event beyond it takes the place of the oldest, as it is meant',
  'history.size of the room': 'the same',
  'health.capacity': 'a part of the capacity, from which on a balancer is told',
  'drain.rate': 'a pace of the server'
}

t.test('each number of the options is a limit that is warned of, a time, or said not to be a limit', async (t) => {
  const numbers = [
    ...numbersOf(optionsSchema as Schema),
    ...numbersOf(roomOptionsSchema as Schema).map((path) => `${path} of the room`),
    ...numbersOf(apiSchema as Schema).map((path) => `api.${path}`)
  ]
  const limits = Object.keys(LIMITS)
  const limitOf = (path: string): string | undefined =>
    limits.find((limit) => limit === path || limit === path.replace(/\.(messages|burst)/, ''))
  const unknown = numbers.filter((path) =>
    limitOf(path) === undefined && !isTime(path.replace(' of the room', '')) && !Object.hasOwn(NO_LIMITS, path))
  t.same(unknown, [], 'name it in LIMITS, and look at it where it is used')
  t.same(limits.filter((limit) => !numbers.some((path) => limitOf(path) === limit)), [], 'each is an option')
  t.same(Object.keys(NO_LIMITS).filter((path) => !numbers.includes(path)), [])
  t.same(Object.keys(TIMES).filter((path) => !numbers.includes(path) || !isTime(path)), [], 'each is a time')
})

const notes = defineRoom('notes/:id', {
  messages: { note: Type.Object({ text: Type.String() }) },
  events: {
    page: {
      data: Type.Object({ id: Type.String(), text: Type.String() }),
      delivery: 'append',
      key: 'id',
      append: 'text'
    }
  }
})

/** What each limit has in its case, but for those that are counted in bytes. */
const MOST = 10
const BYTES = 1_000

/** Uses so large a part of a limit, all in all. */
type Use = (part: number) => Promise<unknown>

interface Case {
  readonly options?: StartOptions
  readonly prepare: (server: Running) => Use | Promise<Use>
}

/** Uses a limit one by one. */
function each (one: (index: number) => unknown): Use {
  let used = 0
  return async (part) => { while (used < Math.ceil(part * MOST)) await one(used++) }
}

/** Opens a connection, which may be refused. */
async function open (server: Running, user: string, rooms: string[] = []): Promise<void> {
  await connect(server, { token: server.token(user), rooms }).catch(() => undefined)
}

async function member (server: Running, room = 'chat/1'): Promise<NetPeer> {
  return await connect(server, { token: server.token('ada'), rooms: [room] })
}

/** Begins upgrades whose authentication does not end. */
function upgrades ({ port }: Running): Use {
  return each(() => {
    const peer = new RawPeer(port)
    peer.send(handshake('/ws', { headers: { Authorization: 'Bearer x', 'X-Forwarded-For': '192.0.2.1' } }))
    t.teardown(() => { peer.destroy() })
  })
}

/** What a node looks at now and then, where its adapter tells so much. */
function watched (facts: (part: number) => object): Case {
  return {
    prepare: ({ app }) => {
      const settings = resolveOptions({ history: { bytes: BYTES }, limits: { remembered: { bytes: BYTES } } })
      let told = {}
      const adapter = { name: 'memory', stats: () => told }
      const limitWarnings = new LimitWarnings(app.log)
      const watch = new NodeWatch({ app, adapter, options: {}, settings, limitWarnings } as never, () => 0)
      return async (part) => {
        told = facts(part)
        watch.look(0)
      }
    }
  }
}

const inNotes = (options: object): StartOptions => ({
  declare: (app) => { app.room(notes, { ...options, on: { note: () => {} } }) }
})

function said (size: number, room: string, type: string): string {
  const frame = (text: string): string => JSON.stringify({ type, room, data: { text } })
  return frame('x'.repeat(size - frame('').length))
}

const slow: StartOptions = { fastify: { trustProxy: true }, authenticate: () => new Promise<never>(() => {}) }
const KEY = 'k'.repeat(32)

/** How each limit is used up; what of it is refused is refused with the name of the limit. */
const CASES: Readonly<Record<WatchedLimit, Case>> = {
  capacity: { options: { capacity: MOST }, prepare: (server) => each((index) => open(server, `user-${index}`)) },
  'limits.user.connections': {
    options: { limits: { user: { connections: MOST, then: 'reject' } } },
    prepare: (server) => each(() => open(server, 'ada'))
  },
  'limits.address': {
    options: { limits: { address: MOST } },
    prepare: (server) => each((index) => open(server, `user-${index}`))
  },
  'capacity of the room': {
    options: { declare: (app) => { declareChat(app, { capacity: MOST }) } },
    prepare: (server) => each((index) => open(server, `user-${index}`, ['chat/1']))
  },
  'limits.pending.total': { options: { ...slow, limits: { pending: { total: MOST } } }, prepare: upgrades },
  'limits.pending.address': { options: { ...slow, limits: { pending: { address: MOST } } }, prepare: upgrades },
  'limits.rooms': {
    options: { limits: { rooms: MOST } },
    prepare: async (server) => {
      const ada = await connect(server, { token: server.token('ada'), rooms: ['chat/a', 'chat/b'] })
      return each((index) => { if (index > 1) ada.send({ type: 'join', room: `chat/${index}`, id: `${index}` }) })
    }
  },
  'limits.message': {
    options: { limits: { message: BYTES } },
    prepare: async (server) => {
      const ada = await member(server)
      return async (part) => { ada.send(said(part * BYTES, 'chat/1', 'say') as never) }
    }
  },
  'limits.message of the room': {
    options: inNotes({ limits: { message: BYTES } }),
    prepare: async (server) => {
      const ada = await member(server, 'notes/1')
      return async (part) => { ada.send(said(part * BYTES, 'notes/1', 'note') as never) }
    }
  },
  'limits.rate': {
    options: { limits: { rate: { messages: 0.001, burst: MOST } } },
    prepare: async (server) => {
      const ada = await member(server)
      return each(() => { ada.send({ type: 'ping' }) })
    }
  },
  'limits.rate of the room': {
    options: inNotes({ limits: { rate: { messages: 0.001, burst: MOST } } }),
    prepare: async (server) => {
      const ada = await member(server, 'notes/1')
      return each(() => { ada.send({ type: 'note', room: 'notes/1', data: { text: '' } }) })
    }
  },
  'api.rate': {
    options: {
      api: {
        keys: [{ key: KEY, name: 'billing', rooms: ['chat/*'], may: ['read'] }],
        rate: { messages: 0.001, burst: MOST }
      }
    },
    prepare: ({ app }) => each(() =>
      app.inject({ url: '/ws/api/rooms/chat/1', headers: { authorization: `Bearer ${KEY}` } }))
  },
  'limits.event': {
    options: { limits: { event: BYTES } },
    prepare: ({ app }) => async (part) => {
      await app.rooms.broadcast('chat/1', 'said', { text: 'ä'.repeat(part * BYTES / 2), by: '' }).catch(() => undefined)
    }
  },
  'append.size of the room': {
    options: inNotes({ append: { size: BYTES } }),
    prepare: ({ app }) => {
      const writer = app.rooms.stream('notes/1', 'page', { id: '1' })
      let written = 0
      return async (part) => {
        await writer.write('x'.repeat(part * BYTES - written)).catch(() => undefined)
        written = part * BYTES
      }
    }
  },
  'limits.outbox': {
    options: { limits: { outbox: 100 * BYTES, event: 50 * BYTES } },
    prepare: async (server) => {
      const ada = await member(server)
      ada.stall()
      const { rooms } = server.app
      return async (part) => {
        for (;;) {
          const [found] = (await rooms.connections({ user: 'ada' })).connections
          if (found === undefined || found.lag >= part * 100 * BYTES) return
          await rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(15 * BYTES), by: '' })
        }
      }
    }
  },
  'limits.remembered.perUser': {
    options: { limits: { remembered: { perUser: 20 * BYTES } } },
    prepare: async (server) => {
      const ada = await member(server)
      const told = (): number => server.lines.filter((line) => line.includes('perUser')).length
      let sent = 0
      return async () => {
        for (const before = told(); told() === before && sent < 200; sent++) {
          ada.send({ type: 'say', room: 'chat/1', id: `${sent}`, data: { text: 'x' } })
          await ada.next('ack')
        }
      }
    }
  },
  'limits.remembered.bytes': watched((part) => ({ rememberedBytes: part * BYTES })),
  'history.bytes': watched((part) => part < 1 ? { historyBytes: part * BYTES } : { historyEvicted: 1 })
}

for (const [limit, { options = {}, prepare }] of Object.entries(CASES)) {
  t.test(`${limit} is told at 80 % with what helps, and once it is reached`, async (t) => {
    const server = await start(t, options)
    const use = await prepare(server)
    const told = (): Line[] => server.lines.map((line) => JSON.parse(line) as Line)
      .filter((line) => line.level >= 40 && line.limit === limit)
    await use(0.8)
    const [first, ...more] = await eventually('the line of 80 %', told, (lines) => lines.length > 0)
    t.equal(first!.msg, `80 % of ${limit} is used: ${LIMITS[limit as WatchedLimit]}`)
    t.same(more, [])
    await use(1.1)
    const lines = await eventually('the line of all', told, (lines) => lines.length > 1)
    t.match(lines[1]!.msg, /^(all of .* is used: |refused with )/)
  })
}
