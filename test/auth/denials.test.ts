import t from 'tap'
import { Denials } from '../../lib/auth/denials.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { keyOfKind } from '../../lib/protocol/key.js'
import { matchList } from '../helpers/match-list.js'

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

/** Denials of an adapter that answers some questions, and cannot be asked others. */
function partly (denied: readonly string[], silent: readonly string[]): Denials {
  return new Denials({
    store: {
      isDenied: async (subjects) => {
        if (subjects.some((subject) => denied.includes(subject))) return true
        if (subjects.some((subject) => silent.includes(subject))) throw new Refusal('unavailable')
        return false
      },
      deny: async () => {}
    },
    bytes: 1_000_000,
    whenUnavailable: 'refuse'
  })
}

const eve = { userId: 'eve', user: {}, tokenId: 't1' }
const [user, token, member] = [keyOfKind('user', 'eve'), keyOfKind('token', 't1'), keyOfKind('member', 'eve')]

t.test('who is denied is told so, though it cannot be asked whether a room was taken from the user', async (t) => {
  await t.rejects(async () => await partly([user], [member]).check(eve), { code: 'revoked' })
  await t.rejects(async () => await partly([], [member]).check(eve), { code: 'unavailable' })
})

t.test('a comparison finds what is denied as far as it can ask, and says that it is not all', async (t) => {
  const away = { code: 'unavailable' }
  t.match(await partly([user], [token, member]).find(eve, []), { isUser: true, missing: away })
  t.match(await partly([token], [user, member]).find(eve, []), { isUser: false, isToken: true, missing: away })
  const [one, other] = ['chat/1', 'chat/2'].map((room) => keyOfKind('member', 'eve', room)) as [string, string]
  const found = await partly([member, other], [one]).find(eve, ['chat/1', 'chat/2'])
  matchList(t, found, { isUser: false, isToken: false, hasLost: true, rooms: ['chat/2'], missing: away })
  t.same(
    await partly([member, other], []).find(eve, ['chat/1', 'chat/2']),
    { isUser: false, isToken: false, hasLost: true, rooms: ['chat/2'] }
  )
  await t.rejects(partly([], [user]).find(eve, []), away)
})
