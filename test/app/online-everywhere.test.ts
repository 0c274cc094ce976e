import t from 'tap'
import { connect, eventually } from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'

const limits = { user: { connections: 1_000_000, then: 'reject' } } as const

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: who is connected is online on every node, however many connections a user may have`, {
    skip
  }, async (t) => {
    const [a, b] = await nodes(t, { limits })
    const tabs = [await connect(a, { token: a.token('ada') }), await connect(a, { token: a.token('ada') })]
    t.same([await a.app.rooms.isOnline('ada'), await b.app.rooms.isOnline('ada')], [true, true])
    await tabs[0]!.close()
    await eventually('one connection', async () => (await b.app.rooms.connections({ user: 'ada' })).total, (n) => n === 1)
    t.equal(await b.app.rooms.isOnline('ada'), true)
    await tabs[1]!.close()
    await eventually('offline', async () => await b.app.rooms.isOnline('ada'), (isOnline) => !isOnline)
    t.equal(await a.app.rooms.isOnline('ada'), false)
  })
}
