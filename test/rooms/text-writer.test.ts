import { Type } from '@sinclair/typebox'
import t from 'tap'
import type { TextStore, TextWrite, TextWritten } from '../../lib/adapters/adapter.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { compile } from '../../lib/protocol/validate.js'
import { TextWriter } from '../../lib/rooms/text-writer.js'

/** A store that answers as it is told, and keeps the steps that it was asked for. */
class Store implements TextStore {
  readonly steps: TextWrite[] = []
  answer: (step: TextWrite) => TextWritten | Promise<TextWritten> = () => 'written'
  write (_room: string, step: TextWrite): TextWritten | Promise<TextWritten> {
    this.steps.push(step)
    return this.answer(step)
  }

  read (): [] { return [] }
  check (): [] { return [] }
  get insides (): string[] { return this.steps.map(({ part }) => part.inside) }
}

interface Made { readonly writer: TextWriter, readonly store: Store, isOver: () => boolean }

interface Given {
  readonly flush?: number
  readonly size?: number
  readonly isList?: boolean
  readonly store?: Store
  readonly isClosed?: () => boolean
}

async function make (given: Given = {}): Promise<Made> {
  const { flush = 10, size = 1_048_576, isList = false, store = new Store(), isClosed = () => false } = given
  let isOver = false
  const writer = new TextWriter({
    room: 'ai/1',
    type: 'answer',
    key: 'a',
    rule: {
      data: compile(Type.Object({ id: Type.String(), text: isList ? Type.Array(Type.Integer()) : Type.String() })),
      name: 'event "answer"',
      key: 'id',
      append: 'text',
      isList
    },
    head: { id: 'a' },
    before: '{"id":"a","text":"',
    settings: { history: false, latest: false, append: { size, ttl: 60_000 }, definition: 'ai/:id' },
    store,
    flush,
    itemLimit: 1_000,
    validateOutput: true,
    isClosed,
    onOver: () => { isOver = true }
  })
  await writer.open()
  return { writer, store, isOver: () => isOver }
}

t.test('what is written within a window is one step, and the end goes with the last one', async (t) => {
  const { writer, store, isOver } = await make()
  for (const word of ['a', 'b', '', 'c']) await writer.write(word)
  await writer.end()
  t.same(store.steps.map(({ number, part: { inside, from, to, end } }) => [number, inside, from, to, end]), [
    [0, '', 0, 0, undefined],
    [1, 'abc', 0, 3, 'done']
  ])
  t.ok(isOver())
  await t.rejects(writer.write('more'), { code: 'REALTIME_ERR_STREAM' })
})

t.test('there is one step at a time, and one for each window', async (t) => {
  const { writer, store } = await make()
  let open = (): void => {}
  let underWay = 0
  store.answer = async (): Promise<TextWritten> => {
    t.equal(++underWay, 1)
    await new Promise<void>((resolve) => { open = resolve })
    underWay--
    return 'written'
  }
  await writer.write('a')
  await new Promise((resolve) => setTimeout(resolve, 15))
  for (const word of ['b', 'c', 'd']) await writer.write(word)
  await new Promise((resolve) => setTimeout(resolve, 15))
  t.same(store.insides, ['', 'a'])
  open()
  store.answer = () => 'written'
  await writer.end()
  t.same(store.insides, ['', 'a', 'bcd'])
})

t.test('a chunk beyond 64 KiB goes in several steps, and a caller waits while more than that is unpublished', async (t) => {
  const { writer, store } = await make()
  const chunk = 'x'.repeat(150_000)
  let isDone = false
  const written = writer.write(chunk).then(() => { isDone = true })
  await new Promise((resolve) => { setImmediate(resolve) })
  t.notOk(isDone)
  await written
  await writer.end()
  t.same(store.insides.join(''), chunk)
  t.ok(store.insides.every((inside) => inside.length <= 65_536))
})

t.test('halves of a pair that come apart go in one step', async (t) => {
  const { writer, store } = await make({ flush: 0 })
  await writer.write('a\ud83d')
  await new Promise((resolve) => setTimeout(resolve, 10))
  await writer.write('\ude00b')
  await writer.end()
  t.same(store.insides, ['', 'a', '😀b'])
})

