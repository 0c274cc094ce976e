import t from 'tap'
import { closed, matchList } from '../helpers/match-list.js'

const EQUAL: ReadonlyArray<readonly [found: unknown, pattern: unknown]> = [
  [[], []],
  [[1, 'two'], [Number, /t/]],
  [{ frames: [{ type: 'said', offset: 1 }], more: true }, { frames: [{ type: 'said' }] }],
  [[[1], [2, 3]], [[1], [2, Number]]],
  [[undefined], [undefined]],
  [[new Error('no')], [{ message: 'no' }]],
  [new Map([['a', 1]]), Map]
]

const OTHER: ReadonlyArray<readonly [found: unknown, pattern: unknown]> = [
  [[1], []],
  [[1, 2], [1]],
  [[1], [1, 2]],
  [[1, undefined], [1]],
  [{ frames: [{ type: 'said' }, { type: 'said' }] }, { frames: [{ type: 'said' }] }],
  [{ frames: [{ type: 'said' }] }, { frames: [] }],
  [[{ details: ['a', 'b'] }], [{ details: ['a'] }]],
  [[[1, 2]], [[1]]],
  [{}, { frames: [] }],
  [undefined, []],
  [null, [1]],
  ['ab', ['a', 'b']],
  ['', []],
  [{ length: 0 }, []],
  [[2], [1]]
]

t.test('a list of as many items matches, and objects may have more than their pattern', async (t) => {
  for (const [found, pattern] of EQUAL) matchList(t, found, pattern)
})

t.test('a list that is longer or shorter than its pattern does not match, nested ones neither', async (t) => {
  for (const [found, pattern] of OTHER) t.notMatch(found, closed(pattern, found))
})
