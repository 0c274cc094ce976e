import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Frame } from '../../lib/client/links/link.js'
import { listeners } from '../../lib/client/listeners.js'
import { createGrowingTexts } from '../../lib/client/growing-texts.js'
import { growingTexts } from '../../lib/client/texts.js'
import { askedRoom, refusal } from '../helpers/asked-room.js'
import { dial, until } from '../helpers/client.js'
import { ai } from '../helpers/growing-room.js'
import { matchList } from '../helpers/match-list.js'
import { start } from '../helpers/net.js'

interface Said { data: { text: string }, added: string, end?: unknown }

function frame (text: unknown, from: number, more: object = {}): Frame {
  return { type: 'answer', room: 'ai/1', data: { id: 'a', text }, from, timestamp: 1, ...more } as unknown as Frame
}

function make (): {
  take: (...given: Parameters<typeof frame>) => Said[]
  asked: object[]
  fail: () => void
  texts: ReturnType<typeof createGrowingTexts>
} {
  const asked: object[] = []
  let failed = (): void => {}
  const texts = createGrowingTexts((data, onFailed) => { asked.push(data); failed = onFailed })
  return { texts, asked, fail: () => { failed() }, take: (...given) => texts.frame(frame(...given)) as Said[] }
}

t.test('a client puts what comes behind what is before its from, and tells what is new', async (t) => {
  const { take, asked } = make()
  matchList(t, take('abc', 0), [{ data: { id: 'a', text: 'abc' }, added: 'abc' }])
  matchList(t, take('def', 3), [{ data: { text: 'abcdef' }, added: 'def' }])
  t.same(take('def', 3), [], 'it came twice')
  matchList(t, take('abcdefg', 0), [{ data: { text: 'abcdefg' }, added: 'g' }], 'the whole came again, with more')
  matchList(t, take('', 7, { end: 'done' }), [{ data: { text: 'abcdefg' }, added: '', end: 'done' }])
  t.same(take('', 7, { end: 'done' }), [])
  matchList(t, take('new', 0), [{ data: { text: 'new' }, added: 'new' }], 'another text under its key')
  t.same(asked, [])
})

t.test('a list grows in the same way', async (t) => {
  const { take } = make()
  matchList(t, take([1], 0), [{ data: { text: [1] }, added: [1] }])
  matchList(t, take([2, 3], 1), [{ data: { text: [1, 2, 3] }, added: [2, 3] }])
  matchList(t, take([1, 2, 3, 4], 0), [{ data: { text: [1, 2, 3, 4] }, added: [4] }])
  const [end] = take([4], 3, { end: 'done' })
  t.same([end!.data.text, end!.added, end!.end], [[1, 2, 3, 4], [], 'done'], 'nothing of its end is new')
})

t.test('where something is missing a client asks for the whole once, and goes on with what came meanwhile', async (t) => {
  const { take, asked, fail } = make()
  take('abc', 0)
  t.same(take('ghi', 6), [])
  t.same(take('jkl', 9), [])
  t.same(asked, [{ event: 'answer', key: 'a' }])
  matchList(t, take('abcdefghi', 0), [
    { data: { text: 'abcdefghi' }, added: 'defghi' },
    { data: { text: 'abcdefghijkl' }, added: 'jkl' }
  ])
  t.same(take('x', 99), [])
  t.equal(asked.length, 2)
  fail()
  take('x', 99)
  t.equal(asked.length, 3, 'what could not be had is asked for with the next frame')
})

t.test('a text that is refused for now is asked for again without another frame; a final refusal is told as a gap at once', async (t) => {
  const { room, answers, later } = askedRoom('ai/1', growingTexts)
  let gaps = 0
  const { gap } = room
  room.gap = () => {
    gaps++
    gap()
  }
  room.frame(frame('ghi', 6))
  answers[0]!(refusal('backoff', 300))
  t.equal(later[0]?.wait, 300, 'as long as the server wants')
  later[0]!.run()
  answers[1]!(refusal('now'))
  t.ok(later[1]!.wait > 0 && later[1]!.wait < 5_000, 'soon, where it does not say')
  later[1]!.run()
  t.equal(answers.length, 3)
  t.equal(gaps, 0)
  answers[2]!(refusal('never'))
  t.equal(later.length, 2)
  t.equal(gaps, 1)
  room.frame(frame('jkl', 9))
  t.equal(answers.length, 4)
  answers[3]!()
  t.equal(later.length, 2, 'the end of the link ends it')
  t.equal(gaps, 1, 'after which the text comes again')
})

