import assert from 'node:assert/strict'
import { Type } from '@sinclair/typebox'
import fc from 'fast-check'
import t from 'tap'
import type { Adapter, PresenceSnapshot, Publication, Published } from '../../lib/adapters/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { encodeEvent, type Packet } from '../../lib/protocol/packet.js'
import { declare, type Declaration } from '../../lib/rooms/declaration.js'
import { Hub } from '../../lib/rooms/hub.js'
import { OwnedValues } from '../../lib/rooms/owned-values.js'

const ROOM = 'board/1'
const declaration = { settings: { history: false, latest: true, owned: true, definition: 'board/:id' } } as Declaration

type Step = (name: string) => Promise<void>

/** A store of values and one of presence: each question and each answer takes its time, as long as `step` takes. */
class World {
  readonly values = new Map<string, Packet>()
  readonly there = new Set<string>()
  readonly removed: string[] = []
  readonly errors: unknown[] = []
  readonly owned: OwnedValues
  /** Other rooms that are open, and their values. */
  readonly others = new Map<string, Packet[]>()
  step: Step = async () => {}
  #version = 0

  constructor (isOpen = true) {
    const present = async (user: string): Promise<boolean> => {
      await this.step(`is ${user} there`)
      const isThere = this.there.has(user)
      await this.step('the answer')
      return isThere
    }
    this.owned = new OwnedValues({
      adapter: {
        latest: async () => {
          await this.step('read')
          const values = [...this.values.values()]
          await this.step('the answer')
          return values
        },
        presence: {
          isPresent: async (_room: string, user: string) => await present(user),
          snapshot: async (): Promise<PresenceSnapshot> => {
            await this.step('snapshot')
            const list = [...this.there].map((userId) => ({ userId }))
            await this.step('the answer')
            return { sequence: 1, total: 0, list }
          }
        }
      } as unknown as Adapter,
      isHeld: () => false,
      send: async (_room, _declaration, publication) => await this.#send(publication),
      find: (name) => {
        const latest = this.others.get(name)
        if (latest !== undefined) return { name, declaration, latest }
        return isOpen ? this.room : undefined
      },
      onError: (error) => { this.errors.push(error) }
    })
  }

  get room (): { name: string, declaration: Declaration, latest: Packet[] } {
    return { name: ROOM, declaration, latest: [...this.values.values()] }
  }

