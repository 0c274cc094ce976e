import { grown, type Part } from '../../protocol/part.js'
import type { KeptText, RoomSettings, TextStore, TextWritten } from '../adapter.js'
import type { FakeHost } from './host.js'
import type { Subject } from './subject.js'
import { until } from './until.js'

const growing: RoomSettings = {
  history: false,
  latest: false,
  append: { size: 1_048_576, ttl: 60_000 },
  definition: 'ai/:id'
}
const brief: RoomSettings = { ...growing, append: { size: 1_048_576, ttl: 200 } }

/** What a step does otherwise than the other steps of these tests. */
interface More { readonly lease?: number, readonly room?: string, readonly settings?: RoomSettings }

/** Takes the steps of one writer. */
class Writer {
  readonly #store: TextStore
  readonly #key: string
  readonly #name: string
  readonly #more: More
  number = 0
  length = 0

  constructor (store: TextStore, key: string, name = `${key} of one`, more: More = {}) {
    this.#store = store
    this.#key = key
    this.#name = name
    this.#more = more
  }

  async step (inside: string, part: Partial<Part> = {}, number = this.number++): Promise<TextWritten> {
    const { room = 'ai/1', settings = growing, lease = 60_000 } = this.#more
    const from = part.from ?? this.length
    const isList = part.isList ?? false
    const to = part.to ?? from + (isList && inside !== '' ? 1 : inside.length)
    const written = await this.#store.write(room, {
      type: 'answer',
      key: this.#key,
      timestamp: Date.now(),
      writer: this.#name,
      number,
      lease,
      part: {
        before: `{"id":${JSON.stringify(this.#key)},"text":${isList ? '[' : '"'}`,
        inside,
        isList,
        from,
        to,
        end: part.end
      }
    }, settings)
    if (written === 'written') this.length = to
    return written
  }
}

/** Puts together what a node has been given of a text, by the rule of readers. */
function heardOf (host: FakeHost, key: string): Part | undefined {
  let whole: Part | undefined
  for (const { event } of host.events.get('ai/1') ?? []) {
    if (event!.key === key) whole = grown(whole, event!.part!) ?? whole
  }
  return whole
}

function briefly (texts: readonly KeptText[]): unknown[] {
  return texts.map(({ key, part: { inside, from, to, end } }) => [key, inside, from, to, end])
}

