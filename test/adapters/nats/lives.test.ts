import t from 'tap'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import type { NatsClock } from '../../../lib/adapters/nats/clock.js'
import type { NatsLink } from '../../../lib/adapters/nats/link.js'
import { NatsLives, type NumberedPlan } from '../../../lib/adapters/nats/lives.js'
import type { NatsSetup } from '../../../lib/adapters/nats/setup.js'
import type { NatsState, Step } from '../../../lib/adapters/nats/state.js'

const plan = { name: 'kept', subjects: ['kept.*'], maxAge: 60_000, duplicates: 1_000, probe: 'kept.~' } as NumberedPlan

/** A stream that was opened when its newest number was 10; `answers` are the newest numbers told after that. */
function livesOf (answers: readonly number[]): NatsLives {
  const values = new Map<string, string>()
  const told = [...answers]
  const info = (last: number): object => ({ created: 'then', state: { last_seq: last } })
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
    clock: { now: () => 1 } as NatsClock,
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
