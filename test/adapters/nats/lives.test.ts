import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import type { NatsClock } from '../../../lib/adapters/nats/clock.js'
import { away, type NatsLink } from '../../../lib/adapters/nats/link.js'
import { NatsLives, type Life, type NumberedPlan } from '../../../lib/adapters/nats/lives.js'
import type { NatsSetup } from '../../../lib/adapters/nats/setup.js'
import type { NatsState, Step } from '../../../lib/adapters/nats/state.js'
import { matchList } from '../../helpers/match-list.js'

const plan = { name: 'kept', subjects: ['kept.*'], maxAge: 60_000, duplicates: 1_000, probe: 'kept.~' } as NumberedPlan

/** What a test changes of the stream and its server. */
const given = { created: 'then', now: 1 }

/** A stream that was opened when its newest number was 10; `answers` are the newest numbers told after that. */
function livesOf (answers: readonly number[], values = new Map<string, string>()): NatsLives {
  const told = [...answers]
  const info = (last: number): object => ({
    created: given.created,
    state: { last_seq: last, last_ts: new Date(last).toISOString() }
  })
  const link = {
    isClustered: true,
    attempt: async (ask: () => Promise<unknown>) => await ask(),
    jsm: { streams: { info: async () => info(told.shift() ?? 10) } }
  }
  const state = {
    change: async <T>(key: string, step: (value: string | undefined) => Step<T>): Promise<T> => {
      const { value, result } = step(values.get(key))
      if (value !== undefined) values.set(key, value)
      return result
    }
  }
  return new NatsLives({
    link: link as unknown as NatsLink,
    setup: { open: async () => info(10), forget: () => undefined } as unknown as NatsSetup,
    state: state as unknown as NatsState,
    clock: { now: () => given.now } as NatsClock,
    onDoubt: () => undefined,
    unread: new Unread({ warn: () => undefined }),
    log: { warn: () => undefined }
  })
}

t.test('a stream that is said to have less than this node has seen is looked at again', async (t) => {
  const lives = livesOf([10, 5, 11])
  const { life } = await lives.look(plan)
  const found = await lives.look(plan)
  t.same([found.info.state.last_seq, found.life.epoch], [11, life.epoch])
})

t.test('a server that says so again although the stream is the same is not believed', async (t) => {
  const lives = livesOf([10, 5, 5])
  await lives.look(plan)
  await t.rejects(lives.look(plan), { code: 'unavailable' })
})

/** A single server, whose messages have numbers, times and texts; a text of an event is its origin. */
class Server {
  id = 'first'
  now = 1_000_000
  /** What the node takes for the time of the server. */
  known = this.now
  isMeasurable = true
  /** What nodes share. */
  readonly values = new Map<string, string>()
  readonly messages = new Map<number, { readonly time: Date, readonly data: Buffer }>()
  readonly lives: NatsLives

  constructor () {
    const told = (): object => {
      const last = Math.max(0, ...this.messages.keys())
      const time = this.messages.get(last)?.time ?? new Date(0)
      return { created: 'then', state: { last_seq: last, last_ts: time.toISOString() } }
    }
    const serverId = (): string => this.id
    const link = {
      isClustered: false,
      get serverId () { return serverId() },
      attempt: async (ask: () => Promise<unknown>) => await ask(),
      jsm: {
        streams: {
          info: async () => told(),
          getMessage: async (_name: string, { seq }: { seq: number }) => this.messages.get(seq) ?? null
        }
      }
    }
    const state = {
      change: async <T>(key: string, step: (value: string | undefined) => Step<T>): Promise<T> => {
        const { value, result } = step(this.values.get(key))
        if (value !== undefined) this.values.set(key, value)
        return result
      },
      read: async (key: string) => this.values.get(key)
    }
    const clock = {
      now: () => this.known,
      measure: async () => {
        if (!this.isMeasurable) throw away()
        await turn()
        this.known = this.now
      }
    }
    this.lives = new NatsLives({
      link: link as unknown as NatsLink,
      setup: { open: async () => told(), forget: () => undefined } as unknown as NatsSetup,
      state: state as unknown as NatsState,
      clock: clock as NatsClock,
      onDoubt: () => undefined,
      unread: new Unread({ warn: () => undefined }),
      log: { warn: () => undefined }
    })
  }

  accept (from: number, to: number): void {
    for (let seq = from; seq <= to; seq++) {
      const data = Buffer.from(`${originAt(seq, this.id)}\n{}`)
      this.messages.set(seq, { time: new Date(this.now), data })
    }
  }

  /**
   * Comes back with the first `last` messages, and accepts others up to `to` before the node asks.
   *
   * @param passed milliseconds by which its clock is ahead of that of before
   */
  restore (last: number, to: number, passed = 1_000): void {
    this.lives.lost()
    this.lives.forget()
    this.id = 'second'
    this.now += passed
    for (const seq of this.messages.keys()) if (seq > last) this.messages.delete(seq)
    this.accept(last + 1, to)
    this.lives.up()
  }

  /** Another node has noted that it opened the stream by the second server, by a clock that is ahead. */
  note (ahead: number): void {
    const [[key, text]] = [...this.values] as [[string, string]]
    const record = JSON.parse(text) as { servers: object[] }
    const servers = [{ id: 'second', at: this.now + ahead }, ...record.servers]
    this.values.set(key, JSON.stringify({ ...record, servers }))
  }
}

function originAt (seq: number, server: string): string { return `${server}-${seq}` }

