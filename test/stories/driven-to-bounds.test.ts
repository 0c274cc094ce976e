import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { MemoryPresence } from '../../lib/adapters/memory/presence.js'
import { Repeats } from '../../lib/adapters/broker/repeats.js'
import { Envelopes } from '../../lib/adapters/broker/envelopes.js'
import type { Nodes } from '../../lib/adapters/broker/nodes.js'
import { Stamps } from '../../lib/adapters/broker/stamps.js'
import type { Unread } from '../../lib/adapters/broker/unread.js'
import { Streams } from '../../lib/adapters/history/stream.js'
import type { NatsLink } from '../../lib/adapters/nats/link.js'
import { Markers } from '../../lib/adapters/nats/markers.js'
import { NatsOnce } from '../../lib/adapters/nats/once.js'
import type { Keys } from '../../lib/adapters/redis/keys.js'
import type { RedisLink } from '../../lib/adapters/redis/link.js'
import { RedisPresence } from '../../lib/adapters/redis/presence.js'
import { Leases } from '../../lib/admission/leases.js'
import { Denials } from '../../lib/auth/denials.js'
import { RemoteControl, type RemoteControlOptions } from '../../lib/app/control.js'
import { Revocations } from '../../lib/auth/revocations.js'
import { setNewest } from '../../lib/client/newest.js'
import { Flusher } from '../../lib/connection/flusher.js'
import { Outbox } from '../../lib/connection/outbox.js'
import { Elsewhere } from '../../lib/dispatch/elsewhere.js'
import { Roster } from '../../lib/dispatch/roster.js'
import { encodeEvent } from '../../lib/protocol/packet.js'
import type { Part } from '../../lib/protocol/part.js'
import { Latest } from '../../lib/retention/latest.js'
import { Texts } from '../../lib/retention/texts.js'
import { Census } from '../../lib/rooms/census.js'
import { ContractWatch } from '../../lib/rooms/contract-watch.js'
import { PresenceKeeper } from '../../lib/rooms/presence.js'
import { Walk } from '../../lib/rooms/walk.js'
import { Cluster } from '../../lib/stats/cluster.js'
import { Buckets } from '../../lib/structures/buckets.js'
import { ExpiringMap } from '../../lib/structures/expiring-map.js'
import { KeyedQueue } from '../../lib/structures/keyed-queue.js'
import { Lately } from '../../lib/structures/lately.js'
import { FakeLink, newCounters } from '../connection/fakes.js'
import { sizeOf } from '../helpers/private-fields.js'
import { ELSEWHERE, UNDRIVEN } from './bounds.js'

/** What is driven past its bound: what it holds is read afterwards. */
interface Case {
  readonly what: string
  /** The beginning of its row in the table of SECURITY.md. */
  readonly row: string
  readonly bound: number
  /** @returns how much is held, and what ends the rest */
  readonly drive: () => number | Promise<number>
}

const away = async (): Promise<never> => { throw new Error('the broker is away') }

