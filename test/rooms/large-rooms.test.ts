import { setImmediate } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'
import { BroadcastAcks } from '../../lib/dispatch/broadcast-acks.js'
import type { ControlMessage } from '../../lib/adapters/adapter.js'
import { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import { Connection, type ConnectionHost } from '../../lib/connection/connection.js'
import { Flusher } from '../../lib/connection/flusher.js'
import { defineRoom } from '../../lib/contract/index.js'
import type { Dispatch } from '../../lib/dispatch/dispatch.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { Revocations } from '../../lib/auth/revocations.js'
import { declare } from '../../lib/rooms/declaration.js'
import { Hub } from '../../lib/rooms/hub.js'
import type { Room } from '../../lib/rooms/room.js'
import { Ledger } from '../../lib/stats/ledger.js'
import { FakeLink } from '../connection/fakes.js'
import { makeDispatch, makeSlots, silent, startInside } from '../helpers/inside.js'
import type { Membership } from '../../lib/rooms/membership.js'

const CROWD = 5_000
const hall = defineRoom('hall', { messages: { say: Type.Number() }, events: { said: Type.Number() } })

interface Guest {
  readonly id: string
  readonly userId: string
  readonly isOpen: true
  send (packet: Packet): boolean
  whenDrained (): void
}

/** The inside of a node, with a crowd in one of its rooms that costs no sockets. */
class Node {
  readonly sent: ControlMessage[] = []
  readonly acks: BroadcastAcks
  readonly adapter = new MemoryAdapter()
  readonly ledger = new Ledger()
  readonly rooms: Hub
  readonly #dispatch: Dispatch
  readonly #host: ConnectionHost<Membership>

  constructor (say: (data: number) => Promise<void> | void, flush = 0) {
    const { adapter, ledger } = this
    this.acks = new BroadcastAcks('here', {
      send: async (message) => {
        this.sent.push(message)
      }
    }, (error) => { throw error })
    this.rooms = new Hub(adapter, {
      presence: { grace: 200, lease: 60_000 },
      presenceList: 200,
      eventLimit: 262_144,
      validateOutput: true,
      onError: (error) => { throw error },
      onUnhandled: (error) => { throw error },
      onOffered: (event) => this.acks.offered(event)
    })
    const hooks = { on: { say: async (context: unknown) => { await say((context as { data: number }).data) } } }
    this.rooms.declarations.add(declare(hall, hooks, { flush }, { history: { size: 100, ttl: 300_000 } }, silent))
    this.#dispatch = makeDispatch({
      adapter,
      rooms: this.rooms,
      revocations: new Revocations(),
      slots: makeSlots(),
      acks: this.acks,
      ledger
    })
    this.#host = {
      flusher: new Flusher(),
      counters: ledger,
      outboxLimit: 1_048_576,
      rate: { messages: 50, burst: 100 },
      ...this.#dispatch.host
    }
  }

  async start (t: Test): Promise<this> {
    await startInside(t, this.adapter, this.rooms)
    return this
  }

  async guest (id: string, send: (packet: Packet) => void): Promise<Membership> {
    const guest: Guest = {
      id,
      userId: `user of ${id}`,
      isOpen: true,
      send: (packet) => {
        send(packet)
        return true
      },
      whenDrained: () => {}
    }
    const { membership, start } = (await this.rooms.join('hall', this.rooms.locate('hall'), {}, 'u')).commit(guest)
    start()
    return membership
  }

  async crowd (size: number): Promise<{ readonly heard: number }> {
    const counted = { heard: 0 }
    for (let index = 0; index < size; index++) await this.guest(`guest ${index}`, () => { counted.heard++ })
    return counted
  }

  async connect (id: string): Promise<{ connection: Connection<Membership>, link: FakeLink }> {
    const connection = new Connection<Membership>(this.#host, {
      id,
      address: '',
      identity: { user: {}, userId: 'ada' }
    })
    const link = new FakeLink()
    connection.attach(link)
    await this.#dispatch.firstRooms.open(
      connection,
      [{ name: 'hall', found: this.rooms.locate('hall'), request: {} }],
      0,
      () => undefined
    )
    return { connection, link }
  }
}

