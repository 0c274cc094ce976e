import { Type } from '@sinclair/typebox'
import t from 'tap'
import { defineRoom } from '../../../lib/contract/index.js'
import type { Adapter } from '../../../lib/adapters/adapter.js'
import { Streams } from '../../../lib/adapters/history/stream.js'
import { pageOf, FollowedStream, type Arrival, type Range } from '../../../lib/adapters/broker/tail.js'
import { encodeEvent, type Packet } from '../../../lib/protocol/packet.js'
import type { Position } from '../../../lib/protocol/position.js'
import { declare } from '../../../lib/rooms/declaration.js'
import type { Member } from '../../../lib/rooms/member.js'
import { Hub } from '../../../lib/rooms/hub.js'

const ROOM = 'chat/1'
const LIMITS = { size: 100, ttl: 300_000 }

/**
 * A broker whose answers a test holds back, and that may come back with less than it had: in a new epoch whose offsets
 * go on from there.
 */
class Broker {
  epoch = 'epoch-1'
  before: Position[] = []
  events: Arrival[] = []
  floor = 0
  get top (): number { return this.events.at(-1)?.offset ?? this.floor }

  publish (count: number): void {
    for (let n = 0; n < count; n++) {
      const { epoch, top } = this
      const position = { epoch, offset: top + 1 }
      const packet = encodeEvent(
        { type: 'said', room: ROOM, delivery: 'reliable', timestamp: Date.now(), position },
        JSON.stringify(`${epoch} ${position.offset}`)
      )
      this.events.push({ ...position, previous: top, origin: '', size: packet.payload.length, packet: () => packet })
    }
  }

  /** Comes back with what it held up to an offset. */
  restart (epoch: string, offset: number, { isForgotten = false } = {}): void {
    this.events = this.events.filter((event) => event.offset <= offset)
    this.before = isForgotten ? [] : [{ epoch: this.epoch, offset: this.top }, ...this.before]
    this.epoch = epoch
  }

  async read (since: number, limit: number): Promise<Range> {
    const { epoch, top, floor, before } = this
    const events = this.events.filter(({ offset }) => offset > since).slice(0, limit)
      .map((event) => ({
        ...event,
        epoch,
        packet: () => encodeEvent(
          { ...event.packet().event!, position: { epoch, offset: event.offset } },
          JSON.stringify(textOf(event.packet()))
        )
      }))
    return { epoch, top, floor, before: [...before], events }
  }
}

/** One node: it learns what happened at the broker when the test says so. */
function node (broker: Broker): { rooms: Hub, tail: FollowedStream } {
  const adapter: Adapter = {
    name: 'scripted',
    start: async () => undefined,
    close: async () => undefined,
    publish: async () => ({ recipients: 0 }),
    subscribe: () => {
      tail.open({ epoch: broker.epoch, offset: broker.top })
      return tail.position
    },
    unsubscribe: () => undefined,
    history: (_, query) => tail.read(query) ??
      broker.read(query.since?.offset ?? 0, query.limit).then((range) => pageOf(range, query))
  }
  const rooms = new Hub(adapter, {
    presence: {
      lease: 60_000,
      grace: 0
    },
    presenceList: 10,
    eventLimit: 1_000,
    validateOutput: true,
    onError: (error) => { throw error },
    onUnhandled: (error) => { throw error }
  })
  const tail: FollowedStream = new FollowedStream({
    room: ROOM,
    limits: LIMITS,
    streams: new Streams(1_000_000, 10),
    host: rooms.host,
    deliver: (room, packet) => { rooms.host.event(room, packet) },
    read: async (since) => await broker.read(since, 500),
    onRepair: () => undefined
  })
  rooms.declarations.add(declare(
    defineRoom('chat/:id', { events: { said: Type.String() } }),
    {},
    { history: LIMITS },
    { history: false },
    undefined
  ))
  return { rooms, tail }
}

function textOf (packet: Packet): string {
  return (JSON.parse(packet.payload.toString()) as { data: string }).data
}