const CASES: readonly Case[] = [
  {
    what: 'entries of a map that runs out',
    row: 'the parts that the others are made of',
    bound: 1_000,
    drive: () => {
      const map = new ExpiringMap<number>(1_000)
      for (let index = 0; index < 5_000; index++) map.set(`${index}`, index, 60_000, 0)
      return Math.max(map.size, sizeOf(map, '#order') / 2)
    }
  },
  {
    what: 'rates of users',
    row: 'rates of users',
    bound: 10_000,
    drive: () => {
      const buckets = new Buckets(10_000)
      for (let index = 0; index < 30_000; index++) buckets.of(`user ${index}`, { messages: 1, burst: 2 }, 0).take(0)
      return buckets.size
    }
  },
  {
    what: 'revocations that entries under way compare with',
    row: 'revocations that entries',
    bound: 8_192,
    drive: () => {
      const revocations = new Revocations()
      for (let index = 0; index < 30_000; index++) revocations.add({ user: `user ${index}` })
      return sizeOf(revocations, '#latest')
    }
  },
  {
    what: 'questions to other nodes',
    row: 'questions to the node',
    bound: 1_000,
    drive: async () => {
      const elsewhere = new Elsewhere({ send: async () => undefined })
      const asked = Array.from({ length: 3_000 }, (_, index) => elsewhere.ask('ada', `c${index}`, 'leave'))
      const held = sizeOf(elsewhere, '#waiting')
      elsewhere.close()
      await Promise.allSettled(asked)
      return held
    }
  },
  {
    what: 'idempotency keys of a node',
    row: 'idempotency keys and events that this node',
    bound: 10_000,
    drive: () => {
      const repeats = new Repeats(120_000)
      for (let index = 0; index < 30_000; index++) repeats.remember('room', `${index}`, { recipients: 0 })
      return sizeOf(repeats, '#keys')
    }
  },
  {
    what: 'events that a node has handed over',
    row: 'idempotency keys and events that this node',
    bound: 8_192,
    drive: () => {
      const repeats = new Repeats(120_000)
      for (let index = 0; index < 30_000; index++) repeats.isNew('room', `${index}`)
      return sizeOf(repeats, '#events')
    }
  },
  {
    what: 'sequences of emptied rooms',
    row: 'sequences of emptied rooms',
    bound: 100_000,
    drive: () => {
      const presence = new MemoryPresence(() => 0, () => undefined)
      for (let index = 0; index < 150_000; index++) {
        const entry = { userId: 'ada', connection: 'c' }
        presence.join(`room ${index}`, entry)
        presence.leave(`room ${index}`, entry, 0)
      }
      presence.stop()
      return sizeOf(presence, '#sequences')
    }
  },
  {
    what: 'streams of rooms that nobody is in',
    row: 'epoch and top of a room',
    bound: 1_000,
    drive: () => {
      const streams = new Streams(64 * 1024 * 1024, 1_000)
      for (let index = 0; index < 5_000; index++) streams.open(`room ${index}`, 0)
      return sizeOf(streams, '#known')
    }
  },
  {
    what: 'leases that could not be given back',
    row: 'leases and presence entries to be given back',
    bound: 10_000,
    drive: async () => {
      const leases = new Leases(
        { acquire: async () => true, renew: away, release: away, count: async () => 0 },
        { whenUnavailable: 'admit', held: () => [], onError: () => undefined }
      )
      for (let index = 0; index < 15_000; index++) {
        const lease = { key: `user ${index}`, holder: `c${index}`, fence: index + 1, isHeld: () => true }
        await leases.acquire(lease, 5)
        leases.giveBack(lease)
        if (index % 1_000 === 0) await new Promise(setImmediate)
      }
      await new Promise(setImmediate)
      const held = sizeOf(leases, '#owed')
      leases.stop()
      return held
    }
  },
  {
    what: 'presence entries that could not be given back',
    row: 'leases and presence entries to be given back',
    bound: 10_000,
    drive: async () => {
      const keeper = new PresenceKeeper(
        { join: async () => undefined, leave: away, snapshot: away, sweep: async () => undefined },
        { grace: 0, lease: 60_000 },
        () => [],
        () => undefined
      )
      for (let index = 0; index < 15_000; index++) {
        const entry = { userId: 'ada', connection: `c${index}` }
        await keeper.join('room', entry)
        keeper.leave('room', entry, true)
        if (index % 1_000 === 0) await new Promise(setImmediate)
      }
      await new Promise(setImmediate)
      const held = sizeOf(keeper, '#owed')
      keeper.stop()
      return held
    }
  },
  {
    what: 'what was given back lately',
    row: 'leases and presence entries given back lately',
    bound: 10_000,
    drive: async () => {
      const lately = new Lately<number>()
      for (let index = 0; index < 15_000; index++) lately.remember(`lease ${index}`, index)
      return sizeOf(lately, '#told')
    }
  },
  {
    what: 'contracts of other nodes',
    row: 'contracts of other nodes',
    bound: 100,
    drive: async () => {
      let told = 0
      const list = Array.from({ length: 500 }, (_, index) => ({ userId: `fingerprint ${index}`, data: undefined }))
      const watch = new ContractWatch({
        presence: {
          ...memory().presence!,
          join: async () => undefined,
          leave: async () => undefined,
          snapshot: async () => ({ sequence: 1, total: list.length, list })
        },
        nodeId: 'a',
        hooks: [],
        log: { warn: () => { told++ } },
        onError: (error) => { throw error }
      })
      watch.start([])
      for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
      await watch.stop()
      return told
    }
  },
  {
    what: 'offers that the members of a large room wait for',
    row: 'events of a room of more than 4 096',
    bound: 256,
    drive: () => {
      const member = { seen: 0 }
      const walk = new Walk({ members: () => [member], look: () => undefined, most: { offers: 256, bytes: 262_144 } })
      for (let index = 0; index < 5_000; index++) walk.add({ bytes: 10, offer: () => undefined, done: () => undefined })
      return sizeOf(walk, '#offers')
    }
  },
  {
    what: 'tasks that wait behind one another',
    row: 'frames of one connection',
    bound: 64,
    drive: async () => {
      const queue = new KeyedQueue()
      let release: () => void = () => undefined
      void queue.run('a', async () => await new Promise<void>((resolve) => { release = resolve }), 64)
      let taken = 0
      for (let index = 0; index < 5_000; index++) if (queue.run('a', () => undefined, 64)) taken++
      release()
      await new Promise(setImmediate)
      return taken
    }
  },
  {
    what: 'keys of events that are not kept (NATS)',
    row: 'idempotency keys and events that this node',
    bound: 10_000,
    drive: async () => {
      // Without JetStream the server is not asked.
      const once = new NatsOnce({ link: {} as NatsLink, setup: undefined, prefix: 'p', idempotency: 120_000 })
      for (let index = 0; index < 11_000; index++) await once.take('room', `${index}`, () => true)
      return sizeOf(once, '#known')
    }
  },
  {
    what: 'when a node took what it holds',
    row: 'when this node took',
    bound: 100_000,
    drive: () => {
      const stamps = new Stamps()
      for (let index = 0; index < 105_000; index++) stamps.set(`user ${index}`, index)
      return sizeOf(stamps, '#taken')
    }
  },
  {
    what: 'control messages that were passed on',
    row: 'control messages that were passed on',
    bound: 120_000,
    drive: () => {
      const [here, there] = [new Envelopes('here', () => 0), new Envelopes('there', () => 0)]
      for (let index = 0; index < 121_000; index++) here.open(there.seal({ type: 'revoke', user: 'ada' }, 'b').text)
      return sizeOf(here, '#heard')
    }
  },
  {
    what: 'revocations that were acted on',
    row: 'revocations of other nodes that were acted on',
    bound: 10_000,
    drive: async () => {
      const control = new RemoteControl({
        denials: { remember: () => undefined },
        revocations: new Revocations(),
        connections: { ofUser: () => [] }
      } as unknown as RemoteControlOptions)
      for (let index = 0; index < 15_000; index++) {
        await control.handle({ type: 'revoke', user: 'ada', until: 5, id: `${index}` }, 'b')
      }
      return sizeOf(control, '#heard')
    }
  },
  {
    what: 'denials of a node, in bytes of 800 at least',
    row: 'denials by `revoke`',
    bound: 1_250,
    drive: async () => {
      const denials = new Denials({
        store: { deny: async () => undefined, isDenied: async () => false },
        bytes: 1_000_000,
        whenUnavailable: 'admit'
      })
      for (let index = 0; index < 5_000; index++) await denials.deny(`user ${index}`, Date.now() + 60_000)
      return sizeOf(denials, '#denied')
    }
  },
  {
    what: 'values of the latest events of a room',
    row: 'events of rooms, `latest` values',
    bound: 1_000,
    drive: () => {
      const latest = new Latest(60_000)
      for (let index = 0; index < 5_000; index++) {
        const head = { type: 'score', room: 'r', delivery: 'latest', timestamp: 0, key: `${index}`, version: index + 1 } as const
        latest.set(encodeEvent(head, '{}'), 0)
      }
      return Math.max(sizeOf(latest, '#values'), sizeOf(latest, '#order'))
    }
  },
  {
    what: 'texts of a room',
    row: 'texts of `append` events (memory)',
    bound: 1_000,
    drive: () => {
      const texts = new Texts(60_000)
      for (let index = 0; index < 5_000; index++) {
        const part: Part = {
          before: '{"text":"', inside: 'a', isList: false, from: 0, to: 1, end: 'done', version: index + 1, begun: index + 1
        }
        texts.set({ type: 'answer', key: `${index}`, timestamp: 0, part }, 0)
      }
      return Math.max(sizeOf(texts, '#texts'), sizeOf(texts, '#ended'))
    }
  },
  {
    what: 'hooks for whole users that wait',
    row: 'changes of these whose hook',
    bound: 100_000,
    drive: () => {
      const keeper = new PresenceKeeper(memory().presence!, { grace: 0, lease: 60_000 }, () => [], () => undefined)
      const census = new Census({
        kind: '@online',
        nodeId: 'a',
        keeper,
        store: memory().presence!,
        claims: memory().claims!,
        subscribe: async () => undefined,
        isShared: true,
        grace: 0,
        timeout: 1_000,
        run: () => undefined,
        onError: () => undefined
      })
      for (let index = 0; index < 101_000; index++) {
        census.heard('@online/1', { sequence: index, joined: [{ userId: `user ${index}` }], left: [] })
      }
      const held = sizeOf(census, '#waiting')
      census.stop()
      keeper.stop()
      return held
    }
  },
  {
    what: 'rooms in which presence runs out (Redis)',
    row: 'rooms in which presence runs out',
    bound: 100_000,
    drive: () => {
      // Nothing of it asks a server before the rooms are swept.
      const presence = new RedisPresence({} as RedisLink, {} as Keys, {} as Unread, {} as Nodes)
      for (let index = 0; index < 105_000; index++) presence.look(`room ${index}`, 60_000)
      return sizeOf(presence, '#due')
    }
  },
  {
    what: 'events of a stream by which its life is known (NATS)',
    row: 'streams of definitions (NATS)',
    bound: 256,
    drive: () => {
      const markers = new Markers(0)
      for (let index = 1; index < 5_000; index++) markers.saw(index, `origin ${index}`)
      return markers.upTo(5_000).length
    }
  },
  {
    what: 'answers to pings in one turn',
    row: 'answers to its pings in one turn',
    bound: 16,
    drive: () => {
      const outbox = new Outbox(
        new FakeLink(),
        { flusher: new Flusher(), counters: newCounters(), outboxLimit: 1_000_000 },
        { cut: () => undefined }
      )
      for (let index = 0; index < 5_000; index++) outbox.reply(Buffer.from('pong'))
      return sizeOf(outbox, '#replies')
    }
  },
  {
    what: 'when other nodes answered an admin',
    row: 'when other nodes last answered',
    bound: 200,
    drive: () => {
      const cluster = new Cluster({
        node: 'a',
        control: undefined,
        gathering: {
          gather: async () => ({ answers: new Map(), missing: [] }), answered: () => undefined, close: () => undefined
        },
        onError: (error) => { throw error }
      })
      for (let index = 0; index < 5_000; index++) cluster.shown({ type: 'shown', id: '1', answer: {} }, `node ${index}`)
      return sizeOf(cluster, '#answered')
    }
  },
  {
    what: 'other nodes that are known',
    row: 'questions to all nodes',
    bound: 2_000,
    drive: () => {
      const roster = new Roster({ send: async () => undefined }, (error) => { throw error })
      for (let index = 0; index < 5_000; index++) roster.heard(`node-${index}`, 'here')
      return sizeOf(roster, '#heard')
    }
  },
  ...['client: texts of a room', 'client: values of `latest` events'].map((row): Case => ({
    what: `the newest of what a client keeps (${row})`,
    row,
    bound: 1_000,
    drive: () => {
      const map = new Map<string, number>()
      for (let index = 0; index < 5_000; index++) setNewest(map, `${index}`, index, 1_000)
      return map.size
    }
  }))
]

