import t from 'tap'
import { Seldom } from '../../lib/structures/seldom.js'

t.test('of each kind one event in a minute is due, and says how many were held back before it', async (t) => {
  const seldom = new Seldom()
  t.equal(seldom.due('one', 0), 0)
  t.equal(seldom.due('one', 1), undefined)
  t.equal(seldom.due('one', 59_999), undefined)
  t.equal(seldom.due('other', 59_999), 0)
  t.equal(seldom.due('one', 60_000), 2)
  t.equal(seldom.due('one', 120_000), 0)
})
