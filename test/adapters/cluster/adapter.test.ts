import t, { type Test } from 'tap'
import { clusterBy, type ClusterOptions } from '../../../lib/adapters/cluster/adapter.js'
import type { Channel } from '../../../lib/adapters/cluster/channels.js'
import { Host, type ClusterHostOptions } from '../../../lib/adapters/cluster/host.js'
import { keyOfCall } from '../../../lib/adapters/cluster/call-key.js'
import { Line, machineTime, VERSION, type Batch } from '../../../lib/adapters/cluster/line.js'
import { Space } from '../../../lib/adapters/cluster/space.js'
import { writePublication } from '../../../lib/adapters/cluster/wire.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'
import { FakeHost, node, reliable, said, textOf, type Node } from '../../../lib/adapters/contract/host.js'
import type { Adapter, Publication } from '../../../lib/adapters/adapter.js'
import { Leases, type HeldLease } from '../../../lib/admission/leases.js'
import { PresenceKeeper } from '../../../lib/rooms/presence.js'
import type { Refusal } from '../../../lib/errors/refusal.js'
import { inBatches } from '../../../lib/structures/slices.js'
import { matchList } from '../../helpers/match-list.js'
import { until } from '../../helpers/servers.js'

/** A channel in this process on which messages become JSON, as between processes, and which can be held up. */
class Wire implements Channel {
  readonly #channel: Channel
  #held: Array<() => void> | undefined
  #holds: 'both' | 'answers' = 'both'

  constructor (channel: Channel) { this.#channel = channel }

  post (message: unknown): void {
    const json = JSON.stringify(message)
    this.#through(() => { this.#channel.post(JSON.parse(json)) }, this.#holds === 'both')
  }

  listen (message: (message: unknown) => void, ended: () => void): void {
    this.#channel.listen((given) => {
      const json = JSON.stringify(given)
      this.#through(() => { message(JSON.parse(json)) })
    }, ended)
  }

  close (): void { this.#channel.close() }

  /** @param holds `answers`: the primary hears of the worker, and not the other way round */
  hold (holds: 'both' | 'answers' = 'both'): void {
    this.#held ??= []
    this.#holds = holds
  }

  release (): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const pass of held) pass()
  }

  #through (pass: () => void, isHeld = true): void {
    if (this.#held === undefined || !isHeld) pass()
    else this.#held.push(pass)
  }
}

function workers (t: Test, options?: ClusterHostOptions): (own?: ClusterOptions) => { adapter: Adapter, wire: Wire } {
  const host = new Host(options)
  t.teardown(() => host.close())
  return (own) => {
    const wire = new Wire(host.local())
    return { adapter: clusterBy(wire, own), wire }
  }
}

adapterContract(t, (each) => {
  const host = new Host()
  each.teardown(() => host.close())
  return () => clusterBy(new Wire(host.local()))
}, { name: 'cluster' })

const LEASE = 60_000
const ANN = { userId: 'ann', connection: 'c-ann' }

async function two (t: Test, options?: ClusterHostOptions): Promise<{ a: Node, b: Node, wire: Wire }> {
  const make = workers(t, options)
  const [first, second] = [make(), make()]
  const a = await node(t, first.adapter, 'a')
  const b = await node(t, second.adapter, 'b')
  for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
  return { a, b, wire: second.wire }
}

t.test('cluster: what moved to another worker is that one\'s, whatever its former one renews or gives back', async (t) => {
  const { a, b } = await two(t)
  for (const { adapter } of [a, b]) {
    await adapter.leases!.acquire('user:ann', ANN.connection, 1, LEASE)
    await adapter.presence!.join('chat/1', ANN, LEASE)
  }
  await a.adapter.leases!.renew([{ key: 'user:ann', holder: ANN.connection }], LEASE)
  await a.adapter.leases!.release('user:ann', ANN.connection)
  await a.adapter.presence!.leave('chat/1', ANN, 0)
  t.equal(await b.adapter.leases!.count('user:ann'), 1)
  t.equal((await b.adapter.presence!.snapshot('chat/1', 10)).total, 1)
  await b.adapter.leases!.release('user:ann', ANN.connection)
  await b.adapter.presence!.leave('chat/1', ANN, 0)
  t.equal(await a.adapter.leases!.count('user:ann'), 0)
  t.equal((await a.adapter.presence!.snapshot('chat/1', 10)).total, 0)
})

