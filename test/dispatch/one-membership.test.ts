import t, { type Test } from 'tap'
import { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import type { Peer } from '../../lib/admission/peer.js'
import { Revocations } from '../../lib/auth/revocations.js'
import { Connection } from '../../lib/connection/connection.js'
import { Flusher } from '../../lib/connection/flusher.js'
import { defineRoom } from '../../lib/contract/index.js'
import { BroadcastAcks } from '../../lib/dispatch/broadcast-acks.js'
import type { Dispatch } from '../../lib/dispatch/dispatch.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { declare } from '../../lib/rooms/declaration.js'
import { Hub } from '../../lib/rooms/hub.js'
import type { Membership } from '../../lib/rooms/membership.js'
import { Ledger } from '../../lib/stats/ledger.js'
import { FakeLink, turn } from '../connection/fakes.js'
import { makeDispatch, makeSlots, silent, startInside } from '../helpers/inside.js'
import { Random } from '../helpers/random.js'

const definition = defineRoom('r', {})
const ID = 'c'.padEnd(22, 'c')

/** The inside of a node with one connection, and a room with one place whose `onJoin` waits until it is let go. */
class Node {
  readonly adapter = new MemoryAdapter()
  readonly rooms: Hub
  readonly slots = makeSlots()

  readonly revocations = new Revocations()
  readonly dispatch: Dispatch
  readonly peer: Peer
  /** Entries of the room that wait in its `onJoin`. */
  readonly entering: Array<(refusal?: Refusal) => void> = []
  #poll: Promise<void> | undefined
  #isCurrent = false
  readonly #underWay = new Set<Promise<unknown>>()

  constructor (transport: 'websocket' | 'polling') {
    const { adapter, revocations, slots } = this
    const ledger = new Ledger()
    const acks = new BroadcastAcks('here', undefined, (error: unknown) => { throw error })
    this.rooms = new Hub(adapter, {
      presence: { grace: 0, lease: 60_000 },
      presenceList: 200,
      eventLimit: 262_144,
      validateOutput: true,
      onError: (error) => { throw error },
      onUnhandled: (error) => { throw error }
    })
    const hooks = {
      presence: true,
      onJoin: async () => {
        await new Promise<void>((resolve, reject) => {
          this.entering.push((refusal) => { if (refusal === undefined) resolve(); else reject(refusal) })
        })
      }
    }
    const history = { size: 100, ttl: 300_000 }
    this.rooms.declarations.add(declare(definition, hooks, { capacity: 1 }, { history }, silent))
    this.dispatch = makeDispatch({ adapter, rooms: this.rooms, revocations, slots, acks, ledger })
    this.peer = new Connection<Membership>({
      flusher: new Flusher(),
      counters: ledger,
      outboxLimit: 1_048_576,
      rate: { messages: 1_000, burst: 1_000 },
      ...this.dispatch.host
    }, { id: ID, address: '', identity: { user: {}, userId: 'ada' } })
    slots.reserve(ID, 'ada', '', [])
    this.peer.attach(new FakeLink(transport))
  }

  async start (t: Test): Promise<this> {
    await startInside(t, this.adapter, this.rooms)
    return this
  }

  #follow (work: Promise<unknown>): void {
    this.#underWay.add(work)
    void work.finally(() => { this.#underWay.delete(work) })
  }

  /** A poll comes whose room was refused before; one is under way at a time. */
  poll (): void {
    if (this.#poll !== undefined || !this.peer.isOpen) return
    if (this.peer.isParked) this.peer.attach(new FakeLink('polling'))
    this.#isCurrent = true
    const entries = [{ name: 'r', found: this.rooms.resolve('r'), request: {} }]
    const { peer, dispatch: { joins } } = this
    joins.parkAll(peer)
    const resuming = joins.resume(peer, entries, this.revocations.moment, new Set(['r']), () => this.#isCurrent)
    this.#poll = Promise.resolve(resuming)
      .then(({ starts }) => {
        if (this.#isCurrent) for (const start of starts) start()
        else if (peer.isOpen) this.#park()
        this.#poll = undefined
      })
    this.#follow(this.#poll)
  }

  /** The peer gives its poll up, or it is answered. */
  pollEnds (): void {
    if (!this.peer.isParked && this.peer.isOpen) this.#park()
  }

  #park (): void {
    this.#isCurrent = false
    this.dispatch.joins.park(this.peer, ['r'])
    this.peer.detach()
  }

  joinByServer (): void {
    this.#follow(this.dispatch.joins.joinByServer(this.peer, 'r', this.revocations.moment))
  }

  leaveByServer (): void {
    this.revocations.add({ connection: ID, room: 'r' })
    this.dispatch.joins.leaveByServer(this.peer, 'r')
  }

  leaveByPost (): void { this.dispatch.joins.leaveByPeer(this.peer, 'r') }

  says (type: 'join' | 'leave'): void { this.peer.text(JSON.stringify({ type, room: 'r', id: 'a' }), 10) }

  /** Somebody who waits in `onJoin` goes on, or is refused for the moment. */
  goesOn (index: number, refusal?: Refusal): void { this.entering.splice(index, 1)[0]?.(refusal) }

  /** Everything that waits goes on, until nothing is under way. */
  async settles (): Promise<void> {
    for (let quiet = 0; quiet < 5; quiet++) {
      if (this.#underWay.size > 0 || this.entering.length > 0) quiet = 0
      this.goesOn(0)
      await turn()
    }
  }

  /** What is wrong now; empty: nothing. */
  faults (): string[] {
    const there = this.rooms.get('r')?.members ?? []
    const own = this.peer.rooms.get('r')
    const faults = there.length > 1 ? [`${there.length} memberships`] : []
    if (there[0] !== own) faults.push('the room and the connection differ')
    return faults
  }

  /** The same where nothing is under way. */
  async faultsAtRest (): Promise<string[]> {
    await turn()
    this.adapter.presence.sweep()
    const faults = this.faults()
    const members = this.rooms.get('r')?.members.length ?? 0
    const present = (await this.rooms.members('r', 10)).total
    if (present !== members) faults.push(`${members} members, ${present} present`)
    if (this.isFull !== (members === 1)) faults.push(`${members} members, the place is ${this.isFull ? '' : 'not '}taken`)
    if ((this.rooms.get('r')?.holds ?? 0) !== members) faults.push(`${members} members, the room is held otherwise`)
    return faults
  }

  get isFull (): boolean {
    try {
      this.slots.checkRooms([{ name: 'r', capacity: 1 }])
      return false
    } catch {
      return true
    }
  }
}

type Step = 'poll' | 'pollEnds' | 'joinByServer' | 'leaveByServer' | 'leaveByPost' | 'join' | 'leave' | 'goesOn' | 'last' |
  'refused'

function take (node: Node, step: Step): void {
  switch (step) {
    case 'join': case 'leave': return node.says(step)
    case 'goesOn': return node.goesOn(0)
    case 'last': return node.goesOn(node.entering.length - 1)
    case 'refused': return node.goesOn(0, new Refusal('unavailable', { retryAfter: 1 }))
    default: node[step]()
  }
}

async function run (t: Test, transport: 'websocket' | 'polling', steps: ReadonlyArray<Step | ''>): Promise<string[]> {
  const node = await new Node(transport).start(t)
  const done: string[] = []
  const found: string[] = []
  const look = (faults: readonly string[]): void => {
    if (faults.length > 0) found.push(`${faults.join(', ')} after ${done.join(', ')}`)
  }
  for (const step of steps) {
    done.push(step === '' ? 'a turn' : step)
    if (step === '') await turn()
    else take(node, step)
    look(node.faults())
  }
  await node.settles()
  look(await node.faultsAtRest())
  node.peer.close('replaced')
  node.peer.closed(1000)
  done.push('its end')
  await node.settles()
  look(await node.faultsAtRest())
  return found
}

const cases: ReadonlyArray<{
  readonly title: string
  readonly transport?: 'websocket'
  readonly steps: ReadonlyArray<Step | ''>
}> = [
  { title: 'the server puts it there, then its poll enters the room', steps: ['joinByServer', '', 'poll', '', 'goesOn', '', 'goesOn'] },
  { title: 'its poll enters the room, then the server puts it there', steps: ['poll', '', 'joinByServer', '', 'goesOn', '', 'goesOn'] },
  { title: 'the server puts it there, its poll enters the room and is first', steps: ['joinByServer', '', 'poll', '', 'last', '', 'goesOn'] },
  { title: 'the server is refused while its poll waits', steps: ['joinByServer', '', 'poll', '', 'refused', '', 'goesOn'] },
  { title: 'its poll is refused while the server waits', steps: ['poll', '', 'joinByServer', '', 'refused', '', 'goesOn'] },
  { title: 'its poll ends while the server puts it there, and the next one enters the room', steps: ['joinByServer', '', 'pollEnds', 'poll', '', 'last', '', 'goesOn'] },
  { title: 'the server takes it out while its poll enters the room', steps: ['poll', '', 'leaveByServer', 'goesOn', ''] },
  { title: 'the server takes it out and puts it there again while its poll enters the room', steps: ['poll', '', 'leaveByServer', 'joinByServer', '', 'goesOn', '', 'goesOn', ''] },
  { title: 'it leaves by a post while its poll enters the room and the server puts it there', steps: ['joinByServer', '', 'poll', '', 'leaveByPost', 'goesOn', '', 'leaveByPost', 'goesOn', ''] },
  { title: 'it joins, then the server puts it there', transport: 'websocket', steps: ['join', '', 'joinByServer', '', 'goesOn', '', 'goesOn'] },
  { title: 'the server puts it there, then it joins', transport: 'websocket', steps: ['joinByServer', '', 'join', '', 'goesOn', '', 'goesOn'] },
  { title: 'it joins and leaves while the server puts it there', transport: 'websocket', steps: ['join', 'leave', 'joinByServer', '', 'goesOn', '', 'goesOn', ''] }
]

for (const { title, transport = 'polling', steps } of cases) {
  t.test(`a connection is in a room once, and holds one place: ${title}`, async (t) => {
    t.same(await run(t, transport, steps), [])
  })
}

const STEPS = {
  polling: ['poll', 'pollEnds', 'joinByServer', 'leaveByServer', 'leaveByPost', 'goesOn', 'last', 'refused', '', ''],
  websocket: ['join', 'leave', 'joinByServer', 'leaveByServer', 'leaveByPost', 'goesOn', 'last', 'refused', '', '']
} as const

for (const transport of ['polling', 'websocket'] as const) {
  t.test(`over ${transport} a connection is in a room once, and holds one place, in whatever order it enters and leaves`, async (t) => {
    const found: string[] = []
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed)
      const steps = Array.from({ length: 4 + random.int(12) }, () => random.pick(STEPS[transport]))
      found.push(...await run(t, transport, steps))
    }
    t.same(found, [])
  })
}
