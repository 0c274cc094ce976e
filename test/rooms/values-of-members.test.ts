import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import type { HistoryPage } from '../../lib/adapters/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { decodeCursor } from '../../lib/protocol/cursor.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { Retention } from '../../lib/retention/retention.js'
import { declare } from '../../lib/rooms/declaration.js'
import type { Membership } from '../../lib/rooms/membership.js'
import { Room } from '../../lib/rooms/room.js'
import { Walks } from '../../lib/rooms/walks.js'
import { CursorTrack } from '../../lib/transports/cursor-track.js'

const since = { epoch: 'abcdefgh', offset: 34 }
const definition = defineRoom('map', {
  events: { moved: { data: Type.Object({ id: Type.String() }), delivery: 'latest', key: 'id' } }
})

function makeRoom (latest: readonly Packet[] = [], walks = new Walks({})): Room {
  const declaration = declare(definition, {}, {}, { history: { size: 100, ttl: 300_000 } }, undefined)
  const room = new Room('map', declaration, {}, {
    retention: new Retention(1_000_000),
    walks,
    source: { history: (): HistoryPage => { throw new Error('nothing is read') } }
  })
  room.stands(since)
  room.opened(latest)
  return room
}

function value (key: string, version: number | undefined, isRemoval = false): Packet {
  const head = { type: 'moved', room: 'map', delivery: 'latest', timestamp: 1, key, version } as const
  return encodeEvent(isRemoval ? { ...head, isRemoval } : head, '{}')
}

function set (room: Room, ...packets: readonly Packet[]): void {
  for (const packet of packets) void room.event(packet)
}

interface Entered {
  readonly membership: Membership
  readonly sent: string[]
  readonly version: () => number | undefined
}

/** @param most frames that reach the member, whose stream then breaks */
function enter (room: Room, version: number | undefined, most = Number.POSITIVE_INFINITY): Entered {
  const track = new CursorTrack('A'.repeat(22), ['map'])
  track.begin('map', { since, version })
  const sent: string[] = []
  const member = {
    id: 'c',
    userId: 'u',
    isOpen: true,
    send (packet: Packet): boolean {
      if (sent.length < most) {
        track.see(packet)
        const { key, version, isRemoval } = packet.event!
        sent.push(`${isRemoval === true ? '-' : ''}${key!} ${version ?? '?'}`)
      }
      return true
    },
    whenDrained: () => undefined
  }
  const { membership } = room.add(member, {
    since, resumed: true, snapshot: undefined, former: undefined, version, isReturn: version !== undefined
  })
  room.start(membership, [])
  return { membership, sent, version: () => decodeCursor(track.toString(), ['map'])!.entries[0]!.version }
}

/** Begins the next poll of a member between two polls. */
function poll (room: Room, { membership, sent }: Entered, version: number): string[] {
  sent.length = 0
  membership.unpark(since, { version }, undefined, true)
  room.start(membership, [])
  return [...sent]
}

t.test('a stream that breaks behind any of the values and removals gets the others when it comes back', async (t) => {
  const all = ['a 10', 'b 11', '-d 13', 'e 15']
  for (let most = 0; most <= all.length; most++) {
    const room = makeRoom([value('d', 13, true), value('e', 15), value('a', 10)])
    set(room, value('b', 11))
    const first = enter(room, 9, most)
    room.remove(first.membership)
    t.same([first.sent, enter(room, first.version()).sent], [all.slice(0, most), all.slice(most)], `behind ${most}`)
  }
})

t.test('a value that was set while the broker could not be reached is sent behind the others', async (t) => {
  const room = makeRoom()
  set(room, value('x', undefined), value('a', 10))
  t.same(enter(room, undefined).sent, ['a 10', 'x ?'])
})

t.test('values and removals that their node found late reach a member that was between two polls', async (t) => {
  const room = makeRoom()
  const member = enter(room, 47)
  set(room, value('b', 50))
  member.membership.park()
  set(room, value('a', 48), value('d', 49, true))
  t.same(poll(room, member, 50), ['a 48', '-d 49'])
})

