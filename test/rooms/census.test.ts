import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ClaimStore } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { Census, type CensusOptions } from '../../lib/rooms/census.js'
import type { PresenceKeeper } from '../../lib/rooms/presence.js'
import { matchList } from '../helpers/match-list.js'
import { until } from '../helpers/servers.js'

const ENTERED = { sequence: 1, joined: [{ userId: '' }, { userId: 'ada' }], left: [] }
const GONE = { sequence: 2, joined: [], left: [{ userId: 'ada' }] }

interface Node { readonly census: Census, readonly ran: string[], readonly kept: string[], readonly errors: unknown[] }

function node (t: Test, claims: ClaimStore, more: Partial<CensusOptions> = {}): Node {
  const [ran, kept, errors]: [string[], string[], unknown[]] = [[], [], []]
  const keeper = {
    join: async (room: string, { userId }: { userId: string }) => { kept.push(`join ${room} ${userId}`) },
    leave: (_room: string, { userId }: { userId: string }, isMeant: boolean) => { kept.push(`leave ${userId} ${isMeant}`) }
  } as unknown as PresenceKeeper
  const census = new Census({
    kind: '@online',
    nodeId: `n${Math.random()}`,
    keeper,
    store: memory().presence!,
    claims,
    subscribe: () => undefined,
    isShared: true,
    grace: 100,
    timeout: 1_000,
    run: (subject, isThere) => { ran.push(`${subject} ${isThere ? 'there' : 'gone'}`) },
    onError: (error) => { errors.push(error) },
    ...more
  })
  t.teardown(() => { census.stop() })
  return { census, ran, kept, errors }
}

t.test('of the nodes that hear of a change one runs the hook, and of a subject that is there its holder', async (t) => {
  const claims = memory().claims!
  const nodes = [node(t, claims), node(t, claims), node(t, claims)]
  const [holder] = nodes as [Node]
  holder.census.enter('ada')
  const room = holder.kept[0]!.split(' ')[1]!
  for (const { census } of nodes) t.ok(census.heard(room, ENTERED))
  for (const { census } of nodes) t.ok(census.heard(room, GONE))
  await until('both hooks have run', () => nodes.flatMap(({ ran }) => ran).length >= 2)
  t.same(holder.ran[0], 'ada there', 'and its own entry of each node is nobody')
  t.same(nodes.flatMap(({ ran }) => ran).sort(), ['ada gone', 'ada there'])
  t.notOk(holder.census.heard('plain/1', ENTERED), 'a room of the application')
})

t.test('a hook whose node died while it ran is run by another one when the claim has run out', async (t) => {
  let asked = 0
  const claims: ClaimStore = {
    ...memory().claims!,
    claim: () => ++asked === 1 ? { state: 'running', retryAfter: 10 } : { state: 'claimed' },
    settle: () => {}
  }
  const { census, ran, errors } = node(t, claims)
  census.heard('@online/0', GONE)
  await until('it has run', () => ran.length > 0)
  t.same([ran, asked, errors], [['ada gone'], 2, []])
})

t.test('a hook that throws or takes too long is told of, counts as run, and is not run again', async (t) => {
  const settled: string[] = []
  const own = memory().claims!
  const claims: ClaimStore = {
    claim: (...args) => own.claim(...args),
    put: (...args) => own.put(...args),
    take: (...args) => own.take(...args),
    settle: (key) => { settled.push(key) }
  }
  const { census, errors } = node(t, claims, {
    isShared: false,
    timeout: 20,
    run: async (_subject, isThere) => {
      if (isThere) throw new Error('no')
      await new Promise(() => {})
    }
  })
  census.heard('@online/0', ENTERED)
  census.heard('@online/0', GONE)
  await until('both are told', () => errors.length >= 2 && settled.length >= 2)
  matchList(t, errors, [{ message: 'no' }, { message: /20 ms/ }])
  t.equal(settled.length, 2)
})

t.test('a subject is entered once and left with its last, at once only where nobody may still come back', async (t) => {
  const { census, kept } = node(t, memory().claims!)
  const left = (): string[] => kept.splice(0).filter((each) => each.startsWith('leave'))
  census.enter('ada')
  census.enter('ada')
  t.equal(kept.length, 1)
  census.leave('ada', true)
  t.same(left(), [])
  census.leave('ada', true)
  t.same(left(), ['leave ada true'])
  census.enter('bob')
  census.enter('bob')
  census.leave('bob', false)
  census.leave('bob', true)
  t.same(left(), ['leave bob false'], 'who vanished a moment before may come back')
  census.leave('bob', true)
  t.same(left(), [], 'who is not here')
})

t.test('a hook that has run while the broker went away is not run again when the broker is told so', async (t) => {
  const own = memory().claims!
  const settled: string[] = []
  let isAway = true
  const claims: ClaimStore = {
    claim: (...args) => own.claim(...args),
    put: (...args) => own.put(...args),
    take: (...args) => own.take(...args),
    settle: async (key, ...rest) => {
      if (isAway) throw new Error('away')
      settled.push(key)
      await own.settle(key, ...rest)
    }
  }
  const { census, ran, errors } = node(t, claims, { isShared: false })
  census.heard('@online/0', ENTERED)
  await delay(1_800)
  isAway = false
  await delay(1_800)
  t.same([ran, errors, settled.length], [['ada there'], [], 1])
})

