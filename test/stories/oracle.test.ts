import t from 'tap'
import { ClientRecord } from './brokers/client-record.js'
import type { Line } from './brokers/journal.js'
import { View } from './brokers/guests.js'
import { judge, type Verdict } from './brokers/oracle.js'
import type { Fate } from './brokers/sender.js'

const ROOM = 'feed/0'

interface Case {
  readonly title: string
  readonly journal?: readonly Line[]
  readonly fates?: Readonly<Record<string, Fate>>
  readonly tell: (record: ClientRecord) => void
  /** how many of each kind; 0 where absent */
  readonly expected: Partial<Record<keyof Verdict, number>>
}

const accepted = (
  id: string,
  epoch: string,
  offset: number
): Line => ({ is: 'accepted', room: ROOM, id, epoch, offset })
/** `p:1` to `p:<count>` at the offsets 1 to `count` of the epoch `e`. */
const published = (count: number): Line[] => Array.from(
  { length: count },
  (_, index) => accepted(`p:${index + 1}`, 'e', index + 1)
)

const CASES: readonly Case[] = [
  {
    title: 'an event that never comes to who was told of nothing is lost',
    journal: published(3),
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
      record.event(ROOM, 'p:3', 3)
    },
    expected: { lost: 1 }
  },
  {
    title: 'what was accepted before a client entered is not lost to it',
    journal: published(3),
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 2 }, false, undefined)
      record.event(ROOM, 'p:3', 3)
    },
    expected: {}
  },
  {
    title: 'a gap excuses what it names and nothing else',
    journal: published(4),
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.gap(ROOM, 'e', 1, 3)
      record.event(ROOM, 'p:4', 4)
    },
    expected: { lost: 1 }
  },
  {
    title: 'a gap without a beginning excuses all that was not heard of the epoch before',
    journal: [...published(4), accepted('p:5', 'f', 9)],
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
      record.gap(ROOM, 'f', undefined, 8)
      record.event(ROOM, 'p:5', 9)
    },
    expected: {}
  },
  {
    title: 'what a resume passes over is lost where it is of another, and a later loss that is told is none',
    journal: [accepted('p:1', 'e', 1), accepted('said-u-1', 'e', 2), accepted('p:3', 'e', 3), accepted('p:4', 'e', 4)],
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
      record.entered(ROOM, { epoch: 'e', offset: 2 }, true, { epoch: 'e', offset: 1 })
      record.entered(ROOM, { epoch: 'e', offset: 3 }, true, { epoch: 'e', offset: 2 })
      record.gap(ROOM, 'f', undefined, 0)
    },
    expected: { lost: 1 }
  },
  {
    title: 'an empty gap excuses nothing: all of the epoch before has to come',
    journal: [...published(2), accepted('p:3', 'f', 2)],
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
      record.gap(ROOM, 'f', 1, 1)
      record.event(ROOM, 'p:3', 2)
    },
    expected: { lost: 1 }
  },
  {
    title: 'a resume that is answered with true and skips an event has lost it',
    journal: published(3),
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
      record.entered(ROOM, { epoch: 'e', offset: 2 }, true, { epoch: 'e', offset: 1 })
      record.event(ROOM, 'p:3', 3)
    },
    expected: { lost: 1 }
  },
  {
    title: 'an event that comes again is doubled',
    journal: published(1),
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
      record.event(ROOM, 'p:1', 1)
    },
    expected: { doubled: 1 }
  },
  {
    title: 'an event that has two places is doubled, and only told when a gap is between them',
    journal: published(2),
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
      record.event(ROOM, 'p:1', 2)
      record.gap(ROOM, 'f', undefined, 5)
      record.event(ROOM, 'p:1', 6)
    },
    expected: { doubled: 1, again: 1, lost: 1 }
  },
  {
    title: 'events of one publisher are in its order',
    journal: [accepted('p:2', 'e', 1), accepted('p:1', 'e', 2)],
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:2', 1)
      record.event(ROOM, 'p:1', 2)
    },
    expected: { reordered: 1 }
  },
  {
    title: 'an event of a room that a client is not in is foreign',
    tell: (record) => { record.event('feed/1', 'p:1', 1) },
    expected: { foreign: 1 }
  },
  {
    title: 'an event that was refused for certain is heard by nobody',
    journal: [{ is: 'refused', room: ROOM, id: 'p:1', why: 'away' }],
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'p:1', 1)
    },
    expected: { denied: 1 }
  },
  {
    title: 'an event that another room was refused under the same name is no such event',
    journal: [{ is: 'refused', room: 'feed/1', id: 'mark-1-n0:1', why: 'away' }],
    tell: (record) => {
      record.entered(ROOM, { epoch: 'e', offset: 0 }, false, undefined)
      record.event(ROOM, 'mark-1-n0:1', 1)
    },
    expected: {}
  },
  {
    title: 'the last value that was accepted is shown by everybody',
    journal: [
      { is: 'level', room: ROOM, of: 'n0.mark', value: 1 },
      { is: 'level', room: ROOM, of: 'n0.mark', value: 2 }
    ],
    tell: (record) => { record.level(ROOM, 'n0.mark', 1) },
    expected: { stale: 1 }
  },
  {
    title: 'a message has one effect, and one when it was acked',
    journal: [{ is: 'effect', message: 'u-1', node: 'n0' }, { is: 'effect', message: 'u-1', node: 'n1' }],
    fates: { 'u-1': 'acked', 'u-2': 'acked', 'u-3': 'refused' },
    tell: () => undefined,
    expected: { twice: 1, unheeded: 1 }
  }
]

for (const { title, journal = [], fates = {}, tell, expected } of CASES) {
  t.test(title, async (t) => {
    const record = new ClientRecord([ROOM])
    tell(record)
    const { verdict } = judge({
      clients: [{ user: 'u', transport: 'websocket', record }],
      journal,
      fates: new Map(Object.entries(fates))
    })
    const found = Object.entries(verdict) as Array<[string, string[]]>
    const counts = Object.fromEntries(found.map(([kind, { length }]) => [kind, length])
      .filter(([, count]) => count !== 0))
    t.same(counts, expected, JSON.stringify(verdict))
  })
}

t.test('a list of members that was on its way while changes came is asked for again', async (t) => {
  const view = new View()
  const change = (sequence: number, userId: string): boolean =>
    view.take({ type: 'presence', data: { sequence, joined: [{ userId }], left: [] } })
  const list = (sequence: number, ...users: string[]): boolean =>
    view.take({ type: 'members', data: { sequence, list: users.map((userId) => ({ userId })) } })
  list(1, 'a')
  t.equal(change(10, 'b'), true, 'something was missed')
  t.equal(change(11, 'c'), false)
  t.equal(list(10, 'a', 'b'), true, 'it is older than what is shown')
  t.same([...view.users], ['a', 'b', 'c'])
  t.equal(list(11, 'b', 'c'), false)
  t.same([...view.users], ['b', 'c'])
})