/** Somebody who has heard the first epoch up to an offset. */
class Listener implements Member {
  readonly id = 'A'.repeat(22)
  readonly userId = 'ada'
  readonly isOpen = true
  readonly heard: string[] = []
  readonly gaps: unknown[] = []
  position: Position

  constructor (heard: number) {
    for (let n = 1; n <= heard; n++) this.heard.push(`epoch-1 ${n}`)
    this.position = { epoch: 'epoch-1', offset: heard }
  }

  send (packet: Packet): boolean {
    if (packet.event !== undefined) this.heard.push(textOf(packet))
    else this.gaps.push((JSON.parse(packet.payload.toString()) as { data: unknown }).data)
    if (packet.position !== undefined) this.position = packet.position
    return true
  }

  whenDrained (): void {}
}

/** Deadline of a wait in turns of the event loop: nothing here waits for a clock. */
async function turns (what: string, isDone: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1_000; turn++) {
    if (isDone()) return
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  throw new Error(`${what}: not within 1 000 turns`)
}

const HEARD = 20
/** What the broker still has when it is back. */
const KEPT = 15

for (const [where, published] of [['below', 2], ['at', HEARD - KEPT], ['above', 30]] as const) {
  for (const [way, isPoll] of [['joins', false], ['polls again', true]] as const) {
    t.test(`a member that ${way} while its node learns of a new epoch, whose top is ${where} its position, is told of the gap and hears each event behind it once and in order`, async (t) => {
      const broker = new Broker()
      broker.publish(HEARD)
      const { rooms, tail } = node(broker)
      const listener = new Listener(HEARD)
      const found = rooms.resolve(ROOM)
      const other = await rooms.join(ROOM, found, {}, 'u')
      other.commit(new Listener(HEARD)).start()
      const since = listener.position
      let begin: () => void
      if (isPoll) {
        const { membership, start } = (await rooms.join(ROOM, found, { since }, 'u')).commit(listener)
        start()
        membership.park()
        const { data, start: again } = await rooms.rejoin(membership, { since })
        t.same(data, { ...since, resumed: true })
        begin = again
      } else {
        const joining = await rooms.join(ROOM, found, { since }, 'u')
        t.equal(joining.resumed, true)
        begin = () => { joining.commit(listener).start() }
      }
      // Between the answer to a join and its start: other rooms of the same connection are still being entered.
      broker.restart('epoch-2', KEPT)
      broker.publish(published)
      tail.check({ epoch: broker.epoch, offset: broker.top })
      await turns('the node knows', () => tail.position?.epoch === 'epoch-2' && tail.position.offset === broker.top)
      begin()
      const after = Array.from({ length: published }, (_, index) => `epoch-2 ${KEPT + 1 + index}`)
      await turns('all is heard', () => listener.heard.includes(after.at(-1)!))
      broker.publish(1)
      tail.accept(broker.events.at(-1)!, true)
      t.same(listener.heard.slice(HEARD), [...after, `epoch-2 ${broker.top}`])
      t.same(listener.gaps, [{ epoch: 'epoch-2', to: KEPT }])
      t.same(listener.position, { epoch: 'epoch-2', offset: broker.top })
    })
  }
}

t.test(
  'a member whose epoch nobody remembers goes on at the top: what it has heard cannot be told from what it has not',
  async (t) => {
    const broker = new Broker()
    broker.publish(HEARD)
    const { rooms, tail } = node(broker)
    const listener = new Listener(HEARD)
    const found = rooms.resolve(ROOM)
    const joining = await rooms.join(ROOM, found, { since: listener.position }, 'u')
    broker.restart('epoch-2', KEPT, { isForgotten: true })
    broker.publish(10)
    tail.check({ epoch: broker.epoch, offset: broker.top })
    await turns('the node knows', () => tail.position?.epoch === 'epoch-2' && tail.position.offset === broker.top)
    joining.commit(listener).start()
    await turns('it is told', () => listener.gaps.length > 0)
    broker.publish(1)
    tail.accept(broker.events.at(-1)!, true)
    t.same(listener.heard.slice(HEARD), [`epoch-2 ${broker.top}`])
    t.same(listener.gaps, [{ epoch: 'epoch-2', to: KEPT + 10 }])
  }
)
