import fc from 'fast-check'
import t from 'tap'
import { Remembered } from '../../lib/retention/remembered.js'
import { Retention } from '../../lib/retention/retention.js'

t.test('a flood of one user costs nobody else an entry: he loses his own oldest', async (t) => {
  const remembered = new Remembered<string>(new Retention(10_000_000), 100_000)
  remembered.set('ada', 'ada/pay', 'paid', 4, 120_000, 0)
  for (let index = 0; index < 50_000; index++) remembered.set('bob', `bob/${index}`, 'x', 1, 120_000, 0)
  t.equal(remembered.get('ada/pay', 119_999), 'paid')
  t.equal(remembered.get('bob/0', 1), undefined)
  t.equal(remembered.get('bob/49999', 1), 'x')
  t.ok(remembered.size < 400, String(remembered.size))
  t.ok(remembered.evicted > 49_000)
})

t.test('a flood of many users is paid by those who hold most', async (t) => {
  const retention = new Retention(1_000_000)
  const remembered = new Remembered<string>(retention, 500_000)
  remembered.set('ada', 'ada/pay', 'paid', 4, 120_000, 0)
  for (let index = 0; index < 20_000; index++) remembered.set(`bot${index % 100}`, `${index}`, 'x', 1_000, 120_000, 0)
  t.equal(remembered.get('ada/pay', 1), 'paid')
  t.ok(retention.bytes <= 1_000_000)
  t.ok(retention.evicted > 19_000)
})

t.test(
  'number is no bound: a hundred thousand ids are kept for their time, then all are gone without being asked for',
  async (t) => {
    const retention = new Retention(64 * 1024 * 1024)
    const remembered = new Remembered<number>(retention, 4 * 1024 * 1024)
    for (let index = 0; index < 100_000; index++) {
      remembered.set(`user${index % 1_000}`, `${index}`, index, 2, 120_000, 0)
    }
    t.equal(remembered.size, 100_000)
    t.equal(remembered.get('0', 119_000), 0)
    t.equal(remembered.get('0', 120_000), undefined)
    for (let now = 0; now <= 121_500; now += 500) while (retention.sweep(now, 1_000));
    t.same([remembered.size, remembered.owners, retention.bytes], [0, 0, 0])
  }
)

type Step =
  | { readonly set: number, readonly owner: number, readonly bytes: number, readonly ttl: number }
  | { readonly drop: number }
  | { readonly wait: number }

t.test('within its bytes it is a map whose entries end at their time; owners without entries are gone', async (t) => {
  const steps = fc.array(fc.oneof<[fc.Arbitrary<Step>, fc.Arbitrary<Step>, fc.Arbitrary<Step>]>(
    fc.record({ set: fc.nat(9), owner: fc.nat(3), bytes: fc.nat(50), ttl: fc.integer({ min: 1, max: 200_000 }) }),
    fc.record({ drop: fc.nat(9) }),
    fc.record({ wait: fc.nat(100_000) })
  ), { maxLength: 100 })
  fc.assert(fc.property(steps, (list) => {
    const retention = new Retention(Number.POSITIVE_INFINITY)
    const remembered = new Remembered<Step>(retention)
    const model = new Map<string, { value: Step, until: number }>()
    let now = 1_000
    for (const step of list) {
      if ('set' in step) {
        remembered.set(`${step.owner}`, `${step.set}`, step, step.bytes, now + step.ttl, now)
        model.set(`${step.set}`, { value: step, until: now + step.ttl })
      } else if ('drop' in step) {
        remembered.delete(`${step.drop}`, now)
        model.delete(`${step.drop}`)
      } else {
        now += step.wait
        while (retention.sweep(now, 2));
      }
      for (let key = 0; key < 10; key++) {
        const known = model.get(`${key}`)
        if (remembered.get(`${key}`, now) !== (known !== undefined && known.until > now ? known.value : undefined)) {
          return false
        }
      }
    }
    // Behind one that lives longer, an entry may stay longer than it is told of.
    for (let end = now + 400_000; now < end; now += 500) while (retention.sweep(now, 100));
    return remembered.size === 0 && remembered.owners === 0 && retention.bytes === 0
  }), { numRuns: 200 })
  t.pass('200 runs')
})

t.test('an entry larger than its owner may hold is not kept, and leaves nothing behind', async (t) => {
  const retention = new Retention(1_000_000)
  const remembered = new Remembered<string>(retention, 1_000)
  remembered.set('ada', 'k', 'v', 5_000, 100, 0)
  t.same([remembered.size, remembered.owners, retention.bytes, remembered.evicted], [0, 0, 0, 1])
})

t.test('what has expired is not told as lost early, whoever shares the budget and sweeps it', async (t) => {
  const retention = new Retention(1_000)
  const lost: string[] = []
  const kept = new Remembered<string>(retention, 1_000, (key) => { lost.push(key) })
  const keys = new Remembered<string>(retention, 1_000, (key) => { lost.push(key) })
  keys.set('ada', 'old', 'v', 1, 120_000, 0)
  while (kept.sweep(205_000, 100));
  t.same([keys.size, lost], [0, []], 'by the sweep of another')
  keys.set('ada', 'older', 'v', 1, 300_000, 205_000)
  kept.set('bob', 'new', 'v', 1, 900_000, 400_000)
  t.same([keys.size, lost], [0, []], 'by the want of bytes of another')
})
