import t from 'tap'
import { decodeCursor } from '../../lib/protocol/cursor.js'
import { encodeEvent, encodeFrame } from '../../lib/protocol/packet.js'
import { CursorTrack } from '../../lib/transports/cursor-track.js'

const ROOMS = ['chat/1', 'chat/2']
const ID = 'A'.repeat(22)
const EPOCH = 'abcdefgh'

const event = (room: string, offset: number): ReturnType<typeof encodeEvent> => encodeEvent(
  { type: 'said', room, delivery: 'reliable', timestamp: 1, position: { epoch: EPOCH, offset } },
  '1'
)

t.test('the cursor says where each room stands, and moves with the events that are written', async (t) => {
  const track = new CursorTrack(ID, ROOMS)
  track.enter('chat/1', { epoch: EPOCH, offset: 3 })
  t.equal(track.see(event('chat/1', 4)), true)
  const entries = decodeCursor(String(track), ROOMS)!.entries
  t.match(entries[0], { position: { epoch: EPOCH, offset: 4 } })
  t.equal(entries[1]?.position, undefined)
})

t.test('frames without a position, and events of rooms that are not of the URL, leave the cursor as it is', async (t) => {
  const track = new CursorTrack(ID, ROOMS)
  const before = String(track)
  t.equal(track.see(encodeFrame({ type: 'ack', room: 'chat/1', id: 'a' })), false)
  t.equal(track.see(event('chat/3', 9)), false)
  t.equal(String(track), before)
})

t.test('a room that cannot be entered now keeps the place that its peer has named', async (t) => {
  const track = new CursorTrack(ID, ROOMS)
  track.begin('chat/2', { since: { epoch: EPOCH, offset: 7 }, sequence: 2 })
  t.match(decodeCursor(String(track), ROOMS)!.entries[1], { position: { epoch: EPOCH, offset: 7 }, presence: 2 })
})

t.test('a place moves past events that leave the peer out, never back and never into another epoch', async (t) => {
  const track = new CursorTrack(ID, ROOMS)
  const places: unknown[] = []
  track.enter('chat/1', { epoch: EPOCH, offset: 3 })
  for (const [epoch, offset] of [[EPOCH, 9], [EPOCH, 7], ['another.', 12]] as const) {
    track.reach('chat/1', { epoch, offset })
    places.push(decodeCursor(String(track), ROOMS)!.entries[0]!.position)
  }
  t.same(places, Array(3).fill({ epoch: EPOCH, offset: 9 }))
  const before = String(track)
  track.reach('chat/3', { epoch: EPOCH, offset: 9 })
  t.equal(String(track), before, 'nor in a room that is not of the URL')
})

t.test('a room that the peer is out of has no place, and another one once the peer is in it again', async (t) => {
  const track = new CursorTrack(ID, ROOMS)
  const placeOf = (): unknown => decodeCursor(String(track), ROOMS)!.entries[0]!.position
  track.enter('chat/1', { epoch: EPOCH, offset: 3 })
  track.leave('chat/1')
  track.leave('chat/3')
  t.equal(placeOf(), undefined)
  track.reach('chat/1', undefined)
  t.equal(placeOf(), undefined)
  track.reach('chat/1', { epoch: EPOCH, offset: 2 })
  t.same(placeOf(), { epoch: EPOCH, offset: 2 })
})

t.test('the cursor of who is out of a room is another one, also where the room keeps no history', async (t) => {
  const track = new CursorTrack(ID, ROOMS)
  track.enter('chat/1', {})
  const inside = String(track)
  track.leave('chat/1')
  const outside = String(track)
  t.not(outside, inside)
  const next = new CursorTrack(ID, ROOMS)
  next.begin('chat/1', {}, decodeCursor(outside, ROOMS)!.entries[0]!.isOut)
  t.equal(String(next), outside, 'and stays that')
  next.reach('chat/1', undefined)
  t.equal(String(next), inside, 'until it is in the room again')
  track.enter('chat/1', {})
  t.equal(String(track), inside, 'by whatever way')
})

t.test('a cursor is the part of its stream and that of its places, for any places', async (t) => {
  const track = new CursorTrack(ID, ROOMS)
  for (let offset = 1; offset < 100; offset++) {
    track.see(event(ROOMS[offset % 2]!, offset ** 5))
    const end = event('chat/1', 1).idAt(track.places).toString()
    t.equal(`${track.stream}${end}`, `${String(track)}\n`)
    t.same(decodeCursor(String(track), ROOMS)!.entries[offset % 2]!.position, { epoch: EPOCH, offset: offset ** 5 })
  }
})

t.test('an event makes the end of the id line anew where the stream stands elsewhere', async (t) => {
  const packet = event('chat/1', 1)
  const tracks = [3, 4].map((offset) => {
    const track = new CursorTrack(ID, ROOMS)
    track.enter('chat/2', { epoch: EPOCH, offset })
    track.see(packet)
    return track
  })
  for (const track of [...tracks, ...tracks]) {
    t.equal(`${track.stream}${packet.idAt(track.places).toString()}`, `${String(track)}\n`)
  }
  t.equal(packet.idAt(tracks[0]!.places), packet.idAt(tracks[0]!.places))
})
