import t from 'tap'
import type { KeptText, RoomSettings, TextStore } from '../../lib/adapters/adapter.js'
import { encodePart } from '../../lib/protocol/part-frames.js'
import type { Part } from '../../lib/protocol/part.js'
import type { Packet } from '../../lib/protocol/packet.js'
import { checkOf } from '../../lib/protocol/text-check.js'
import { Retention } from '../../lib/retention/retention.js'
import { RoomTexts } from '../../lib/rooms/room-texts.js'
import { TextReader } from '../../lib/rooms/text-reader.js'
import { letGo } from '../helpers/garbage.js'

const settings: RoomSettings = {
  history: false,
  latest: false,
  append: { size: 1_000, ttl: 60_000 },
  definition: 'ai/:id'
}

function stretch (key: string, inside: string, from: number, version: number, more: Partial<Part> = {}): Packet {
  const begun = key.charCodeAt(0)
  const to = from + inside.length
  const part = { before: `{"id":"${key}","text":"`, inside, isList: false, from, to, version, begun, ...more }
  return encodePart({ type: 'answer', room: 'ai/1', key, timestamp: version }, part)
}

function keptOf ({ event }: Packet): KeptText {
  return { type: event!.type, key: event!.key!, timestamp: event!.timestamp, part: event!.part! }
}

interface Made {
  readonly texts: RoomTexts
  readonly offered: string[]
  readonly asked: string[]
  kept: KeptText[]
  isAway: boolean
}

/** @param tells whether the adapter says what is missing */
function make (bytes = 1_000_000, tells = false): Made & { take: (packet: Packet) => void } {
  const offered: string[] = []
  const asked: string[] = []
  const made = { kept: [] as KeptText[], isAway: false }
  const missing: NonNullable<TextStore['missing']> = (_room, which) => {
    asked.push(`missing ${which.map(({ key }) => key).join()}`)
    return which.filter((each) => !made.kept.some(({ key }) => key === each.key))
  }
  const store: TextStore = {
    ...(tells ? { missing } : {}),
    write: () => 'written',
    read: (_room, _settings, which) => {
      if (made.isAway) throw new Error('away')
      asked.push(which!.key)
      return made.kept.filter(({ key }) => key === which!.key)
    },
    check: (_room, known) => {
      asked.push(`check ${known.map(({ key, version }) => `${key}${version}`).join()}`)
      return made.kept.filter(({ key, part: { version } }) => {
        return known.some((each) => each.key === key && each.version !== version)
      })
    }
  }
  const take = (packet: Packet): void => {
    const part = texts.take(packet)?.event!.part
    if (part !== undefined) offered.push(`${part.from}:${part.inside}${part.end === undefined ? '' : '.'}`)
  }
  const texts = new RoomTexts('ai/1', {
    retention: new Retention(bytes),
    store,
    settings,
    rules: new Map(),
    take,
    onGrowing: () => {}
  })
  return Object.assign(made, { texts, offered, asked, take })
}

const turn = async (): Promise<void> => { await new Promise((resolve) => { setImmediate(resolve) }) }

t.test('where a stretch is missing the text is read again, and members are offered what they do not have', async (t) => {
  const made = make()
  made.take(stretch('a', 'abc', 0, 1))
  made.kept = [keptOf(stretch('a', 'abcdefghi', 0, 3))]
  made.take(stretch('a', 'ghi', 6, 3))
  await turn()
  made.take(stretch('a', 'jkl', 9, 4))
  made.take(stretch('a', 'ghi', 6, 3))
  t.same(made.offered, ['0:abc', '3:defghi', '9:jkl'])
  t.same(made.asked, ['a'])
})

t.test('a text that is silent is compared, so that its last stretch is found', async (t) => {
  const made = make()
  made.take(stretch('a', 'abc', 0, 1))
  await made.texts.check(performance.now() + 1_000)
  t.same(made.asked, [])
  made.kept = [keptOf(stretch('a', 'abcdef', 0, 2, { end: 'done' }))]
  await made.texts.check(performance.now() + 6_000)
  t.same(made.asked, ['check a1'])
  t.same(made.offered, ['0:abc', '3:def.'])
  t.notOk(made.texts.isGrowing)
})