t.test('a late value is in two answers, since the first may be lost, and in no more', async (t) => {
  const room = makeRoom()
  const member = enter(room, 47)
  set(room, value('b', 49))
  member.membership.park()
  set(room, value('a', 48), value('x', undefined))
  const answers = [49, 49, 49, 49].map((version) => {
    const sent = poll(room, member, version)
    member.membership.park()
    return sent
  })
  t.same(answers, [['a 48', 'x ?'], ['a 48', 'x ?'], [], []])
  poll(room, member, 49)
  set(room, value('c', 46))
  t.same(member.sent, ['c 46'], 'another comes while the poll waits')
  member.membership.park()
  t.same(poll(room, member, 49), ['c 46'])
  member.membership.park()
  t.same(poll(room, member, 49), [])
})

t.test('late values reach a stream that comes back and knows a newer version', async (t) => {
  const room = makeRoom()
  const first = enter(room, 47)
  set(room, value('b', 49))
  room.remove(first.membership)
  set(room, value('a', 48))
  t.same(enter(room, first.version()).sent, ['a 48'])
})

t.test('a late value that is set anew is late no more', async (t) => {
  const room = makeRoom()
  room.remove(enter(room, 47).membership)
  set(room, value('b', 49), value('a', 48), value('a', 50))
  t.same(enter(room, 50).sent, [])
})

t.test('what a room is opened with is not late, in whatever order it was read', async (t) => {
  t.same(enter(makeRoom([value('b', 49), value('a', 48)]), 49).sent, [])
})

/** A peer on a slow link: what it is sent waits there, and its frames reach it in order. */
class SlowPeer {
  readonly has = new Map<string, number>()
  readonly waiting: Packet[] = []
  readonly held: Array<() => void> = []
  version: number | undefined
  membership!: Membership
  isOpen = true
  hasRoom = true
  readonly #fault: (what: string) => void

  constructor (fault: (what: string) => void) {
    this.#fault = fault
  }

  enter (room: Room, version: number | undefined): void {
    this.isOpen = true
    const isFull = (): boolean => !this.hasRoom
    const member = {
      id: 'c',
      userId: 'u',
      isOpen: true,
      get hasRoom () { return !isFull() },
      send: (packet: Packet): boolean => {
        this.waiting.push(packet)
        return this.waiting.length < 3
      },
      whenDrained: (callback: () => void) => { this.held.push(callback) }
    }
    this.membership = room.add(member, {
      since, resumed: true, snapshot: undefined, former: undefined, version, isReturn: version !== undefined
    }).membership
    room.start(this.membership, [])
  }

  /** Reads so many frames; a link that is empty has drained. */
  read (most: number): void {
    this.take(most)
    if (this.waiting.length === 0) for (const callback of this.held.splice(0)) callback()
  }

  take (most: number): void {
    for (const { event } of this.waiting.splice(0, most)) {
      const { key, version, isRemoval } = event!
      if ((this.has.get(key!) ?? 0) > version!) this.#fault(`${key!} ${version!} behind ${this.has.get(key!)!}`)
      this.has.set(key!, isRemoval === true ? -version! : version!)
      this.version = Math.max(this.version ?? 0, version!)
    }
  }
}

