import t from 'tap'
import { Nodes, type Beat } from '../../lib/adapters/nodes.js'

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

t.test('what other data of the broker says of a node that lives ends with the lease, and what the node holds anew does not', async (t) => {
  const broker = new Broker()
  let lost = 0
  const make = (node: string): Nodes => new Nodes({ node, beat: async (name) => await broker.beat(name), onLost: () => { lost++ } })
  const [a, b] = [make('a'), make('b')]
  await Promise.all([a.beat(), b.beat()])
  const before = a.mark(LEASE)
  t.equal(before, `a ${LEASE}`)

  a.rename()
  const after = a.mark(LEASE)
  t.not(after, before, 'held anew under another name')
  await a.beat()
  for (let round = 0; round < 7; round++) {
    broker.now += 10_000
    await Promise.all([a.beat(), b.beat()])
  }
  t.match(b.dead(LEASE), [{ node: 'a', at: 1_000_000 }])
  t.equal(b.dead(LEASE).length, 1)
  t.equal(lost, 0, 'a new name that the broker does not know is no loss')
})

t.test('a node that the broker has forgotten is told once', async (t) => {
  const broker = new Broker()
  let lost = 0
  const a = new Nodes({ node: 'a', beat: async (name) => await broker.beat(name), onLost: () => { lost++ } })
  await a.beat()
  broker.heard.clear()
  await a.beat()
  await a.beat()
  t.equal(lost, 1)
})
