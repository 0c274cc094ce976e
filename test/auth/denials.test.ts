import t from 'tap'
import { Denials } from '../../lib/auth/denials.js'

t.test('a denial that the adapter does not take keeps none of the others from being restored', async (t) => {
  const told: string[] = []
  const denials = new Denials({
    store: {
      isDenied: async () => false,
      deny: async (subject) => {
        if (subject === 'user:0' || subject === 'user:150') throw new Error(`the shard of ${subject} is away`)
        told.push(subject)
      }
    },
    bytes: 1_000_000,
    whenUnavailable: 'refuse'
  })
  const until = Date.now() + 60_000
  for (let index = 0; index < 250; index++) denials.remember(`user:${index}`, until)
  await t.rejects(denials.restore(), { message: /^the shard of user:\d+ is away$/ })
  t.equal(told.length, 248)
})
