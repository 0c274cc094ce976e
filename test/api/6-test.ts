// 6. the app's own test: no port, no network
import test from 'node:test'
import assert from 'node:assert/strict'
import { createPeer } from '../../lib/testing/index.js'
import { build, orders } from './5-existing.js'

test('an order reaches the shop, and nobody when it fails', async (t) => {
  const app = await build()
  t.after(() => app.close())                                       // two peers: milliseconds, not the drain timeout
  await app.ready()
  const token = app.jwt.sign({ sub: 'ada', name: 'Ada', rooms: ['a'] })
  const authorization = `Bearer ${token}`
  const { name } = orders.at({ shop: 'a' })
  const ada = await createPeer(app, { room: name, token })
  const csrf = await csrfOf(app)
  await app.inject({ method: 'POST', url: '/api/shops/a/orders', headers: { authorization, ...csrf }, payload: {} })
  assert.deepEqual((await ada.next('created')).data, { id: '1' })
  await app.inject({ method: 'POST', url: '/api/shops/a/orders', headers: { authorization }, payload: {} })   // 403: no CSRF token
  await ada.fence()                                                // proves that nothing more came
  await assert.rejects(createPeer(app, { room: orders.at({ shop: 'b' }).name, token }), { statusCode: 403, code: 'forbidden' })
  const poll = await app.inject({ url: '/ws/orders/a', headers: { authorization } })    // no Accept: JSON, at once
  assert.deepEqual(Object.keys(poll.json()), ['connectionId', 'cursor', 'resumed', 'rooms', 'frames'])
})
declare function csrfOf (app: unknown): Promise<Record<string, string>>
