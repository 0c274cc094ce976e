import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { ShardedMap } from '../../lib/structures/sharded-map.js'

t.test('a sharded map holds what a map holds, and passes over as many values as it is told', async (t) => {
  const change = fc.record({ key: fc.nat({ max: 60 }).map((n) => `room/${n}`), isGone: fc.boolean() })
  fc.assert(fc.property(fc.array(change, { maxLength: 150, size: 'max' }), fc.nat({ max: 80 }), (changes, skipped) => {
    const [sharded, map] = [new ShardedMap<number>(), new Map<string, number>()]
    for (const [index, { key, isGone }] of changes.entries()) {
      if (isGone) assert.equal(sharded.delete(key), map.delete(key))
      else {
        sharded.set(key, index)
        map.set(key, index)
      }
    }
    assert.equal(sharded.size, map.size)
    assert.deepEqual([...sharded].sort(), [...map].sort())
    assert.deepEqual([...sharded.keys()].sort(), [...map.keys()].sort())
    assert.deepEqual([...sharded.values()].sort(), [...map.values()].sort())
    assert.deepEqual([...sharded.values(skipped)], [...sharded.values()].slice(skipped))
  }))
  t.pass('100 runs')
})