  async #send ({ key = '', user, removes }: Publication): Promise<Published> {
    await this.step(removes === undefined ? `set ${key}` : `remove ${key}`)
    if (removes === undefined) {
      const head = { type: 'cursor', room: ROOM, delivery: 'latest', timestamp: 1, key, user } as const
      this.values.set(key, encodeEvent({ ...head, version: ++this.#version }, '{}'))
    } else if (this.values.get(key)?.event!.version === removes.version) {
      this.values.delete(key)
      this.removed.push(key)
    }
    await this.step('the answer')
    return { recipients: 0 }
  }

  async set (user: string, key = user): Promise<void> {
    const publication: Publication = { type: 'cursor', data: '{}', delivery: 'latest', timestamp: 1, key, user }
    await this.owned.publish(ROOM, declaration, publication, `tab of ${user}`)
  }

  leave (user: string): void {
    this.there.delete(user)
    this.owned.left(this.room, [user])
  }
}

/** Lets everything come to an end that does not wait. */
async function settled (): Promise<void> { await new Promise((resolve) => { setImmediate(resolve) }) }

t.test('values end with the presence of their user, and those of others stay', async (t) => {
  const world = new World()
  world.there.add('ada').add('bob')
  await world.set('ada', 'a1')
  await world.set('ada', 'a2')
  await world.set('bob')
  world.leave('ada')
  await settled()
  t.same([world.removed, [...world.values.keys()], world.errors], [['a1', 'a2'], ['bob'], []])
})

t.test('nobody sets a value who is not there', async (t) => {
  const world = new World()
  await t.rejects(world.set('ada'), { code: 'not_joined' })
  t.same([...world.values], [])
})

t.test('a value is removed whose user leaves while it is being set, also where the room is not open', async (t) => {
  for (const isOpen of [true, false]) {
    const world = new World(isOpen)
    world.there.add('ada')
    world.step = async (name) => { if (name === 'set ada') world.leave('ada') }
    await world.set('ada')
    t.same([world.removed, [...world.values]], [['ada'], []])
  }
})

t.test('who is back by the time at which the leave is heard of keeps what is there', async (t) => {
  const world = new World()
  world.there.add('ada')
  await world.set('ada')
  world.owned.left(world.room, ['ada'])
  await settled()
  t.same(world.removed, [])
})

t.test('a value that is set while the one before it is about to be removed stays', async (t) => {
  const world = new World()
  world.there.add('ada')
  await world.set('ada')
  let isBack = false
  world.step = async (name) => {
    if (name !== 'remove ada' || isBack) return
    isBack = true
    world.there.add('ada')
    await world.set('ada')
  }
  world.leave('ada')
  await settled()
  t.same([isBack, world.removed, world.values.get('ada')!.event!.version], [true, [], 2])
})

t.test('a room that is opened shows no value of a user who is not there, and has it removed', async (t) => {
  const world = new World()
  world.there.add('ada').add('bob')
  await world.set('ada')
  await world.set('bob')
  world.there.delete('ada')
  const shown = await world.owned.present(ROOM, declaration, world.room.latest)
  t.same(shown.map(({ event }) => event!.key), ['bob'])
  await settled()
  t.same(world.removed, ['ada'])
})

t.test('what was missed is found by the second comparison, which spares who was away for a moment', async (t) => {
  const world = new World()
  world.owned.watch(ROOM)
  world.there.add('ada').add('bob')
  await world.set('ada')
  await world.set('bob')
  world.there.clear()
  await world.owned.compare()
  t.same(world.removed, [])
  world.there.add('bob')
  await world.owned.compare()
  t.same(world.removed, ['ada'])
  world.owned.unwatch(ROOM)
  world.there.clear()
  for (let n = 0; n < 3; n++) await world.owned.compare()
  t.same(world.removed, ['ada'], 'a room without members here is left to others')
})

t.test('one of very many rooms is compared at once again whose value is in doubt', async (t) => {
  const world = new World()
  const head = { type: 'cursor', delivery: 'latest', timestamp: 1, key: 'b', user: 'bob', version: 1 } as const
  for (let n = 0; n < 200; n++) {
    const room = `board/x${n}`
    world.others.set(room, [encodeEvent({ ...head, room }, '{}')])
    world.owned.watch(room)
  }
  world.owned.watch(ROOM)
  world.there.add('ada').add('bob')
  await world.set('ada')
  let isAway = true
  world.step = async () => { if (isAway) throw new Error('away') }
  world.leave('ada')
  await settled()
  t.equal(world.errors.length, 1)
  isAway = false
  await world.owned.compare()
  t.same(world.removed, [])
  await world.owned.compare()
  t.same(world.removed, ['ada'])
})

t.test('a room that cannot be compared keeps no other one from it', async (t) => {
  const world = new World()
  const head = { type: 'cursor', delivery: 'latest', timestamp: 1, key: 'b', user: 'bob', version: 1 } as const
  world.others.set('board/x', [encodeEvent({ ...head, room: 'board/x' }, '{}')])
  world.owned.watch('board/x')
  world.owned.watch(ROOM)
  world.there.add('ada')
  await world.set('ada')
  world.there.clear()
  // Of each comparison the list of the other room.
  const failing = [1, 4]
  let lists = 0
  world.step = async (what) => { if (what === 'snapshot' && failing.includes(++lists)) throw new Error('this room alone') }
  for (const failed of [1, 2]) {
    await world.owned.compare()
    t.equal(world.errors.length, failed)
  }
  t.same(world.removed, ['ada'])
})

t.test('rooms without values do not delay the comparison of those with values', async (t) => {
  const world = new World()
  for (let n = 0; n < 900; n++) {
    world.others.set(`board/x${n}`, [])
    world.owned.watch(`board/x${n}`)
  }
  world.owned.watch(ROOM)
  world.there.add('ada')
  await world.set('ada')
  world.there.clear()
  await world.owned.compare()
  await world.owned.compare()
  t.same(world.removed, ['ada'])
})

t.test('the value of a user who leaves while a room is being opened is removed', async (t) => {
  const board = defineRoom('board/:id', {
    events: { cursor: { data: Type.Object({ id: Type.String() }), delivery: 'latest', key: 'id', owner: true } }
  })
  const head = { type: 'cursor', room: ROOM, delivery: 'latest', timestamp: 1, key: 'a', version: 1 } as const
  const removed: unknown[] = []
  const adapter: Adapter = {
    name: 'scripted',
    removal: true,
    start: async () => undefined,
    close: async () => undefined,
    publish: async (_room, { key }) => {
      removed.push(key)
      return { recipients: 0 }
    },
    subscribe: async () => undefined,
    unsubscribe: () => undefined,
    latest: () => [encodeEvent({ ...head, user: 'ada' }, '{"id":"a"}')],
    presence: {
      join: () => undefined,
      leave: () => undefined,
      sweep: () => undefined,
      isPresent: () => false,
      snapshot: async () => {
        // The answer is under way when she leaves.
        hub.host.presence(ROOM, { sequence: 2, joined: [], left: [{ userId: 'ada' }] })
        return { sequence: 1, total: 1, list: [{ userId: 'ada' }] }
      }
    }
  }
  const hub = new Hub(adapter, {
    presence: { lease: 60_000, grace: 0 },
    presenceList: 10,
    eventLimit: 1_000,
    validateOutput: true,
    onError: (error) => { throw error },
    onUnhandled: (error) => { throw error }
  })
  const limits = { history: { size: 10, ttl: 1_000 } }
  hub.declarations.add(declare(board, { presence: true }, limits, { history: false }, undefined))
  await hub.join(ROOM, hub.resolve(ROOM), {}, 'ada')
  await settled()
  t.same(removed, ['a'])
})

const action = fc.record({
  user: fc.constantFrom('ada', 'bob'),
  what: fc.constantFrom('join', 'leave', 'set', 'set'),
  key: fc.constantFrom('x', 'y')
})

t.test('whatever comes before what, no value of a user who is not there is left, and none that was set since the last join is lost', async (t) => {
  await fc.assert(fc.asyncProperty(fc.scheduler(), fc.array(action, { maxLength: 20, size: 'max' }), async (scheduler, actions) => {
    const world = new World()
    world.owned.watch(ROOM)
    world.step = async (name) => { await scheduler.schedule(Promise.resolve(), name) }
    const sessions = new Map<string, number>()
    /** by key who has set it last, and since which join he is there */
    const set = new Map<string, { user: string, session: number | undefined }>()
    const values = world.values as { set: Map<string, Packet>['set'] }
    const store = world.values.set.bind(world.values)
    values.set = (key, packet) => {
      const user = packet.event!.user!
      set.set(key, { user, session: world.there.has(user) ? sessions.get(user) : undefined })
      return store(key, packet)
    }
    const running: Array<Promise<unknown>> = []
    const act = async (): Promise<void> => {
      for (const { user, what, key } of actions) {
        await scheduler.schedule(Promise.resolve(), `${what} ${user}`)
        if (what === 'set') running.push(world.set(user, key).catch(() => undefined))
        else if (what === 'join' && !world.there.has(user)) {
          world.there.add(user)
          sessions.set(user, (sessions.get(user) ?? 0) + 1)
        } else if (what === 'leave' && world.there.delete(user)) {
          running.push(scheduler.schedule(Promise.resolve(), `hear of ${user}`).then(() => {
            world.owned.left(world.room, [user])
          }))
        }
      }
    }
    await scheduler.waitFor(act())
    await scheduler.waitFor(Promise.all(running))
    await scheduler.waitAll()
    world.step = async () => {}
    await world.owned.compare()
    await world.owned.compare()
    for (const { event } of world.values.values()) assert.ok(world.there.has(event!.user!), 'a ghost')
    for (const [key, { user, session }] of set) {
      const isLive = session !== undefined && session === sessions.get(user) && world.there.has(user)
      if (isLive) assert.equal(world.values.get(key)?.event!.user, user, `the value ${key} of ${user} was lost`)
    }
    assert.deepEqual(world.errors, [])
  }), { numRuns: 300 })
  t.pass()
})
