import t from 'tap'
import type { Frame } from '../../lib/client/links/link.js'
import { members } from '../../lib/client/parts/members.js'
import { askedRoom, refusal, type AskedRoom } from '../helpers/asked-room.js'

/** A room whose list of members knows `ada` at the sequence 1, with what it asks for and puts off. */
function room (): AskedRoom {
  const made = askedRoom('hall/1', members)
  made.room.enter({ members: { sequence: 1, total: 1, list: [{ userId: 'ada' }] } } as never)
  return made
}

function joined (sequence: number, userId: string): Frame {
  return { type: 'presence', room: 'hall/1', data: { sequence, joined: [{ userId }], left: [] } } as unknown as Frame
}

function list (sequence: number, ...users: string[]): Frame {
  const data = { sequence, total: users.length, list: users.map((userId) => ({ userId })) }
  return { type: 'ack', data } as unknown as Frame
}

const shown = ({ room }: AskedRoom): string[] => [...room.members.keys()].sort()

t.test('an answer that is older than the list does not replace it, however late it comes', async (t) => {
  const one = room()
  one.room.frame(joined(10, 'bob'))
  one.room.frame(joined(11, 'eve'))
  t.equal(one.answers.length, 2, 'each change behind the hole asks')
  one.answers[1]!(list(11, 'ada', 'bob', 'eve'))
  one.answers[0]!(list(10, 'ada', 'bob'))
  t.same(shown(one), ['ada', 'bob', 'eve'])
})

t.test('a list that is refused for now is asked for again, without another change', async (t) => {
  const one = room()
  one.room.frame(joined(10, 'bob'))
  one.answers[0]!(refusal('backoff', 300))
  t.equal(one.later[0]?.wait, 300, 'as long as the server wants')
  one.later[0]!.run()
  one.answers[1]!(refusal('now'))
  one.later[1]!.run()
  one.answers[2]!(list(10, 'ada', 'bob'))
  t.same(shown(one), ['ada', 'bob'])
  t.equal(one.later.length, 2)
})

t.test('a list that is refused for good, or that nobody answers because the link ends, is not asked for again', async (t) => {
  const one = room()
  one.room.frame(joined(10, 'bob'))
  one.answers[0]!(refusal('never'))
  one.answers[0]!()
  t.equal(one.later.length, 0)
})

t.test('a room that has become too large to list tells of no leave, and shows nobody until somebody comes', async (t) => {
  const one = room()
  const told: unknown[] = []
  one.room.emit = (event) => {
    told.push(event)
    return []
  }
  one.room.enter({ members: { sequence: 300, total: 201 } } as never)
  one.room.frame(joined(301, 'bob'))
  t.same(told, [
    { joined: [], left: [], changed: [] },
    { joined: [{ userId: 'bob' }], left: [], changed: [] }
  ])
  t.same(shown(one), ['bob'])
})