t.test('of the texts of a room only those that are silent are compared', async (t) => {
  const made = make()
  made.take(stretch('a', 'abc', 0, 1))
  made.take(stretch('b', 'abc', 0, 2))
  const silentAt = performance.now()
  while (performance.now() === silentAt) { /* Until the clock has moved. */ }
  made.take(stretch('a', 'd', 3, 3))
  await made.texts.check(silentAt + 5_000)
  t.same(made.asked, ['check b2', 'b'])
})

t.test('a silent text that nobody keeps any more ends as lost, unless its writer writes it again', async (t) => {
  const made = make()
  const { texts } = made
  made.take(stretch('a', 'abc', 0, 1))
  made.take(stretch('b', 'abc', 0, 2))
  const [a, b] = [stretch('a', 'abc', 0, 1), stretch('b', 'abc', 0, 2)].map(keptOf)
  const now = performance.now()
  made.kept = [a!, b!]
  await texts.check(now + 6_000)
  await texts.check(now + 11_000)
  t.same(made.asked.splice(0), ['check a1,b2', 'a', 'b', 'check a1,b2'], 'what is kept is not read at each look')
  made.kept = []
  await texts.check(now + 21_000)
  await texts.check(now + 26_000)
  t.same(made.offered.splice(0), ['0:abc', '0:abc'], 'a living writer has not had the time to write it again')
  made.take(stretch('b', 'abc', 0, 7, { begun: 7 }))
  made.kept = [keptOf(stretch('b', 'abc', 0, 7, { begun: 7 }))]
  await texts.check(now + 36_000)
  t.same(made.offered, ['0:abc', '3:.'])
  t.match(texts.get('answer', 'a'), { part: { inside: 'abc', end: 'lost' } })
  made.take(stretch('a', 'abcd', 0, 1_000, { begun: 1_000 }))
  t.match(texts.get('answer', 'a'), { part: { inside: 'abcd', end: undefined } }, 'its writer lives after all')
})

t.test('a silent text is not lost for what could not be read, nor for what was missing before the broker was away', async (t) => {
  const made = make()
  const { texts } = made
  made.take(stretch('a', '', 0, 1))
  const now = performance.now()
  await texts.check(now + 6_000)
  made.isAway = true
  await texts.check(now + 21_000)
  texts.touch(now + 30_000)
  made.isAway = false
  await texts.check(now + 36_000)
  t.ok(texts.isGrowing)
  await texts.check(now + 51_000)
  t.notOk(texts.isGrowing)
  t.same(made.offered, ['0:.'], 'an empty one too')
})

t.test('a silent text of which the adapter says that it is kept is not read, but for every ten minutes', async (t) => {
  const made = make(1_000_000, true)
  const { texts } = made
  made.take(stretch('a', 'abc', 0, 1))
  made.take(stretch('b', 'abc', 0, 2))
  made.kept = [stretch('a', 'abc', 0, 1), stretch('b', 'abc', 0, 2)].map(keptOf)
  const now = performance.now()
  for (let look = 0; look < 100; look++) await texts.check(now + 6_000 + look * 5_000)
  t.ok(made.asked.filter((each) => each === 'missing a,b').length > 30)
  t.notOk(made.asked.includes('a'))
  for (let look = 100; look < 130; look++) await texts.check(now + 6_000 + look * 5_000)
  t.same(made.asked.filter((each) => each.length === 1), ['a', 'b'])
  made.kept.pop()
  await texts.check(now + 700_000)
  await texts.check(now + 715_000)
  t.same(made.asked.filter((each) => each.length === 1).slice(2), ['b', 'b'])
  t.same(made.offered.splice(2), ['3:.'], 'one that is missing is read before it is lost')
  t.match(texts.get('answer', 'b'), { part: { end: 'lost' } })
})

t.test('of many silent texts some are read at a time, and all in the end', async (t) => {
  const made = make()
  const keys = Array.from({ length: 40 }, (_, index) => String.fromCharCode(97 + index))
  for (const [index, key] of keys.entries()) made.take(stretch(key, 'abc', 0, index + 1))
  made.kept = keys.map((key, index) => keptOf(stretch(key, 'abc', 0, index + 1)))
  const now = performance.now()
  const reads: number[] = []
  for (let look = 1; look <= 3; look++) {
    await made.texts.check(now + 6_000 + look * 5_000)
    reads.push(made.asked.splice(0).length - 1)
  }
  t.same(reads, [16, 16, 8])
  made.kept = []
  for (let look = 4; look <= 20; look++) await made.texts.check(now + 6_000 + look * 5_000)
  t.notOk(made.texts.isGrowing)
})

