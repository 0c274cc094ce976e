import assert from 'node:assert/strict'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import type { HistoryPage, HistoryQuery } from '../../lib/adapters/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { Retention } from '../../lib/retention/retention.js'
import { declare } from '../../lib/rooms/declaration.js'
import { PassedOver } from '../../lib/rooms/passed-over.js'
import { Room } from '../../lib/rooms/room.js'
import { Walks } from '../../lib/rooms/walks.js'
import type { Membership } from '../../lib/rooms/membership.js'

const EPOCH = 'abcdefgh'
const definition = defineRoom('r', { events: { e: Type.Number() } })

function textOf (packet: Packet): string {
  const { type, offset, data } = JSON.parse(packet.payload.toString()) as {
    type: string
    offset?: number
    data: { sequence?: number, to?: number } & number
  }
  if (type === 'presence') return `presence ${data.sequence!}`
  if (type === 'gap') return `gap to ${data.to!}`
  return offset === undefined ? `volatile ${data}` : `event ${offset}`
}

/** A room and what each of its members has to hear of it. */
class Model {
  readonly walks = new Walks({ large: 4, slice: 0 })
  readonly passedOver = new PassedOver()
  readonly guests: Guest[] = []
  readonly counts: Array<Promise<void>> = []
  readonly room: Room
  readonly kept: Packet[] = []
  floor = 0
  top = 0
  sequence = 0
  #volatile = 0
  #entered = 0

  constructor () {
    const declaration = declare(definition, {}, {}, { history: { size: 1_000, ttl: 300_000 } }, undefined)
    const source = { history: (query: HistoryQuery): HistoryPage => this.#read(query) }
    this.room = new Room('r', declaration, {}, {
      retention: new Retention(1_000_000),
      walks: this.walks,
      source,
      passedOver: this.passedOver
    })
    this.room.stands({ epoch: EPOCH, offset: 0 })
    this.room.opened([])
  }

  #read ({ since }: HistoryQuery): HistoryPage {
    const [top, floor] = [{ epoch: EPOCH, offset: this.top }, { epoch: EPOCH, offset: this.floor }]
    const { offset } = since!
    if (offset < this.floor) return { resumed: false, events: [], top, floor }
    return { resumed: true, events: this.kept.filter(({ position }) => position!.offset > offset), top, floor }
  }

  enter (): void {
    // No two have one id, also when one that has left made room for another: an event that excepts one would miss both.
    const guest = new Guest(`c${this.#entered++}`)
    const { membership, data } = this.room.add(guest, {
      since: undefined,
      resumed: undefined,
      snapshot: { sequence: this.sequence, total: 0 },
      former: undefined,
      version: undefined,
      isReturn: false
    })
    assert.equal(data.offset, this.top)
    guest.knows = this.top
    guest.membership = membership
    this.room.start(membership, [])
    this.guests.push(guest)
  }

