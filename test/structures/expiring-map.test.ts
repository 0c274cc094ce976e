import t from 'tap'
import { ExpiringMap } from '../../lib/structures/expiring-map.js'

const filled = (capacity: number, keys: readonly string[], until = 100): ExpiringMap<string> => {
  const map = new ExpiringMap<string>(capacity)
  for (const key of keys) map.set(key, key.toUpperCase(), until, 0)
  return map
}

t.test('an entry is there until its time, and not at it', async (t) => {
  const map = filled(4, ['a'])
  t.equal(map.get('a', 99), 'A')
  t.equal(map.get('a', 100), undefined)
  t.equal(map.size, 0)
})

t.test('at the bound the oldest goes, and setting one again makes it the newest', async (t) => {
  const map = filled(3, ['a', 'b', 'c'])
  map.set('a', 'again', 100, 0)
  map.set('d', 'D', 100, 0)
  t.strictSame([...map.values(0)], ['C', 'again', 'D'])
  t.equal(map.get('b', 0), undefined)
})

t.test('at the bound what has run out goes before what lives', async (t) => {
  const map = filled(3, ['a', 'b'], 10)
  map.set('c', 'C', 100, 0)
  map.set('d', 'D', 100, 50)
  t.strictSame([...map.values(0)], ['C', 'D'])
})

t.test('deleting gives the value back, once', async (t) => {
  const map = filled(3, ['a', 'b'])
  t.equal(map.delete('a'), 'A')
  t.equal(map.delete('a'), undefined)
  t.strictSame([...map.values(0)], ['B'])
})

t.test('a sweep takes what has run out from the front', async (t) => {
  const map = filled(9, ['a', 'b'], 10)
  map.set('c', 'C', 100, 0)
  map.sweep(50)
  t.equal(map.size, 1)
})

t.test('it is the same as a plain map in order after 20 000 random sets and deletes', async (t) => {
  const map = new ExpiringMap<number>(50)
  const plain = new Map<string, number>()
  let random = 1
  for (let i = 0; i < 20_000; i++) {
    random = random * 48_271 % 2_147_483_647
    const key = `${random % 80}`
    if (random % 3 === 0 && map.delete(key) !== plain.get(key)) t.fail(`${key} at ${i}`)
    plain.delete(key)
    if (random % 3 === 0) continue
    map.set(key, i, 1, 0)
    plain.set(key, i)
    if (plain.size > 50) plain.delete(plain.keys().next().value!)
  }
  t.strictSame([...map.values(0)], [...plain.values()])
  t.equal(map.size, plain.size)
})

t.test('what replaces a value has its place and an end of its own', async (t) => {
  const map = filled(3, ['a', 'b'], 10)
  t.equal(map.replace('a', 'again', 100), true)
  t.equal(map.replace('c', 'C', 100), false)
  t.strictSame([...map.values(50)], ['again'])
  t.strictSame([...map.values(0)], ['again', 'B'])
})
