import t from 'tap'
import { roomNamesOf } from '../../lib/admission/room-names.js'
import type { Kind } from '../../lib/admission/query.js'
import { Refusal } from '../../lib/errors/refusal.js'

function named (path: string, room?: unknown, kind: Kind = 'websocket', limit = 128): readonly string[] {
  return roomNamesOf(path, { room }, kind, limit)
}

/** What a refusal says; `undefined` where there was none. */
function refused (...asked: Parameters<typeof named>): Pick<Refusal, 'word' | 'room' | 'why'> | undefined {
  try {
    named(...asked)
    return undefined
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { word, room, why } = error
    return { word, room, why }
  }
}

function many (count: number): string[] { return Array.from({ length: count }, (_, index) => `chat/${index}`) }

t.test('the rooms are that of the path and those of the query, each once, in that order', async (t) => {
  t.same(named(''), [])
  t.same(named('chat/1'), ['chat/1'])
  t.same(named('', 'chat/1'), ['chat/1'])
  t.same(named('chat/1', ['chat/2', 'chat/1', 'chat/2', 'chat/3']), ['chat/1', 'chat/2', 'chat/3'])
})

t.test('a name that is none is refused, with its beginning, wherever it stands', async (t) => {
  const refusal = { word: 'room_invalid', room: 'chat/..' }
  t.match(refused('chat/..'), refusal)
  t.match(refused('chat/..', 'chat/1'), refusal)
  t.match(refused('chat/1', ['chat/2', 'chat/..']), refusal)
  t.match(refused('', [{ a: 1 }]), { word: 'room_invalid' })
  t.equal(refused('x'.repeat(1_000))?.room, 'x'.repeat(255))
})

t.test('a name that begins as a URL of the plugin is refused', async (t) => {
  for (const name of ['stats', 'Stats/rooms', 'ticket/1']) t.match(refused(name), { word: 'room_invalid' }, name)
  t.same(named('chat/stats'), ['chat/stats'])
})

t.test('a WebSocket and its verdict name as many rooms as the limit, and a stream, a poll or a POST 32 of them', async (t) => {
  for (const kind of ['websocket', 'verdict'] as const) {
    t.equal(named('', many(128), kind).length, 128)
    t.match(refused('', many(129), kind), { word: 'room_limit', why: { limit: 'limits.rooms', value: 128, asked: 129 } })
  }
  for (const kind of ['sse', 'polling', 'uplink'] as const) {
    t.equal(named('', many(32), kind).length, 32)
    t.match(refused('', many(33), kind), { word: 'room_limit' }, kind)
    t.match(refused('', many(6), kind, 5), { word: 'room_limit' }, kind)
  }
})
