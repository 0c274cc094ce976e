import t from 'tap'
import { chat, connect, declareChat, type Frame, type Running } from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'

const KEY = 'a-key-of-the-shop-with-32-characters'
/** What a caller may put where the id of his connection belongs. */
const NO_IDS = ['', 'x'.repeat(20_000), ' ', '\u00E9', '{"$":1}']

const declare = (app: Running['app']): void => {
  declareChat(app)
  app.post('/say/:text', async (request, reply) => {
    reply.broadcast(chat.at({ id: '1' }), 'said', { text: (request.params as { text: string }).text, by: 'rest' })
    return {}
  })
}
const api = { keys: [{ key: KEY, name: 'shop', rooms: ['chat/*'], may: ['publish' as const] }] }
const textOf = ({ data }: Frame): unknown => (data as { text: unknown }).text

for (const { name, skip, nodes } of PAIRS) {
  t.test(
    `on ${name}: an event reaches its members whatever text stands where the connection of its sender belongs`,
    { skip },
    async (t) => {
      const [a, b] = await nodes(t, { declare, api })
      const peers = [
        await connect(a, { rooms: ['chat/1'], token: a.token('ada') }),
        await connect(b, { rooms: ['chat/1'], token: b.token('bob') })
      ]
      const reached = async (text: string): Promise<void> => {
        for (const peer of peers) t.equal(textOf(await peer.next('said')), text)
      }
      for (const [index, id] of NO_IDS.entries()) {
        const request = { method: 'POST' as const, url: `/say/header-${index}`, headers: { 'x-connection-id': id } }
        t.equal((await a.app.inject(request)).statusCode, 200)
        await reached(`header-${index}`)
        await a.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: `call-${index}`, by: 'x' }, { except: id })
        await reached(`call-${index}`)
        const { statusCode } = await a.app.inject({
          method: 'POST',
          url: '/ws/api/publish',
          headers: { authorization: `Bearer ${KEY}` },
          payload: { room: 'chat/1', event: 'said', data: { text: `api-${index}`, by: 'x' }, except: id }
        })
        t.equal(statusCode, 200)
        await reached(`api-${index}`)
      }
    }
  )
}
