import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { LeaseStore } from '../../lib/adapters/adapter.js'
import { Reservations, type OlderConnections } from '../../lib/admission/reservations.js'
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
  /** Connections of the user on other nodes, with their rooms. */
  readonly others: Array<readonly [id: string, rooms: readonly string[]]>
  /** Those of them that were ended, in order. */
  readonly ended: string[]
}

const UNCHANGED = (): void => {}

function make (then: 'reject' | 'replace', leases?: LeaseStore, onEnd: (id: string) => void = UNCHANGED): Made {
  const slots = new Slots(
    { capacity: 10, user: 1, address: undefined, whenUnavailable: 'refuse' },
    leases,
    () => undefined,
    () => undefined
  )
  const peers: Made['peers'] = []
  const others: Made['others'] = []
  const ended: string[] = []
  const { limits } = resolveOptions({ limits: { user: { connections: 1, then } } })
  const opening = async (): Promise<void> => { await sleep(20) }
  const older: OlderConnections = {
    opening,
    end: async (user, rooms, asked, ready) => {
      t.equal(user, 'ada')
      const [id, inThem] = others.find(([id]) => !asked.has(id)) ?? []
      if (id === undefined) {
        await opening()
        return false
      }
      asked.add(id)
      await ready(rooms.filter((room) => inThem!.includes(room)))
      ended.push(id)
      onEnd(id)
      return true
    }
  }
  return { slots, peers, others, ended, reservations: new Reservations({ slots, limits, ofUser: () => peers, older }) }
}

/** Leases of all nodes, one for each key. */
class OneEach implements LeaseStore {
  readonly held: Map<string, string>

  constructor (...held: ReadonlyArray<readonly [key: string, holder: string]>) { this.held = new Map(held) }

  async acquire (key: string, holder: string): Promise<boolean> {
    const isFree = (this.held.get(key) ?? holder) === holder
    if (isFree) this.held.set(key, holder)
    return isFree
  }

  async renew (): Promise<void> {}
  async release (key: string, holder: string): Promise<void> { this.free(holder, key) }
  async count (key: string): Promise<number> { return this.held.has(key) ? 1 : 0 }

  free (holder: string, ...keys: readonly string[]): void {
    for (const key of keys) if (this.held.get(key) === holder) this.held.delete(key)
  }
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
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [], UNCHANGED)), undefined)
  peers.push({ id: 'a', isOpen: true })
  t.equal(await refused(() => { reservations.checkUser('ada') }), 'user_limit')
  t.equal(await refused(() => reservations.take(caller(), 'b', 'ada', [], UNCHANGED)), 'user_limit')
})

t.test('where the limit replaces, the oldest open connection that still has its slot gives way', async (t) => {
  const { reservations, peers, slots } = make('replace')
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [CHAT], UNCHANGED)), undefined)
  t.equal(await refused(() => { reservations.checkUser('ada') }), undefined, 'it may be open by the time')
  t.equal(await refused(() => reservations.take(caller(), 'b', 'ada', [CHAT], UNCHANGED)), 'user_limit', 'it never was')
  peers.push({ id: 'closed', isOpen: false }, { id: 'without a slot', isOpen: true })
  const taken = reservations.take(caller(), 'b', 'ada', [CHAT], UNCHANGED)
  peers.push({ id: 'a', isOpen: true })
  t.equal(await refused(() => taken), undefined, 'with its place in the room')
  t.equal(slots.replace('b'), 'a')
})

t.test('a full room refuses, whether its place is taken or only asked for', async (t) => {
  const { reservations, slots } = make('reject')
  t.equal(await refused(() => { reservations.checkRooms([CHAT]) }), undefined)
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [CHAT], UNCHANGED)), undefined)
  t.equal(await refused(() => { reservations.checkRooms([CHAT]) }), 'room_full')
  t.equal(await refused(() => reservations.take(caller(), 'b', 'bob', [CHAT], UNCHANGED)), 'room_full')
  t.same([...slots.holders()], ['a'])
})

t.test('there is nothing to wait for where no leases are taken', async (t) => {
  t.equal(make('reject').reservations.take(caller(), 'a', 'ada', [], UNCHANGED), undefined)
})

t.test('a client that has gone takes no slot, and one that goes while leases are taken keeps none', async (t) => {
  const gone = caller()
  gone.socket.destroy()
  const { reservations, slots } = make('reject')
  t.equal(await refused(() => reservations.take(gone, 'a', 'ada', [], UNCHANGED)), 'timeout')
  t.equal(slots.taken, 0)

  const going = caller()
  const released: string[] = []
  const leased = make('reject', {
    acquire: async () => { going.socket.destroy(); return true },
    renew: async () => undefined,
    release: async (key) => { released.push(key) },
    count: async () => 0
  })
  t.equal(await refused(() => leased.reservations.take(going, 'a', 'ada', [CHAT], UNCHANGED)), 'timeout')
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
  t.equal(await refused(() => reservations.take(caller(), 'a', 'ada', [], UNCHANGED)), 'user_limit')
  t.equal(slots.taken, 0)
})

t.test('where the limit replaces, the oldest connection of another node ends, and its place is taken over', async (t) => {
  const store = new OneEach(['user:ada', 'far'], ['room:chat/1', 'far'])
  const { reservations, others, ended } = make('replace', store, (id) => { store.free(id, 'user:ada', 'room:chat/1') })
  others.push(['far', ['chat/1']])
  t.equal(await refused(() => reservations.take(caller(), 'near', 'ada', [CHAT], UNCHANGED)), undefined)
  t.same(ended, ['far'])
  t.same([...store.held], [['user:ada', 'near'], ['room:chat/1', 'near']])
})

t.test('a newcomer that is refused after all ends no connection of another node', async (t) => {
  const going = caller()
  for (const [word, request, room, confirm] of [
    ['room_full', caller(), 'bob', UNCHANGED],
    ['timeout', going, 'far', () => { t.fail('it has gone') }],
    ['revoked', caller(), 'far', () => { throw new Refusal('revoked') }]
  ] as const) {
    const store = new OneEach(['user:ada', 'far'], ['room:chat/1', room])
    const { reservations, others, ended, slots } = make('replace', store)
    others.push(['far', room === 'far' ? ['chat/1'] : []])
    const taken = reservations.take(request, 'near', 'ada', [CHAT], confirm)
    if (request === going) going.socket.destroy()
    t.equal(await refused(() => taken), word)
    t.same([ended, slots.taken, [...store.held.values()]], [[], 0, ['far', room]], word)
  }
})

t.test('who is slower than other newcomers goes on to the next connection, and who finds none is refused', async (t) => {
  const store = new OneEach(['user:ada', 'faster'])
  const contended = make('replace', store, (id) => { if (id === '9') store.free('faster', 'user:ada') })
  for (let id = 1; id <= 9; id++) contended.others.push([`${id}`, []])
  t.equal(await refused(() => contended.reservations.take(caller(), 'near', 'ada', [], UNCHANGED)), undefined)
  t.equal(contended.ended.length, 9)
  const alone = make('replace', new OneEach(['user:ada', 'of a dead node']))
  t.equal(await refused(() => alone.reservations.take(caller(), 'near', 'ada', [], UNCHANGED)), 'user_limit')
  t.equal(alone.slots.taken, 0)
  const rejecting = make('reject', new OneEach(['user:ada', 'far']))
  rejecting.others.push(['far', []])
  t.equal(await refused(() => rejecting.reservations.take(caller(), 'near', 'ada', [], UNCHANGED)), 'user_limit')
  t.same(rejecting.ended, [])
})
