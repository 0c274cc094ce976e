import assert from 'node:assert/strict'
import test from 'node:test'
import { createPeer } from 'fastify-realtime/testing'
import { build } from './build.js'
import { game } from './rooms.js'

test('a player who was away gets what happened meanwhile', async (t) => {
  const app = await build()
  t.after(() => app.close())
  await app.ready()
  const token = app.jwt.sign({ sub: 'ada', name: 'Ada', rooms: ['7'] }, { expiresIn: '1m' })
  const room = game.at({ id: '7' })

  const ada = await createPeer(app, { room: 'games/7', token })
  const { position } = await app.rooms.broadcast(room, 'moved', { from: 1, to: 2, by: 'bob' })
  await ada.next('moved')
  ada.cut()                                                         // as a tunnel does
  await app.rooms.broadcast(room, 'moved', { from: 3, to: 4, by: 'bob' })

  const back = await createPeer(app, { token })
  back.send({ type: 'join', room: 'games/7', id: '1', data: { since: position } })
  assert.equal(((await back.next('ack')).data as { resumed: boolean }).resumed, true)
  assert.deepEqual((await back.next('moved')).data, { from: 3, to: 4, by: 'bob' })
})

test('a REST call reaches the players, and only those of the game', async (t) => {
  const app = await build()
  app.post<{ Params: { id: string } }>('/games/:id/bot', async ({ params }, reply) => {
    reply.broadcast(game.at(params), 'moved', { from: 5, to: 6, by: 'bot' })
    return {}
  })
  t.after(() => app.close())
  await app.ready()
  const tokenOf = (id: string): string => app.jwt.sign({ sub: 'ada', name: 'Ada', rooms: [id] }, { expiresIn: '1m' })
  const seven = await createPeer(app, { room: 'games/7', token: tokenOf('7'), transport: 'sse' })
  const eight = await createPeer(app, { room: 'games/8', token: tokenOf('8'), transport: 'polling' })
  // Presence and the clock of `onJoin` come first.
  await Promise.all([seven.next('clock'), eight.next('clock')])
  await app.inject({ method: 'POST', url: '/games/7/bot' })
  assert.deepEqual((await seven.next('moved')).data, { from: 5, to: 6, by: 'bot' })
  await eight.fence()
})
