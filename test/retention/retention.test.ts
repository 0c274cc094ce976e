import fc from 'fast-check'
import t from 'tap'
import { Retained, Retention } from '../../lib/retention/retention.js'

/** Parts of a given weight and end. */
class Parts extends Retained {
  readonly parts: Array<{ readonly bytes: number, readonly until: number }> = []
  get bytes (): number { return this.parts.reduce((sum, { bytes }) => sum + bytes, 0) }
  get ends (): number { return this.parts[0]?.until ?? Number.POSITIVE_INFINITY }
  shift (): void { this.parts.shift() }
}

type Step =
  | { readonly add: number, readonly bytes: number, readonly ttl: number }
  | { readonly wait: number }
  | { readonly remove: number }

const steps = fc.array(fc.oneof<[fc.Arbitrary<Step>, fc.Arbitrary<Step>, fc.Arbitrary<Step>]>(
  fc.record({ add: fc.nat(5), bytes: fc.integer({ min: 1, max: 5_000 }), ttl: fc.integer({ min: 1, max: 400_000 }) }),
  fc.record({ wait: fc.integer({ min: 0, max: 300_000 }) }),
  fc.record({ remove: fc.nat(5) })
), { maxLength: 120 })

t.test('whatever is added, removed and waited for, the sum is that of the parts, within the budget', async (t) => {
  fc.assert(fc.property(steps, fc.integer({ min: 1_000, max: 20_000 }), (list, budget) => {
    const retention = new Retention(budget)
    const items = Array.from({ length: 6 }, () => new Parts())
    let now = 1_000_000
    for (const step of list) {
      if ('wait' in step) {
        now += step.wait
        while (retention.sweep(now, 3));
      } else if ('remove' in step) {
        items[step.remove]!.parts.length = 0
        retention.remove(items[step.remove]!)
      } else {
        items[step.add]!.parts.push({ bytes: step.bytes, until: now + step.ttl })
        retention.changed(items[step.add]!, now)
      }
      const sum = items.reduce((total, { bytes }) => total + bytes, 0)
      if (retention.bytes !== sum || sum > budget) return false
    }
    return true
  }), { numRuns: 300 })
  t.pass('300 runs')
})

t.test('what has run out is gone within a turn of the wheel after its end, though nobody asks', async (t) => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 40, size: 'max' }), (ttls) => {
    const retention = new Retention(Number.POSITIVE_INFINITY)
    const start = 5_000_000
    const items = ttls.map((ttl) => {
      const item = new Parts()
      item.parts.push({ bytes: 100, until: start + ttl })
      retention.changed(item, start)
      return item
    })
    for (let now = start; now <= start + 1_002_000; now += 1_000) {
      while (retention.sweep(now, 7));
      if (items.some(({ ends }) => ends + 1_500 <= now)) return false
    }
    return retention.bytes === 0
  }), { numRuns: 50 })
  t.pass('50 runs')
})

t.test('over the budget the one that holds about the most loses its oldest', async (t) => {
  const retention = new Retention(120_000)
  const items = Array.from({ length: 50 }, () => new Parts())
  for (const [index, item] of items.entries()) {
    for (let part = 0; part < (index === 7 ? 400 : 10); part++) {
      item.parts.push({ bytes: 200, until: Number.MAX_SAFE_INTEGER })
      retention.changed(item, 0)
    }
  }
  t.ok(retention.bytes <= 120_000)
  t.same(
    items.map(({ parts }) => parts.length).filter((_, index) => index !== 7),
    new Array(49).fill(10),
    'nobody else lost anything'
  )
  t.equal(retention.evicted, 290)
})

t.test('a sweep looks at no more than it is told, and goes on where it stopped', async (t) => {
  const retention = new Retention(Number.POSITIVE_INFINITY)
  const items = Array.from({ length: 1_000 }, () => {
    const item = new Parts()
    item.parts.push({ bytes: 100, until: 10_000 }, { bytes: 100, until: 10_000 })
    retention.changed(item, 0)
    return item
  })
  let turns = 0
  for (let before = retention.bytes, isMore = true; isMore; before = retention.bytes) {
    isMore = retention.sweep(20_000, 10)
    t.ok(before - retention.bytes <= 10 * 100)
    turns++
  }
  t.equal(retention.bytes, 0)
  t.ok(turns >= 200, String(turns))
  t.ok(items.every(({ parts }) => parts.length === 0))
})

t.test('a clock that is set back or far ahead keeps nothing and loses nothing', async (t) => {
  const retention = new Retention(Number.POSITIVE_INFINITY)
  const [short, long] = [new Parts(), new Parts()]
  short.parts.push({ bytes: 10, until: 1_000_500 })
  long.parts.push({ bytes: 10, until: 90_000_000 })
  for (const item of [short, long]) retention.changed(item, 1_000_000)
  retention.sweep(500, 100)
  t.equal(retention.bytes, 20)
  retention.sweep(1_000_600, 100)
  for (let now = 1_001_000; now < 1_200_000; now += 1_000) retention.sweep(now, 100)
  t.equal(retention.bytes, 10)
  while (retention.sweep(100_000_000, 100));
  t.equal(retention.bytes, 0)
})
