import t from 'tap'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { MemoryPresence } from '../../lib/adapters/memory/presence.js'
import { Repeats } from '../../lib/adapters/broker/repeats.js'
import { Streams } from '../../lib/adapters/history/stream.js'
import { Leases } from '../../lib/admission/leases.js'
import { Revocations } from '../../lib/auth/revocations.js'
import { Elsewhere } from '../../lib/dispatch/elsewhere.js'
import { UserRateLimiter } from '../../lib/endpoint/user-rate-limiter.js'
import { encodeEvent } from '../../lib/protocol/packet.js'
import { ContractWatch } from '../../lib/rooms/contract-watch.js'
import { PresenceKeeper } from '../../lib/rooms/presence.js'
import { Walk } from '../../lib/rooms/walk.js'
import { ExpiringMap } from '../../lib/structures/expiring-map.js'
import { KeyedQueue } from '../../lib/structures/keyed-queue.js'
import { sizeOf } from '../helpers/private-fields.js'

/** What is driven past its bound: what it holds is read afterwards. */
interface Case {
  readonly what: string
  readonly bound: number
  /** @returns how much is held, and what ends the rest */
  readonly drive: () => number | Promise<number>
}

const away = async (): Promise<never> => { throw new Error('the broker is away') }

const CASES: readonly Case[] = [
  {
    what: 'entries of a map that runs out',
    bound: 1_000,
    drive: () => {
      const map = new ExpiringMap<number>(1_000)
      for (let index = 0; index < 5_000; index++) map.set(`${index}`, index, 60_000, 0)
      return Math.max(map.size, sizeOf(map, '#order') / 2)
    }
  },
  {
    what: 'rates of users',
    bound: 10_000,
    drive: () => {
      const rates = new UserRateLimiter({ messages: 1, burst: 2 })
      for (let index = 0; index < 30_000; index++) rates.spend(`user ${index}`)
      return sizeOf(rates, '#users')
    }
  },
  {
    what: 'revocations that entries under way compare with',
    bound: 8_192,
    drive: () => {
      const revocations = new Revocations()
      for (let index = 0; index < 30_000; index++) revocations.add({ user: `user ${index}` })
      return sizeOf(revocations, '#latest')
    }
  },
  {
    what: 'questions to other nodes',
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
    bound: 10_000,
    drive: () => {
      const repeats = new Repeats(120_000)
      for (let index = 0; index < 30_000; index++) repeats.remember('room', `${index}`, { recipients: 0 })
      return sizeOf(repeats, '#keys')
    }
  },
  {
    what: 'events that a node has handed over',
    bound: 8_192,
    drive: () => {
      const repeats = new Repeats(120_000)
      for (let index = 0; index < 30_000; index++) repeats.isNew('room', `${index}`)
      return sizeOf(repeats, '#events')
    }
  },
  {
    what: 'sequences of emptied rooms',
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
    bound: 1_000,
    drive: () => {
      const streams = new Streams(64 * 1024 * 1024, 1_000)
      for (let index = 0; index < 5_000; index++) streams.open(`room ${index}`, 0)
      return sizeOf(streams, '#known')
    }
  },
  {
    what: 'leases that could not be given back',
    bound: 10_000,
    drive: async () => {
      const leases = new Leases(
        { acquire: async () => true, renew: away, release: away, count: async () => 0 },
        { whenUnavailable: 'admit', held: () => [], onError: () => undefined }
      )
      for (let index = 0; index < 15_000; index++) {
        const lease = { key: `user ${index}`, holder: `c${index}` }
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
    what: 'contracts of other nodes',
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
  }
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
