import t, { type Test } from 'tap'
import type { Control, ControlMessage } from '../../lib/adapters/adapter.js'
import type { Peer, Peers } from '../../lib/admission/peer.js'
import { Departures } from '../../lib/dispatch/departures.js'
import { DistantDepartures } from '../../lib/dispatch/distant-departures.js'
import { PastDepartures } from '../../lib/dispatch/past-departures.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { until } from '../helpers/servers.js'

const ROOM = 'chat/1'
const taken = new Refusal('revoked', { room: ROOM, message: 'enough' })
const ended = new Refusal('unavailable', { message: 'the sender has gone' })

interface Node {
  readonly departures: Departures
  readonly distant: DistantDepartures
  readonly peers: Map<string, Peer>
  /** Gives what it has sent to the others. */
  deliver (): void
}

function peerOf (id: string, userId = 'ada'): Peer { return { id, userId, isOpen: true } as unknown as Peer }

/** Nodes whose messages stay on their way until they are delivered. */
function nodes (t: Test, count: number): Node[] {
  const all: Node[] = []
  for (let n = 0; n < count; n++) {
    const sent: ControlMessage[] = []
    const departures = new Departures()
    const peers = new Map<string, Peer>()
    const control = { send: async (message: ControlMessage) => { sent.push(message) } } as unknown as Control
    const failed = (error: unknown): void => { t.fail(String(error)) }
    const distant = new DistantDepartures(departures, peers as unknown as Peers, control, 30_000, failed)
    t.teardown(() => { distant.close() })
    const deliver = (): void => {
      for (const message of sent.splice(0)) {
        for (const other of all) {
          if (other.distant === distant) continue
          if (message.type === 'follow') other.distant.followed(message)
          if (message.type === 'departed') other.distant.departed(message)
        }
      }
    }
    all.push({ departures, distant, peers, deliver })
  }
  return all
}

interface Handler {
  readonly begun: number
  readonly told: string[]
  /** It asks for its signal. */
  ask (): void
}

/** A handler on a node, for a message of a connection of another one. */
function handler ({ departures, distant }: Node, connection: string, user = 'ada', room = ROOM): Handler {
  const begun = performance.now()
  const told: string[] = []
  return {
    begun,
    told,
    ask () {
      const stop = departures.followElsewhere(connection, room, ({ word }) => {
        told.push(word)
        stop()
      }, { begun })
      distant.follow(connection, user, room)
    }
  }
}

/** Makes sure that the clock has gone on by more than what is rounded away. */
async function aWhile (): Promise<void> { await new Promise((resolve) => { setTimeout(resolve, 5) }) }

const DEPARTURES: ReadonlyArray<readonly [string, string, (node: Node, peer: Peer) => void]> = [
  ['was taken out of the room', 'revoked', ({ departures }, peer) => { departures.taken(peer, ROOM, taken) }],
  ['has ended', 'unavailable', ({ departures, peers }, peer) => {
    peers.delete(peer.id)
    departures.ended(peer, () => ended)
  }]
]

for (const [what, word, depart] of DEPARTURES) {
  t.test(`a handler that asks for its signal after its connection ${what} on another node is told at once`, async (t) => {
    const [far, near] = nodes(t, 2) as [Node, Node]
    const peer = peerOf('a')
    far.peers.set('a', peer)
    const late = handler(near, 'a')
    await aWhile()
    depart(far, peer)
    await aWhile()
    late.ask()
    near.deliver()
    far.deliver()
    t.same(late.told, [word])
  })

  t.test(`a question that is on its way while the connection ${what} is answered`, async (t) => {
    const [far, near] = nodes(t, 2) as [Node, Node]
    const peer = peerOf('a')
    far.peers.set('a', peer)
    const early = handler(near, 'a')
    early.ask()
    depart(far, peer)
    near.deliver()
    far.deliver()
    t.same(early.told, [word])
  })

  t.test(`a handler that began after its connection ${what} is not told of it`, async (t) => {
    const [far, near] = nodes(t, 2) as [Node, Node]
    const peer = peerOf('a')
    far.peers.set('a', peer)
    const before = handler(near, 'a')
    await aWhile()
    depart(far, peer)
    await aWhile()
    const after = handler(near, 'a')
    after.ask()
    before.ask()
    near.deliver()
    far.deliver()
    t.same([before.told, after.told], [[word], []])
  })
}