t.test('the parts of a text begin at its beginning, and end or throw with it', async (t) => {
  for (const [end, fault] of [['done', undefined], ['lost', 'lost'], [{ code: 'odd', message: 'so' }, 'odd']] as const) {
    const { texts, take } = make()
    const { on, emit } = listeners()
    const room: { end?: Error } = {}
    const said = (...given: Parameters<typeof frame>): void => {
      for (const event of take(...given)) void emit(event, 'answer')
    }
    said('ab', 0)
    const seen: unknown[] = []
    const reading = (async () => { for await (const part of texts.parts('answer', 'a', on, room)) seen.push(part) })()
    await new Promise((resolve) => { setImmediate(resolve) })
    said('cd', 2)
    await new Promise((resolve) => { setImmediate(resolve) })
    said('e', 4, { end })
    await (fault === undefined ? reading : t.rejects(reading, { code: fault }))
    t.same(seen, ['ab', 'cd', 'e'])
  }
})

t.test('where the rest of a text can never be had its reader is told that it is lost, and it does not grow any more', async (t) => {
  const { room, answers } = askedRoom('ai/1', growingTexts)
  const { on, emit } = listeners()
  const told: Array<{ end?: unknown, added: string }> = []
  room.emit = (event, ...names) => {
    told.push(event as Said)
    return emit(event, ...names)
  }
  room.gap = () => {}
  room.frame(frame('ab', 0))
  const parts = room.texts!.parts('answer', 'a', on, {})[Symbol.asyncIterator]()
  t.same(await parts.next(), { value: 'ab', done: false })
  const rest = parts.next()
  room.frame(frame('ef', 4))
  room.frame(frame('', 6, { end: 'done' }))
  answers[0]!()
  t.same(room.texts!.growing(), ['answer'], 'the end of the link says nothing of it')
  room.frame(frame('', 6, { end: 'done' }))
  answers[1]!(refusal('never'))
  await t.rejects(rest, { code: 'lost' })
  t.match(told.at(-1), { data: { id: 'a', text: 'ab' }, added: '', end: 'lost' })
  t.same(room.texts!.growing(), [])
  room.frame(frame('abcdef', 0))
  t.match(told.at(-1), { data: { text: 'abcdef' }, added: 'abcdef' }, 'another text under its key')
})

t.test('a slow reader of a text has its end, and nothing of another text that has begun under its key', async (t) => {
  const { texts, take } = make()
  const { on } = listeners()
  const read = () => texts.parts('answer', 'a', on, {})[Symbol.asyncIterator]()
  take('abc', 0)
  const parts = read()
  t.same(await parts.next(), { value: 'abc', done: false })
  take('d', 3, { end: 'done' })
  take('another', 0)
  t.same(await parts.next(), { value: 'd', done: false })
  t.same(await parts.next(), { value: undefined, done: true })
  t.same(await read().next(), { value: 'another', done: false })
})

t.test('a reader of a text in whose place another one comes is told that it is lost, and has nothing of the other', async (t) => {
  for (const [first, other, more, ends] of [
    ['The answer is 41', 'Sorry, the answer is 42.', ' Sure.', undefined],
    ['The answer is 41', 'Sorry.', ' Sure.', undefined],
    ['The answer is 41', 'Sorry, the answer is 42.', '', 'done'],
    ['The answer is 41', 'The answer', '', 'done'],
    [[1, 2], [3, 4, 5], [6], undefined]
  ] as const) {
    const { texts, take } = make()
    const { on, emit } = listeners()
    const said = (...given: Parameters<typeof frame>): void => {
      for (const event of take(...given)) void emit(event, 'answer')
    }
    const read = () => texts.parts('answer', 'a', on, {})[Symbol.asyncIterator]()
    said(first, 0)
    const [parts, slow] = [read(), read()]
    t.same(await parts.next(), { value: first, done: false })
    t.same(await slow.next(), { value: first, done: false })
    const waiting = t.rejects(parts.next(), { code: 'lost' })
    said(other, 0, { end: ends })
    if (ends === undefined) said(more, other.length)
    await waiting
    await t.rejects(slow.next(), { code: 'lost' })
    t.same(await parts.next(), { value: undefined, done: true })
    t.same(await read().next(), { value: ends === undefined ? other.concat(more as never) : other, done: false })
  }
})

