import type { Adapter } from '../adapter.js'
import { reliable, said } from './host.js'
import type { Subject } from './subject.js'
import { until } from './until.js'

/** Tries messages that take effect once, and values for one use. */
export function claimsContract ({ name, pair, t }: Subject): void {
  t.test(`${name}: a message id takes effect once, and its outcome is kept`, async (t) => {
    const [a, b] = await pair(t)
    const [mine, theirs] = [a.adapter.claims, b.adapter.claims]
    if (mine === undefined || theirs === undefined) return t.pass('no claims')
    t.same(await mine.claim('ann\nm-1', 'hash', 60_000), { state: 'claimed' })
    const running = await theirs.claim('ann\nm-1', 'hash', 60_000)
    t.equal(running.state, 'running')
    t.ok(running.state === 'running' && running.retryAfter > 0 && running.retryAfter <= 60_000)
    t.same(await theirs.claim('ann\nm-1', 'other', 60_000), { state: 'conflict' })
    await mine.settle('ann\nm-1', 'hash', '{"data":1}', 60_000)
    t.same(await theirs.claim('ann\nm-1', 'hash', 60_000), { state: 'settled', outcome: '{"data":1}' })
    await mine.claim('ann\nm-2', 'hash', 60_000)
    await mine.settle('ann\nm-2', 'hash', undefined, 60_000)
    t.same(await theirs.claim('ann\nm-2', 'hash', 100), { state: 'claimed' })
    await until(
      'the lease of a dead holder runs out',
      async () => (await mine.claim('ann\nm-2', 'hash', 60_000)).state === 'claimed'
    )
    await mine.put('ticket:abc', 'identity', 60_000)
    const took = await Promise.all([mine.take('ticket:abc'), theirs.take('ticket:abc')])
    t.same(took.filter((value) => value !== undefined), ['identity'])
    t.equal(await mine.take('ticket:none'), undefined)
  })

  t.test(`${name}: idempotency keys beyond the bytes of their user are counted, and nobody else loses by it`, async (t) => {
    const [{ adapter }, other] = await pair(t, { bytes: 1_000_000, perUser: 10_000 })
    const forgotten = (): unknown => adapter.stats?.().forgotten
    if (adapter.history === undefined || forgotten() === undefined) return t.pass('no count of what was forgotten')
    const publish = async (to: Adapter, owner: string, key: string): Promise<number> => {
      return (await to.publish('chat/1', said(key, { idempotencyKey: key, owner }), reliable)).position!.offset
    }
    const bobs = await publish(adapter, 'bob', 'bob 0')
    for (let index = 0; index < 100; index++) await publish(adapter, 'ada', `ada ${index}`)
    t.ok(Number(forgotten()) > 10, String(forgotten()))
    t.ok(Number(forgotten()) < 100, String(forgotten()))
    t.equal(await publish(other.adapter, 'bob', 'bob 0'), bobs)
    t.ok(await publish(other.adapter, 'bob', 'bob 1') > bobs)
  })
}
