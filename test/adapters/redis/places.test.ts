import t, { type Test } from 'tap'
import type { Unread } from '../../../lib/adapters/broker/unread.js'
import { newEpoch } from '../../../lib/adapters/history/stream.js'
import { Keys } from '../../../lib/adapters/redis/keys.js'
import type { KnownStreams } from '../../../lib/adapters/redis/known.js'
import type { RedisLink } from '../../../lib/adapters/redis/link.js'
import { RedisPlaces } from '../../../lib/adapters/redis/places.js'
import { Unreachable } from '../../../lib/adapters/redis/unreachable.js'

const [FIRST, LAST] = [2_000, 40_000]

/** Rooms of three shards, whose servers say what the test lets them, by a clock that it sets. */
class Shards {
  readonly #now: number
  readonly keys = new Keys('')
  readonly known = Array.from({ length: 300 }, (_, index) => `chat/${index}`)
  /** Rooms that cannot be read, and a shard that is away. */
  readonly unreadable = new Set<string>()
  away: string | undefined
  /** Rooms whose presence is not complete. */
  readonly incomplete = new Set<string>()
  asked: string[] = []
  held = 0
  readonly places: RedisPlaces
  #passed = 0

  constructor (test: Test, isCluster: boolean) {
    const real = performance.now
    test.teardown(() => { performance.now = real })
    this.#now = Math.ceil(real.call(performance))
    performance.now = () => this.#now + this.#passed
    const shardOf = (key: string): string => isCluster ? String(Number(/\/(\d+)/.exec(key)![1]) % 3) : ''
    const link = {
      run: isCluster ? '' : 'run',
      isUp: true,
      isCluster,
      declined: () => new Unreachable(false, { isDeclined: true }),
      shardOf,
      script: async (_script: unknown, keys: readonly string[]) => {
        const rooms = keys.filter((key) => key.endsWith(':meta')).map((key) => /\{(.*)\}/.exec(key)![1]!)
        this.asked.push(...rooms)
        if (shardOf(keys[0]!) === this.away) throw new Unreachable(false, { isLate: true })
        return rooms.flatMap((room) => this.unreadable.has(room)
          ? ['', '0', '0', '', '!WRONGTYPE']
          : [newEpoch(), '1', '1', this.incomplete.has(room) ? 'm' : '', ''])
      }
    } as unknown as RedisLink
    this.places = new RedisPlaces({
      link,
      keys: this.keys,
      known: { seen: () => '', learn: () => {}, others: async () => this.known } as unknown as KnownStreams,
      values: { isLost: () => false, refresh: async () => {} },
      presence: { isHeld: () => true, look: () => {} },
      nodes: { holdAgain: () => { this.held++ } },
      unread: { failed: () => {}, note: () => {} } as unknown as Unread,
      followed: () => undefined,
      host: () => ({ log: { info: () => {}, warn: () => {} } }),
      check: LAST,
      again: [FIRST, LAST]
    })
  }

  /** @returns the rooms that are asked for by a look after that time */
  async looks (ms: number): Promise<string[]> {
    this.#passed += ms
    this.asked = []
    this.places.look()
    await this.settled()
    return this.asked
  }

  async settled (): Promise<void> { for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate) }
}

for (const isCluster of [false, true]) {
  const what = isCluster ? 'a cluster' : 'one server'
  t.test(`redis: of the rooms that are reported to ${what} only those are again that it did not take, ever later`, async (t) => {
    const shards = new Shards(t, isCluster)
    shards.unreadable.add('chat/77')
    shards.places.report()
    await shards.settled()
    t.equal(shards.asked.length, 300)
    t.same(await shards.looks(FIRST - 1), [])
    t.same(await shards.looks(1), ['chat/77'])
    for (const wait of [4_000, 8_000, 16_000, 32_000, LAST, LAST]) {
      t.same(await shards.looks(wait - 1), [])
      t.same(await shards.looks(1), ['chat/77'], `after ${wait} ms`)
    }
    shards.unreadable.clear()
    t.same(await shards.looks(LAST), ['chat/77'])
    t.same(await shards.looks(LAST), [], 'until it has taken them')
  })
}

t.test('redis: while a shard is away that was to be told of rooms, the others are not told anew of theirs', async (t) => {
  const shards = new Shards(t, true)
  shards.away = '2'
  shards.places.report()
  await shards.settled()
  const ofAway = shards.known.filter((_, index) => index % 3 === 2)
  t.same(await shards.looks(FIRST), ofAway)
  shards.away = undefined
  t.same(await shards.looks(4_000), ofAway)
  t.same(await shards.looks(LAST), [])
})

t.test('redis: what a node holds is held anew once, not with each check, where presence of a room stays incomplete', async (t) => {
  const shards = new Shards(t, false)
  const checks = async (): Promise<number> => {
    shards.held = 0
    await shards.places.readAll(shards.known.map((room) => ({ room })), () => {})
    return shards.held
  }
  shards.incomplete.add('chat/1')
  t.equal(await checks(), 1)
  t.equal(await checks(), 0)
  shards.incomplete.add('chat/2')
  t.equal(await checks(), 1, 'again for another room')
  t.equal(await checks(), 0)
  shards.incomplete.delete('chat/1')
  t.equal(await checks(), 0)
  shards.incomplete.add('chat/1')
  t.equal(await checks(), 1, 'again where it was complete meanwhile')
})
