import t from 'tap'
import { PAIRS } from '../helpers/node-pairs.js'
import { chat, declareChat, everyone, start } from '../helpers/net.js'
import { dial, until } from '../helpers/client.js'

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: an answer says the position of each room that its handler names, whichever node published to it`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const heads: Array<string | null> = []
    const [a, b] = await nodes(t, {
      declare: (app) => {
        declareChat(app)
        app.room(everyone)
        app.get('/two', async (_request, reply) => {
          await reply.position('chat/2')
          await reply.position(everyone)
          return await reply.position(chat.at({ id: '2' }))
        })
      }
    })
    const shown: string[] = []
    const page = dial(t, b, 'ada').client.join(chat.at({ id: '2' }))
    page.on('said', ({ data }) => { shown.push(data.text) })
    await page.joined
    const { position } = await a.app.rooms.broadcast(chat.at({ id: '2' }), 'said', { text: 'before', by: 'a' })
    await until('the first event', () => shown.length === 1)
    const all = (await a.app.rooms.history(everyone)).position
    const load = async (): Promise<Response> => {
      const response = await fetch(`${a.url}/two`)
      heads.push(response.headers.get('x-realtime-position'))
      t.same(await response.json(), position)
      return response
    }
    await page.snapshot(load)
    t.same(heads, [`@all ${all.epoch}:${all.offset},chat/2 ${position!.epoch}:${position!.offset}`])
    await a.app.rooms.broadcast(chat.at({ id: '2' }), 'said', { text: 'behind', by: 'a' })
    await until('the next event', () => shown.length === 2)
    t.same(shown, ['before', 'behind'])
  })
}

t.test('a room without history has no position, and an undeclared one is unknown', async (t) => {
  const { app } = await start(t, {
    declare: (app) => {
      declareChat(app, { history: false })
      app.get('/:room', async (request, reply) => await reply.position((request.params as { room: string }).room))
    }
  })
  t.match(await app.inject('/chat%2F1').then((answer) => answer.json()), {
    code: 'REALTIME_ERR_ROOM',
    message: /"chat\/1" keeps no history, so it has no position; declare the room with history/
  })
  t.match(await app.inject('/nothing').then((answer) => answer.json()), { code: 'REALTIME_ERR_ROOM_UNKNOWN' })
})
