import assert from 'node:assert/strict'
import test from 'node:test'
import { createPeer } from 'fastify-realtime/testing'
import { build } from './build.js'

test('a move reaches the other player', async (t) => {
  const app = await build()
  t.after(() => app.close())
  await app.ready()
  const tokenOf = (sub: string): string => app.jwt.sign({ sub, name: sub, rooms: ['7'] }, { expiresIn: '1m' })

  const ada = await createPeer(app, { room: 'games/7', token: tokenOf('ada') })
  const bob = await createPeer(app, { room: 'games/7', token: tokenOf('bob'), transport: 'sse' })

  ada.send({ type: 'move', room: 'games/7', id: '1', data: { from: 12, to: 28 } })
  assert.deepEqual((await ada.next('ack')).data, { turn: 1 })
  assert.deepEqual((await bob.next('moved')).data, { from: 12, to: 28, by: 'ada' })

  await assert.rejects(createPeer(app, { room: 'games/8', token: tokenOf('ada') }), {
    statusCode: 403,
    code: 'forbidden'
  })
})
