import t from 'tap'
import { BROKERS } from '../helpers/brokers.js'
import { matchList } from '../helpers/match-list.js'
import { connect } from '../helpers/net.js'
import { missing } from '../helpers/servers.js'
import { ROOT, startApi } from './api.js'

const created = (n: number): object => ({ room: 'orders/1', event: 'created', data: { n } })

for (const { name, program, start, make } of BROKERS) {
  t.test(`${name}: a request goes on at another node, where it adds nothing twice and is answered alike`, {
    skip: missing(program)
  }, async (t) => {
    const { port } = await start(t)
    const a = await startApi(t, {}, { adapter: make(port) })
    const b = await startApi(t, {}, { adapter: make(port) })
    const ada = await connect(b, { rooms: ['orders/1'], token: b.token('ada') })
    const headers = { 'idempotency-key': 'import' }
    const list = [created(1), created(2), { room: 'orders/1', event: 'price', data: { item: 'tea', euro: 3 } }]
    const first = await a.post('publish', list, ROOT, headers)
    matchList(
      t,
      [first.status, first.body],
      [200, { results: [{ position: { epoch: String } }, { position: {} }, {}] }]
    )
    const again = await b.post('publish', list, ROOT, headers)
    interface Answered { results: Array<{ position?: { offset: number } }> }
    const positions = ({ results }: Answered): unknown[] => results.map(({ position }) => position)
    t.same(positions(again.body), positions(first.body))
    t.match((await b.post('publish', [created(3)], ROOT, headers)).body, { statusCode: 409, code: 'duplicate' })
    t.equal((await ada.next('created')).offset, (first.body as Answered).results[0]!.position!.offset)
    t.match(await ada.next('created'), { data: { n: 2 } })
    await ada.next('price')
    await ada.fence()
    for (const { get } of [a, b]) {
      const { body } = await get('rooms/orders/1')
      matchList(t, body, { count: 1, members: [{ userId: 'ada' }] })
      t.same((body as { position: object }).position, positions(first.body)[1])
      matchList(t, (await get('rooms/orders/1/history')).body, { events: [{ data: { n: 1 } }, { data: { n: 2 } }] })
      t.same((await get('rooms/orders/1/state')).body, { price: { tea: { item: 'tea', euro: 3 } } })
      t.same((await get('users/ada')).body, { online: true, connections: 1 })
    }
    t.same((await a.post('revoke', { user: 'ada' })).body, { closed: 0 })
    await ada.ended
    await t.rejects(connect(b, { token: b.token('ada') }), { code: 'revoked' })
  })
}