/** A server whose stream of so many events a node has opened. */
async function opened (count: number): Promise<{ server: Server, lives: NatsLives, life: Life }> {
  const server = new Server()
  const { lives } = server
  server.accept(1, count)
  const { life } = await lives.open(plan)
  return { server, lives, life }
}

t.test('events that come before a stream has been compared hide nothing that has the numbers of lost ones', async (t) => {
  const { server, lives, life } = await opened(10)
  server.accept(11, 12)
  for (let seq = 8; seq <= 12; seq++) lives.saw(plan.name, life.epoch, seq, originAt(seq, 'first'))
  server.restore(10, 15)
  for (let seq = 13; seq <= 15; seq++) lives.saw(plan.name, life.epoch, seq, originAt(seq, 'second'))
  const { life: found } = await lives.open(plan)
  t.same(found.before, [{ epoch: life.epoch, offset: 10, isLossy: true }])
})

t.test('a number that a node was told without its event is not taken for the same one after a restore', async (t) => {
  const { server, lives, life } = await opened(5)
  lives.saw(plan.name, life.epoch, 5, originAt(5, 'first'))
  server.accept(6, 12)
  await lives.look(plan)
  server.restore(10, 12)
  const { life: found } = await lives.open(plan)
  matchList(t, found.before, [{ epoch: life.epoch, isLossy: true }])
})

t.test('a stream whose server has restarted with all of it is the same', async (t) => {
  const { server, lives, life } = await opened(12)
  lives.saw(plan.name, life.epoch, 12, originAt(12, 'first'))
  await lives.look(plan)
  server.restore(12, 20)
  t.equal((await lives.open(plan)).life.epoch, life.epoch)
})

t.test('a number is not taken for the same one after a restore to a server whose clock is behind', async (t) => {
  const { server, lives, life } = await opened(5)
  lives.saw(plan.name, life.epoch, 5, originAt(5, 'first'))
  server.accept(6, 12)
  await lives.look(plan)
  server.restore(10, 12, -50_000)
  const former = (await lives.open(plan)).life.before.find(({ epoch }) => epoch === life.epoch)
  t.equal(former?.isLossy, true)
  t.ok(former!.offset <= 10, 'and what the server accepted after that is not in common')
})

t.test('a server is noted by its own clock, which may be ahead of that of the last one', async (t) => {
  const { server, lives } = await opened(5)
  server.restore(5, 5, 3_600_000)
  t.match((await lives.open(plan)).life.servers[0], { id: 'second', at: server.now })
})

t.test('a position waits for what other nodes know, and no longer than that, by a server whose clock is behind', async (t) => {
  const { server, lives, life } = await opened(5)
  server.restore(5, 5, -500_000)
  const began = performance.now()
  const kept = setTimeout(() => {}, 10_000)
  await lives.settle(plan, life.epoch, false)
  clearTimeout(kept)
  const took = performance.now() - began
  t.ok(took > 1_000 && took < 5_000, `${took}`)
})

t.test('a stream is compared although the clock of its server cannot be measured', async (t) => {
  const { server, lives, life } = await opened(5)
  lives.saw(plan.name, life.epoch, 5, originAt(5, 'first'))
  server.isMeasurable = false
  server.restore(3, 6)
  t.not((await lives.open(plan)).life.epoch, life.epoch)
})

t.test('a position is honoured soon although a node has noted a time that is far ahead', async (t) => {
  const { server, lives, life } = await opened(5)
  server.note(3_600_000)
  server.restore(5, 5)
  const began = performance.now()
  const kept = setTimeout(() => {}, 10_000)
  await lives.settle(plan, life.epoch, false)
  clearTimeout(kept)
  t.ok(performance.now() - began < 5_000)
  const again = performance.now()
  await lives.settle(plan, life.epoch, false)
  t.ok(performance.now() - again < 1_000, 'once')
})

t.test('who waits until a position may be honoured is refused when the adapter is closed', async (t) => {
  const { server, lives, life } = await opened(5)
  server.restore(5, 5)
  const settling = lives.settle(plan, life.epoch, false)
  const refused = t.rejects(settling, { code: 'unavailable' })
  for (let turns = 0; turns < 10; turns++) await turn()
  const began = performance.now()
  lives.close()
  await refused
  t.ok(performance.now() - began < 1_000)
})

t.test('numbers of a stream that was made anew are above those of before, though the clock of its server is behind', async (t) => {
  t.teardown(() => { Object.assign(given, { created: 'then', now: 1 }) })
  given.now = 5_000
  const [alone, other] = [livesOf([]), new Map<string, string>()]
  const { life } = await alone.open(plan)
  Object.assign(given, { created: 'later', now: 1_000 })
  alone.forget()
  const own = (await alone.open(plan)).life
  t.ok(own.shift > life.shift + 10, 'found by who knew the former one')

  Object.assign(given, { created: 'then', now: 5_000 })
  const [knows, lacks] = [livesOf([], other), livesOf([], other)]
  await knows.open(plan)
  other.clear()
  Object.assign(given, { created: 'later', now: 1_000 })
  const first = (await lacks.open(plan)).life
  t.ok(first.shift < life.shift, 'found by who did not')
  knows.forget()
  const second = (await knows.open(plan)).life
  t.ok(second.shift > life.shift + 10 && second.epoch !== first.epoch)
  lacks.forget()
  t.equal((await lacks.open(plan)).life.epoch, second.epoch)
})
