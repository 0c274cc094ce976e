import t, { type Test } from 'tap'
import { until } from '../../../lib/adapters/contract/until.js'
import { ShardChannels } from '../../../lib/adapters/redis/shard-channels.js'

interface Subscribed {
  readonly shards: ShardChannels
  readonly channels: Map<string, symbol>
  readonly asked: string[]
  /** shards that refuse */
  readonly away: Set<string>
  settled: number
  isUp: boolean
}

/** Channels are named by their shard and a number. */
function make (t: Test, names: readonly string[]): Subscribed {
  const channels = new Map(names.map((name) => [name, Symbol(name)]))
  const asked: string[] = []
  const away = new Set<string>()
  const shardOf = (channel: string): string => channel.split(':')[0]!
  const shards = new ShardChannels({
    channels,
    shardOf,
    subscribe: async (channel) => {
      asked.push(channel)
      if (away.has(shardOf(channel))) throw new Error('CLUSTERDOWN')
    },
    isUp: () => made.isUp,
    onSettled: () => { made.settled++ }
  })
  const made: Subscribed = { shards, channels, asked, away, settled: 0, isUp: true }
  t.teardown(() => { shards.close() })
  return made
}

void t.test('of a shard that refuses only its own channels are asked for again, until it takes them', async (t) => {
  const made = make(t, ['a:1', 'b:1', 'a:2', 'b:2'])
  made.away.add('b')
  made.shards.changed()
  await until('those of the other stand', () => made.settled === 1)
  t.same(made.asked, ['a:1', 'a:2', 'b:1', 'b:2'])
  made.asked.length = 0
  await until('the shard is asked again', () => made.asked.length > 0)
  t.equal(made.settled, 1, 'nothing came back, so nothing is read')
  made.away.clear()
  await until('all stand', () => made.settled === 2)
  t.same(new Set(made.asked), new Set(['b:1', 'b:2']))
})

void t.test('a shard that refuses is not asked for the rest of its channels', async (t) => {
  const made = make(t, Array.from({ length: 1_200 }, (_, index) => `a:${index}`))
  made.away.add('a')
  made.shards.changed()
  await until('it was asked', () => made.asked.length > 0)
  t.equal(made.asked.length, 500)
})

void t.test('a channel that is given up meanwhile is not asked for again', async (t) => {
  const made = make(t, ['a:1', 'a:2'])
  made.away.add('a')
  made.shards.changed()
  await until('it was asked', () => made.asked.length === 2)
  made.channels.delete('a:1')
  made.away.clear()
  made.asked.length = 0
  await until('all stand', () => made.settled === 1)
  t.same(made.asked, ['a:2'])
})

void t.test('while commands cannot be sent nothing is asked for, and all is afterwards', async (t) => {
  const made = make(t, ['a:1'])
  made.isUp = false
  made.shards.changed()
  await new Promise((resolve) => { setTimeout(resolve, 1_500) })
  t.same(made.asked, [])
  made.isUp = true
  await until('all stand', () => made.settled === 1)
  t.same(made.asked, ['a:1'])
})

void t.test('a change while channels are asked for has all of them asked for again', async (t) => {
  const made = make(t, ['a:1', 'b:1'])
  made.away.add('b')
  made.shards.changed()
  await until('they were asked', () => made.asked.length === 2)
  made.shards.changed()
  made.away.clear()
  made.asked.length = 0
  await until('all stand', () => made.asked.length >= 2)
  t.same(made.asked, ['a:1', 'b:1'])
})