t.test('cluster: what a worker that has gone held ends with its lease, and nothing of the others does', async (t) => {
  const { a, b } = await two(t)
  for (const [{ adapter }, user, lease] of [[a, 'ann', 300], [b, 'bob', 300]] as const) {
    await adapter.presence!.join('chat/1', { userId: user, connection: user }, lease)
  }
  await a.adapter.close()
  t.equal((await b.adapter.presence!.snapshot('chat/1', 10)).total, 2, 'who comes back was not away')
  t.same(b.host.controls.map(({ message }) => message), [{ type: 'node', state: 'leaving' }])
  await until('ann has left', async () => (await b.adapter.presence!.snapshot('chat/1', 10)).total === 1)
  t.same(
    b.host.changes.get('chat/1')!.flatMap(({ left }) => left.map(({ userId }) => userId)),
    ['ann']
  )
})

t.test('cluster: a worker that does not keep up reads again what was given up, in order and each event once', async (t) => {
  const { a, b, wire } = await two(t, { waiting: 100_000 })
  await a.adapter.publish('chat/1', said('first'), reliable)
  await b.host.heard('chat/1', 1)
  wire.hold()
  const texts = Array.from({ length: 60 }, (_, index) => `${index} ${'x'.repeat(50_000)}`)
  for (const text of texts) await a.adapter.publish('chat/1', said(text), reliable)
  await a.adapter.presence!.join('chat/1', ANN, LEASE)
  await a.adapter.publish('chat/1', said('red', { type: 'score', delivery: 'latest', key: 'red' }), reliable)
  wire.release()
  await until('all of it', () => b.host.offsets('chat/1').filter((offset) => offset > 0).length >= 61)
  const heard = b.host.events.get('chat/1')!.filter(({ position }) => position !== undefined)
  t.same(heard.map(textOf).slice(1), texts)
  await until('the value', () => b.host.events.get('chat/1')!.some(({ event }) => event!.key === 'red'))
  await until('who came', () => (b.host.changes.get('chat/1') ?? []).length > 0)
  t.same(b.host.gaps, [])
  t.equal(b.adapter.stats!().behind, 1)
  const next = await b.adapter.publish('chat/1', said('next'), reliable)
  t.equal(next.recipients, 1)
})

t.test('cluster: calls beyond the bound are refused and counted, and those before them are answered', async (t) => {
  const { adapter } = workers(t)({ calls: 10 })
  await node(t, adapter, 'a')
  const asked = await Promise.allSettled(
    Array.from({ length: 15 }, () => adapter.publish('chat/1', said('hi'), reliable))
  )
  t.same(asked.map(({ status }) => status), Array.from({ length: 15 }, (_, index) => index < 10 ? 'fulfilled' : 'rejected'))
  t.match(asked[10], { reason: { word: 'unavailable', outcome: undefined } })
  t.equal(adapter.stats!().refused, 5)
})

t.test('cluster: a call beyond the bound leaves the recipients of those before it', async (t) => {
  const { adapter, wire } = workers(t)({ calls: 1 })
  const { host } = await node(t, adapter, 'a')
  await adapter.subscribe('chat/1', reliable)
  wire.hold()
  const first = adapter.publish('chat/1', said('first'), reliable)
  await t.rejects(async () => { await adapter.publish('chat/1', said('too many'), reliable) }, { word: 'unavailable' } as object as Error)
  wire.release()
  t.equal((await first).recipients, 1)
  t.same(host.events.get('chat/1')!.map(textOf), ['first'])
})