t.test('nobody is told of what happened to the connection of another user, to another room, or to no connection', async (t) => {
  const [far, near] = nodes(t, 2) as [Node, Node]
  const peer = peerOf('a')
  far.peers.set('a', peer)
  const all = [handler(near, 'a', 'eve'), handler(near, 'a', 'ada', 'chat/2'), handler(near, 'unknown')]
  await aWhile()
  far.departures.taken(peer, ROOM, taken)
  for (const each of all) each.ask()
  near.deliver()
  far.deliver()
  t.same(all.map(({ told }) => told), [[], [], []])
  far.departures.taken(peer, 'chat/2', taken)
  far.deliver()
  t.same(all.map(({ told }) => told), [[], ['revoked'], []], 'who is concerned is followed from then on')
})

t.test('a handler is told where its connection has come to its own node before it asked', async (t) => {
  const [, near] = nodes(t, 2) as [Node, Node]
  const late = handler(near, 'a')
  const peer = peerOf('a')
  near.peers.set('a', peer)
  late.ask()
  near.departures.taken(peer, ROOM, taken)
  t.same(late.told, ['revoked'])
})

t.test('a connection that has moved has not ended for who asks later, nor has one whose node closes', async (t) => {
  const [first, second, near] = nodes(t, 3) as [Node, Node, Node]
  const peer = peerOf('a')
  const closed = peerOf('b')
  const all = [handler(near, 'a'), handler(near, 'b')]
  first.departures.moved(peer)
  first.departures.ended(peer, () => ended)
  first.departures.ended(closed, () => new Refusal('draining'))
  second.peers.set('a', peerOf('a'))
  await aWhile()
  for (const each of all) each.ask()
  for (const each of [near, first, second]) each.deliver()
  t.same(all.map(({ told }) => told), [[], []])
  second.departures.taken(second.peers.get('a')!, ROOM, taken)
  second.deliver()
  t.same(all.map(({ told }) => told), [['revoked'], []], 'the node that it has moved to tells')
})

t.test('of ten thousand departures and one more the oldest is forgotten', async (t) => {
  const past = new PastDepartures(60_000)
  for (let each = 0; each <= 10_000; each++) past.add(peerOf(`c-${each}`), () => new Refusal('revoked'))
  t.equal(past.find('c-0', 'ada', ROOM), undefined)
  for (const kept of ['c-1', 'c-10000']) t.equal(past.find(kept, 'ada', ROOM)?.why.word, 'revoked', kept)
})

t.test('each connection of another node is asked for again once for all who are back within a moment, in each room of its handlers', async (t) => {
  const sent: ControlMessage[] = []
  const departures = new Departures()
  const control = { send: async (message: ControlMessage) => { sent.push(message) } }
  const distant = new DistantDepartures(departures, new Map() as unknown as Peers, control, 30_000, (error) => {
    t.fail(String(error))
  })
  t.teardown(() => { distant.close() })
  const follow = (connection: string, room: string): () => void => {
    return departures.followElsewhere(connection, room, () => undefined, { user: 'ada' })
  }
  follow('one', 'chat/1')
  follow('one', 'chat/1')
  follow('one', 'chat/2')
  follow('two', 'chat/1')()
  // A caller without a connection, for whom nobody can be asked.
  departures.followElsewhere(undefined, 'chat/1', () => undefined)
  for (let times = 0; times < 5; times++) distant.askAgain()
  await until('it has asked', () => sent.length >= 2)
  t.same(sent, [
    { type: 'follow', connection: 'one', user: 'ada', room: 'chat/1' },
    { type: 'follow', connection: 'one', user: 'ada', room: 'chat/2' }
  ])
  distant.askAgain()
  distant.close()
  await new Promise((resolve) => { setTimeout(resolve, 600) })
  t.equal(sent.length, 2, 'one that was closed asks no more')
})
