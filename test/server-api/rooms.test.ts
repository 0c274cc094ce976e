import t from 'tap'
import { matchList } from '../helpers/match-list.js'
import { connect } from '../helpers/net.js'
import { lacking } from '../helpers/node-pairs.js'
import { DESK, ROOT, SHOP, startApi, VIEW } from './api.js'

t.test('a room is told by its members, their number and its position', async (t) => {
  const api = await startApi(t)
  await api.app.rooms.broadcast('orders/1', 'created', { n: 1 })
  const ada = await connect(api, { rooms: ['orders/1', 'lobby'], token: api.token('ada') })
  const { body } = await api.get('rooms/orders/1')
  matchList(t, body, { count: 1, members: [{ userId: 'ada' }], position: { epoch: /^[\w-]{8}$/, offset: 1 } })
  t.match((await api.get('rooms/lobby')).body, { position: { offset: 0 } })
  t.same((await api.get('rooms/bare/1')).body, {}, 'it has neither presence nor history')
  t.match((await api.get('users/ada')).body, { online: true, connections: 1 })
  t.match((await api.get(`users/${encodeURIComponent('a/b ç')}`)).body, { online: false, connections: 0 })
  await ada.close()
})

t.test('a room with presence is told without members where the adapter keeps no presence', async (t) => {
  const api = await startApi(t, {}, { adapter: lacking('presence') })
  await api.app.rooms.broadcast('orders/1', 'created', { n: 1 })
  const answer = await api.get('rooms/orders/1')
  t.equal(answer.status, 200)
  t.strictSame(Object.keys(answer.body), ['position'])
})

t.test('of a room without history there is no position, and values that are not kept are refused with what to do', async (t) => {
  const api = await startApi(t, {}, { adapter: lacking('latest') })
  t.same((await api.get('rooms/bare/1/history')).body, { events: [] })
  t.same((await api.get('rooms/lobby/state')).body, {}, 'it declares none')
  const { status, body } = await api.get('rooms/orders/1/state')
  matchList(t, [status, body], [400, { code: 'invalid_message', message: /^the .+ adapter keeps no values.*; use / }])
  t.same(api.loud, [])
})

t.test('the history of a room is read page by page', async (t) => {
  const api = await startApi(t)
  for (const n of [1, 2, 3]) await api.app.rooms.broadcast('orders/1', 'created', { n })
  const numbers = ({ events }: { events: Array<{ data: { n: number } }> }): number[] => events.map(({ data }) => data.n)
  const newest = (await api.get('rooms/orders/1/history?limit=2')).body as { position: { epoch: string }, events: [] }
  t.same(numbers(newest), [2, 3])
  matchList(t, newest.events, [{ type: 'created', offset: 2, timestamp: Number }, {}])
  const since = `${newest.position.epoch}:1`
  matchList(t, (await api.get(`rooms/orders/1/history?since=${since}`)).body, { resumed: true, events: [{ offset: 2 }, { offset: 3 }] })
  t.match((await api.get('rooms/orders/1/history?since=AAAAAAAA:1')).body, { resumed: false })
  for (const query of ['since=1', 'since=AAAAAAAA:x', 'limit=few', 'limit=-1']) {
    t.match((await api.get(`rooms/orders/1/history?${query}`)).body, { statusCode: 400, code: 'invalid_message' }, query)
  }
})

t.test('the pages of a long history follow each other without a hole', async (t) => {
  const api = await startApi(t)
  const text = 'x'.repeat(100_000)
  for (let i = 0; i < 7; i++) await api.app.rooms.broadcast('orders/1', 'note', { text: `${i}${text}` })
  interface Page { more?: boolean, position: { epoch: string, offset: number }, events: Array<{ offset: number }> }
  let page = (await api.get('rooms/orders/1/history')).body as Page
  const offsets = page.events.map(({ offset }) => offset)
  let pages = 1
  for (; page.more === true; pages++) {
    const { epoch, offset } = page.position
    page = (await api.get(`rooms/orders/1/history?since=${epoch}:${offset}`)).body
    offsets.push(...page.events.map((event) => event.offset))
  }
  t.same(offsets, [1, 2, 3, 4, 5, 6, 7])
  t.ok(pages > 1)
})