t.test('cluster: calls that are not sent are bounded in characters too, and a room is left though nothing else goes through', async (t) => {
  const make = workers(t)
  const { adapter, wire } = make({ timeout: 60_000 })
  await node(t, adapter, 'a')
  const b = await node(t, make().adapter, 'b')
  await adapter.subscribe('chat/1', reliable)
  wire.hold()
  const large = said('x'.repeat(1_000_000))
  const asked = Array.from({ length: 60 }, async () => await adapter.publish('chat/2', large, reliable))
  const settled = Promise.allSettled(asked)
  await adapter.unsubscribe('chat/1')
  t.ok(Number(adapter.stats!().refused) > 20, String(adapter.stats!().refused))
  wire.release()
  const accepted = (await settled).filter(({ status }) => status === 'fulfilled').length
  t.equal(accepted + Number(adapter.stats!().refused), 60)
  const asking = said('here?', { delivery: 'volatile', ack: 'b.1' })
  t.equal((await b.adapter.publish('chat/1', asking, reliable)).nodes, 0)
})

/** What a worker asks for with much in it, besides what is published. */
const LARGE = 'x'.repeat(256_000)
const LARGE_CALLS: Readonly<Record<string, (adapter: Adapter) => unknown>> = {
  'control messages': (adapter) => adapter.control!.send({ type: 'revoke', user: LARGE }),
  'joins with data': (adapter) => adapter.presence!.join('chat/1', { ...ANN, data: { text: LARGE } }, LEASE),
  'new data of users': (adapter) => adapter.presence!.update!('chat/1', { userId: 'ann', data: [LARGE] })
}
for (const [what, ask] of Object.entries(LARGE_CALLS)) {
  t.test(`cluster: ${what} that are not sent are bounded by their characters, and make room when nobody waits for them`, async (t) => {
    // No timer of an adapter keeps its process.
    const alive = setInterval(() => {}, 1_000)
    t.teardown(() => { clearInterval(alive) })
    const { adapter, wire } = workers(t)({ timeout: 500 })
    await node(t, adapter, 'a')
    wire.hold()
    const refused = (): number => Number(adapter.stats!().refused)
    // Some are on their way, 132 wait.
    await Promise.allSettled(Array.from({ length: 200 }, async () => { await ask(adapter) }))
    t.ok(refused() > 50, String(refused()))
    const before = refused()
    await t.rejects(async () => { await ask(adapter) }, { code: 'unavailable' })
    t.equal(refused(), before, 'it waited for the primary')
  })
}

t.test('cluster: members ask where one change of presence alone was given up while a worker did not keep up', async (t) => {
  const { a, b, wire } = await two(t, { waiting: 100_000 })
  await a.adapter.presence!.join('chat/1', ANN, LEASE)
  const told = (): number[] => (b.host.changes.get('chat/1') ?? []).map(({ sequence }) => sequence)
  await until('ann is told', () => told().length === 1)
  const [known] = told() as [number]
  wire.hold()
  for (let count = 0; count < 60; count++) await a.adapter.publish('chat/1', said('x'.repeat(50_000)), reliable)
  await a.adapter.presence!.leave('chat/1', ANN, 0)
  wire.release()
  await until('more is told', () => told().length > 1)
  t.same(told(), [known, known + 2])
})

t.test('cluster: changes of presence that wait for a worker are bounded by their data', async (t) => {
  const { a, b, wire } = await two(t, { waiting: 1_000_000 })
  wire.hold('answers')
  for (let count = 0; count < 20; count++) {
    await a.adapter.presence!.join('chat/1', { userId: `u${count}`, connection: 'c', data: LARGE }, LEASE)
  }
  wire.release()
  await until('it is told that it has missed some', () => b.adapter.stats!().behind === 1)
})

t.test('cluster: answers that wait for a worker are bounded by what is in them', async (t) => {
  const { a, b, wire } = await two(t, { waiting: 1_000_000 })
  await a.adapter.presence!.join('chat/1', { ...ANN, data: LARGE }, LEASE)
  wire.hold('answers')
  const ask = async (): Promise<unknown> => await b.adapter.presence!.snapshot('chat/1', 10)
  const asked = Promise.allSettled(Array.from({ length: 40 }, ask))
  await until('its worker is ended', () => a.host.controls.some(({ message }) => message.type === 'node'))
  t.ok((await asked).every(({ status }) => status === 'rejected'))
})