for (const { what, bound, drive } of CASES) {
  t.test(`${what} end at their bound, and reach it`, async (t) => {
    const held = await drive()
    t.ok(held <= bound, `${held} of ${bound}`)
    t.ok(held >= bound / 2, `${held}: driven to the bound of ${bound}`)
  })
}

t.test('events that a room keeps are bounded in number', async (t) => {
  const streams = new Streams(64 * 1024 * 1024, 1_000)
  const stream = streams.open('room', 0)
  for (let index = 0; index < 1_000; index++) {
    const head = { type: 'said', room: 'room', delivery: 'reliable', timestamp: 0, position: stream.next } as const
    streams.append('room', stream, encodeEvent(head, '{}'), { size: 100, ttl: 60_000 }, 0)
  }
  t.equal(stream.length, 100)
  // An eighth of what is kept is one chunk, and a chunk leaves when its last event does.
  const frames = stream.read({ limit: 100 }).events.reduce((sum, { bytes }) => sum + bytes.length, 0)
  t.ok(stream.bytes <= 2 * frames, `${stream.bytes} bytes for frames of ${frames}: what is gone leaves, too`)
})

/** The first cells of the table. */
const ROWS = readFileSync(new URL('../../SECURITY.md', import.meta.url), 'utf8').split('## What is kept')[1]!.split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| what | where |'))
  .map((line) => line.slice(2, line.indexOf(' | ')))

t.test('each row of the table is driven to its bound, or says in which other test, or why it cannot be', async (t) => {
  const [elsewhere, undriven] = [Object.keys(ELSEWHERE), Object.keys(UNDRIVEN)]
  const known = [...new Set(CASES.map(({ row }) => row)), ...elsewhere, ...undriven, '`latest` values of rooms with members']
  const rowsOf = (beginning: string): string[] => ROWS.filter((row) => row.startsWith(beginning))
  t.ok(ROWS.length > 80, String(ROWS.length))
  t.same(ROWS.filter((row) => !known.some((beginning) => row.startsWith(beginning))), [], 'decide how it is tried')
  t.same(known.filter((beginning) => rowsOf(beginning).length === 0), [], 'there is no such row')
  for (const [row, file] of Object.entries(ELSEWHERE)) t.ok(existsSync(new URL(`../../${file}`, import.meta.url)), row)
})