  event (isVolatile: boolean, except: Guest | undefined): void {
    const head = isVolatile
      ? { delivery: 'volatile' as const }
      : { delivery: 'reliable' as const, position: { epoch: EPOCH, offset: ++this.top } }
    const packet = encodeEvent(
      {
        type: 'e',
        room: 'r',
        timestamp: 0,
        ...head,
        except: except === undefined ? undefined : { connection: except.id }
      },
      String(isVolatile ? ++this.#volatile : 0)
    )
    if (!isVolatile) this.kept.push(packet)
    const live = this.guests.filter((guest) => guest.membership.state === 'live' && guest !== except)
    for (const guest of live) guest.meant.push(textOf(packet))
    const offered = this.room.event(packet)
    this.counts.push(Promise.resolve(offered).then((count) => { assert.equal(count, live.length, 'recipients') }))
  }

  presence (): void {
    this.sequence++
    for (const guest of this.guests) {
      if (guest.membership.state === 'live') guest.meant.push(`presence ${this.sequence}`)
    }
    this.room.presence({ sequence: this.sequence, joined: [], left: [] })
  }

  gap (): void {
    const from = this.top
    this.floor = this.top += 3
    this.kept.length = 0
    for (const guest of this.guests) if (guest.membership.state === 'live') guest.meant.push(`gap to ${this.top}`)
    this.room.gap({ epoch: EPOCH, from, to: this.top })
  }

  park (guest: Guest): void {
    guest.membership.catchUp()
    if (guest.membership.state === 'live') {
      assert.equal(guest.membership.place!.offset, this.top, 'what leaves it out counts as offered')
    }
    guest.membership.park()
    guest.isWhole('what was published before it parked')
    guest.stands = this.top
  }

  unpark (guest: Guest): void {
    guest.membership.unpark({ epoch: EPOCH, offset: guest.stands }, {}, this.sequence, true)
    if (guest.stands < this.floor) guest.meant.push(`gap to ${this.floor}`)
    for (const packet of this.kept) {
      if (packet.position!.offset > guest.stands && packet.event!.except?.connection !== guest.id) {
        guest.meant.push(textOf(packet))
      }
    }
    guest.knows = guest.stands
    this.room.start(guest.membership, [])
  }

  /** Would it have lost nothing if it came back, and the history kept nothing any more? */
  comeBack (guest: Guest): void {
    const { knows, id } = guest
    const behind = (offset: number): number => {
      return this.passedOver.behind('r', guest.userId, id, { epoch: EPOCH, offset }).offset
    }
    // What it was sent last may be lost with its link.
    for (let heard = Math.max(0, knows - 3); heard <= knows; heard++) {
      const lost = this.kept.filter(({ position, event }) => {
        return position!.offset > heard && position!.offset <= behind(heard) && event!.except?.connection !== id
      })
      assert.deepEqual(lost.map(textOf), [], 'nothing is taken for heard that was not')
    }
    if (guest.membership.state !== 'live' || !this.walks.isEmpty) return
    assert.equal(behind(knows), this.top, 'what left it out is no loss')
  }
}

class Guest {
  readonly userId = 'u'
  readonly heard: string[] = []
  readonly meant: string[] = []
  readonly isOpen = true
  membership!: Membership
  stands = 0
  /** The position that its client has heard of. */
  knows = 0
  readonly id: string
  constructor (id: string) { this.id = id }
  send (packet: Packet): boolean {
    this.heard.push(textOf(packet))
    this.knows = packet.position?.offset ?? this.knows
    return true
  }

  whenDrained (): void {}
  isWhole (when: string): void { assert.deepEqual(this.heard, this.meant, when) }
}

type Step =
  | { readonly do: 'turn' | 'enter' | 'presence' | 'gap' }
  | { readonly do: 'event', readonly isVolatile: boolean, readonly except: number }
  | { readonly do: 'leave' | 'say' | 'park', readonly who: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('event' as const), isVolatile: fc.boolean(), except: fc.oneof(fc.nat({ max: 2 }), fc.nat({ max: 200 })) })
  },
  { weight: 5, arbitrary: fc.constant<Step>({ do: 'turn' }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'enter' }, { do: 'presence' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'gap' }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'say' as const, 'park' as const), who: fc.nat() })
  }
)

t.test(
  'in a room that is walked in parts each member hears everything of its time once and in order, and what is said to it alone comes behind that',
  async (t) => {
    await fc.assert(fc.asyncProperty(fc.array(step, {
      maxLength: 60
    }), fc.integer({ min: 0, max: 120 }), async (steps, crowd) => {
      const model = new Model()
      for (let index = 0; index < crowd; index++) model.enter()
      for (const each of steps) {
        const { guests } = model
        const guest = 'who' in each ? guests[each.who % Math.max(1, guests.length)] : undefined
        if (each.do === 'turn') await setImmediate()
        else if (each.do === 'event') model.event(each.isVolatile, guests[each.except])
        else if (each.do === 'enter' || each.do === 'presence' || each.do === 'gap') model[each.do]()
        else if (guest === undefined) continue
        else if (each.do === 'leave') {
          model.room.remove(guest.membership)
          guest.isWhole('what was published before it left')
          guests.splice(guests.indexOf(guest), 1)
        } else if (guest.membership.state === 'parked') model.unpark(guest)
        else if (each.do === 'park') model.park(guest)
        else {
          guest.membership.catchUp()
          guest.isWhole('what was published before it is spoken to')
        }
        for (const guest of guests) {
          const { heard, meant } = guest
          assert.deepEqual(heard, meant.slice(0, heard.length), 'in order, without a hole')
          model.comeBack(guest)
        }
      }
      model.walks.stop()
      for (const guest of model.guests) guest.isWhole('in the end')
      await Promise.all(model.counts)
    }), { numRuns: 150 })
    t.pass('150 runs')
  }
)