t.test('cluster: a worker for which too much waits that cannot be read again is ended, and the others go on', async (t) => {
  const { a, b, wire } = await two(t, { waiting: 100_000 })
  wire.hold()
  // What is on its way is not waiting.
  for (let count = 0; count < 200; count++) {
    await a.adapter.control!.send({ type: 'revoke', user: 'x'.repeat(10_000) })
  }
  await until('it is ended', () => b.adapter.stats!().isUp === false)
  await t.rejects(async () => await b.adapter.publish('chat/1', said('hi'), reliable))
  t.equal((await a.adapter.publish('chat/1', said('hi'), reliable)).recipients, 1)
  t.same(a.host.controls.map(({ message }) => message), [{ type: 'node', state: 'leaving' }])
})

t.test('cluster: what waits for a worker that is behind is looked through once, however many events come then', async (t) => {
  let drops = 0
  class CountedLine extends Line {
    override drop (isKept: (item: unknown) => boolean): number {
      drops++
      return super.drop(isKept)
    }
  }
  const space = new Space({ waiting: 10_000 }, undefined)
  t.teardown(() => space.close())
  const join = (tag: string): void => {
    const line = new CountedLine({ name: 'realtime', tag, post: () => {} })
    space.join(tag, { id: tag, timeout: 60_000 }, line, { post: () => {}, end: () => { t.fail('a worker is ended') } })
  }
  let number = 0
  const take = (tag: string, items: unknown[][]): void => {
    space.take(tag, { realtime: VERSION, name: 'realtime', tag, number: ++number, at: machineTime(), items })
  }
  join('fast')
  join('slow')
  take('slow', [[1, 'subscribe', 'chat/1', reliable]])
  const told = (): unknown[] => [0, 'control', { type: 'revoke', user: 'x'.repeat(100) }]
  take('fast', Array.from({ length: 70 }, told))
  const event = (): unknown[] => [0, 'publish', 'chat/1', writePublication(said('hi')), reliable]
  take('fast', Array.from({ length: 20 }, event))
  t.same([drops, space.dropped], [1, 20])
})

t.test('cluster: a publication that is asked for again after more than are remembered is not known, and not made twice', async (t) => {
  const space = new Space({ waiting: 10_000, unkeyed: 2 }, undefined)
  t.teardown(() => space.close())
  const answers: unknown[] = []
  const post = ({ items }: Batch): void => { answers.push(...items.filter((item) => /^[rx]$/.test(String((item as unknown[])[0])))) }
  const line = new Line({ name: 'realtime', tag: 'a', post: (message) => { post(message as Batch) } })
  space.join('a', { id: 'a', timeout: 60_000 }, line, { post: () => {}, end: () => { t.fail('a worker is ended') } })
  const publish = (call: number, idempotencyKey?: string): unknown[] => {
    return [call, 'publish', 'chat/1', writePublication(said(`${call}`, { idempotencyKey })), reliable]
  }
  const items = [
    publish(1), publish(2), publish(3), publish(4, keyOfCall('a', 1)), publish(5, keyOfCall('a', 3)), publish(6, keyOfCall('a', 2)),
    publish(7, keyOfCall('a', 9))
  ]
  space.take('a', { realtime: VERSION, name: 'realtime', tag: 'a', number: 1, at: machineTime(), items })
  const found = await until('all are answered', () => answers.length === items.length && answers)
  matchList(t, found, [
    ['r', 1, { position: { offset: 1 } }], ['r', 2, { position: { offset: 2 } }], ['r', 3, { position: { offset: 3 } }],
    ['x', 4, 'forgotten', String], ['r', 5, { position: { offset: 3 } }], ['r', 6, { position: { offset: 2 } }],
    ['r', 7, { position: { offset: 4 } }]
  ])
})

