import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import type { PresenceChange } from '../../../lib/adapters/adapter.js'
import { MemoryPresence } from '../../../lib/adapters/memory/presence.js'

const who = { user: fc.constantFrom('ada', 'bob', 'cid'), tab: fc.constantFrom('1', '2') }
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ join: fc.record(who) }) },
  { weight: 3, arbitrary: fc.record({ leave: fc.record(who), grace: fc.constantFrom(0, 50, 100) }) },
  { weight: 2, arbitrary: fc.record({ wait: fc.integer({ min: 0, max: 120 }) }) }
)

t.test(
  'who follows the announced changes knows who is present, each user joins and leaves by turns, and the sequence counts without a hole',
  async (t) => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
      let now = 0
      const changes: PresenceChange[] = []
      const presence = new MemoryPresence(() => now, (_room, change) => { changes.push(change) })
      /** ends of connections by user and tab; Infinity while one is there */
      const model = new Map<string, number>()
      const entryOf = ({ user, tab }: {
        user: string
        tab: string
      }): {
        userId: string
        connection: string
        data: undefined
      } => ({ userId: user, connection: `${user}-${tab}`, data: undefined })
      for (const each of steps) {
        if ('join' in each) {
          presence.join('r', entryOf(each.join))
          model.set(entryOf(each.join).connection, Number.POSITIVE_INFINITY)
        } else if ('leave' in each) {
          const { connection } = entryOf(each.leave)
          presence.leave('r', entryOf(each.leave), each.grace)
          if (model.has(connection)) model.set(connection, now + each.grace)
        } else now += each.wait
        for (const [connection, end] of model) if (end <= now) model.delete(connection)
        const expected = [...new Set([...model.keys()].map((connection) => connection.split('-')[0]!))].sort()
        const present = (): string[] => presence.snapshot('r', 200).list!.map(({ userId }) => userId).sort()
        presence.sweep()
        // A sweep that takes its time goes on in the next turn, behind those that it has passed.
        for (let turns = 0; turns < 100 && present().join() !== expected.join(); turns++) {
          await nextTurn()
          presence.sweep()
        }
        assert.deepEqual(present(), expected)
        const { total, sequence } = presence.snapshot('r', 200)
        assert.equal(total, expected.length)
        const followed = new Set<string>()
        let last = 0
        for (const change of changes) {
          assert.equal(change.sequence, last + 1)
          last = change.sequence
          for (const { userId } of change.joined) {
            assert.ok(!followed.has(userId), `${userId} joined twice`)
            followed.add(userId)
          }
          for (const { userId } of change.left) {
            assert.ok(followed.delete(userId), `${userId} left without having joined`)
          }
        }
        assert.deepEqual([...followed].sort(), expected)
        assert.equal(sequence, last)
      }
    }), { numRuns: 300 })
    t.pass('300 runs')
  }
)
