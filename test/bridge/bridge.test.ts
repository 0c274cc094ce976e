import { setImmediate as turn } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { bridge, type BridgedEvent, type BridgeOptions, type BridgeTarget } from '../../lib/bridge/index.js'
import { REALTIME_ERR_EVENT } from '../../lib/errors/misuse.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { defineRoom } from '../../lib/index.js'
import { start } from '../helpers/net.js'
import { until } from '../helpers/servers.js'

/** A record: the room that it goes to, and which of the room's records it is. */
interface Entry { readonly room: string, readonly n: number }

const ENTRIES: readonly Entry[] = ['a', 'b', 'a', 'c', 'a', 'b'].map((room, n) => ({ room, n }))
const ALL = [0, 1, 2, 3, 4, 5]

function map ({ room, n }: Entry): BridgedEvent<string> {
  return { room, event: 'changed', data: n, idempotencyKey: `entry ${n}` }
}

async function * stream (entries: readonly Entry[] = ENTRIES): AsyncGenerator<Entry> { yield * entries }

/** A target whose answers are given by a test. */
class Target implements BridgeTarget {
  /** records in the order of their broadcasts, failed ones too */
  readonly asked: number[] = []
  readonly keys: string[] = []
  /** broadcasts that wait for their answer */
  readonly waiting = new Map<number, (error?: unknown) => void>()
  readonly #answer: (n: number, attempt: number) => unknown

