import t from 'tap'
import { Idempotency, type Handling, type OnceCall } from '../../lib/dispatch/idempotency.js'
import type { Outcome } from '../../lib/dispatch/outcome.js'
import type { Awaitable } from '../../lib/structures/awaitable.js'
import { FailureLog } from '../../lib/errors/failure-log.js'
import { Refusal } from '../../lib/errors/refusal.js'

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
      return { answer: kept, end: kept }
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
  await t.rejects(once.run(call({ n: 2 }), 'm1', handle), { code: 'duplicate' })
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