t.test('an entry that is refused while the broker is away is asked for again until it is made, or its subject has gone', async (t) => {
  const asked: string[] = []
  let isAway = true
  const keeper = {
    join: async (_room: string, { userId }: { userId: string }) => {
      asked.push(userId)
      if (isAway) throw new Error('away')
    },
    leave: () => undefined
  } as unknown as PresenceKeeper
  const { census, errors } = node(t, memory().claims!, { keeper })
  const since = (): string[] => asked.splice(0).sort()
  for (const user of ['ada', 'bob', 'eve']) census.enter(user)
  t.same(since(), ['ada', 'bob', 'eve'])
  census.leave('eve', true)
  await delay(1_200)
  t.same(since(), ['ada', 'bob'])
  matchList(t, errors, [{ message: 'away' }, { message: 'away' }], 'each is told once, and who has gone is not')
  t.equal(errors.length, 2)
  isAway = false
  await delay(1_200)
  t.same(since(), ['ada', 'bob'])
  await delay(1_200)
  t.same(since(), [])
})

t.test('a change that is heard of twice, while it waits or its hook runs, runs it once', async (t) => {
  let end = (): void => {}
  const ran: string[] = []
  const settled = new Set<string>()
  const claims: ClaimStore = {
    ...memory().claims!,
    // The holder is given again what it has claimed and not settled.
    claim: (key) => settled.has(key) ? { state: 'settled', outcome: 'done' } : { state: 'claimed' },
    settle: (key) => { settled.add(key) }
  }
  const { census } = node(t, claims, {
    run: async (subject) => {
      ran.push(subject)
      await new Promise<void>((resolve) => { end = resolve })
    }
  })
  census.enter('ada')
  for (let n = 0; n < 2; n++) census.heard('@online/0', ENTERED)
  await delay(10)
  census.heard('@online/0', ENTERED)
  await delay(10)
  t.same(ran, ['ada'])
  end()
  ran.length = 0
  census.leave('ada', true)
  for (let n = 0; n < 2; n++) census.heard('@online/0', GONE)
  await delay(1_300)
  t.same(ran, ['ada'])
  end()
})

t.test('the hooks of one subject run one after another, also where the broker refuses the first claim; those of others do not wait', async (t) => {
  const ends = new Map<string, () => void>()
  const own = memory().claims!
  let isAway = true
  const claims: ClaimStore = {
    claim: (...args) => {
      if (isAway) throw new Error('away')
      return own.claim(...args)
    },
    put: (...args) => own.put(...args),
    take: (...args) => own.take(...args),
    settle: (...args) => own.settle(...args)
  }
  const ran: string[] = []
  const { census, errors } = node(t, claims, {
    isShared: false,
    timeout: 30_000,
    run: async (subject, isThere) => {
      ran.push(`${subject} ${isThere}`)
      await new Promise<void>((resolve) => { ends.set(subject, resolve) })
    }
  })
  census.heard('@online/0', ENTERED)
  await delay(10)
  isAway = false
  census.heard('@online/0', GONE)
  census.heard('@online/0', { ...ENTERED, sequence: 3 })
  census.heard('@online/0', { sequence: 4, joined: [{ userId: 'bob' }], left: [] })
  await until('both have begun', () => ran.length >= 2)
  t.same(ran, ['bob true', 'ada true'])
  ends.get('ada')!()
  await until('the next has begun', () => ran.length >= 3)
  ends.get('ada')!()
  await until('the last has begun', () => ran.length >= 4)
  t.same([ran.slice(2), errors], [['ada false', 'ada true'], []])
  for (const end of ends.values()) end()
})

t.test('all hooks run of the users of a node that has died, and what is beyond the bound is told', async (t) => {
  const { census, ran, errors } = node(t, memory().claims!)
  const left = (count: number, from: number): void => {
    const users = Array.from({ length: count }, (_, n) => ({ userId: `u${from + n}` }))
    census.heard('@online/0', { sequence: 1, joined: [], left: users })
  }
  left(20_000, 0)
  await until('all have run', () => ran.length >= 20_000)
  t.equal(ran.length, 20_000)
  t.same(errors, [])
  left(100_001, 20_000)
  matchList(t, errors, [{ message: /more than 100000 hooks wait/ }])
  census.stop()
})

t.test('no room of the census has more than a few of 100 000 subjects', (t) => {
  const { census, kept } = node(t, memory().claims!)
  for (let n = 0; n < 100_000; n++) census.enter(`room/${n}`)
  const counts = new Map<string, number>()
  for (const each of kept) {
    const room = each.split(' ')[1]!
    counts.set(room, (counts.get(room) ?? 0) + 1)
  }
  t.ok(Math.max(...counts.values()) < 1_000, `${Math.max(...counts.values())} in one`)
  t.end()
})