t.test('a text that the server has an older state of, until its writer writes it again, goes on for its readers', async (t) => {
  for (const [first, older, again] of [['abcdef', 'abc', 'abcdefgh'], [[1, 2, 3], [1], [1, 2, 3, 4]]] as const) {
    const { texts, take } = make()
    const { on } = listeners()
    take(first, 0)
    const parts = texts.parts('answer', 'a', on, {})[Symbol.asyncIterator]()
    t.same(await parts.next(), { value: first, done: false })
    t.same(take(older, 0), [])
    matchList(t, take(again, 0), [{ data: { text: again }, added: again.slice(first.length) }])
    t.same(await parts.next(), { value: again.slice(first.length), done: false })
  }
})

t.test('a client says what it has of the texts that changed last', async (t) => {
  const { texts, take } = make()
  t.equal(texts.known(), undefined)
  take('abc', 0)
  matchList(t, texts.known(), [['answer', 'a', 3, Number, undefined]])
  take('', 3, { end: 'done' })
  matchList(t, texts.known(), [['answer', 'a', 3, Number, 1]])
  for (let index = 0; index < 20; index++) texts.frame({ ...frame('x', 0), data: { id: index, text: 'x' } } as unknown as Frame)
  t.same(texts.known()!.map(([, key]) => key), Array.from({ length: 16 }, (_, index) => `${index + 4}`))
})

for (const transport of ['sse', 'polling'] as const) {
  for (const [rooms, each] of [[12, 16], [20, 1]] as const) {
    t.test(`over ${transport} a client with ${each} texts in each of ${rooms} rooms comes back, and names the newest`, async (t) => {
      const app = await start(t, { declare: (app) => { app.room(ai, {}) } })
      const urls: string[] = []
      const { client, errors } = dial(t, app, 'ada', {
        transports: [transport],
        fetch: async (url, init) => {
          if (/transport=(?!.*&since=)/.test(String(url))) urls.push(String(url))
          return await fetch(url, init)
        }
      })
      const names = Array.from({ length: rooms }, () => `ai/${randomUUID()}`)
      const heard = new Map<string, string>()
      await Promise.all(names.map(async (name) => {
        const room = client.join(name)
        room.on('answer', ({ data }) => { heard.set((data as { id: string }).id, (data as { text: string }).text) })
        await room.joined
      }))
      const write = async (name: string, id: string): Promise<void> => {
        const writer = app.app.rooms.stream(ai.at({ id: name.slice(3) }), 'answer', { id })
        await writer.write(`a text of ${id}`)
        await writer.end()
      }
      for (let index = 1; index < each; index++) {
        await Promise.all(names.map(async (name) => { await write(name, randomUUID()) }))
      }
      const newest = names.map(() => randomUUID())
      for (const [index, id] of newest.entries()) await write(names[index]!, id)
      await until('all texts', () => heard.size === rooms * each)
      urls.length = 0
      client.reconnect()
      await until('it is open again', () => urls.length > 0 && (client.state === 'open' || errors.length > 0))
      t.same(errors, [])
      const [url] = urls
      t.ok(url!.length < 8_000, `${url!.length} characters, which proxies take`)
      const known = JSON.parse(new URL(url!).searchParams.get('known')!) as Array<[number, Array<[string, string]>]>
      const named = known.flatMap(([index, texts]) => texts.map(([, key]) => `${index} ${key}`))
      t.same(newest.filter((key, index) => !named.includes(`${index} ${key}`)), [])
      await write(names[0]!, 'behind it')
      await until('the next text', () => heard.get('behind it') === 'a text of behind it')
    })
  }
}
