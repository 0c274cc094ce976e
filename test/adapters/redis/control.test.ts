import t, { type Test } from 'tap'
import { until } from '../../../lib/adapters/contract/until.js'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import { RedisControl } from '../../../lib/adapters/redis/control.js'
import { Keys } from '../../../lib/adapters/redis/keys.js'
import type { RedisLink } from '../../../lib/adapters/redis/link.js'
import { Unreachable } from '../../../lib/adapters/redis/unreachable.js'

const REVOKE = 'other-1 b\n{"type":"revoke","user":"ann"}'

/** What `back` has made is called when commands can be sent. */
interface FakeLink { canSend: boolean, isClosed: boolean, readonly waiting: Array<() => void> }

/** Has read once by the given script, and says whom it was told to revoke. */
async function opened (
  t: Test,
  script: () => Promise<readonly [mark: string, ...told: string[]]>
): Promise<{ control: RedisControl, heard: string[], link: FakeLink, missed: string[][] }> {
  const missed: string[][] = []
  const heard: string[] = []
  const startedAt = performance.now()
  const link = {
    canSend: true,
    isClosed: false,
    waiting: [] as Array<() => void>,
    back: async () => { await new Promise<void>((resolve) => { link.waiting.push(resolve) }) },
    run: 'x',
    ahead: () => 0,
    subscribe: async () => undefined,
    // The server's clock began with the node.
    script: async () => {
      const [mark, ...told] = await script()
      return [mark, String(Math.floor(performance.now() - startedAt)), told, []]
    }
  }
  const control = new RedisControl({
    link: link as unknown as RedisLink,
    keys: new Keys('realtime:'),
    tag: 'this',
    unread: new Unread({ warn: () => undefined }),
    deliver: (message) => { heard.push((message as { user: string }).user) },
    onForgotten: () => undefined,
    onMissed: () => { missed.push([...heard]) }
  })
  t.teardown(() => { control.close() })
  await control.start('a')
  return { control, heard, link, missed }
}

/** Reads that fail in a row, then all succeed. */
async function failing (
  t: Test,
  failures: () => number
): Promise<{ control: RedisControl, heard: string[], reads: number[] }> {
  const reads: number[] = []
  const made = await opened(t, async () => {
    reads.push(performance.now())
    if (reads.length > 1 && reads.length - 1 <= failures()) throw new Unreachable(true, { isBroken: true })
    return reads.length === 1 ? ['mark'] : ['mark', '5-0', REVOKE]
  })
  return { ...made, reads }
}

t.test('messages whose reading failed are read again at once, and not by the next look, each once', async (t) => {
  const { control: made, heard, reads } = await failing(t, () => 3)
  await made.catchUp()
  await until('it is heard', () => heard.length > 0)
  t.ok(reads.at(-1)! - reads[1]! < 900, `${reads.at(-1)! - reads[1]!} ms`)
  await made.catchUp()
  t.same(heard, ['ann'])
})

t.test('one that was closed reads no more', async (t) => {
  const { control: made, reads } = await failing(t, () => Infinity)
  await made.catchUp()
  made.close()
  await new Promise((resolve) => { setTimeout(resolve, 300) })
  t.equal(reads.length, 2)
})

t.test('a message that came before others were read is taken, though the broker has lost it by then', async (t) => {
  let entries: string[] = []
  const { control: made, heard } = await opened(t, async () => ['mark', ...entries] as const)
  const revoke = (user: string, number: number): string => `other-${number} b\n{"type":"revoke","user":"${user}"}`
  const reading = made.catchUp()
  made.heard(`=7-0 6-0\n${revoke('ann', 2)}`)
  await reading
  t.same(heard, ['ann'], 'the stream is empty')
  entries = ['8-0', revoke('bob', 3), '9-0', revoke('eve', 4)]
  made.heard(`=9-0 8-0\n${revoke('eve', 4)}`)
  await made.catchUp()
  t.same(heard, ['ann', 'bob', 'eve'], 'behind what it follows, and once')
})

t.test('messages are read as soon as commands can be sent again, once for all who wanted them read', async (t) => {
  let reads = 0
  const { control: made, heard, link } = await opened(t, async () => ++reads === 1 ? ['mark'] : ['mark', '5-0', REVOKE])
  link.canSend = false
  const calls = [made.catchUp(), made.catchUp()]
  t.equal(link.waiting.length, 1)
  link.canSend = true
  link.waiting[0]!()
  await Promise.all(calls)
  t.same(heard, ['ann'])
  t.equal(reads, 2)
  link.canSend = false
  const late = made.catchUp()
  link.waiting[1]!()
  await late
  t.equal(reads, 2, 'it is not back: the next look waits again')
})

t.test('a node that has not read for longer than messages are kept for certain says so, behind what it has read then', async (t) => {
  let isAway = false
  let reads = 0
  const { control: made, heard, missed } = await opened(t, async () => {
    if (isAway) throw new Unreachable(true, { isBroken: true })
    return ++reads === 1 ? ['mark'] : ['mark', '999999-0', REVOKE]
  })
  const real = performance.now
  let passed = 0
  performance.now = () => real.call(performance) + passed
  t.teardown(() => { performance.now = real })
  isAway = true
  await made.catchUp()
  passed = 59_000
  await made.catchUp()
  t.same(missed, [], 'it is not back')
  isAway = false
  await made.catchUp()
  t.same([heard, missed], [['ann'], [['ann']]])
  passed += 40_000
  await made.catchUp()
  t.equal(missed.length, 1, 'a shorter time')
})
