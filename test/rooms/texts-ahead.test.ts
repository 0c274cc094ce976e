import t, { type Test } from 'tap'
import type { KeptText, RoomSettings, TextStore } from '../../lib/adapters/adapter.js'
import { until } from '../../lib/adapters/contract/until.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { MAX_KNOWN } from '../../lib/protocol/frames.js'
import { encodePart } from '../../lib/protocol/part-frames.js'
import type { Part } from '../../lib/protocol/part.js'
import type { Packet } from '../../lib/protocol/packet.js'
import { checkOf } from '../../lib/protocol/text-check.js'
import { Retention } from '../../lib/retention/retention.js'
import type { TextRule } from '../../lib/rooms/declaration.js'
import type { KnownTexts } from '../../lib/rooms/known-texts.js'
import { RoomTexts } from '../../lib/rooms/room-texts.js'
import { TextReader } from '../../lib/rooms/text-reader.js'
import { sizeOf } from '../helpers/private-fields.js'

const settings: RoomSettings = {
  history: false,
  latest: false,
  append: { size: 1_000, ttl: 60_000 },
  definition: 'ai/:id'
}
const rule = { name: 'answer', key: 'id', append: 'text', isList: false } as TextRule

function stretch (key: string, inside: string, from: number, version: number, more: Partial<Part> = {}): Packet {
  const begun = key.charCodeAt(0)
  const part = {
    before: `{"id":"${key}","text":"`, inside, isList: false, from, to: from + inside.length, version, begun, ...more
  }
  return encodePart({ type: 'answer', room: 'ai/1', key, timestamp: version }, part)
}

/** A node with a reader that comes from another one, and what is kept of the texts. */
class Node {
  /** Called for each look at what is kept. */
  kept: () => readonly Packet[] = () => []
  looks = 0
  /** What the reader shows. */
  readonly shown = new Map<string, string>()
  readonly frames: string[] = []
  isOpen = true
  hasRoom = true
  /** Those who wait for room. */
  readonly held: Array<() => void> = []
  readonly texts: RoomTexts
  #reader: TextReader | undefined

  constructor () {
    const store: TextStore = {
      write: () => 'written',
      check: () => [],
      read: async (_room, _settings, which) => {
        this.looks++
        return this.kept().map(({ event }): KeptText => {
          return { type: event!.type, key: event!.key!, timestamp: event!.timestamp, part: event!.part! }
        }).filter(({ key }) => key === which!.key)
      }
    }
    this.texts = new RoomTexts('ai/1', {
      retention: new Retention(1_000_000),
      store,
      settings,
      rules: new Map([['answer', rule]]),
      take: (packet) => { this.hears(packet) },
      onGrowing: () => {}
    })
  }

  hears (packet: Packet): void {
    const offered = this.texts.take(packet)
    if (offered !== undefined) this.#reader?.offer(offered, this.texts.changes, 0)
  }

  /** @param had what the reader shows by then */
  comes (known: KnownTexts, had: Record<string, string>): TextReader {
    for (const [key, text] of Object.entries(had)) this.shown.set(key, text)
    const node = this
    this.#reader = new TextReader({
      id: 'c',
      userId: 'u',
      get isOpen () { return node.isOpen },
      get hasRoom () { return node.hasRoom },
      send: (packet: Packet) => {
        this.#shows(packet)
        return true
      },
      whenDrained: (callback) => { node.held.push(callback) }
    }, this.texts, known, 0)
    this.#reader.live()
    return this.#reader
  }

  /** A frame is put together as the client does it. */
  #shows ({ payload, event }: Packet): void {
    const { data, from, end } = JSON.parse(payload.toString()) as {
      data: { id: string, text: string }, from: number, end?: string
    }
    this.frames.push(`${data.id}${from}:${data.text}${end === undefined ? '' : ` ${end}`}`)
    const before = this.shown.get(data.id) ?? ''
    this.shown.set(data.id, before.slice(0, from) + data.text)
    const after = this.shown.get(data.id)!
    if (event?.part !== undefined && before !== after && before.startsWith(after)) {
      throw new Error(`${data.id} goes back from ${before} to ${after}`)
    }
  }

  /** Milliseconds pass, in which everything that is due happens. */
  async wait (time = 0): Promise<void> {
    await new Promise((resolve) => { setTimeout(resolve, time) })
  }
}

const named = (key: string, text: string, end?: 1): KnownTexts => {
  return { named: [['answer', key, text.length, checkOf(text), end]] }
}

t.test('who has a text of which the node has not heard yet is not told that it is lost, and has it whole then', async (t) => {
  const node = new Node()
  node.kept = () => [stretch('a', 'abcdef', 0, 2)]
  node.comes(named('a', 'abc'), { a: 'abc' })
  t.same(node.frames, [], 'nothing is said before the node knows')
  await node.wait()
  t.same(node.frames, ['a3:def'])
  node.hears(stretch('a', 'gh', 6, 3, { end: 'done' }))
  t.same(node.frames, ['a3:def', 'a6:gh done'])
})

t.test('what the node hears of a text that the reader has farther is not offered before it has caught up', async (t) => {
  const node = new Node()
  let free!: () => void
  const held = new Promise<void>((resolve) => { free = resolve })
  const { kept } = node
  node.kept = () => { throw new Refusal('unavailable') }
  void held.then(() => { node.kept = () => [stretch('a', 'abcdef', 0, 3)] })
  node.comes(named('a', 'abcde'), { a: 'abcde' })
  node.hears(stretch('a', 'abc', 0, 1))
  node.hears(stretch('a', 'd', 3, 2))
  await node.wait()
  t.same(node.frames, [])
  free()
  await node.wait(700)
  t.same(node.frames, ['a5:f'])
  node.kept = kept
  node.hears(stretch('a', 'ef', 4, 3))
  t.same(node.frames, ['a5:f'], 'each once')
})

