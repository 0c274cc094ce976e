import t from 'tap'
import { Lately } from '../../lib/structures/lately.js'

t.test('what was told lately is told again, in turns, unless it is forgotten until then', async (t) => {
  const lately = new Lately<number>()
  for (let index = 0; index < 250; index++) lately.remember(`${index}`, index)
  lately.forget('0')
  const again: number[] = []
  lately.again((index) => { again.push(index) })
  t.equal(again.length, 100, 'the first turn')
  lately.forget('200')
  lately.remember('201', 1_000)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  t.equal(again.length, 247, 'neither what is forgotten nor what was told anew')
  t.notOk(again.includes(0) || again.includes(200) || again.includes(201))
})

t.test('what ends later is remembered for as long from then on', (t) => {
  const now = performance.now()
  const lately = new Lately<string>()
  lately.remember('now', 'now')
  lately.remember('later', 'later', now + 50_000)
  const real = performance.now
  t.teardown(() => { performance.now = real })
  performance.now = () => now + 70_000
  const again: string[] = []
  lately.again((value) => { again.push(value) })
  t.same(again, ['later'])
  t.end()
})