/** Types and offsets of frames, in order. */
function order (link: FakeLink): string[] {
  return link.writes.flatMap((write) => [...write.matchAll(/"type":"(\w+)"(?:[^{}]*"offset":(\d+))?/g)]
    .map(([, type, offset]) => offset === undefined ? type! : `${type} ${offset}`))
}

t.test(
  'an event for a room of thousands is offered to them in parts, and its broadcast resolves when all have been offered it',
  async (t) => {
    const node = await new Node(() => {}).start(t)
    const crowd = await node.crowd(CROWD)
    const published = node.rooms.publish('hall', 'said', 1)
    t.equal(crowd.heard, 0, 'not in the turn of the call')
    t.match(await published, { position: { offset: 1 }, recipients: CROWD })
    t.equal(crowd.heard, CROWD)
  }
)

t.test('the ack of a message comes behind the events that its handler has broadcast, whether it has waited for them or not', async (t) => {
  const node: Node = await new Node(async (data) => {
    const published = node.rooms.publish('hall', 'said', data)
    if (data === 1) await published
  }).start(t)
  // Who came first is walked last.
  const { connection, link } = await node.connect('ada\'s')
  await node.crowd(CROWD)
  for (const data of [1, 2]) {
    connection.text(JSON.stringify({ type: 'say', room: 'hall', id: String(data), data }), 10)
    while (!link.writes.some((write) => write.includes(`"id":"${data}"`))) await setImmediate()
  }
  t.same(order(link), ['said 1', 'ack', 'said 2', 'ack'])
})

t.test('a connection that is ended has what was published before, over a room of thousands as well', async (t) => {
  const node = await new Node(() => {}).start(t)
  const { connection, link } = await node.connect('ada\'s')
  const crowd = await node.crowd(CROWD)
  const published = node.rooms.publish('hall', 'said', 1)
  connection.close('revoked')
  t.same(order(link), ['said 1', 'error'])
  t.match(await published, { recipients: CROWD + 1 })
  t.equal(crowd.heard, CROWD)
  const { meant, delivered, gone } = node.ledger
  t.same({ meant, delivered, gone }, { meant: 1, delivered: 1, gone: 0 })
})

t.test(
  'who comes while an event is offered in parts is told the position behind it, and does not hear it',
  async (t) => {
    const node = await new Node(() => {}).start(t)
    await node.crowd(CROWD)
    const first = node.rooms.publish('hall', 'said', 1)
    const heard: Packet[] = []
    const late = await node.guest('late', (packet) => { heard.push(packet) })
    t.equal(late.position.offset, 1)
    const second = node.rooms.publish('hall', 'said', 2)
    await Promise.all([first, second])
    t.same(heard.map(({ position }) => position!.offset), [2])
  }
)

t.test('an event that waits for a window does not keep the bytes of others in memory', async (t) => {
  const node = await new Node(() => {}, 60_000).start(t)
  const heard: Packet[] = []
  await node.guest('ada', (packet) => { heard.push(packet) })
  await node.rooms.publish('hall', 'said', 1)
  t.same(heard.map(({ bytes }) => bytes.buffer.byteLength - bytes.length), [0])
})

t.test(
  'a node that stops offers what is still to be offered, so that nobody waits for a broadcast for ever',
  async (t) => {
    const node = await new Node(() => {}).start(t)
    const crowd = await node.crowd(CROWD)
    const published = node.rooms.publish('hall', 'said', 1)
    node.rooms.stop()
    t.match(await published, { recipients: CROWD })
    t.equal(crowd.heard, CROWD)
  }
)

t.test(
  'what is published in the middle of an event, by the leave of a member that it cuts, reaches the others behind that event',
  async (t) => {
    const node = await new Node(() => {}).start(t)
    let isFirst = true
    await node.guest('cut', () => {
      if (isFirst) void node.rooms.publish('hall', 'said', 2)
      isFirst = false
    })
    const heard: number[] = []
    await node.guest('other', ({ position }) => { heard.push(position!.offset) })
    await node.rooms.publish('hall', 'said', 1)
    await setImmediate()
    t.same(heard, [1, 2])
  }
)

