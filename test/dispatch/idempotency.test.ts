import t from 'tap'
import type { ClaimStore } from '../../lib/adapters/adapter.js'
import { Handling, Idempotency, type OnceCall } from '../../lib/dispatch/idempotency.js'
import type { Outcome } from '../../lib/dispatch/outcome.js'
import type { Awaitable } from '../../lib/structures/awaitable.js'
import { FailureLog } from '../../lib/errors/failure-log.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { until } from '../helpers/servers.js'

type Keep = (final: Outcome) => Awaitable<Outcome>

const OPTIONS = {
  timeout: 1_000,
  window: 60_000,
  holder: 'node',
  remembered: { bytes: 1_000_000, perUser: 1_000_000 },
  log: { warn: () => {} },
  failures: new FailureLog()
}

function call (data: unknown, check: () => void = () => {}): OnceCall {
  return { userId: 'ada', name: 'chat/1', type: 'say', data, declaration: { log: OPTIONS.log }, check }
}

/** A handler that ends when it is told, and says how often it ran. */
function handler (): {
  readonly runs: number
  readonly handle: (keep: Keep) => Handling
  end (outcome: Outcome): void
} {
  let runs = 0
  let end!: (outcome: Outcome) => void
  const ended = new Promise<Outcome>((resolve) => { end = resolve })
  return {
    get runs () { return runs },
    handle: (keep) => {
      runs++
      const kept = ended.then(keep)
      return new Handling(kept, kept)
    },
    end: (outcome) => { end(outcome) }
  }
}

t.test('a message that is sent again while its handler runs has the same outcome, and runs once', async (t) => {
  const once = new Idempotency(undefined, OPTIONS)
  const made = handler()
  const first = once.run(call({ n: 1 }), 'm1', made.handle)
  const second = once.run(call({ n: 1 }), 'm1', made.handle)
  made.end({ data: 'done' })
  t.same(await Promise.all([first, second]), [{ data: 'done' }, { data: 'done' }])
  t.equal(made.runs, 1)
})

t.test('an id that is used for another message is refused as a duplicate', async (t) => {
  const once = new Idempotency(undefined, OPTIONS)
  const { handle, end } = handler()
  const first = once.run(call({ n: 1 }), 'm1', handle)
  t.throws(() => once.run(call({ n: 2 }), 'm1', handle), { code: 'duplicate' })
  end({})
  await first
})

t.test('a sender that may not go on is refused, and its handler never runs', async (t) => {
  const once = new Idempotency(undefined, OPTIONS)
  const made = handler()
  const outcome = await once.run(call({}, () => { throw new Refusal('revoked') }), 'm1', made.handle)
  t.match(outcome, { error: { code: 'revoked' }, status: 403 })
  t.equal(made.runs, 0)
})

/** A store that answers at once, and says what it was asked. */
function store (): { readonly asked: string[], readonly claims: ClaimStore } {
  const asked: string[] = []
  const outcomes = new Map<string, string>()
  return {
    asked,
    claims: {
      claim: (key) => {
        asked.push('claim')
        const outcome = outcomes.get(key)
        return outcome === undefined ? { state: 'claimed' } : { state: 'settled', outcome }
      },
      settle: (key, _hash, outcome) => {
        asked.push('settle')
        if (outcome !== undefined) outcomes.set(key, outcome)
      },
      put: () => {},
      take: () => undefined
    }
  }
}

t.test('where neither the store nor the handler makes it wait, the outcome is there at once, and once', async (t) => {
  const { claims, asked } = store()
  const once = new Idempotency(claims, OPTIONS)
  let runs = 0
  const handle = (keep: Keep): Outcome => {
    runs++
    return keep({ data: runs }) as Outcome
  }
  t.same(once.run(call({ n: 1 }), 'm1', handle), { data: 1 })
  t.same(once.run(call({ n: 1 }), 'm1', handle), { data: 1 }, 'sent again')
  t.same(once.run(call({ n: 1 }), 'm2', handle), { data: 2 }, 'another one')
  t.same(asked, ['claim', 'settle', 'claim', 'claim', 'settle'])
  const refused = once.run(call({}, () => { throw new Refusal('revoked') }), 'm3', handle)
  t.match(refused, { error: { code: 'revoked' } })
  t.same(asked.slice(5), ['claim', 'settle'], 'the claim is given back')
  t.equal(runs, 2)
})

t.test('a message that is sent again while its claim is given back waits for that, and keeps its claim', async (t) => {
  const { claims, asked } = store()
  const steps: Array<() => void> = []
  const slow: ClaimStore = {
    ...claims,
    settle: (...given) => new Promise((resolve) => { steps.push(() => { resolve(claims.settle(...given)) }) })
  }
  const once = new Idempotency(slow, OPTIONS)
  const made = handler()
  await once.run(call({}, () => { throw new Refusal('not_joined') }), 'm1', made.handle)
  const again = once.run(call({}), 'm1', made.handle)
  await new Promise(setImmediate)
  t.same(asked, ['claim'], 'the claim is not made before the one before it is given back')
  steps.shift()!()
  while (made.runs === 0) await new Promise(setImmediate)
  t.same(asked, ['claim', 'settle', 'claim'])
  made.end({ data: 'done' })
  while (steps.length === 0) await new Promise(setImmediate)
  steps.shift()!()
  t.same(await again, { data: 'done' })
})