t.test('who has more of a text than the node is brought the rest, and not what it has', async (t) => {
  const node = new Node()
  node.hears(stretch('a', 'abc', 0, 1))
  node.kept = () => [stretch('a', 'abcdef', 0, 2)]
  node.comes(named('a', 'abcde'), { a: 'abcde' })
  await node.wait()
  t.same(node.frames, ['a5:f'])
  node.hears(stretch('a', 'def', 3, 2))
  t.same(node.frames, ['a5:f'])
})

t.test('who has more of a text than is kept is brought what is kept', async (t) => {
  const node = new Node()
  node.hears(stretch('a', 'abc', 0, 1))
  node.kept = () => [stretch('a', 'abc', 0, 1)]
  node.comes(named('a', 'xyzuv'), { a: 'xyzuv' })
  await node.wait()
  t.same(node.frames, ['a0:abc'])
})

t.test('a text that is not kept is lost once two looks have found nothing, and is told so once', async (t) => {
  const node = new Node()
  const reader = node.comes(named('a', 'abc'), { a: 'abc' })
  await node.wait()
  t.same(node.frames, [])
  await node.wait(700)
  t.same([node.frames, node.looks], [['a3: lost'], 2])
  reader.pause({ version: 9 })
  reader.live()
  await node.wait(700)
  t.same([node.frames, node.looks], [['a3: lost'], 2])
})

t.test('who polls again before it is known whether a text is lost is told by a later answer', async (t: Test) => {
  const node = new Node()
  const reader = node.comes(named('a', 'abc'), { a: 'abc' })
  reader.pause(undefined)
  await node.wait(700)
  t.same(node.frames, [])
  reader.pause({ version: 0 })
  reader.live()
  await node.wait(700)
  t.same(node.frames, ['a3: lost'])
})

t.test('of a member that enters again and again with other texts, only those of its last entry are looked after', async (t) => {
  const node = new Node()
  const entry = (time: number): KnownTexts => {
    return { named: Array.from({ length: MAX_KNOWN }, (_, index) => ['answer', `${time} ${index}`, 3, 1]) }
  }
  const reader = node.comes(entry(0), {})
  for (let time = 1; time <= 50; time++) {
    reader.pause(entry(time))
    reader.live()
  }
  t.equal(sizeOf(reader, '#doubts'), MAX_KNOWN)
  t.equal(node.looks, 51 * MAX_KNOWN)
  await until('all are lost', () => node.frames.length >= MAX_KNOWN)
  t.same(node.frames, entry(50).named!.map(([, key]) => `${key}3: lost`))
})

t.test('who has left is told nothing, and nothing is looked at for it any more', async (t) => {
  const node = new Node()
  const reader = node.comes(named('a', 'abc'), { a: 'abc' })
  await node.wait()
  reader.pause(undefined)
  await node.wait(700)
  t.same([node.frames, node.looks], [[], 1])
})

t.test('a text that has ended for its reader is not looked at, and one of another event is not told of', async (t) => {
  const node = new Node()
  node.comes({ named: [...named('a', 'abc', 1).named!, ['other', 'b', 3, 1]] }, {})
  await node.wait(700)
  t.same([node.frames, node.looks], [[], 0])
})

t.test('by a cursor that is ahead of the node a reader is offered only what is behind the cursor', async (t) => {
  const node = new Node()
  node.hears(stretch('a', 'ab', 0, 1))
  // It has five characters of a, the whole of b, which has ended, and nothing of c.
  node.comes({ version: 5, lengths: new Map([[97, 5]]) }, { a: 'abcde', b: 'xy' })
  node.hears(stretch('b', 'xy', 0, 2))
  node.hears(stretch('a', 'cd', 2, 3))
  node.hears(stretch('b', '', 2, 4, { end: 'done' }))
  node.hears(stretch('a', 'e', 4, 5))
  t.same(node.frames, [])
  node.hears(stretch('c', 'new', 0, 6))
  node.hears(stretch('a', 'f', 5, 7, { end: 'done' }))
  t.same(node.frames, ['c0:new', 'a5:f done'])
})

t.test('who asks for a text while it is read shares the answer, and who comes later asks again', async (t) => {
  const node = new Node()
  t.same(await Promise.all(['a', 'a', 'b'].map((key) => node.texts.look('answer', key))), [true, true, true])
  t.equal(node.looks, 2)
  await node.texts.look('answer', 'a')
  t.equal(node.looks, 3)
  node.kept = () => { throw new Error('the broker is away') }
  t.same(await Promise.all(['a', 'a'].map((key) => node.texts.look('answer', key))), [false, false])
  t.equal(node.looks, 4)
})

t.test('what comes of a text of which the node had less is told once the link has room for it', async (t) => {
  const node = new Node()
  node.hears(stretch('b', 'xyz', 0, 1))
  node.kept = () => [stretch('a', 'abcdef', 0, 2)]
  node.hasRoom = false
  node.comes(named('a', 'abc'), { a: 'abc' })
  t.same(node.frames, [])
  node.hasRoom = true
  for (const callback of node.held.splice(0)) callback()
  node.hasRoom = false
  await node.wait()
  node.hears(stretch('a', 'gh', 6, 3))
  t.same(node.frames, ['b0:xyz'])
  node.hasRoom = true
  for (const callback of node.held.splice(0)) callback()
  t.same(node.frames, ['b0:xyz', 'a3:defgh'])
  node.hears(stretch('a', 'i', 8, 4))
  t.same(node.frames.slice(2), ['a8:i'])
})
