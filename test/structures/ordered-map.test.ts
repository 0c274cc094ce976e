import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { OrderedMap } from '../../lib/structures/ordered-map.js'

t.test('entries stand in the order in which their keys came, and the oldest goes first', async (t) => {
  const map = new OrderedMap<number>()
  for (const [index, key] of ['a', 'b', 'c', 'd'].entries()) map.set(key, index)
  map.set('a', 10)
  map.delete('b')
  map.delete('none')
  t.same([...map], [['a', 10], ['c', 2], ['d', 3]])
  t.same([map.size, map.get('c'), map.has('b'), map.get('b')], [3, 2, false, undefined])
  t.equal(map.shift(), 10)
  for (const [key] of map) map.delete(key)
  t.same([map.size, map.shift(), [...map]], [0, undefined, []])
  map.set('e', 4)
  map.clear()
  map.set('f', 5)
  t.same([...map], [['f', 5]])
})

const LIB = new URL('../../lib/', import.meta.url)

t.test('no large collection is searched for its oldest entry: only the small ones that are named', async (t) => {
  const found = readdirSync(LIB, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('/built.ts') && /\b(?:keys|entries|values)\(\)\.next\(\)/.test(readFileSync(new URL(file, LIB), 'utf8')))
  // Of 64 entries, of 1 000, of 1 000 for one room, of 256 for one polling peer, and of 4.
  const named = [
    'adapters/cluster/space.ts', 'client/newest.ts', 'client/share-hub.ts', 'connection/last-frames.ts',
    'transports/cursor-track.ts'
  ]
  t.same(found.sort(), named)
})