for (const large of [1, 1_000]) {
  t.test(`a slow reader ends with each value as it is, whatever is set meanwhile and wherever it breaks (${large})`, async (t) => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('set'), key: fc.integer({ min: 0, max: 12 }), back: fc.constantFrom(0, 0, 0, 3) }),
      fc.record({ kind: fc.constant('remove'), key: fc.integer({ min: 0, max: 12 }) }),
      fc.record({ kind: fc.constant('read'), key: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constantFrom('break', 'poll', 'walk'), key: fc.constant(0) })
    ) as fc.Arbitrary<{ kind: string, key: number, back?: number }>
    fc.assert(fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 0, max: 12 }), (steps, count) => {
      const walks = new Walks({ large, slice: 0 })
      const room = makeRoom([], walks)
      // The walk of a large room has others to go to.
      new SlowPeer(() => {}).enter(room, undefined)
      new SlowPeer(() => {}).enter(room, undefined)
      let version = 10
      const truth = new Map<string, number>()
      const change = (key: string, at: number, isRemoval: boolean): void => {
        if (Math.abs(truth.get(key) ?? 0) >= at) return
        truth.set(key, isRemoval ? -at : at)
        set(room, value(key, at, isRemoval))
      }
      for (let key = 0; key < count; key++) change(`k${key}`, version += 4, false)
      const peer = new SlowPeer((what) => { throw new Error(what) })
      peer.enter(room, undefined)
      const used = new Set<number>()
      for (const { kind, key, back = 0 } of steps) {
        const at = version + 4 - back * 4 + (back === 0 ? 0 : 1)
        if (kind === 'set' && !used.has(at)) {
          used.add(at)
          version = Math.max(version, at)
          change(`k${key}`, at, false)
        } else if (kind === 'remove') change(`k${key}`, version += 4, true)
        else if (kind === 'read') peer.read(key)
        else if (kind === 'walk') walks.stop()
        else if (kind === 'break') {
          room.remove(peer.membership)
          peer.waiting.length = peer.held.length = 0
          peer.enter(room, peer.version)
        } else if (kind === 'poll') {
          peer.membership.park()
          peer.take(Number.POSITIVE_INFINITY)
          peer.held.length = 0
          peer.membership.unpark(since, { version: peer.version }, undefined, true)
          room.start(peer.membership, [])
        }
      }
      while (peer.waiting.length > 0 || peer.held.length > 0) peer.read(Number.POSITIVE_INFINITY)
      room.catchUp(peer.membership)
      while (peer.waiting.length > 0 || peer.held.length > 0) peer.read(Number.POSITIVE_INFINITY)
      const living = (all: Map<string, number>): unknown => [...all].filter(([, at]) => at > 0).toSorted()
      assert.deepEqual(living(peer.has), living(truth))
    }), { numRuns: 400 })
    t.pass()
  })
}

t.test('values without versions are brought as the link drains, and each in at most two answers of one that polls', async (t) => {
  const room = makeRoom()
  for (const key of ['a', 'b', 'c', 'd', 'e']) set(room, value(key, undefined))
  const peer = new SlowPeer((what) => { throw new Error(what) })
  const brought = (): string => peer.waiting.splice(0).map(({ event }) => event!.key).join('')
  peer.enter(room, undefined)
  t.same(brought(), 'abc')
  set(room, value('a', undefined))
  for (const callback of peer.held.splice(0)) callback()
  t.same(brought(), 'dea')
  const answers: string[] = []
  for (let answer = 0; answer < 6; answer++) {
    peer.membership.park()
    peer.held.length = 0
    peer.membership.unpark(since, {}, undefined, true)
    room.start(peer.membership, [])
    answers.push(brought())
  }
  t.same(answers, ['bcd', 'ea', 'ea', '', '', ''])
  peer.membership.park()
  peer.membership.unpark(since, { isResumed: false }, undefined, true)
  room.start(peer.membership, [])
  t.same(brought(), 'bcd', 'who has let its state go begins anew')
})

t.test('who is still brought the values is counted for one that is set, and is asked like all others for an answer', async (t) => {
  const room = makeRoom()
  for (let n = 1; n <= 4; n++) set(room, value(`k${n}`, n * 10))
  const peer = new SlowPeer((what) => { throw new Error(what) })
  peer.enter(room, undefined)
  const full = new SlowPeer((what) => { throw new Error(what) })
  full.hasRoom = false
  full.enter(room, undefined)
  t.equal(await room.event(value('k0', 49, true)), 1, 'who has nothing yet is told of no removal')
  full.hasRoom = true
  for (const callback of full.held.splice(0)) callback()
  t.equal(full.waiting.some(({ event }) => event!.isRemoval), false)
  room.remove(full.membership)
  t.equal(await room.event(value('k1', 50)), 1)
  t.equal(await room.event(value('k1', 60, true)), 1)
  const asked: string[] = []
  const question = encodeEvent({ type: 'moved', room: 'map', delivery: 'volatile', timestamp: 1, ack: 'a.1' }, '{}')
  const audience = { add: ({ id }: { id: string }) => { asked.push(id) }, end: () => undefined }
  t.equal(await room.event(question, audience), 1)
  t.same(asked, ['c'])
  t.equal(peer.waiting.at(-1)!.event!.ack, 'a.1', 'it does not wait for the values')
  peer.waiting.length = 0
  for (const callback of peer.held.splice(0)) callback()
  t.same(peer.waiting.map(({ event }) => event!.key), ['k4', 'k0', 'k1'], 'the newest of each')
})
