import { live, reliable, said, type Node } from './host.js'
import type { Subject } from './subject.js'
import { until } from './until.js'

/** Milliseconds in which what was held for a moment is over, whatever a clock says. */
const SOON = 5_000
const MINUTE = 60_000
/** The last moment that a date can name, which stands for a time without an end. */
const LAST_DATE = 8.64e15

/** Tries that time is the broker's: what nodes hold ends neither sooner nor later because of their clock. */
export function clocksContract ({ name, nodes, pair, t }: Subject): void {
  for (const [hours, word] of [[1, 'ahead'], [-1, 'behind']] as const) {
    t.test(`${name}: what was taken for a minute holds, and what was taken for a moment ends, though the clock is an hour ${word} since`, async (t) => {
      const [a, b] = await pair(t)
      const checks = [await slots(a, b), await messages(a, b), await kept(a, b), await present(a, b)].flat()
      const now = Date.now
      t.teardown(() => { Date.now = now })
      Date.now = () => now() + hours * 3_600_000
      await takeForAMoment(a)
      for (const [what, check] of checks) t.same(await check(), true, what)
      Date.now = now
      if (a.adapter.leases !== undefined) await until('a slot is free', () => b.adapter.leases!.acquire('moment', 'b', 1, MINUTE), SOON)
      if (a.adapter.claims !== undefined) {
        await until('a message may run', async () => (await b.adapter.claims!.claim('moment', 'hash', MINUTE)).state === 'claimed', SOON)
        t.equal(await until('a ticket is over', async () => await b.adapter.claims!.take('moment') ?? 'none', SOON), 'none')
      }
    })

    t.test(`${name}: nodes hear of a revocation for ever, though the clock is an hour ${word}`, async (t) => {
      const [a, b] = await pair(t)
      if (nodes === 1 || a.adapter.control === undefined) return t.pass('no control')
      const now = Date.now
      t.teardown(() => { Date.now = now })
      for (const user of ['ann', 'bob']) {
        Date.now = user === 'ann' ? () => now() + hours * 3_600_000 : now
        const sent = a.adapter.control.send({ type: 'revoke', user, until: LAST_DATE })
        // The other node has the time that the one which tells has not.
        Date.now = user === 'ann' ? now : () => now() + hours * 3_600_000
        await sent
        await until(`${user} is revoked`, () => b.host.controls.some(({ message }) => {
          return message.type === 'revoke' && message.user === user && message.until! > now() && message.until! <= LAST_DATE
        }), SOON)
      }
    })
  }
}

type Check = readonly [what: string, check: () => Promise<unknown>]

async function takeForAMoment ({ adapter: { claims, leases } }: Node): Promise<void> {
  await leases?.acquire('moment', 'a', 1, 200)
  await claims?.claim('moment', 'hash', 200)
  await claims?.put('moment', 'identity', 1)
}

async function slots (a: Node, b: Node): Promise<Check[]> {
  const [mine, theirs] = [a.adapter.leases, b.adapter.leases]
  if (mine === undefined || theirs === undefined) return []
  await mine.acquire('user:ann', 'c1', 1, MINUTE)
  return [
    ['a slot is not given twice', async () => !await theirs.acquire('user:ann', 'c2', 1, MINUTE)],
    ['a slot is renewed', async () => {
      await mine.renew([{ key: 'user:ann', holder: 'c1' }], MINUTE)
      return await theirs.count('user:ann') === 1
    }]
  ]
}

async function messages (a: Node, b: Node): Promise<Check[]> {
  const [mine, theirs] = [a.adapter.claims, b.adapter.claims]
  if (mine === undefined || theirs === undefined) return []
  await mine.claim('ann\nm-1', 'hash', MINUTE)
  await mine.claim('ann\nm-2', 'hash', MINUTE)
  await mine.settle('ann\nm-2', 'hash', '1', MINUTE)
  await mine.put('ticket:1', 'identity', MINUTE)
  return [
    ['a message runs once', async () => {
      const claim = await theirs.claim('ann\nm-1', 'hash', MINUTE)
      return claim.state === 'running' && claim.retryAfter > 0 && claim.retryAfter <= MINUTE
    }],
    ['an outcome is kept', async () => (await theirs.claim('ann\nm-2', 'hash', MINUTE)).state === 'settled'],
    ['a ticket is good', async () => await theirs.take('ticket:1') === 'identity']
  ]
}

async function kept (a: Node, b: Node): Promise<Check[]> {
  const first = (await a.adapter.publish('chat/1', said('first'), reliable)).position
  const publication = said('second', { idempotencyKey: 'second' })
  const second = (await a.adapter.publish('chat/1', publication, reliable)).position
  const score = said('1', { type: 'score', delivery: 'latest', key: 'red' })
  for (const [room, settings] of [['chat/1', reliable], ['live/1', live]] as const) await a.adapter.publish(room, score, settings)
  const checks: Check[] = []
  if (b.adapter.history !== undefined && first !== undefined) {
    checks.push(['an event is kept', async () => {
      const { events, resumed } = await b.adapter.history!('chat/1', { since: first, limit: 10 }, reliable)
      return resumed && events.some(({ position }) => position?.offset === second!.offset)
    }], ['an event is published once', async () => {
      const again = await b.adapter.publish('chat/1', publication, reliable)
      return again.position?.offset === second!.offset
    }])
  }
  if (b.adapter.latest !== undefined) {
    for (const [room, settings] of [['chat/1', reliable], ['live/1', live]] as const) {
      checks.push([`a value of ${room} is kept`, async () => {
        const values = await b.adapter.latest!(room, settings)
        return values.length === 1 && (values[0]!.event!.age ?? 0) < MINUTE
      }])
    }
  }
  return checks
}

async function present (a: Node, b: Node): Promise<Check[]> {
  const [mine, theirs] = [a.adapter.presence, b.adapter.presence]
  if (mine === undefined || theirs === undefined) return []
  for (const { adapter } of new Set([a, b])) await adapter.subscribe('hall/1', live)
  const entry = { userId: 'ann', connection: 'c1' }
  const guest = { userId: 'bob', connection: 'c2' }
  for (const each of [entry, guest]) await mine.join('hall/1', each, MINUTE)
  const total = async (): Promise<number> => {
    for (const store of [mine, theirs]) await store.sweep(['hall/1'])
    return (await theirs.snapshot('hall/1', 10)).total
  }
  return [
    ['who is there stays', async () => await total() === 2],
    ['who leaves is gone', async () => {
      await mine.leave('hall/1', guest, 50)
      return await until('one is gone', async () => await total() === 1, SOON)
    }]
  ]
}