  /** @param answer what a broadcast is rejected with, 'wait' for the answer by hand, or nothing */
  constructor (answer: (n: number, attempt: number) => unknown = () => undefined) { this.#answer = answer }

  async broadcast (
    _room: string,
    _event: string,
    data: unknown,
    { idempotencyKey }: { idempotencyKey: string }
  ): Promise<void> {
    const n = data as number
    const attempt = this.asked.filter((each) => each === n).length
    this.asked.push(n)
    this.keys.push(idempotencyKey)
    const answer = this.#answer(n, attempt)
    const error = answer === 'wait'
      ? await new Promise<unknown>((resolve) => { this.waiting.set(n, resolve) })
      : answer
    if (error !== undefined) throw error
  }
}

/** What was committed, in order, and the options that note it. */
function noted (more: BridgeOptions<Entry> = {}): { committed: number[], options: BridgeOptions<Entry> } {
  const committed: number[] = []
  return { committed, options: { commit: ({ n }) => { committed.push(n) }, backoff: () => 0, ...more } }
}

t.test('each record of a source is broadcast once and committed in order, and the bridge ends with it', async (t) => {
  const target = new Target()
  const { committed, options } = noted()
  t.same(await bridge(target, stream(), map, options), {
    read: 6, accepted: 6, passedOver: 0, refused: 0, retried: 0, committed: 6, inFlight: 0
  })
  t.same([target.asked, committed], [ALL, ALL])
  t.same(target.keys, ALL.map((n) => `entry ${n}`))
  t.match(await bridge(new Target(), [...ENTRIES], map), { accepted: 6 }, 'a plain list is a source too')
})

t.test('records of one room wait for each other, those of another room do not wait for them', async (t) => {
  const target = new Target((n) => n === 0 ? 'wait' : undefined)
  const { committed, options } = noted()
  const running = bridge(target, stream(), map, options)
  await until('the others are sent', () => target.asked.length === 4)
  await turn()
  t.same([target.asked, committed], [[0, 1, 3, 5], []], 'nothing is committed before the first')
  t.match(running.stats, { read: 6, accepted: 3, committed: 0, inFlight: 6 })
  target.waiting.get(0)!()
  await running
  t.same([target.asked, committed], [[0, 1, 3, 5, 2, 4], ALL])
})

t.test('what fails for a time is tried again under its key, before the next of its room', async (t) => {
  const target = new Target((n, attempt) => {
    if (n === 0 && attempt < 3) return new Refusal('unavailable', attempt === 1 ? { outcome: 'unknown' } : {})
    return undefined
  })
  const { committed, options } = noted()
  t.match(await bridge(target, stream(), map, options), { accepted: 6, retried: 3, refused: 0 })
  t.same(target.asked.filter((n) => ENTRIES[n]!.room === 'a'), [0, 0, 0, 0, 2, 4])
  t.equal(target.keys.filter((key) => key === 'entry 0').length, 4)
  t.same(committed, ALL)
})

t.test('the wait before the next attempt is that of the option, by the attempts that have failed', async (t) => {
  const asked: number[] = []
  const target = new Target((n, attempt) => n === 0 && attempt < 2 ? new Refusal('unavailable') : undefined)
  await bridge(target, stream(), map, { backoff: (attempt) => { asked.push(attempt); return 0 } })
  t.same(asked, [0, 1])
})

t.test('no more is read from the source than may be in flight', async (t) => {
  let read = 0
  const source = {
    async * [Symbol.asyncIterator] () {
      for (const entry of ENTRIES) {
        read++
        yield entry
      }
    }
  }
  const target = new Target((n) => n === 0 ? 'wait' : undefined)
  const { committed, options } = noted({ inFlight: 3 })
  const running = bridge(target, source, map, options)
  await until('the first is sent', () => target.waiting.has(0))
  for (let i = 0; i < 5; i++) await turn()
  t.equal(read, 3)
  target.waiting.get(0)!()
  await running
  t.same(committed, ALL)
})

t.test('a commit that is under way holds the source up as well', async (t) => {
  let end: (() => void) | undefined
  const commit = async (): Promise<void> => { await new Promise<void>((resolve) => { end = resolve }) }
  const running = bridge(new Target(), stream(), map, { inFlight: 1, commit })
  for (let n = 1; n <= 6; n++) {
    await until(`commit ${n}`, () => end !== undefined)
    t.match(running.stats, { read: n, inFlight: 1, committed: n - 1 })
    const last = end!
    end = undefined
    last()
  }
  t.match(await running, { committed: 6, inFlight: 0 })
})

t.test('records of which nothing is made are passed over, and committed in their turn', async (t) => {
  const target = new Target()
  const { committed, options } = noted()
  const stats = await bridge(target, stream(), (entry) => entry.room === 'a' ? undefined : map(entry), options)
  t.match(stats, { read: 6, accepted: 3, passedOver: 3 })
  t.same([target.asked, committed], [[1, 3, 5], ALL])
})

t.test('a refused record is handed over with its error, and is committed when it was taken', async (t) => {
  const target = new Target((n) => n === 2 ? new REALTIME_ERR_EVENT('it does not fit') : undefined)
  const taken: Array<[number, unknown]> = []
  let take: (() => void) | undefined
  const { committed, options } = noted({
    onRefused: async ({ n }, error) => {
      taken.push([n, (error as { code: string }).code])
      await new Promise<void>((resolve) => { take = resolve })
    }
  })
  const running = bridge(target, stream(), map, options)
  await until('it is handed over', () => take !== undefined)
  await turn()
  t.same([committed, target.asked.includes(4)], [[0, 1], false], 'it is awaited, and so is the next of its room')
  take!()
  t.match(await running, { accepted: 5, refused: 1 })
  t.same([taken, committed], [[[2, 'REALTIME_ERR_EVENT']], ALL])
})

t.test('what cannot be mapped, or is mapped to no broadcast, is refused with the reason', async (t) => {
  const wrong: Record<number, unknown> = {
    0: { ...map(ENTRIES[0]!), idempotencyKey: '' },
    1: { event: 'changed', data: 1, idempotencyKey: 'k' },
    2: 'text',
    3: { ...map(ENTRIES[3]!), room: { name: 'orders/:id' } }
  }
  const reasons: Record<number, string> = {}
  const target = new Target()
  const { committed, options } = noted({ onRefused: ({ n }, error) => { reasons[n] = (error as Error).message } })
  const stats = await bridge(target, stream(), (entry) => {
    if (entry.n === 4) throw new Error('no JSON')
    return (wrong[entry.n] ?? map(entry)) as BridgedEvent<string>
  }, options)
  t.match(stats, { accepted: 1, refused: 5 })
  t.match(reasons, { 0: /idempotencyKey/, 1: /a room is given/, 2: /map of a bridge/, 3: /family/, 4: /no JSON/ })
  t.same([target.asked, committed], [[5], ALL])
})

t.test('a record that nobody takes ends the bridge with its error, and is not committed', async (t) => {
  const refusing = new Target((n) => n === 2 ? new REALTIME_ERR_EVENT('it does not fit') : undefined)
  for (const onRefused of [undefined, () => { throw new REALTIME_ERR_EVENT('the store of refused records is full') }]) {
    const { committed, options } = noted({ onRefused })
    await t.rejects(bridge(refusing, stream(), map, options), { code: 'REALTIME_ERR_EVENT' })
    t.same(committed, [0, 1])
  }
})

t.test('a commit that fails ends the bridge with its error, and none follows', async (t) => {
  const { committed, options } = noted({
    commit: ({ n }) => {
      if (n === 2) throw new Error('the group has a new member')
      committed.push(n)
    }
  })
  await t.rejects(bridge(new Target(), stream(), map, options), /new member/)
  t.same(committed, [0, 1])
})

t.test('a source that fails ends the bridge with its error, when what was read is committed', async (t) => {
  const source = async function * (): AsyncGenerator<Entry> {
    yield * ENTRIES.slice(0, 3)
    throw new Error('the connection is lost')
  }
  const target = new Target((n, attempt) => n === 0 && attempt === 0 ? new Refusal('unavailable') : undefined)
  const { committed, options } = noted()
  await t.rejects(bridge(target, source(), map, options), /connection is lost/)
  t.same(committed, [0, 1, 2])
})

t.test('a signal ends it, though the source waits and a broadcast would be tried again for ever', async (t) => {
  const stop = new AbortController()
  let isReturned = false
  const source: AsyncIterable<Entry> = {
    [Symbol.asyncIterator]: () => {
      const entries = [...ENTRIES]
      return {
        next: async () => {
          const value = entries.shift()
          return value === undefined ? await new Promise<never>(() => undefined) : { value, done: false }
        },
        return: async () => {
          isReturned = true
          return { value: undefined, done: true }
        }
      }
    }
  }
  const target = new Target((n) => n === 2 ? new Refusal('unavailable') : n === 5 ? 'wait' : undefined)
  const { committed, options } = noted({ signal: stop.signal, backoff: () => 3_600_000 })
  const running = bridge(target, source, map, options)
  await until('it waits', () => running.stats.retried === 1 && target.waiting.has(5))
  stop.abort()
  let hasEnded = false
  void running.then(() => { hasEnded = true })
  for (let i = 0; i < 5; i++) await turn()
  t.same([hasEnded, isReturned], [false, true], 'what is under way is waited for')
  target.waiting.get(5)!()
  t.match(await running, { read: 6, accepted: 4, retried: 1, committed: 2, inFlight: 4 })
  t.same([committed, target.asked], [[0, 1], [0, 1, 2, 3, 5]])
  t.match(await bridge(target, source, map, { signal: AbortSignal.abort() }), { read: 0 })
})

t.test('wrong arguments reject, and name what is right', async (t) => {
  const target = new Target()
  const code = 'REALTIME_ERR_OPTIONS'
  for (const inFlight of [0, 10_001, 1.5, Number.NaN, '5']) {
    await t.rejects(bridge(target, stream(), map, { inFlight: inFlight as number }), { code, message: /inFlight/ })
  }
  await t.rejects(bridge({} as BridgeTarget, stream(), map), { code, message: /app\.rooms/ })
  await t.rejects(bridge(target, 'text' as never, map), { code, message: /AsyncIterable/ })
  await t.rejects(bridge(target, stream(), undefined as never), { code, message: /map/ })
  await t.rejects(bridge(target, stream(), map, { commit: 1 as never }), { code, message: /commit/ })
  await t.rejects(bridge(target, stream(), map, { signal: {} as AbortSignal }), { code, message: /AbortSignal/ })
  await t.rejects(bridge(target, stream(), map, null as never), { code, message: /options/ })
  t.same(target.asked, [])
})

t.test('over app.rooms: events arrive in order, a second bridge adds none, a closed app refuses no record', async (t) => {
  const orders = defineRoom('orders/:id', { events: { changed: Type.Integer() } })
  const { app } = await start(t, { declare: (app) => { app.room(orders) } })
  const toOrder = ({ room, n }: Entry): BridgedEvent<ReturnType<typeof orders.at>> => ({
    room: orders.at({ id: room }), event: 'changed', data: n, idempotencyKey: `entry ${n}`
  })
  for (let again = 0; again < 2; again++) await bridge(app.rooms, stream(), toOrder)
  const { events } = await app.rooms.history(orders.at({ id: 'a' }))
  t.same(events.map(({ data }) => data), [0, 2, 4])
  await app.close()
  const { committed, options } = noted({ onRefused: () => { t.fail('refused') } })
  await t.rejects(bridge(app.rooms, stream(), toOrder, options), { code: 'REALTIME_ERR_NOT_READY' })
  t.same(committed, [])
})
