import t from 'tap'
import { dial, until } from '../helpers/client.js'
import { chat, start, TRANSPORTS } from '../helpers/net.js'
import { missing, startNginx } from '../helpers/servers.js'

const DOWN = 1_000
const UP = 200
const skip = missing('nginx')

const range = (size: number): string[] => Array.from({ length: size }, (_, index) => String(index + 1))

for (const transport of TRANSPORTS) {
  for (const [place, directives, pause] of [['with its default settings', '', 0], ['that cuts what is silent for 5 s', 'proxy_read_timeout 5s;', 6_500]] as const) {
    t.test(`over ${transport} behind an nginx ${place}: everything once and in order`, { skip }, async (t) => {
      const app = await start(t, {
        fastify: { trustProxy: true, forceCloseConnections: true },
        limits: { rate: { messages: 1_000, burst: 1_000 } },
        declare: (app) => {
          app.room(chat, {
            history: { size: 5_000 },
            on: {
              say: ({ data, messageId }) => {
                applied.push(data.text)
                return { id: messageId! }
              },
              type () {}
            }
          })
        }
      })
      const applied: string[] = []
      const nginx = await startNginx(t, app.port, directives)
      const watched = dial(t, { url: nginx.url, token: app.token }, 'ada', { transports: [transport] })
      const room = watched.client.join(chat.at({ id: '1' }))
      const heard: string[] = []
      room.on('said', ({ data }) => { heard.push(data.text) })
      await room.joined
      const sends: Array<Promise<unknown>> = []
      for (let n = 1; n <= DOWN; n++) {
        if (n % (DOWN / UP) === 0) sends.push(room.send('say', { text: String(n * UP / DOWN) }))
        await app.app.rooms.broadcast(chat.at({ id: '1' }), 'said', { text: String(n), by: 'server' })
        if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, n === DOWN / 2 ? pause : 10))
      }
      await Promise.all(sends)
      await until(`all events; ${JSON.stringify(watched.errors)}`, () => heard.length >= DOWN)
      t.same(heard, range(DOWN))
      t.same(applied, range(UP))
      t.same(watched.gaps, [])
      if (pause === 0) t.same(watched.states, ['open'])
      else t.ok(watched.states.includes('reconnecting'), 'it was cut')
      t.same(app.loud, [])
    })
  }
}
