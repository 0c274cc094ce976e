import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import t from 'tap'
import type { LeaseStore } from '../../lib/adapters/adapter.js'
import { Reservations } from '../../lib/admission/reservations.js'
import { Slots } from '../../lib/admission/slots.js'
import { defineRoom } from '../../lib/contract/index.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { resolveOptions } from '../../lib/options/resolve.js'
import { declare } from '../../lib/rooms/declaration.js'
import type { RequestedRoom } from '../../lib/rooms/joining.js'

const declaration = declare(defineRoom('chat/:id', {}), {}, { capacity: 1 }, { history: false }, undefined)
const CHAT: RequestedRoom = { name: 'chat/1', found: { declaration, params: { id: '1' } }, request: {} }

type Caller = Parameters<Reservations['take']>[0]

interface Made {
  readonly slots: Slots
  readonly reservations: Reservations
  /** The open connections, the oldest first. */
  readonly peers: Array<{ readonly id: string, readonly isOpen: boolean }>
}

function make (then: 'reject' | 'replace', leases?: LeaseStore): Made {
  const slots = new Slots(
    { capacity: 10, user: 1, address: undefined, whenUnavailable: 'refuse' },
    leases,
    () => undefined,
    () => undefined
  )
  const peers: Made['peers'] = []
  const { limits } = resolveOptions({ limits: { user: { connections: 1, then } } })
  return { slots, peers, reservations: new Reservations({ slots, limits, ofUser: () => peers }) }
}

function caller (): Caller & { readonly socket: Socket } {
  const socket = new Socket()
  return { ip: '203.0.113.9', raw: new IncomingMessage(socket), socket }
}

/** The word of the refusal; `undefined` where there was none. */
async function refused (action: () => Promise<void> | undefined | void): Promise<string | undefined> {
  try {
    await action()
    return undefined
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return error.word
  }
}

t.test('a user without a slot left is refused where the limit rejects', async (t) => {
  const { reservations, peers } = make('reject')
  t.equal(await refused(() => { reservations.checkUser('ada') }), undefined)
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [])), undefined)
  peers.push({ id: 'a', isOpen: true })
  t.equal(await refused(() => { reservations.checkUser('ada') }), 'user_limit')
  t.equal(await refused(() => reservations.take(caller(), 'b', 'ada', [])), 'user_limit')
})

t.test('where the limit replaces, the oldest open connection that still has its slot gives way', async (t) => {
  const { reservations, peers, slots } = make('replace')
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [CHAT])), undefined)
  t.equal(await refused(() => { reservations.checkUser('ada') }), 'user_limit', 'it is not open yet')
  peers.push({ id: 'a', isOpen: false })
  t.equal(await refused(() => { reservations.checkUser('ada') }), 'user_limit', 'it is closing already')
  peers.length = 0
  peers.push({ id: 'closed', isOpen: false }, { id: 'without a slot', isOpen: true }, { id: 'a', isOpen: true })
  t.equal(await refused(() => { reservations.checkUser('ada') }), undefined)
  t.equal(await refused(() => reservations.take(caller(), 'b', 'ada', [CHAT])), undefined, 'with its place in the room')
  t.equal(slots.replace('b'), 'a')
})

t.test('a full room refuses, whether its place is taken or only asked for', async (t) => {
  const { reservations, slots } = make('reject')
  t.equal(await refused(() => { reservations.checkRooms([CHAT]) }), undefined)
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [CHAT])), undefined)
  t.equal(await refused(() => { reservations.checkRooms([CHAT]) }), 'room_full')
  t.equal(await refused(() => reservations.take(caller(), 'b', 'bob', [CHAT])), 'room_full')
  t.same([...slots.holders()], ['a'])
})

t.test('there is nothing to wait for where no leases are taken', async (t) => {
  t.equal(make('reject').reservations.take(caller(), 'a', 'ada', []), undefined)
})

t.test('a client that has gone takes no slot, and one that goes while leases are taken keeps none', async (t) => {
  const gone = caller()
  gone.socket.destroy()
  const { reservations, slots } = make('reject')
  t.equal(await refused(() => reservations.take(gone, 'a', 'ada', [])), 'timeout')
  t.equal(slots.taken, 0)

  const going = caller()
  const released: string[] = []
  const leased = make('reject', {
    acquire: async () => { going.socket.destroy(); return true },
    renew: async () => undefined,
    release: async (key) => { released.push(key) },
    count: async () => 0
  })
  t.equal(await refused(() => leased.reservations.take(going, 'a', 'ada', [CHAT])), 'timeout')
  t.equal(leased.slots.taken, 0)
  t.same(released.sort(), ['room:chat/1', 'user:ada'])
})

t.test('who is refused a lease by the other nodes keeps no slot here', async (t) => {
  const { reservations, slots } = make('reject', {
    acquire: async () => false,
    renew: async () => undefined,
    release: async () => undefined,
    count: async () => 0
  })
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [])), 'user_limit')
  t.equal(slots.taken, 0)
})