t.test('cluster: what the primary has forgotten is refused as unknown, with the reason and without a key to ask again', async (t) => {
  const host = new Host()
  t.teardown(() => host.close())
  const channel = host.local()
  let isForgotten = false
  const forget = (item: unknown[]): unknown[] => isForgotten && item[0] === 'r' ? ['x', item[1], 'forgotten', ''] : item
  const { adapter } = await node(t, clusterBy({
    post: (message) => { channel.post(message) },
    close: () => { channel.close() },
    listen: (message, ended) => {
      channel.listen((given) => {
        const batch = given as Batch
        message({ ...batch, items: batch.items.map((item) => forget(item as unknown[])) })
      }, ended)
    }
  }), 'a')
  isForgotten = true
  await t.rejects(async () => await adapter.publish('chat/1', said('again', { idempotencyKey: keyOfCall('a', 1) }), reliable), {
    code: 'unavailable',
    outcome: 'unknown',
    idempotencyKey: undefined,
    message: /too many others came since/
  })
  isForgotten = false
})

t.test('cluster: an adapter that comes while the last one goes is served', async (t) => {
  // No timer of an adapter keeps its process.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => { clearInterval(alive) })
  const host = new Host()
  t.teardown(() => host.close())
  for (let turns = 0; turns < 12; turns++) {
    const first = await node(t, clusterBy(host.local()), 'a')
    const second = clusterBy(host.local(), { timeout: 200 })
    const closing = first.adapter.close!()
    for (let turn = 0; turn < turns; turn++) await null
    const { adapter } = await node(t, second, 'b')
    await t.resolves(Promise.resolve(adapter.subscribe('chat/1', reliable)), `after ${turns} microtasks`)
    await closing
    await adapter.close!()
  }
})

t.test('cluster: what the primary does not answer in time is refused as unknown, and does not happen later', async (t) => {
  const make = workers(t)
  // No timer of an adapter keeps its process.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => { clearInterval(alive) })
  const { adapter, wire } = make({ timeout: 200 })
  const a = await node(t, adapter, 'a')
  const b = await node(t, make().adapter, 'b')
  wire.hold()
  const [{ status, reason }] = await Promise.allSettled([adapter.publish('chat/1', said('late'), reliable)]) as [
    PromiseRejectedResult
  ]
  matchList(t, [status, reason], ['rejected', { word: 'unavailable', outcome: 'unknown' }])
  t.same(a.host.states, [false])
  wire.release()
  await adapter.publish('chat/1', said('in time'), reliable)
  t.same(a.host.states, [false, true])
  const page = await b.adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)
  t.same(page.events.map(textOf), ['in time'])
})

t.test('cluster: who leaves while the primary is blocked is gone and has freed the slot, however many they are and however late', async (t) => {
  const make = workers(t)
  // No timer of an adapter keeps its process.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => { clearInterval(alive) })
  const { adapter, wire } = make({ timeout: 3_000 })
  const a = await node(t, adapter, 'a')
  const b = await node(t, make().adapter, 'b')
  const store = adapter as Adapter & Required<Pick<Adapter, 'presence' | 'leases'>>
  const errors: unknown[] = []
  const onError = (error: unknown): void => { errors.push(error) }
  const keeper = new PresenceKeeper(store.presence, { grace: 0, lease: LEASE }, () => [], onError)
  const leases = new Leases(store.leases, { whenUnavailable: 'refuse', held: () => [], onError })
  const users = Array.from({ length: 30_000 }, (_, index) => ({ userId: `u${index}`, connection: `c${index}` }))
  const slotOf = (holder: string): HeldLease => ({ key: 'room:chat/1', holder, fence: 1, isHeld: () => true })
  await inBatches(users, 1_000, async (user) => {
    await keeper.join('chat/1', user)
    await leases.acquire(slotOf(user.connection), 30_000)
  })
  t.equal((await b.adapter.presence!.snapshot('chat/1', 0)).total, 30_000)
  wire.hold()
  for (const user of users) {
    keeper.leave('chat/1', user, true)
    leases.giveBack(slotOf(user.connection))
  }
  const [asked] = await Promise.allSettled([adapter.publish('chat/1', said('hi'), reliable)])
  t.equal(asked.status, 'rejected', 'what is no end is refused')
  t.same(a.host.states, [false])
  wire.release()
  await until('nobody is there', async () => (await b.adapter.presence!.snapshot('chat/1', 0)).total === 0)
  await until('all slots are free', async () => await b.adapter.leases!.count('room:chat/1') === 0)
  t.same(errors, [])
})

