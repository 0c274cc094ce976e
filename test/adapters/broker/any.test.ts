import t from 'tap'
import { isAny } from '../../../lib/adapters/broker/any.js'

const silent = new Promise<boolean>(() => {})

t.test('a yes counts at once, whatever comes of the other answers', async (t) => {
  t.equal(await isAny([silent, Promise.resolve(true)]), true)
  t.equal(await isAny([Promise.reject(new Error('away')), Promise.resolve(false), Promise.resolve(true)]), true)
})

t.test('a no counts only where every answer is there', async (t) => {
  t.equal(await isAny([Promise.resolve(false), Promise.resolve(false)]), false)
  t.equal(await isAny([]), false)
  await t.rejects(isAny([Promise.resolve(false), Promise.reject(new Error('away'))]), { message: 'away' })
})