/** Tries texts that grow: each has one writer, and every node gets it, also one that comes later. */
export function textsContract ({ name, nodes, pair, t }: Subject): void {
  t.test(`${name}: what a writer appends reaches every node in order, and is kept whole`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.texts, b.adapter.texts]
    if (mine === undefined || theirs === undefined) return t.pass('no texts')
    await a.adapter.subscribe('ai/1', growing)
    if (b !== a) await b.adapter.subscribe('ai/1', growing)
    const one = new Writer(mine, 'a')
    const list = new Writer(theirs, 'l')
    t.equal(await one.step(''), 'written')
    t.equal(await list.step('', { isList: true }), 'written')
    const begun = [['a', '', 0, 0, undefined], ['l', '', 0, 0, undefined]]
    t.same(briefly(await theirs.read('ai/1', growing)), begun, 'nothing is in them')
    for (const { host } of [a, b]) {
      await until('it heard that they have begun', () => ['a', 'l'].every((key) => heardOf(host, key)?.to === 0))
    }
    const odd = ['one', ' \\"two\\"', '\\n', ' wäs 漢', ' 😀', '\\ud83d', '\\ude00']
    for (const inside of odd) t.equal(await one.step(inside, { to: one.length + 1 }), 'written')
    for (const item of ['{"n":1}', '[2]', 'null']) t.equal(await list.step(item, { isList: true }), 'written')
    t.equal(await one.step('!', { end: 'done' }), 'written')
    const text = `${odd.join('')}!`
    for (const { adapter, host } of [a, b]) {
      await until('it heard all', () => heardOf(host, 'a')?.end === 'done' && heardOf(host, 'l')?.to === 3)
      t.same([heardOf(host, 'a')!.inside, heardOf(host, 'l')!.inside], [text, '{"n":1},[2],null'])
      const kept = await adapter.texts!.read('ai/1', growing)
      t.same(briefly(kept), [
        ['l', '{"n":1},[2],null', 0, 3, undefined],
        ['a', text, 0, odd.length + 1, 'done']
      ])
      t.same(kept.map(({ part: { version, begun } }) => [version, begun]), ['l', 'a'].map((key) => {
        const { version, begun } = heardOf(host, key)!
        return [version, begun]
      }))
      t.ok(kept[1]!.age! >= 0 && kept[0]!.age === undefined)
      t.same(briefly(await adapter.texts!.read('ai/1', growing, { type: 'answer', key: 'l' })), briefly([kept[0]!]))
      t.same(await adapter.texts!.read('ai/1', growing, { type: 'answer', key: 'none' }), [])
      t.same(await adapter.texts!.read('ai/2', growing), [])
      const some = ['l', 'none', 'a'].map((key) => ({ type: 'answer', key }))
      t.same(await adapter.texts!.missing?.('ai/1', some, growing) ?? [some[1]], [some[1]])
    }
  })

  t.test(`${name}: a key has one writer, and is free again some time after the end`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.texts, b.adapter.texts]
    if (mine === undefined || theirs === undefined) return t.pass('no texts')
    const one = new Writer(mine, 'b', 'one')
    await one.step('')
    await one.step('whole', { end: 'done' })
    t.equal(await new Writer(theirs, 'b', 'two').step(''), 'ended')
    t.equal(await one.step('more'), 'lost')
    const more = { room: 'ai/2', settings: brief }
    const short = new Writer(mine, 'c', 'one', more)
    await short.step('')
    await short.step('whole', { end: 'done' })
    await until('it has expired', async () => (await mine.read('ai/2', brief)).length === 0)
    t.equal(await new Writer(theirs, 'c', 'two', more).step(''), 'written')
  })

  t.test(`${name}: a step that is asked for again takes effect once, and one that continues nothing has none`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.texts, b.adapter.texts]
    if (mine === undefined || theirs === undefined) return t.pass('no texts')
    await b.adapter.subscribe('ai/1', growing)
    const one = new Writer(mine, 'a')
    t.equal(await one.step(''), 'written')
    t.equal(await one.step('', {}, 0), 'written')
    t.equal(await one.step('abc'), 'written')
    t.equal(await one.step('abc', { from: 0, to: 3 }, 1), 'written')
    t.equal(await one.step('ghi', { from: 6 }, 3), 'behind')
    t.equal(await one.step('abcdefghi', { from: 0 }, 3), 'written', 'the whole takes the place of what is kept')
    t.equal(await one.step('', {}, 4), 'written', 'the lease is renewed')
    t.equal(await one.step('!', { end: { code: 'odd', message: 'so' } }, 5), 'written')
    await until('it heard the end', () => heardOf(b.host, 'a')?.end !== undefined)
    t.same([heardOf(b.host, 'a')!.inside, heardOf(b.host, 'a')!.to], ['abcdefghi!', 10])
    t.same(briefly(await theirs.read('ai/1', growing)), [['a', 'abcdefghi!', 0, 10, { code: 'odd', message: 'so' }]])
  })

  t.test(`${name}: the text of a writer that has gone is lost when its lease is over, and its key is free`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.texts, b.adapter.texts]
    if (mine === undefined || theirs === undefined) return t.pass('no texts')
    await a.adapter.subscribe('ai/1', growing)
    if (b !== a) await b.adapter.subscribe('ai/1', growing)
    const one = new Writer(mine, 'a', 'one', { lease: 1_000 })
    const two = new Writer(mine, 'b', 'one', { lease: 1_000 })
    // The lease of the second is over whenever that of the first is.
    for (const writer of [two, one]) {
      await writer.step('')
      await writer.step('so far')
    }
    const { version, begun, to } = (await theirs.read('ai/1', growing)).find(({ key }) => key === 'a')!.part
    const known = [{ type: 'answer', key: 'a', version, begun, to }]
    t.same(await theirs.check('ai/1', known, growing), [], 'nothing has changed')
    await until('it is lost', async () => {
      await theirs.check('ai/1', known, growing)
      return heardOf(b.host, 'a')?.end === 'lost'
    })
    await until('the other node is told', () => heardOf(a.host, 'a')?.end === 'lost')
    t.same([heardOf(a.host, 'a')!.inside, heardOf(a.host, 'a')!.to], ['so far', 6])
    t.equal(await one.step('more'), 'lost')
    const next = new Writer(theirs, 'a', 'two')
    t.equal(await next.step(''), 'written')
    t.equal(await next.step('anew'), 'written')
    t.equal(await one.step('more'), 'lost')
    // A key whose lease is over is free for the next writer, too, before anybody has looked.
    t.equal(await new Writer(theirs, 'b', 'two').step(''), 'written')
    const isToldLost = (): boolean => (a.host.events.get('ai/1') ?? []).some(({ event }) => {
      return event!.key === 'b' && event!.part!.end === 'lost'
    })
    await until('they hear of both', () => heardOf(a.host, 'a')?.inside === 'anew' && isToldLost())
    t.ok(heardOf(a.host, 'a')!.begun > version)
  })

  if (nodes > 1) {
    t.test(`${name}: a node that has missed a stretch finds it by comparing`, async (t) => {
      const [a, b] = await pair(t)
      const [mine, theirs] = [a.adapter.texts, b.adapter.texts]
      if (mine === undefined || theirs === undefined) return t.pass('no texts')
      const one = new Writer(mine, 'a')
      await one.step('')
      await one.step('abc')
      const { version, begun, to } = (await theirs.read('ai/1', growing))[0]!.part
      const known = [{ type: 'answer', key: 'a', version, begun, to }]
      t.equal(await one.step(''), 'written')
      t.same(await theirs.check('ai/1', known, growing), [], 'a lease that was renewed is no change')
      t.equal((await theirs.read('ai/1', growing))[0]!.part.version, version)
      await one.step('def', { end: 'done' })
      const found = await theirs.check('ai/1', known, growing)
      t.same(briefly(found), [['a', 'abcdef', 0, 6, 'done']])
    })
  }

  t.test(`${name}: a list of more than a megabyte is kept whole, in however many steps`, async (t) => {
    const [a] = await pair(t)
    const { texts } = a.adapter
    if (texts === undefined) return t.pass('no texts')
    const list = new Writer(texts, 'l')
    await list.step('', { isList: true })
    const item = `"${'x'.repeat(4_090)}"`
    for (let count = 1; count <= 260; count++) {
      if (await list.step(item, { isList: true }) === 'written') continue
      const whole = new Array(count).fill(item).join(',')
      t.equal(await list.step(whole, { isList: true, from: 0, to: count }, list.number - 1), 'written')
    }
    const [kept] = await texts.read('ai/1', growing)
    t.same([kept!.part.to, kept!.part.inside.length], [260, 260 * (item.length + 1) - 1])
  })

  t.test(`${name}: of more than 1 000 texts of a room the one that ended first gives way, and none that grows`, async (t) => {
    const [a] = await pair(t)
    const { texts } = a.adapter
    if (texts === undefined) return t.pass('no texts')
    const writers = Array.from({ length: 1_001 }, (_, index) => new Writer(texts, `${index}`))
    const begin = async (from: number, to: number): Promise<TextWritten[]> =>
      await Promise.all(writers.slice(from, to).map(async (writer) => await writer.step('')))
    const begun: TextWritten[] = []
    for (let from = 0; from < 1_000; from += 50) begun.push(...await begin(from, from + 50))
    t.ok(begun.every((written) => written === 'written'))
    t.same(await writers[1_000]!.step('', {}, 0), 'full')
    t.equal(await writers[7]!.step('x', { end: 'done' }), 'written')
    t.same(await writers[1_000]!.step('', {}, 0), 'written')
    t.same(await texts.read('ai/1', growing, { type: 'answer', key: '7' }), [], 'it has given way')
    t.equal(await writers[8]!.step('x'), 'written')
  })

  t.test(`${name}: a room that is full of texts whose writers are gone takes others`, async (t) => {
    const [a] = await pair(t)
    const { texts } = a.adapter
    if (texts === undefined) return t.pass('no texts')
    const gone = Array.from({ length: 1_000 }, (_, index) => new Writer(texts, `${index}`, undefined, { lease: 1 }))
    for (let from = 0; from < gone.length; from += 50) {
      await Promise.all(gone.slice(from, from + 50).map(async (writer) => await writer.step('')))
    }
    await until('the last lease is over', async () => await new Writer(texts, 'next').step('') === 'written')
  })

  t.test(`${name}: a clear leaves nothing of the texts of a room, ends them as lost for all who have them, and frees their keys`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.texts, b.adapter.texts]
    if (mine === undefined || theirs === undefined || a.adapter.clear === undefined) return t.pass('no clear of texts')
    await b.adapter.subscribe('ai/1', growing)
    const [ended, grows] = [new Writer(mine, 'e'), new Writer(mine, 'g')]
    const other = new Writer(mine, 'e', 'o', { room: 'ai/2' })
    for (const writer of [ended, grows, other]) {
      await writer.step('')
      await writer.step('some')
    }
    await ended.step(' more', { end: 'done' })
    await until('it has both', () => heardOf(b.host, 'e')?.end === 'done' && heardOf(b.host, 'g')?.to === 4)
    await b.adapter.clear!('ai/1', growing)
    for (const key of ['e', 'g']) {
      await until('it is told', () => heardOf(b.host, key)?.end === 'lost')
      t.same([heardOf(b.host, key)!.inside, heardOf(b.host, key)!.to], ['', 0])
    }
    for (const { adapter } of [a, b]) {
      const texts = await adapter.texts!.read('ai/1', growing)
      t.same(texts.map(({ part: { inside, end } }) => [inside, end]), texts.map(() => ['', 'lost']))
      t.same(briefly(await adapter.texts!.read('ai/2', growing)), [['e', 'some', 0, 4, undefined]], 'of another room')
    }
    t.equal(await grows.step(' more'), 'lost')
    t.equal(await other.step(' more'), 'written')
    const next = new Writer(theirs, 'e', 'next')
    t.equal(await next.step(''), 'written')
    t.equal(await next.step('new'), 'written')
    await until('the new text has come', () => heardOf(b.host, 'e')?.inside === 'new')
    t.same(
      (await mine.read('ai/1', growing, { type: 'answer', key: 'e' })).map(({ part }) => part.inside),
      ['new']
    )
  })
}