t.test('cluster: bounds without an end pass the channel', async (t) => {
  const { a, b } = await two(t)
  const without = Number.POSITIVE_INFINITY
  await a.adapter.presence!.join('chat/1', ANN, without)
  t.equal((await b.adapter.presence!.snapshot('chat/1', without)).list!.length, 1)
  await a.adapter.publish('chat/1', said('hi'), { ...reliable, history: { size: without, ttl: without } })
  t.equal((await b.adapter.history!('chat/2', { last: without, limit: without }, reliable)).events.length, 0)
  t.equal(await a.adapter.leases!.acquire('user:ann', 'c1', without, without), true)
})

t.test('cluster: two applications with names of their own share workers and nothing else', async (t) => {
  const make = workers(t)
  const [a, b] = [await node(t, make({ name: 'one' }).adapter, 'a'), await node(t, make({ name: 'two' }).adapter, 'b')]
  await b.adapter.subscribe('chat/1', reliable)
  await a.adapter.publish('chat/1', said('hi'), reliable)
  await a.adapter.control!.send({ type: 'revoke', user: 'ann' })
  t.same((await b.adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)).events, [])
  t.same([b.host.texts('chat/1'), b.host.controls], [[], []])
})

t.test('cluster: a name of an application too many is refused with what helps, and those before it go on', async (t) => {
  const make = workers(t)
  const first = await node(t, make({ name: 'app-0' }).adapter, 'a')
  for (let count = 1; count < 16; count++) await node(t, make({ name: `app-${count}` }).adapter, `a-${count}`)
  await t.rejects(make({ name: 'app-16' }).adapter.start(new FakeHost('b')), {
    code: 'REALTIME_ERR_ADAPTER',
    message: /serves 16 names of applications.*the same name/
  })
  await node(t, make({ name: 'app-0' }).adapter, 'c')
  t.equal((await first.adapter.publish('chat/1', said('hi'), reliable)).recipients, 0)
})

t.test('cluster: a message that nobody can read is refused or counted, and the channel goes on', async (t) => {
  const host = new Host()
  t.teardown(() => host.close())
  const channel = host.local()
  const posted: Array<Record<string, unknown>> = []
  let hear = (_message: unknown): void => {}
  const adapter = clusterBy({
    post: (message) => {
      posted.push(message as Record<string, unknown>)
      channel.post(message)
    },
    listen: (message, ended) => {
      hear = message
      channel.listen(message, ended)
    },
    close: () => { channel.close() }
  })
  await node(t, adapter, 'a')
  await adapter.subscribe('chat/1', reliable)
  const { tag } = posted[0]!
  const odd = [
    7, [], ['e'], ['e', 'chat/1', {}], ['e', 'chat/1', { head: { t: 'said', s: 1 }, text: '{"a":1}\n{' }],
    ['p', 'chat/1', { sequence: 1e18, joined: [], left: [] }], ['c', 'b', 7], ['z']
  ]
  for (const item of odd) hear({ realtime: VERSION, name: 'realtime', tag, number: 0, at: 0, items: [item] })
  hear({ realtime: VERSION, name: 'realtime', tag, number: 0, at: 0, items: 'none' })
  hear('text of the application')
  t.equal(adapter.stats!().undecodable, odd.length)
  for (const args of [['publish', 'chat/1', { head: {}, data: '{' }, reliable], ['toString'], ['join', 'chat/1']]) {
    channel.post({ realtime: VERSION, name: 'realtime', tag, number: 0, at: Infinity, items: [[0.5, ...args], 'odd'] })
  }
  t.equal((await adapter.publish('chat/1', said('hi'), reliable)).recipients, 1)
  t.equal(adapter.stats!().undecodable, odd.length + 3)
})

