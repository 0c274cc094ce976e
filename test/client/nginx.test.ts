import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { dial, until, type Watched } from '../helpers/client.js'
import { chat, start, TRANSPORTS, type StartOptions, type TransportName } from '../helpers/net.js'
import { missing, startNginx } from '../helpers/servers.js'

const DOWN = 1_000
const UP = 200
const skip = missing('nginx')

const range = (size: number): string[] => Array.from({ length: size }, (_, index) => String(index + 1))

/** Longer than the impatient nginx waits. */
const IDLE = 6_500
const impatient = 'proxy_read_timeout 5s;'

interface Place {
  readonly name: string
  readonly transports: readonly TransportName[]
  readonly directives?: string
  readonly options?: StartOptions
  /** what happens when half of the events are out */
  readonly halfway?: (watched: Watched) => Promise<unknown>
  readonly states?: readonly string[]
}

const places: readonly Place[] = [
  { name: 'with its default settings', transports: TRANSPORTS },
  {
    name: 'that cuts what is silent for 5 s',
    transports: ['websocket', 'sse'],
    directives: impatient,
    halfway: async ({ states }) => await until('it cuts the link', () => states.includes('reconnecting')),
    states: ['open', 'reconnecting', 'open']
  },
  {
    name: 'that cuts what is silent for 5 s, before a server that beats each 2 s',
    transports: ['websocket', 'sse'],
    directives: impatient,
    options: { heartbeat: 2_000, sse: { comment: 2_000 } },
    halfway: async () => { await delay(IDLE) }
  },
  // How long a poll waits is for the client to say: it asks for less after a 504.
  {
    name: 'that cuts what is silent for 5 s',
    transports: ['polling'],
    directives: impatient,
    halfway: async () => { await delay(IDLE) }
  }
]

t.jobs = 4
for (const { name, transports, directives, options, halfway, states = ['open'] } of places) {
  for (const transport of transports) {
    t.test(
      `over ${transport} behind an nginx ${name}: everything once and in order by ${states.length > 1 ? 'more than one link' : 'one link'}`,
      {
        skip,
        buffered: true
      },
      async (t) => {
        const applied: string[] = []
        const app = await start(t, {
          fastify: { trustProxy: true, forceCloseConnections: true },
          limits: { rate: { messages: 1_000, burst: 1_000 } },
          ...options,
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
          if (n === DOWN / 2) await halfway?.(watched)
          else if (n % 10 === 0) await delay(10)
        }
        await Promise.all(sends)
        await until(`all events; ${JSON.stringify(watched.errors)}`, () => heard.length >= DOWN)
        t.same(heard, range(DOWN))
        t.same(applied, range(UP))
        t.same(watched.gaps, [])
        // What is silent for 5 s because the machine is busy is cut once more.
        const cut = states.length > 1 ? watched.states.slice(0, states.length) : watched.states
        t.same(cut, states)
        t.same(app.loud, [])
      }
    )
  }
}
