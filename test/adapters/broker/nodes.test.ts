import { mock } from 'node:test'
import t from 'tap'
import { drop } from '../../../lib/adapters/nats/held.js'
import { BEAT, nodeOf, Nodes, type Beat } from '../../../lib/adapters/broker/nodes.js'
import { matchList } from '../../helpers/match-list.js'

const LEASE = 60_000

/** A broker that remembers when each node was heard of, by a clock that the test sets. */
class Broker {
  now = 1_000_000
  readonly heard = new Map<string, number>()

  async beat (name: string): Promise<Beat> {
    const before = this.heard.get(name)
    const others = [...this.heard].filter(([node]) => node !== name).map(([node, at]) => ({ node, at }))
    this.heard.set(name, this.now)
    return { now: this.now, before, others }
  }
}

t.test(
  'what other data of the broker says of a node that lives ends with the lease, and what the node holds anew does not',
  async (t) => {
    const broker = new Broker()
    let lost = 0
    const make = (node: string): Nodes => new Nodes({
      node,
      beat: async (name) => await broker.beat(name),
      onLost: () => { lost++ },
      hold: async () => {}
    })
    const [a, b] = [make('a'), make('b')]
    await Promise.all([a.beat(), b.beat()])
    const before = a.mark(LEASE)
    t.equal(before, `a ${LEASE}`)

    a.holdAnew()
    const after = a.mark(LEASE)
    t.not(after, before, 'held anew under another name')
    await new Promise(setImmediate)
    for (let round = 0; round < 7; round++) {
      broker.now += 10_000
      await Promise.all([a.beat(), b.beat()])
    }
    matchList(t, b.dead(LEASE), [{ node: 'a', at: 1_000_000 }])
    t.equal(b.dead(LEASE).length, 1)
    t.equal(lost, 0, 'a new name that the broker does not know is no loss')
  }
)

t.test('a node that the broker has forgotten takes everything again once, and is told once', async (t) => {
  const broker = new Broker()
  let [lost, held] = [0, 0]
  const a = new Nodes({
    node: 'a',
    beat: async (name) => await broker.beat(name),
    onLost: () => { lost++ },
    hold: async () => { held++ }
  })
  await a.beat()
  broker.heard.clear()
  await a.beat()
  await a.beat()
  await new Promise(setImmediate)
  t.same([lost, held], [1, 1])
})

t.test('what a node could not take again when the broker had forgotten it is tried soon and then ever later, until it is held', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const broker = new Broker()
  let [tries, held, isAway] = [0, 0, true]
  const a = new Nodes({
    node: 'a',
    beat: async (name) => await broker.beat(name),
    hold: async () => {
      tries++
      if (isAway) throw new Error('the bucket has no leader')
      held++
    }
  })
  const passes = async (milliseconds: number): Promise<void> => {
    broker.now += milliseconds
    mock.timers.tick(milliseconds)
    await new Promise(setImmediate)
  }
  await a.start()
  for (const round of ['first', 'second']) {
    tries = held = 0
    isAway = true
    broker.heard.clear()
    await passes(BEAT)
    t.equal(tries, 1)
    const tried: number[] = []
    for (let seconds = 1; seconds < 10; seconds++) {
      const before = tries
      await passes(1_000)
      if (tries > before) tried.push(seconds)
    }
    t.same(tried, [1, 3, 7], `the ${round} time, soon again once it was held`)
    for (let seconds = 0; seconds < 30; seconds++) await passes(1_000)
    t.equal(tries, 4 + 3, 'then with each heartbeat')
    isAway = false
    await passes(BEAT)
    t.same([tries, held], [4 + 4, 1])
    for (let seconds = 0; seconds < 2 * BEAT / 1_000 - 9; seconds++) await passes(1_000)
    t.equal(held, 1, 'and not again after that')
  }
  a.stop()
})

t.test('a node that was stopped takes nothing again', async (t) => {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const broker = new Broker()
  let tries = 0
  const hold = async (): Promise<void> => {
    tries++
    throw new Error('away')
  }
  const a = new Nodes({ node: 'a', beat: async (name) => await broker.beat(name), hold })
  await a.start()
  a.holdAgain()
  await new Promise(setImmediate)
  a.stop()
  mock.timers.tick(BEAT)
  await new Promise(setImmediate)
  t.equal(tries, 1)
})

t.test('a new name is heard of at once, also where a heartbeat by the old one is under way', async (t) => {
  const broker = new Broker()
  let go = (): void => {}
  const held = new Promise<void>((resolve) => { go = resolve })
  let beats = 0
  const a = new Nodes({
    node: 'a',
    beat: async (name) => {
      if (++beats === 2) await held
      return await broker.beat(name)
    },
    onLost: () => { t.fail('nothing was lost') },
    hold: async () => {}
  })
  await a.beat()
  a.beat().catch(() => {})
  a.holdAnew()
  go()
  await new Promise(setImmediate)
  t.same([...broker.heard.keys()], ['a', nameIn(a.mark(LEASE))])
})

t.test(
  'a former name is heard of until all that the node holds is held by the new one, and it is tried again',
  async (t) => {
    const broker = new Broker()
    let beat = (): void => {}
    t.intercept(globalThis, 'setInterval', {
      value: (callback: () => void) => {
        beat = callback
        return { unref: () => undefined }
      }
    })
    let isReachable = false
    const a = new Nodes({
      node: 'a',
      beat: async (name) => await broker.beat(name),
      onLost: () => {},
      hold: async () => { if (!isReachable) throw new Error('away') }
    })
    await a.start()
    a.holdAnew()
    const beatOnce = async (): Promise<void> => {
      broker.now += BEAT
      beat()
      await new Promise(setImmediate)
    }
    for (let beats = 0; beats < 3; beats++) await beatOnce()
    t.equal(broker.heard.get('a'), broker.now, 'nothing that is held by it ends meanwhile')
    isReachable = true
    await beatOnce()
    const last = broker.now
    await beatOnce()
    t.equal(broker.heard.get('a'), last)
    t.equal(broker.heard.get(nameIn(a.mark(LEASE))), broker.now)
  }
)

t.test('what a node holds by a former name is its own to give back, and nobody else\'s', async (t) => {
  const a = new Nodes({
    node: 'a',
    beat: async () => ({ now: 0, before: undefined, others: [] }),
    onLost: () => {},
    hold: async () => {}
  })
  const before = nameIn(a.mark(LEASE))
  a.holdAnew()
  const after = nameIn(a.mark(LEASE))
  t.same([nodeOf(before), nodeOf(after), a.id], ['a', 'a', 'a'])
  for (const name of [before, after]) {
    t.equal(drop(new Map([[`c ${name} ${LEASE}`, 1]]), 'c', a.id), true)
    t.equal(drop(new Map([[`c ${name} ${LEASE}`, 1]]), 'c', 'b'), false)
  }
})

function nameIn (mark: string): string { return mark.split(' ')[0]! }