t.test('the release of a claim of which nobody knows is waited for as well', async (t) => {
  const { claims, asked } = store()
  let isAway = true
  const steps: Array<() => void> = []
  const shaky: ClaimStore = {
    ...claims,
    claim: (...given) => {
      if (isAway) return Promise.reject(new Refusal('unavailable', { outcome: 'unknown' }))
      return Promise.resolve(claims.claim(...given))
    },
    settle: (...given) => new Promise((resolve) => { steps.push(() => { resolve(claims.settle(...given)) }) })
  }
  const once = new Idempotency(shaky, OPTIONS)
  t.teardown(() => { once.stop() })
  const made = handler()
  t.match(await once.run(call({}), 'm1', made.handle), { error: { code: 'unavailable' } })
  isAway = false
  while (steps.length === 0) await new Promise((resolve) => { setTimeout(resolve, 10) })
  const again = once.run(call({}), 'm1', made.handle)
  await new Promise(setImmediate)
  t.same(asked, [], 'it is being given back')
  steps.shift()!()
  while (made.runs === 0) await new Promise(setImmediate)
  t.same(asked, ['settle', 'claim'])
  made.end({ data: 'done' })
  while (steps.length === 0) await new Promise(setImmediate)
  steps.shift()!()
  t.same(await again, { data: 'done' })
})

/** A store that knows holders, as adapters do. The first release gets no answer, and is executed when it is told. */
function late (): { readonly claims: ClaimStore, execute (): void } {
  const held = new Map<string, string | undefined>()
  let execute: (() => void) | undefined
  const free = (key: string, holder: string | undefined): void => { if (held.get(key) === holder) held.delete(key) }
  return {
    claims: {
      claim: async (key, _hash, _lease, _owner, holder) => {
        if (held.has(key) && held.get(key) !== holder) return { state: 'running', retryAfter: 1_000 }
        held.set(key, holder)
        return { state: 'claimed' }
      },
      settle: async (key, _hash, outcome, _ttl, _owner, holder) => {
        if (outcome !== undefined) return
        if (execute !== undefined) return free(key, holder)
        execute = () => { free(key, holder) }
        throw new Refusal('unavailable', { outcome: 'unknown' })
      },
      put: () => {},
      take: () => undefined
    },
    execute: () => { execute!() }
  }
}

t.test('a release that is executed late gives back no later claim of the same node', async (t) => {
  const { claims, execute } = late()
  const once = new Idempotency(claims, OPTIONS)
  const other = new Idempotency(claims, { ...OPTIONS, holder: 'other' })
  t.teardown(() => { once.stop() })
  const [made, elsewhere] = [handler(), handler()]
  await once.run(call({}, () => { throw new Refusal('not_joined') }), 'm1', made.handle)
  const running = once.run(call({}), 'm1', made.handle)
  while (made.runs === 0) await new Promise(setImmediate)
  execute()
  t.match(await other.run(call({}), 'm1', elsewhere.handle), { error: { code: 'unavailable' } })
  t.equal(elsewhere.runs, 0, 'it is running')
  made.end({ data: 'done' })
  t.same(await running, { data: 'done' })
})

t.test('a claim whose answer was lost is claimed again by its own name, and what was lost twice is given back', async (t) => {
  const holders: Array<string | undefined> = []
  const released: Array<string | undefined> = []
  let failures = 2
  const claims: ClaimStore = {
    claim: async (_key, _hash, _lease, _owner, holder) => {
      holders.push(holder)
      if (failures-- > 0) throw new Refusal('unavailable', failures > 0 ? { outcome: 'unknown' } : {})
      return { state: 'claimed' }
    },
    settle: async (_key, _hash, outcome, _ttl, _owner, holder) => { if (outcome === undefined) released.push(holder) },
    put: () => {},
    take: () => undefined
  }
  const once = new Idempotency(claims, OPTIONS)
  t.teardown(() => { once.stop() })
  const made = handler()
  t.match(await once.run(call({}), 'm1', made.handle), { error: { code: 'unavailable' } }, 'nobody knows')
  t.match(await once.run(call({}), 'm1', made.handle), { error: { code: 'unavailable' } }, 'that time it was not claimed')
  t.equal(new Set(holders).size, 1)
  await until('the first one is given back', () => released.length > 0)
  t.same(released, holders.slice(0, 1))
  const running = once.run(call({}), 'm1', made.handle)
  made.end({ data: 'done' })
  t.same(await running, { data: 'done' })
  t.equal(new Set(holders).size, 2, 'a new claim has a new name')
})

t.test('a message whose earlier claim still cannot be given back is refused, and runs once it can', async (t) => {
  const { claims } = store()
  let isAway = true
  const shaky: ClaimStore = {
    ...claims,
    claim: async (...given) => claims.claim(...given),
    settle: async (...given) => {
      if (isAway) throw new Refusal('unavailable')
      claims.settle(...given)
    }
  }
  const once = new Idempotency(shaky, OPTIONS)
  t.teardown(() => { once.stop() })
  const made = handler()
  t.match(await once.run(call({}, () => { throw new Refusal('not_joined') }), 'm1', made.handle), { status: 400 })
  t.match(await once.run(call({}), 'm1', made.handle), { error: { code: 'unavailable' } })
  t.equal(made.runs, 0)
  isAway = false
  const running = once.run(call({}), 'm1', made.handle)
  made.end({ data: 'done' })
  t.same(await running, { data: 'done' })
})