t.test('cluster: a worker whose primary does not answer, or runs another version, is told what helps', async (t) => {
  const silent = clusterBy({ post: () => {}, listen: () => {}, close: () => {} })
  const other = (): Adapter => {
    let hear = (_message: unknown): void => {}
    return clusterBy({
      post: (message) => { hear({ ...message as object, realtime: VERSION + 1, items: [] }) },
      listen: (message) => { hear = message },
      close: () => {}
    })
  }
  await Promise.all([
    t.rejects(silent.start(new FakeHost('a')), { code: 'REALTIME_ERR_ADAPTER', message: /call hostCluster\(\)/ }),
    t.rejects(other().start(new FakeHost('a')), { code: 'REALTIME_ERR_ADAPTER', message: /another version/ })
  ])
})

for (const isTold of [true, false]) {
  const when = isTold ? 'as it closes' : 'by the next one, where it has not heard of that'
  t.test(`cluster: an adapter whose host was closed is told ${when}, refuses at once and logs what helps`, async (t) => {
    // No timer of an adapter keeps its process.
    const alive = setInterval(() => {}, 1_000)
    t.teardown(() => { clearInterval(alive) })
    const [former, next] = [new Host(), new Host()]
    t.teardown(() => next.close())
    const [first, second] = [former.local(), next.local()]
    let channel = first
    let hear = (_message: unknown): void => {}
    const adapter = clusterBy({
      post: (message) => { channel.post(message) },
      listen: (message, ended) => {
        hear = message
        first.listen((given) => { if (isTold || channel === first) hear(given) }, ended)
        second.listen((given) => { hear(given) }, ended)
      },
      close: () => {
        first.close()
        second.close()
      }
    }, { timeout: 60_000 })
    const a = await node(t, adapter, 'a')
    const warnings: string[] = []
    const warn = (_object: object, message: string): void => { warnings.push(message) }
    Object.assign(a.host, { log: { info: () => {}, warn } })
    channel = second
    await former.close()
    const insisted = isTold ? undefined : adapter.presence!.leave('chat/1', ANN, 0)
    if (insisted !== undefined) await t.rejects(Promise.resolve(insisted), { code: 'unavailable' })
    await until('it is ended', () => adapter.stats!().isUp === false)
    await t.rejects(async () => await adapter.publish('chat/1', said('hi'), reliable), { code: 'unavailable' })
    matchList(t, warnings, [/start the workers again after a new hostCluster\(\)/])
    t.same(a.host.states, [false])
  })
}

t.test('cluster: a publication whose answer does not come is refused with a key under which it is published once', async (t) => {
  const make = workers(t)
  const { adapter, wire } = make({ timeout: 300 })
  const a = await node(t, adapter, 'a')
  const b = await node(t, make().adapter, 'b')
  await b.adapter.subscribe('chat/1', reliable)
  const sent = [
    said('without'),
    said('with', { idempotencyKey: 'its own' }),
    said('value', { type: 'score', delivery: 'latest', key: 'red' }),
    said('tick', { delivery: 'volatile' })
  ]
  wire.hold('answers')
  const told: Refusal[] = []
  const ask = async (publication: Publication): Promise<void> => {
    await Promise.resolve(a.adapter.publish('chat/1', publication, reliable)).catch((error: Refusal) => { told.push(error) })
  }
  for (const each of sent) void ask(each)
  await until('all are told', () => told.length === sent.length)
  wire.release()
  for (const [index, error] of told.entries()) {
    t.match(error, { code: 'unavailable', outcome: 'unknown', idempotencyKey: String })
    if (index === 1) t.equal(error.idempotencyKey, 'its own')
    await b.adapter.publish('chat/1', { ...sent[index]!, idempotencyKey: error.idempotencyKey! }, reliable)
  }
  t.equal(new Set(told.map((error) => error.idempotencyKey)).size, sent.length)
  t.same(await b.host.heard('chat/1', sent.length), ['without', 'with', 'value', 'tick'])
  wire.hold()
  void ask(said('lost'))
  await until('it is told', () => told.length > sent.length)
  wire.release()
  const { idempotencyKey } = told.at(-1)!
  for (let times = 0; times < 2; times++) {
    await a.adapter.publish('chat/1', said('lost', { idempotencyKey: idempotencyKey! }), reliable)
  }
  t.same((await b.host.heard('chat/1', sent.length + 1)).slice(sent.length), ['lost'])
})
