import t, { type Test } from 'tap'
import type { ControlMessage } from '../../lib/adapters/adapter.js'
import { Gathering } from '../../lib/dispatch/gathering.js'
import { Roster } from '../../lib/dispatch/roster.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { Cluster } from '../../lib/stats/cluster.js'
import { matchList } from '../helpers/match-list.js'

interface Net { readonly nodes: Cluster[], isAway: boolean, readonly deaf: Set<string> }

/** Nodes that know each other and hear each other, as through an adapter. */
function createNet (t: Test, names: readonly string[]): Net {
  const net: Net = { nodes: [], isAway: false, deaf: new Set() }
  for (const node of names) {
    const send = async (message: ControlMessage): Promise<void> => {
      if (net.isAway) throw new Refusal('unavailable')
      for (const other of net.nodes) {
        if (other.node === node || net.deaf.has(other.node)) continue
        if (message.type === 'look') void other.look(message)
        if (message.type === 'shown') other.shown(message, node)
      }
    }
    const roster = new Roster({ send }, () => {})
    for (const other of names) if (other !== node) roster.heard(other, 'here')
    const cluster = new Cluster({
      node,
      control: { send },
      gathering: new Gathering<unknown>(roster),
      onError: (error) => { t.fail(String(error)) }
    })
    cluster.answers = async (question) => ({ from: node, question })
    net.nodes.push(cluster)
    t.teardown(() => { cluster.close() })
  }
  return net
}

t.test('a question is answered by every other node, and by one alone where it is about that one', async (t) => {
  const { nodes: [a] } = createNet(t, ['a', 'b', 'c'])
  const all = await a!.ask({ what: 'figures' })
  t.same([...all.answers].sort(), [
    ['b', { from: 'b', question: { what: 'figures' } }],
    ['c', { from: 'c', question: { what: 'figures' } }]
  ])
  t.same(all.silent, [])
  const { answers, silent } = await a!.ask({ what: 'figures' }, 'c')
  t.same([answers.get('b'), answers.get('c'), silent], [{}, { from: 'c', question: { what: 'figures' } }, []])
})

t.test('a node that does not answer is told as silent, with the age of its last answer', async (t) => {
  const net = createNet(t, ['a', 'b', 'c'])
  net.deaf.add('c')
  t.same((await net.nodes[0]!.ask({ what: 'figures' })).silent, [{ node: 'c' }], 'it never has')
  net.deaf.clear()
  await net.nodes[0]!.ask({ what: 'figures' })
  net.isAway = true
  const { answers, silent } = await net.nodes[0]!.ask({ what: 'figures' })
  t.equal(answers.size, 0)
  matchList(t, silent, [{ node: 'b', silence: Number }, { node: 'c', silence: Number }], 'nobody can be asked while the adapter is away')
})

t.test('a node without pages for admins says that it has nothing to say, and is not waited for', async (t) => {
  const net = createNet(t, ['a', 'b'])
  net.nodes[1]!.answers = undefined
  const { answers, silent } = await net.nodes[0]!.ask({ what: 'figures' })
  t.same([...answers], [['b', {}]])
  t.same(silent, [])
})

t.test('where there is no control one node is all there is', async (t) => {
  const gathering = new Gathering<unknown>(new Roster(undefined, () => {}))
  const alone = new Cluster({ node: 'a', control: undefined, gathering, onError: () => {} })
  t.same(await alone.ask({ what: 'figures' }), { answers: new Map(), silent: [] })
})