t.test('the state of a room is its newest values, by event and key', async (t) => {
  const api = await startApi(t)
  for (const [item, euro] of [['tea', 3], ['tea', 4], ['__proto__', 1]] as const) {
    await api.app.rooms.broadcast('orders/1', 'price', { item, euro })
  }
  const { body } = await api.get('rooms/orders/1/state')
  t.equal(JSON.stringify(body), '{"price":{"tea":{"item":"tea","euro":4},"__proto__":{"item":"__proto__","euro":1}}}')
})

t.test('values that are too many for one answer are refused, and not cut off', async (t) => {
  const api = await startApi(t)
  const item = 'x'.repeat(100_000)
  for (let i = 0; i < 11; i++) await api.app.rooms.broadcast('large/1', 'sheet', { id: String(i), text: item })
  const { status, body } = await api.get('rooms/large/1/state')
  matchList(t, [status, body], [413, { code: 'message_too_large', message: /1048576 bytes/ }])
  await api.app.rooms.remove('large/1', 'sheet', '0')
  await api.app.rooms.remove('large/1', 'sheet', '1')
  t.same(Object.keys(((await api.get('rooms/large/1/state')).body as { sheet: object }).sheet).length, 9)
})

t.test('a room whose name has an escaped slash is that room', async (t) => {
  const api = await startApi(t)
  await api.app.rooms.broadcast('orders/a%2Fb', 'created', { n: 1 })
  t.match((await api.get('rooms/orders/a%2Fb')).body, { position: { offset: 1 } })
  matchList(t, (await api.get('rooms/orders/a%2Fb/history')).body, { events: [{ data: { n: 1 } }] })
  t.match((await api.get('rooms/orders/a/b')).body, { statusCode: 404, code: 'room_unknown' })
  t.match((await api.get('rooms/orders/history')).body, { position: { offset: 0 } }, 'a room of this name')
  t.match((await api.get('users/a/b')).body, { statusCode: 400, code: 'invalid_message' })
  t.match((await api.get('users/%FF')).body, { statusCode: 400 })
})

t.test('connections are put into a room and taken out of it, without being asked whether they may', async (t) => {
  const api = await startApi(t)
  const ada = await connect(api, { token: api.token('ada') })
  t.same((await api.post('join', { user: 'ada', room: 'orders/1' })).body, { joined: 1 })
  t.match(await ada.next('joined'), { room: 'orders/1' })
  t.same((await api.post('leave', { connection: ada.id, room: 'orders/1' })).body, { left: 1 })
  t.match(await ada.next('left'), { room: 'orders/1' })
  t.match((await api.post('join', { user: 'ada', room: '@all' })).body, { statusCode: 404 })
  await ada.close()
})

t.test('a user is closed for good and kept out', async (t) => {
  const api = await startApi(t)
  const ada = await connect(api, { token: api.token('ada') })
  t.same((await api.post('revoke', { user: 'ada', message: 'goodbye', until: Date.now() + 60_000 })).body, { closed: 1 })
  await ada.ended
  await t.rejects(connect(api, { token: api.token('ada') }), { statusCode: 403, code: 'revoked' })
  t.same((await api.post('revoke', { tokenId: 'nobody-has-it' })).body, { closed: 0 })
})

t.test('a call that is none is refused, and does nothing', async (t) => {
  const { post } = await startApi(t)
  for (const [path, body] of [
    ['join', { user: 'ada' }],
    ['join', { room: 'orders/1' }],
    ['join', { user: 'ada', connection: 'x', room: 'orders/1' }],
    ['join', { user: '', room: 'orders/1' }],
    ['join', { user: 5, room: 'orders/1' }],
    ['leave', { user: 'ada', room: 'orders/1', force: true }],
    ['leave', []],
    ['revoke', {}],
    ['revoke', { user: 'ada', tokenId: 'x' }],
    ['revoke', { user: 'ada', until: 'tomorrow' }],
    ['revoke', { user: 'ada', message: 1 }],
    ['revoke', '{']
  ] as const) {
    const answer = await post(path, body, ROOT)
    matchList(t, [answer.status, answer.body], [400, { code: 'invalid_message', retry: 'never' }], `${path} ${JSON.stringify(body)}`)
  }
  t.match((await post('leave', { user: 'ada', room: 'nowhere' })).body, { statusCode: 404, code: 'room_unknown' })
  t.match((await post('revoke', { user: 'a'.repeat(70_000) })).body, { statusCode: 413, code: 'message_too_large' })
})

