import t, { type Test } from 'tap'
import type { Unread } from '../../../lib/adapters/broker/unread.js'
import { until } from '../../../lib/adapters/contract/until.js'
import { Nodes, type Beat } from '../../../lib/adapters/broker/nodes.js'
import { Keys } from '../../../lib/adapters/redis/keys.js'
import type { RedisLink } from '../../../lib/adapters/redis/link.js'
import { RedisPresence } from '../../../lib/adapters/redis/presence.js'
import { PRESENCE_SWEEP } from '../../../lib/adapters/redis/scripts/presence.js'

/** The first key of each room. */
function roomsOf (keys: readonly string[]): string[] { return keys.filter((key) => key.endsWith(':presence')) }

/** Presence whose server answers a leave when it is told to, by a clock that is told as well. */
function make (test: Test): {
  presence: RedisPresence
  answer: () => Promise<void>
  swept: () => Promise<string[]>
  at: (ms: number) => void
} {
  const waiting: Array<() => void> = []
  const swept: string[] = []
  const link = {
    isUp: true,
    run: '',
    shardOf: () => '',
    script: async (script: unknown, keys: readonly string[]) => {
      if (script !== PRESENCE_SWEEP) return await new Promise<void>((resolve) => { waiting.push(resolve) })
      swept.push(...roomsOf(keys))
      return roomsOf(keys).map(() => '0')
    }
  } as unknown as RedisLink
  const nodes = new Nodes({ node: 'a', beat: async () => ({ now: 0, before: 0, others: [] }), hold: async () => undefined })
  const presence = new RedisPresence(link, new Keys(''), {} as Unread, nodes)
  const real = performance.now
  test.teardown(() => { performance.now = real })
  let now = real.call(performance)
  const begin = now
  performance.now = () => now
  return {
    presence,
    at: (ms) => { now = begin + ms },
    answer: async () => {
      for (const resolve of waiting.splice(0)) resolve()
      await new Promise(setImmediate)
    },
    swept: async () => {
      swept.length = 0
      await presence.sweep()
      return [...swept]
    }
  }
}

const ann = { userId: 'ann', connection: 'c1' }

t.test('a room is swept when a leave ends that its server has heard of late', async (t) => {
  const { presence, at, answer, swept } = make(t)
  const leaving = presence.leave('chat/1', ann, 50)
  at(60)
  await swept()
  at(100)
  await answer()
  await leaving
  at(149)
  t.same(await swept(), [])
  at(150)
  t.equal((await swept()).length, 1)
  at(1_000)
  t.same(await swept(), [], 'once')
})

t.test('a room in which one leave ends sooner than another is swept for both', async (t) => {
  const { presence, at, answer, swept } = make(t)
  for (const [connection, grace] of [['c1', 50], ['c2', 9_000], ['c3', 2_000]] as const) {
    const leaving = presence.leave('chat/1', { userId: connection, connection }, grace)
    await answer()
    await leaving
  }
  for (const [ms, count] of [[60, 1], [900, 0], [2_000, 1], [2_100, 0], [9_000, 1], [20_000, 0]] as const) {
    at(ms)
    t.equal((await swept()).length, count, `${ms} ms`)
  }
})

t.test('a room that is entered while other rooms are rid of what dead nodes held is rid of it by the next sweep where that fails', async (t) => {
  const buried: string[] = []
  let isAway = false
  const gate: { opens?: Promise<void> } = {}
  const link = {
    isUp: true,
    run: '',
    shardOf: () => '',
    script: async (script: unknown, keys: readonly string[], args: readonly unknown[]) => {
      if (script !== PRESENCE_SWEEP) return ['1', '']
      const rooms = roomsOf(keys)
      if (args[1] === '') return rooms.map(() => '0')
      buried.push(...rooms)
      if (isAway) throw new Error('away')
      await gate.opens
      return rooms.map(() => '0')
    }
  } as unknown as RedisLink
  const beat = async (): Promise<Beat> => ({ now: 1_000_000, before: undefined, others: [{ node: 'x', at: 0 }] })
  const nodes = new Nodes({ node: 'a', beat, hold: async () => undefined })
  const presence = new RedisPresence(link, new Keys(''), {} as Unread, nodes)
  await nodes.beat()
  await presence.join('chat/1', ann, 60_000)
  let go = (): void => {}
  gate.opens = new Promise((resolve) => { go = resolve })
  const sweeping = presence.sweep()
  await until('rooms are being rid of it', () => buried.length === 2)
  isAway = true
  await presence.join('chat/2', ann, 60_000)
  isAway = false
  go()
  await sweeping
  buried.length = 0
  await presence.sweep()
  t.same(buried, ['{chat/2}:presence'])
  await presence.sweep()
  t.equal(buried.length, 1, 'once')
})