t.test(
  'an acknowledged broadcast knows each of thousands of members, and tells another node in parts who is here',
  async (t) => {
    const node = await new Node(() => {}).start(t)
    await node.crowd(CROWD)
    const own = node.acks.newId()
    const waiting = node.acks.wait(own, 1)
    const { recipients } = await node.rooms.publish('hall', 'said', 1, { ack: own })
    t.equal(recipients, CROWD)
    node.acks.seal(own, 0)
    t.equal((await waiting).missing.length, CROWD)
    await node.rooms.publish('hall', 'said', 1, { ack: 'there.1' })
    const reports = node.sent.filter((message) => message.type === 'members')
    t.equal(new Set(reports.flatMap(({ members }) => members.map(({ connection }) => connection))).size, CROWD)
    t.ok(reports.every(({ members }) => members.length <= 500))
    t.same(reports.map(({ more = false }) => more), [...reports.slice(1).map(() => true), false])
  }
)

t.test('a report in parts counts once, when its last part is there', async (t) => {
  const acks = new BroadcastAcks('here', { send: async () => undefined }, (error) => { throw error })
  const id = acks.newId()
  const result = acks.wait(id, 60_000)
  acks.seal(id, 1)
  acks.report(id, 'there', [{ connection: 'c1', userId: 'ada' }], true)
  acks.answered(id, 'c1', 'acked')
  const isThere = await Promise.race([result.then(() => true), setImmediate(false)])
  t.equal(isThere, false)
  acks.answered(id, 'c2', 'acked')
  acks.report(id, 'there', [{ connection: 'c2', userId: 'bob' }])
  t.same(await result, { acked: ['ada', 'bob'], missing: [], left: [], unknown: 0 })
})

const LOOPS = [['an event', 'leave'], ['an event', 'are spoken to'], ['a gap', 'leave'], ['a gap', 'are spoken to']] as const

for (const [what, way] of LOOPS) {
  t.test(`members that ${way} in the middle of ${what} have it before what was published by then`, async (t) => {
    const node = await new Node(() => {}).start(t)
    const guests: Membership[] = []
    const heard: Array<Array<number | undefined>> = [[], [], []]
    let second: unknown
    // As `onLeave` of a member does whose link is cut by what it is offered.
    const act = (room: Room): void => {
      const position = { epoch: room.epoch, offset: room.top + 1 }
      second = room.event(encodeEvent({ type: 'said', room: 'hall', timestamp: 0, delivery: 'reliable', position }, '2'))
      for (const guest of guests) {
        if (way === 'leave') node.rooms.leave(guest, true)
        else guest.catchUp()
      }
    }
    for (const [index, list] of heard.entries()) {
      guests.push(await node.guest(`guest ${index}`, ({ position }) => {
        list.push(position?.offset)
        if (index === 1 && list.length === 1) act(guests[1]!.room as Room)
      }))
    }
    if (what === 'an event') t.match(await node.rooms.publish('hall', 'said', 1), { recipients: 3 })
    else {
      const room = guests[0]!.room as Room
      room.gap({ epoch: room.epoch, from: 0, to: 1 })
    }
    await second
    t.same(heard, [[1, 2], [1, 2], [1, 2]])
  })
}

t.test('a member that is ended by what is due when it leaves takes nobody else out of the room', async (t) => {
  const node = await new Node(() => {}).start(t)
  await node.crowd(CROWD)
  const due: Membership[] = []
  due.push(await node.guest('due', () => { node.rooms.leave(due[0]!, true) }))
  const { size } = due[0]!.room as Room
  const published = node.rooms.publish('hall', 'said', 1)
  t.equal(node.rooms.leave(due[0]!, true), false, 'it has left meanwhile')
  t.equal((due[0]!.room as Room).size, size - 1)
  await published
})