t.test('a step is taken again under its number while the broker is away', async (t) => {
  const { writer, store } = await make()
  let left = 2
  store.answer = () => {
    if (left-- > 0) throw new Refusal('unavailable')
    return 'written'
  }
  await writer.write('a')
  await writer.end()
  t.same(store.steps.map(({ number }) => number), [0, 1, 1, 1])
})

t.test('a key whose taking was not answered is taken again by the same writer, and one that was refused is not', async (t) => {
  const store = new Store()
  const errors = [new Refusal('unavailable', { outcome: 'unknown' }), new Refusal('unavailable')]
  store.answer = () => {
    const error = errors.shift()
    if (error !== undefined) throw error
    return 'written'
  }
  const { writer } = await make({ store })
  await writer.end()
  t.same(store.steps.map(({ number }) => number), [0, 0, 0, 1])
  t.equal(new Set(store.steps.map((step) => step.writer)).size, 1)
  errors.push(new Refusal('unavailable'))
  await t.rejects(make({ store }), { code: 'unavailable', outcome: undefined })
  t.equal(store.steps.length, 5)
})

t.test('a lease that began long before the key was known to be taken is renewed at once', async (t) => {
  const store = new Store()
  let skipped = 0
  const now = performance.now.bind(performance)
  t.intercept(performance, 'now', { value: () => now() + skipped })
  store.answer = () => {
    if (skipped > 0) return 'written'
    skipped = 8_000
    throw new Refusal('unavailable', { outcome: 'unknown' })
  }
  await make({ store })
  t.same(store.steps.map(({ number }) => number), [0, 0, 1])
})

t.test('whether a key is taken is not asked for longer than the lease, nor when the server shuts down', async (t) => {
  for (const isShut of [false, true]) {
    const store = new Store()
    let skipped = 0
    const now = performance.now.bind(performance)
    const clock = t.intercept(performance, 'now', { value: () => now() + skipped })
    let isClosed = false
    store.answer = () => {
      if (store.steps.length === 2 && isShut) isClosed = true
      if (store.steps.length === 2 && !isShut) skipped = 15_000
      throw new Refusal('unavailable', store.steps.length === 1 ? { outcome: 'unknown' } : {})
    }
    await t.rejects(make({ store, isClosed: () => isClosed }), { code: 'unavailable', outcome: 'unknown' })
    t.equal(store.steps.length, 2)
    clock.restore()
  }
})

t.test('where the broker has lost what was there, the whole is written again', async (t) => {
  const { writer, store } = await make()
  await writer.write('abc')
  await new Promise((resolve) => setTimeout(resolve, 20))
  store.answer = ({ part }) => part.from === 0 ? 'written' : 'behind'
  await writer.write('def')
  await writer.end()
  t.same(store.steps.map(({ number, part: { inside, from } }) => [number, inside, from]), [
    [0, '', 0],
    [1, 'abc', 0],
    [2, 'def', 3],
    [2, 'abcdef', 0]
  ])
})

t.test('a writer that has lost its key writes nothing more, and is told', async (t) => {
  const { writer, store, isOver } = await make()
  store.answer = () => 'lost'
  await writer.write('abc')
  await t.rejects(writer.end(), { code: 'REALTIME_ERR_STREAM' })
  t.ok(isOver())
  t.equal(store.steps.length, 2)
})

t.test('a text beyond its bound ends with that error, and nothing of the last chunk is in it', async (t) => {
  const { writer, store } = await make({ size: 1_048_576 })
  await writer.write('x'.repeat(1_048_576))
  await t.rejects(writer.write('y'), { code: 'message_too_large' })
  await t.rejects(writer.end(), { code: 'message_too_large' })
  t.equal(store.insides.join('').length, 1_048_576)
  t.match(store.steps.at(-1)!.part.end, { code: 'message_too_large' })
})

t.test('the items of a list are checked one by one, and go as they were written', async (t) => {
  const { writer, store } = await make({ isList: true })
  await writer.write(1)
  await t.rejects(writer.write('2'), { code: 'REALTIME_ERR_STREAM' })
  await writer.write(3)
  await writer.end()
  t.same([store.steps.at(-1)!.part.inside, store.steps.at(-1)!.part.to], ['1,3', 2])
})
