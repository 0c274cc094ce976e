import assert from 'node:assert/strict'
import test from 'node:test'
import { createPeer } from 'fastify-realtime/testing'
import { buildApp } from './app.js'
import { openMessages } from './database.js'

test('what a customer says is stored, and an agent hears it', async (t) => {
  const app = await buildApp({ messages: openMessages(':memory:'), realtime: { jwt: { secret: 'x'.repeat(32) } } })
  t.after(() => app.close())
  await app.ready()
  const tokenOf = async (name: string, password: string): Promise<string> =>
    (await app.inject({ method: 'POST', url: '/login', body: { name, password } })).json<{ token: string }>().token
  const [ada, grace] = [await tokenOf('ada', 'engine'), await tokenOf('grace', 'sesame')]

  const customer = await createPeer(app, { room: 'conversations/ada', token: ada })
  const agent = await createPeer(app, { room: 'desk', token: grace })
  customer.send({ type: 'say', room: 'conversations/ada', id: '1', data: { text: 'it is broken' } })
  await customer.next('ack')
  const { text, by } = (await agent.next('said')).data as { text: string, by: string }
  assert.deepEqual({ text, by }, { text: 'it is broken', by: 'ada' })

  const headers = { authorization: `Bearer ${grace}` }
  const answer = await app.inject({ url: '/conversations/ada', headers })
  assert.equal(answer.json<Array<{ text: string }>>().length, 1)
  await assert.rejects(createPeer(app, { room: 'desk', token: ada }), { code: 'forbidden' })
})
