import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { connect, type Client, type NamedRoom } from '../../lib/client/index.js'
import { rejection, until } from '../helpers/client.js'
import { chat, start, TRANSPORTS, type Running, type TransportName } from '../helpers/net.js'

interface Stage {
  readonly client: Client
  readonly main: NamedRoom
  readonly other: NamedRoom
  /** Texts that have come, by room. */
  readonly heard: Readonly<Record<'main' | 'other', string[]>>
  readonly states: string[]
  /** Requests and sockets that it has made. */
  dials: number
}

/** Clients that were closed, with what they had dialled by then. */
const closed: Array<readonly [stage: Stage, dials: number, where: string]> = []

/** What a listener may listen to, each of which comes while a client opens that joins the rooms of the stage. */
const PLACES: Readonly<Record<string, (stage: Stage, call: () => void) => void>> = {
  'the first open': ({ client }, call) => { client.on('state', ({ state }) => { if (state === 'open') call() }) },
  'a later open': ({ client }, call) => {
    let count = 0
    client.on('state', ({ state }) => {
      if (state !== 'open') return
      if (++count === 1) client.reconnect()
      else call()
    })
  },
  reconnecting: ({ client, main }, call) => {
    client.on('state', ({ state }) => { if (state === 'reconnecting') call() })
    void main.joined.then(() => { client.reconnect() })
  },
  error: ({ client }, call) => { client.on('error', call) },
  gap: ({ client }, call) => { client.on('gap', call) },
  'the gap of a room': ({ main }, call) => { main.on('gap', call) },
  'the presence of a room': ({ main }, call) => { main.on('presence', call) },
  'an event of a room': ({ main }, call) => { main.on('said', call) }
}

type Act = (stage: Stage, app: Running, t: Test) => Promise<void>

const works: Act = async ({ client, main, heard }, { app }) => {
  await until('it is open again', () => client.state === 'open')
  await main.joined
  await main.send('say', { text: 'sent' })
  await until('the room is heard', async () => {
    await app.rooms.broadcast('chat/main', 'said', { text: 'after', by: 'server' })
    return heard.main.includes('after')
  })
}
const otherWorks: Act = async ({ other, heard }, { app }) => {
  await other.joined
  await until('the other room is heard', async () => {
    await app.rooms.broadcast('chat/other', 'said', { text: 'after', by: 'server' })
    return heard.other.includes('after')
  })
}

/** What is called inside the listener, and what has to come of it. */
const CALLS: Readonly<Record<string, (stage: Stage) => Act>> = {
  join ({ client }) {
    const room = client.join('chat/more')
    return async (stage, app) => {
      await room.joined
      await room.send('say', { text: 'more' })
      await works(stage, app, t)
    }
  },
  send ({ main }) {
    const sent = main.send('say', { text: 'inside' })
    return async (stage, app, t) => {
      t.match(await sent, { id: 'inside' })
      await otherWorks(stage, app, t)
    }
  },
  leave ({ other }) {
    const left = other.leave()
    return async (stage, app, t) => {
      await left
      await until('nobody is in the room', async () =>
        !(await app.app.rooms.members('chat/other')).length)
      await works(stage, app, t)
    }
  },
  close (stage) {
    const { client, main, states } = stage
    client.close()
    const { state } = client
    const { dials } = stage
    return async (_stage, _app, t) => {
      t.equal(state, 'closed')
      t.match(await rejection(main.send('say', { text: 'late' })), { code: 'closed' })
      t.equal(client.state, 'closed')
      t.same(states.filter((each) => each === 'closed'), ['closed'], 'once')
      t.equal(states.at(-1), 'closed')
      closed.push([stage, dials, t.fullname])
    }
  },
  reconnect ({ client }) {
    client.reconnect()
    return async (stage, app, t) => {
      await works(stage, app, t)
      await otherWorks(stage, app, t)
      t.equal(client.state, 'open')
    }
  }
}

let users = 0

function stage (t: Test, { url, token }: Running, transport: TransportName): Stage {
  class Counted extends WebSocket {
    constructor (url: string, protocols: string[]) {
      super(url, protocols)
      on.dials++
    }
  }
  const client = connect(`${url}/ws`, {
    token: () => token(`user-${++users}`),
    WebSocket: Counted as never,
    fetch: async (input, init) => {
      if (init?.signal?.aborted !== true) on.dials++
      return await fetch(input, init)
    },
    timeout: 2_000,
    transports: [transport]
  })
  t.teardown(() => { client.close() })
  const heard = { main: [] as string[], other: [] as string[] }
  const states: string[] = []
  client.on('state', ({ state }) => { states.push(state!) })
  const hear = (room: NamedRoom, into: string[]): NamedRoom => {
    room.on('said', ({ data }) => { into.push((data as { text: string }).text) })
    return room
  }
  // Of another epoch, so that there is a gap.
  const since = { epoch: 'AAAAAAAA', offset: 1 }
  const main = hear(client.join('chat/main', { since }), heard.main)
  const other = hear(client.join('chat/other'), heard.other)
  const on: Stage = { client, main, other, heard, states, dials: 0 }
  return on
}

for (const transport of TRANSPORTS) {
  for (const [place, listen] of Object.entries(PLACES)) {
    t.test(`over ${transport} what is called inside a listener of ${place} neither throws nor is lost`, async (t) => {
      const app = await start(t, {
        presence: { grace: 0 },
        declare: (app) => {
          app.room(chat, {
            presence: true,
            on: {
              async say ({ data, userId, room }) {
                await room.broadcast('said', { text: data.text, by: userId })
                return { id: data.text }
              },
              type: () => undefined
            }
          })
        }
      })
      for (const [name, call] of Object.entries(CALLS)) {
        const on = stage(t, app, transport)
        let isCalled = false
        const called = new Promise<Act>((resolve) => {
          listen(on, () => {
            if (isCalled) return
            isCalled = true
            resolve((async () => call(on))())
          })
        })
        if (place === 'error') void on.client.join('none/1')
        if (place === 'an event of a room') {
          void on.main.joined.then(async () => {
            await app.app.rooms.broadcast('chat/main', 'said', { text: 'first', by: 'server' })
          })
        }
        await t.test(name, async (t) => {
          await until(`the listener is called; states: ${on.states.join()}`, () => isCalled)
          await (await called)(on, app, t)
        })
        on.client.close()
      }
    })
  }
}

t.test('a client that was closed inside a listener does not dial again', async (t) => {
  t.equal(closed.length, TRANSPORTS.length * Object.keys(PLACES).length)
  // The longest first wait of a client that goes on.
  await new Promise((resolve) => { setTimeout(resolve, 1_100) })
  for (const [stage, dials, where] of closed) t.equal(stage.dials, dials, where)
})