t.test('the members of a room are moved, closed and kept out, and one room is taken from one user', async (t) => {
  const api = await startApi(t)
  const both = { rooms: ['orders/1', 'lobby'] }
  const [ada, bob] = [
    await connect(api, { ...both, token: api.token('ada') }),
    await connect(api, { ...both, token: api.token('bob') })
  ]
  t.same((await api.post('join', { of: 'orders/1', room: 'orders/2' }, DESK)).body, { joined: 2 })
  for (const peer of [ada, bob]) await peer.next('joined', ({ room }) => room === 'orders/2')
  t.same((await api.post('revoke', { user: 'bob', room: 'orders/2', message: 'enough' }, DESK)).body, { left: 1 })
  t.match(await bob.next('left'), { room: 'orders/2', data: { code: 'revoked', message: 'enough' } })
  t.match((await api.post('join', { user: 'bob', room: 'orders/2' })).body, { joined: 1 }, 'only the server lets in again')
  t.same((await api.post('leave', { of: 'orders/1', room: 'orders/2' }, DESK)).body, { left: 2 })
  t.match(await ada.next('left'), { room: 'orders/2', data: { code: 'left' } })
  t.same((await api.post('close', { user: 'ada', code: 'draining', message: 'moving' }, DESK)).body, { closed: 1 })
  t.match((await ada.next('error')).data, { code: 'draining', message: 'moving' })
  t.same((await api.post('close', { room: 'orders/1' }, DESK)).body, { closed: 1 })
  t.match((await bob.next('error')).data, { code: 'unavailable' })
  const back = await connect(api, { ...both, token: api.token('bob') })
  t.same((await api.post('close', { connection: back.id }, DESK)).body, { closed: 1 })
  const last = await connect(api, { ...both, token: api.token('bob') })
  t.same((await api.post('revoke', { room: 'orders/1', message: 'over' }, DESK)).body, { closed: 1 })
  t.match((await last.next('error')).data, { code: 'revoked', message: 'over' })
})

t.test('a room is cleared by a key that may', async (t) => {
  const api = await startApi(t)
  await api.app.rooms.broadcast('orders/1', 'created', { n: 1 })
  await api.app.rooms.broadcast('orders/1', 'price', { item: 'tea', euro: 3 })
  const ada = await connect(api, { rooms: ['orders/1'], token: api.token('ada') })
  t.match((await api.post('clear', { room: 'orders/1' }, SHOP)).body, { statusCode: 403, code: 'forbidden' })
  matchList(t, (await api.get('rooms/orders/1/history')).body, { events: [{ data: { n: 1 } }] })
  t.same((await api.post('clear', { room: 'orders/1' }, DESK)).body, {})
  t.match(await ada.next('removed'), { data: { event: 'price', key: 'tea' } })
  await ada.next('gap')
  t.same((await api.get('rooms/orders/1/state')).body, { price: {} })
  matchList(t, (await api.get('rooms/orders/1/history')).body, { events: [] })
  await ada.close()
})

t.test('connections are listed page by page, and a key sees of rooms only its own', async (t) => {
  const api = await startApi(t)
  const peers = [
    await connect(api, { rooms: ['orders/1', 'lobby'], token: api.token('ada') }),
    await connect(api, { rooms: ['orders/1'], transport: 'sse', token: api.token('ada') }),
    await connect(api, { rooms: ['lobby'], token: api.token('bob') })
  ]
  interface Page { connections: Array<{ id: string, user: string, rooms: string[] }>, cursor?: string, total: number }
  const listed = async (query: string, key = DESK): Promise<Page> => (await api.get(`connections${query}`, key)).body
  const first = await listed('?room=orders/1&limit=1')
  matchList(t, first, { total: 2, incomplete: false, missing: [], connections: [{ id: peers[0]!.id, user: 'ada', rooms: ['orders/1'] }] })
  const second = await listed(`?room=orders%2F1&limit=1&cursor=${first.cursor!}`)
  matchList(t, second.connections, [{ id: peers[1]!.id, transport: 'sse' }])
  t.equal(second.cursor, undefined)
  t.same((await listed('?user=bob')).connections.map(({ id, rooms }) => [id, rooms]), [[peers[2]!.id, []]])
  const all = await listed('', ROOT)
  t.same(all.connections.map(({ id }) => id), peers.map(({ id }) => id))
  t.ok(all.connections[0]!.rooms.includes('lobby'))
  for (const [query, key, code] of [
    ['', DESK, 'forbidden'],
    ['?room=lobby', DESK, 'forbidden'],
    ['?room=orders/1', VIEW, 'forbidden'],
    ['?room=nowhere', ROOT, 'room_unknown'],
    ['?user=', ROOT, 'invalid_message'],
    ['?user=ada&user=bob', ROOT, 'invalid_message'],
    ['?room=lobby&room=orders/1', ROOT, 'invalid_message'],
    ['?user=ada&limit=0', ROOT, 'invalid_message'],
    ['?user=ada&limit=few', ROOT, 'invalid_message'],
    ['?user=ada&cursor=x', ROOT, 'invalid_message']
  ] as const) {
    t.equal(((await api.get(`connections${query}`, key)).body as { code: string }).code, code, query)
  }
  for (const peer of peers) peer.cut()
})