t.test('a text that gave way grows by its parts for those who are up to it, and is read for those who are not', async (t) => {
  const made = make(3_000)
  const { texts } = made
  const long = 'x'.repeat(1_500)
  made.take(stretch('a', long, 0, 1))
  t.ok(texts.isGrowing)
  t.equal(texts.get('answer', 'a'), undefined, 'it gave way')
  t.ok(texts.isMarked('answer', 'a'))
  const member = new Member()
  new TextReader(member, texts, { version: 1, lengths: new Map([[97, 1_500]]) }, 0).live()
  made.take(stretch('a', 'abc', 1_500, 2))
  t.same(made.offered, [`0:${long}`, '1500:abc'])
  t.same([made.asked, member.got], [[], []], 'nothing was read')
  made.kept = [keptOf(stretch('a', `${long}abc`, 0, 2))]
  const known: Array<ConstructorParameters<typeof TextReader>[2]> = [
    undefined,
    { version: 1, lengths: new Map([[97, 1_500]]) },
    { version: 0, named: [['answer', 'a', 1_500, checkOf(long)]] },
    { version: 0, lengths: new Map([[98, 3]]) }
  ]
  const members = known.map((each) => {
    const one = new Member()
    const reader = new TextReader(one, texts, each, 0)
    reader.live()
    return { one, reader }
  })
  await turn()
  const end = texts.take(stretch('a', 'd', 1_503, 3, { end: 'done' }))!
  for (const { reader } of members) reader.offer(end, texts.changes, 0)
  t.same(members.map(({ one }) => one.got), [
    [`a0:${long}abc`, 'a1503:d.'], ['a1500:abc', 'a1503:d.'], ['a1500:abc', 'a1503:d.'], [`a0:${long}abc`, 'a1503:d.']
  ])
  t.ok(made.asked.length <= 4)
  t.notOk(texts.isGrowing)
  made.kept = [keptOf(stretch('a', `${long}abcd`, 0, 3, { end: 'done' }))]
  const late = new Member()
  new TextReader(late, texts, undefined, 0).live()
  await turn()
  t.same(late.got, [`a0:${long}abcd.`], 'also one that has ended')
  t.equal(made.offered.length, 2, 'nobody else was offered anything again')
})

t.test('a text that is missing a part behind its mark is read again, and is lost where nobody keeps it', async (t) => {
  const made = make(3_000)
  const { texts } = made
  const long = 'x'.repeat(1_500)
  made.take(stretch('a', long, 0, 1))
  made.kept = [keptOf(stretch('a', `${long}abcd`, 0, 3))]
  made.take(stretch('a', 'cd', 1_502, 3))
  await turn()
  t.same(made.offered.splice(0), [`0:${long}`, '1500:abcd'])
  made.kept = []
  const now = performance.now()
  await texts.check(now + 6_000)
  await texts.check(now + 21_000)
  t.same(made.offered, ['1504:.'])
})

t.test('a text that has begun is not offered before its first part, and who comes before that is brought it empty', (t) => {
  const made = make()
  const begin = stretch('a', '', 0, 1)
  made.take(begin)
  t.ok(made.texts.isGrowing)
  const brought = (known: ConstructorParameters<typeof TextReader>[2]): string[] => {
    const member = new Member()
    new TextReader(member, made.texts, known, 0).live()
    return member.got
  }
  t.same(brought(undefined), ['a0:'])
  t.same(brought({ version: 1 }), [])
  t.same(brought({ version: 0, lengths: new Map([[97, 0]]) }), [])
  t.same(brought({ named: [['answer', 'a', 0, checkOf('')]] }), [])
  t.same(brought({ named: [['answer', 'a', 3, checkOf('abc')]] }), ['a0:'], 'another text has begun under its key')
  const between = new Member()
  const reader = new TextReader(between, made.texts, { version: 1 }, 0)
  reader.live()
  reader.pause({ version: 0 })
  reader.live()
  t.same(between.got, [], 'it was there when it began')
  made.take(stretch('a', 'abc', 0, 2))
  t.same(made.offered, ['0:abc'])
  t.end()
})

