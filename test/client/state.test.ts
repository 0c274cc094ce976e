import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createHandle } from '../../lib/client/handle.js'
import type { Frame } from '../../lib/client/links/link.js'
import { createRoom } from '../../lib/client/room.js'
import { liveState } from '../../lib/client/parts/live-state.js'
import type { Core } from '../../lib/client/part.js'
import type { Handle, Room, RoomHost } from '../../lib/client/room-types.js'

const host: RoomHost = {
  send: async () => undefined,
  leave: async () => {},
  ask: () => {},
  say: () => [],
  fail: () => {}
}

const latest = (ttl: number): object => ({ latest: { keys: { note: 'id', constructor: 'id' }, ttl } })

function room (ttl = 60_000): {
  room: Room
  handle: Handle
  /** Keys of the values of which a removal was told, with those that were left by then. */
  removed: Array<readonly [key: string, left: string[]]>
  keys: () => string[]
  set: (id: string, type?: string) => void
} {
  const core = { createRoom } as Core
  liveState(core)
  const room = core.createRoom('board/1', {}, host)
  room.enter({ epoch: 'AAAAAAAA', offset: 0, ...latest(ttl) })
  const handle = createHandle(room, host)
  const keys = (): string[] => [...(room.state.get('note') as ReadonlyMap<string, unknown>).keys()]
  const removed: Array<readonly [string, string[]]> = []
  handle.public.on('removed', ({ event, key }) => { if (event === 'note') removed.push([key, keys()]) })
  return {
    room,
    handle,
    removed,
    keys,
    set: (id, type = 'note') => { room.frame({ type, data: { id }, timestamp: 1 } as unknown as Frame) }
  }
}

t.test('the state has the newest value of each key, in the order of their setting, and no event that is not latest', async (t) => {
  const { room: one, keys, set } = room()
  for (const id of ['a', 'b', 'a', '__proto__']) set(id)
  set('x', 'said')
  set('y', 'constructor')
  t.same(keys(), ['b', 'a', '__proto__'])
  t.same([...one.state].map(([event, values]) => [event, values.size]), [['note', 3], ['constructor', 1]])
})

t.test('beyond 1 000 values of an event the one that was set first goes', async (t) => {
  const { keys, set } = room()
  for (let n = 0; n < 1_001; n++) set(String(n))
  t.same([keys().length, keys()[0]], [1_000, '1'])
})

t.test('a removal is told of a value that is known, and once', async (t) => {
  const { room: one, handle, keys, set } = room()
  const told: unknown[] = []
  handle.public.on('removed', (removed) => { told.push([removed, keys()]) })
  set('a')
  const removed = (event: string, key: string): void => {
    one.frame({ type: 'removed', data: { event, key } } as unknown as Frame)
  }
  for (const [event, key] of [['note', 'a'], ['note', 'a'], ['note', 'b'], ['nothing', 'a']] as const) removed(event, key)
  await delay(0)
  t.same(told, [[{ event: 'note', key: 'a' }, []]])
})

t.test('after a break what the server has kept is added, after one that is longer than it keeps values they are removed before', async (t) => {
  for (const [ttl, expected, gone] of [[60_000, ['a', 'b'], []], [1, ['b'], [['a', []]]]] as const) {
    const { room: one, keys, set, removed } = room(ttl)
    set('a')
    one.out()
    await delay(5)
    one.enter({ epoch: 'AAAAAAAA', offset: 0, resumed: true, ...latest(ttl) })
    t.same(removed, gone)
    set('b')
    t.same(keys(), expected)
  }
})

t.test('a room that is not resumed tells of the removal of each value, and begins with none', async (t) => {
  const { room: one, keys, set, removed } = room()
  for (const id of ['a', 'b']) set(id)
  one.out()
  one.enter({ epoch: 'BBBBBBBB', offset: 0, resumed: false, ...latest(60_000) })
  t.same(removed, [['a', ['b']], ['b', []]])
  t.same(keys(), [])
})
