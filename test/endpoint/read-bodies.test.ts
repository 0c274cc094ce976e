import { once } from 'node:events'
import t from 'tap'
import { dial, rejection } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { declareChat, eventually, start, type Running } from '../helpers/net.js'

/** A key of the server API. */
const KEY = 'k'.repeat(40)

/** A server whose app reads all bodies, as `app.use(express.json())` of @fastify/express does. */
async function startReading (t: Parameters<typeof start>[0]): Promise<Running> {
  return await start(t, {
    declare: declareChat,
    api: { keys: [{ name: 'jobs', key: KEY, may: ['revoke'], rooms: ['*'] }] },
    before (app) {
      app.addHook('onRequest', async ({ raw }) => {
        raw.resume()
        await once(raw, 'end')
      })
    }
  })
}

for (const transport of ['sse', 'polling'] as const) {
  t.test(`over ${transport} a message whose body other code has read is refused at once, and the log says how to mend that`, async (t) => {
    const server = await startReading(t)
    const { client } = dial(t, server, 'ada', { transports: [transport] })
    const room = client.join('chat/1')
    await room.joined
    t.match(await rejection(room.send('say', { text: 'hi' }, { timeout: 5_000 })), { code: 'internal' })
    const line = await eventually('the line', () => server.loud.splice(0)[0], (found) => found !== undefined)
    t.match(line, { err: { code: 'REALTIME_ERR_PLUGIN', message: /read the body.*app\.post\(path, express\.json\(\), \.\.\.\)/ } })
  })
}

t.test('so are calls of the server API and requests for a ticket', async (t) => {
  const server = await startReading(t)
  for (const [path, token] of [['/ws/api/revoke', KEY], ['/ws/ticket', server.token('ada')]] as const) {
    const answer = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', connection: 'close' },
      body: '{"user":"ada"}',
      signal: AbortSignal.timeout(5_000)
    })
    matchList(t, [answer.status, await answer.json()], [500, { code: 'internal' }], path)
    matchList(t, server.loud.splice(0), [{ err: { code: 'REALTIME_ERR_PLUGIN' } }])
  }
})