t.test('a target that is none, or is of a room that the key is not for, is refused, and nothing is done', async (t) => {
  const api = await startApi(t)
  const { post } = api
  const ada = await connect(api, { rooms: ['orders/1', 'lobby'], token: api.token('ada') })
  for (const [path, body, code] of [
    ['join', { of: 'orders/1', user: 'ada', room: 'orders/2' }, 'invalid_message'],
    ['join', { of: 5, room: 'orders/2' }, 'invalid_message'],
    ['join', { of: 'lobby', room: 'orders/2' }, 'forbidden'],
    ['join', { of: 'orders/1', room: 'lobby' }, 'forbidden'],
    ['leave', { of: 'orders', room: 'orders/1' }, 'forbidden'],
    ['leave', { of: 'orders/1/2', room: 'orders/1' }, 'room_unknown'],
    ['revoke', { room: 'lobby' }, 'forbidden'],
    ['revoke', { user: 'ada', room: 'lobby' }, 'forbidden'],
    ['revoke', { user: 'ada', room: 'orders/1', connection: ada.id }, 'invalid_message'],
    ['revoke', { tokenId: 'x', room: 'orders/1' }, 'invalid_message'],
    ['revoke', { user: 5, room: 'orders/1' }, 'invalid_message'],
    ['revoke', { room: ['orders/1'] }, 'invalid_message'],
    ['close', {}, 'invalid_message'],
    ['close', { room: 'lobby' }, 'forbidden'],
    ['close', { user: 'ada', room: 'orders/1' }, 'invalid_message'],
    ['close', { user: 'ada', code: 'revoked' }, 'invalid_message'],
    ['close', { user: 'ada', code: 5 }, 'invalid_message'],
    ['close', { user: 'ada', until: 5 }, 'invalid_message'],
    ['close', 'ada', 'invalid_message'],
    ['clear', {}, 'invalid_message'],
    ['clear', { room: 5 }, 'invalid_message'],
    ['clear', { room: 'lobby' }, 'forbidden'],
    ['clear', { room: 'orders/1', user: 'ada' }, 'invalid_message']
  ] as const) {
    t.equal(((await post(path, body, DESK)).body as { code: string }).code, code, `${path} ${JSON.stringify(body)}`)
  }
  await ada.fence()
  await ada.close()
})

t.test('the application is asked for each of these calls, with whom and what it concerns', async (t) => {
  const asked: object[] = []
  const { post, get } = await startApi(t, {
    authorize ({ request: _request, ...call }) {
      asked.push(call)
      return false
    }
  })
  for (const [path, body] of [
    ['join', { of: 'orders/1', room: 'orders/2' }],
    ['revoke', { user: 'ada', room: 'orders/1' }],
    ['close', { room: 'orders/1' }],
    ['clear', { room: 'orders/1' }]
  ] as const) t.match((await post(path, body, DESK)).body, { code: 'forbidden' })
  t.match((await get('connections?room=orders/1', DESK)).body, { code: 'forbidden' })
  t.same(asked, [
    { name: 'desk', action: 'join', room: 'orders/2', of: 'orders/1' },
    { name: 'desk', action: 'revoke', room: 'orders/1', user: 'ada' },
    { name: 'desk', action: 'close', room: 'orders/1' },
    { name: 'desk', action: 'clear', room: 'orders/1' },
    { name: 'desk', action: 'read', room: 'orders/1' }
  ])
})