t.test('the frame of a whole text is made once for all who come together, and not kept after them', async (t) => {
  const made = make()
  made.take(stretch('a', 'abc', 0, 1))
  const frame = (): Packet => made.texts.frame(made.texts.get('answer', 'a')!, 0)
  const first = new WeakRef(frame())
  t.ok(first.deref() === frame())
  await letGo([first])
  t.equal(made.texts.get('answer', 'a')?.part.inside, 'abc')
})

/** A member whose link takes one frame at a time. */
class Member {
  readonly id = 'c'
  readonly userId = 'u'
  readonly isOpen = true
  readonly got: string[] = []
  isLagging = false
  waiting: Array<() => void> = []
  send ({ event }: Packet): boolean {
    const { from, inside, end } = event!.part!
    this.got.push(`${event!.key!}${from}:${inside}${end === undefined ? '' : '.'}`)
    return !this.isLagging
  }

  whenDrained (callback: () => void): void { this.waiting.push(callback) }
  drain (): void { for (const callback of this.waiting.splice(0)) callback() }
}

t.test('a member that lags is brought one text after the other, each with what was appended meanwhile', async (t) => {
  const { texts, take } = make()
  for (const [index, key] of ['a', 'b', 'c'].entries()) take(stretch(key, 'x'.repeat(3), 0, index + 1))
  const member = new Member()
  member.isLagging = true
  const reader = new TextReader(member, texts, undefined, 0)
  reader.live()
  const grow = (packet: Packet): void => {
    take(packet)
    reader.offer(packet, texts.changes, 0)
  }
  grow(stretch('a', 'y', 3, 4))
  grow(stretch('b', 'y', 3, 5))
  t.same(member.got, ['a0:xxx'])
  for (let round = 0; round < 4; round++) member.drain()
  member.isLagging = false
  member.drain()
  grow(stretch('c', 'z', 3, 6, { end: 'done' }))
  t.same(member.got, ['a0:xxx', 'c0:xxx', 'a3:y', 'b0:xxxy', 'c3:z.'])
})

t.test('a stretch that is found late reaches those who were sent newer ones of other texts', (t) => {
  const { texts, take } = make()
  take(stretch('a', 'abc', 0, 1))
  take(stretch('b', 'x', 0, 3))
  const member = new Member()
  const reader = new TextReader(member, texts, undefined, 0)
  reader.live()
  const late = texts.take(stretch('a', 'abcdef', 0, 2, { end: 'done' }))!
  const { changes } = texts
  reader.offer(late, changes, 0)
  t.same(member.got, ['a0:abc', 'b0:x', 'a3:def.'])
  const next = new Member()
  const again = new TextReader(next, texts, { version: 3, lengths: new Map([[97, 3], [98, 1]]) }, 0)
  again.live()
  t.same(next.got, ['a3:def.'], 'one who came back before it was sent')
  again.offer(late, changes, 0)
  t.same(next.got, ['a3:def.'], 'what was brought is not offered again')
  t.end()
})

t.test('one who says what it has is brought the rest, and the whole of another text under the same key', async (t) => {
  const { texts, take } = make()
  take(stretch('a', 'abcdef', 0, 1))
  take(stretch('b', 'abc', 0, 2, { end: 'done' }))
  const brought = (known: ConstructorParameters<typeof TextReader>[2]): string[] => {
    const member = new Member()
    new TextReader(member, texts, known, 0).live()
    return member.got
  }
  t.same(brought({ version: 2 }), [], 'by the version of its cursor it has all')
  t.same(brought({ version: 0, lengths: new Map([[97, 4]]) }), ['a4:ef', 'b0:abc.'])
  t.same(brought({ version: 0, lengths: new Map([[98, 99]]) }), ['a0:abcdef', 'b0:abc.'], 'more than there is')
  t.same(brought({ named: [['answer', 'a', 3, checkOf('abc')], ['answer', 'b', 3, checkOf('abc'), 1]] }), ['a3:def'])
  t.same(brought({ named: [['answer', 'a', 3, checkOf('xyz')], ['answer', 'b', 3, checkOf('abc')]] }), ['a0:abcdef', 'b3:.'])
})
