import t from 'tap'
import { until } from '../../lib/adapters/contract/until.js'
import { ExpiringMap } from '../../lib/structures/expiring-map.js'
import { sizeOf } from '../helpers/private-fields.js'
import { letGo } from '../helpers/garbage.js'

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

t.test('what goes before its time is told, and what has run out is not', async (t) => {
  const told: string[] = []
  const map = new ExpiringMap<string>(2, undefined, (value) => { told.push(value) })
  map.set('a', 'A', 10, 0)
  map.set('b', 'B', 100, 0)
  map.set('c', 'C', 100, 50)
  map.set('d', 'D', 100, 50)
  map.set('d', 'again', 100, 50)
  map.delete('d')
  t.same(told, ['B'])
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

t.test('a steady stream of entries leaves none that have run out', async (t) => {
  const map = new ExpiringMap<number>(10_000)
  for (let at = 0; at < 5_000; at++) map.set(`${at}`, at, at + 100, at)
  t.equal(map.size, 100)
})

t.test('others that are set take away twice as many that have run out', async (t) => {
  const map = filled(1_000, Array.from({ length: 500 }, (_, index) => `${index}`))
  for (let index = 0; index < 250; index++) map.set(`new ${index}`, '', 300, 200)
  t.equal(map.size, 250)
})

t.test('what a burst has left is let go though nothing is set or asked for any more, in parts', async (t) => {
  const map = new ExpiringMap<number>(10_000)
  const now = performance.now()
  for (let index = 0; index < 10_000; index++) map.set(`${index}`, index, now + 50, now)
  const sizes = new Set<number>()
  let isOver = false
  const look = (): void => {
    sizes.add(map.size)
    if (!isOver) setImmediate(look)
  }
  look()
  await until('the map is empty', () => map.size === 0)
  isOver = true
  t.equal(sizeOf(map, '#order'), 0, 'nor does the order have their keys')
  t.ok(sizes.size > 5, `${sizes.size} parts`)
})

t.test('what lives longer keeps those behind it, and they go with it', async (t) => {
  const map = new ExpiringMap<number>(10)
  const now = performance.now()
  map.set('long', 1, now + 1_500, now)
  map.set('brief', 2, now + 10, now)
  await until('it has run out', () => map.get('long', performance.now()) === undefined)
  await until('the other is gone too', () => map.size === 0)
  map.set('next', 3, performance.now() + 10, performance.now())
  await until('the next one is let go as well', () => map.size === 0)
})

t.test('a clock of its own says what has run out, however long it stands', async (t) => {
  let now = 0
  const map = new ExpiringMap<number>(10, () => now)
  map.set('a', 1, 10, now)
  const end = performance.now() + 1_500
  await until('the timer has looked', () => performance.now() > end)
  t.equal(map.size, 1)
  now = 10
  await until('it is let go', () => map.size === 0)
})

t.test('entries keep neither a process alive nor a map that its owner has let go', async (t) => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const left = new WeakRef(filled(3, ['a', 'b'], 86_400_000))
  t.equal(timers(), before)
  await letGo([left])
})
