import t from 'tap'
import { Early } from '../../../lib/adapters/broker/early.js'

t.test('what came before a read is taken behind it, and what comes meanwhile behind the next one', async (t) => {
  const early = new Early()
  const taken: string[] = []
  const read = (name: string, during?: string) => async (): Promise<void> => {
    taken.push(name)
    if (during !== undefined) early.hold(during)
  }
  const take = (text: string): void => { taken.push(text) }
  early.hold('a')
  await early.behind(read('first', 'b'), take)
  await early.behind(read('second'), take)
  t.same(taken, ['first', 'a', 'second', 'b'])
})

t.test('what came is held on where the read fails', async (t) => {
  const early = new Early()
  const taken: string[] = []
  early.hold('a')
  await t.rejects(early.behind(async () => {
    early.hold('b')
    throw new Error('away')
  }, (text) => { taken.push(text) }), { message: 'away' })
  await early.behind(async () => undefined, (text) => { taken.push(text) })
  t.same(taken, ['a', 'b'])
})

t.test('at 500 messages the oldest gives way, and is given back to be taken', (t) => {
  const early = new Early()
  const passed = Array.from({ length: 502 }, (_, index) => early.hold(`${index}`))
  t.same(passed.filter((text) => text !== undefined), ['0', '1'])
  t.end()
})
