import t, { type Test } from 'tap'
import { Type } from '@sinclair/typebox'
import { connect as connectClient } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import type { Position } from '../../lib/protocol/position.js'
import { connect, eventually, start, type NetPeer, type Running } from '../helpers/net.js'

const chat = defineRoom('chat/:id', {
  messages: { say: { data: Type.Object({ text: Type.String() }) } },
  events: { said: { data: Type.Object({ text: Type.String() }) } }
})
const ROOM = 'chat/1'
const SIZE = 3
const TRANSPORTS = ['websocket', 'sse'] as const
type Named = typeof TRANSPORTS[number]

async function serve (t: Test): Promise<Running> {
  return await start(t, {
    declare: (app) => {
      app.room(chat, {
        history: { size: SIZE },
        on: { say: async ({ data, room, sender }) => { await room.broadcast('said', data, { except: sender }) } }
      })
    }
  })
}

/** A member who has heard one event, and knows no position but that of it. */
class Ada {
  readonly #server: Running
  readonly #transport: Named
  peer!: NetPeer
  #said = 0
  /** Where it stood when it came, and behind the event. */
  readonly positions: Position[] = []

  constructor (server: Running, transport: Named) {
    this.#server = server
    this.#transport = transport
  }

  async come (): Promise<void> {
    this.peer = await connect(this.#server, { transport: this.#transport, token: this.#server.token('ada'), rooms: [ROOM] })
    const { rooms } = this.peer.welcome.data as { rooms: Record<string, Position> }
    const { epoch, offset } = rooms[ROOM]!
    this.positions.push({ epoch, offset })
    await others(this.#server, 'first')
    const heard = await this.peer.next('said')
    this.positions.push({ epoch, offset: (heard as unknown as Position).offset })
  }

  async say (count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const id = `m-${++this.#said}`
      this.peer.send({ type: 'say', room: ROOM, id, data: { text: `own ${id}` } })
      await this.peer.next('ack', (frame) => frame.type === 'ack' && frame.id === id)
    }
  }

  /** @returns whether it was told that it has lost nothing */
  async comeBack (since = this.positions[1]!, token = this.#server.token('ada')): Promise<boolean | undefined> {
    const { id, cursor } = this.peer
    if (this.#transport === 'sse') {
      this.peer = await connect(this.#server, { transport: 'sse', token, rooms: [ROOM], query: { since: cursor } })
      return (this.peer.welcome.data as { rooms: Record<string, { resumed?: boolean }> }).rooms[ROOM]!.resumed
    }
    this.peer = await connect(this.#server, { token })
    this.peer.send({ type: 'join', room: ROOM, id: 'j', data: { since, connection: id } })
    const { data } = await this.peer.next('ack')
    return (data as { resumed?: boolean }).resumed
  }
}

async function others (server: Running, text: string): Promise<void> {
  await server.app.rooms.broadcast(ROOM, 'said', { text })
}

for (const transport of TRANSPORTS) {
  for (const isCut of [true, false]) {
    const link = isCut ? 'whose link has ended' : 'whose link nobody knows to be dead'
    t.test(`who said more than the history keeps, and ${link}, is told over ${transport} that he lost nothing`, async (t) => {
      const server = await serve(t)
      const ada = new Ada(server, transport)
      await ada.come()
      for (let round = 0; round < 2; round++) {
        await ada.say(SIZE + 2)
        if (isCut) {
          ada.peer.cut()
          await ada.peer.ended
        }
        await others(server, `news ${round}`)
        t.equal(await ada.comeBack(), true, `round ${round}`)
        const { data, offset } = await ada.peer.next('said') as unknown as { data: object, offset: number }
        t.same(data, { text: `news ${round}` })
        ada.positions[1] = { ...ada.positions[1]!, offset }
        await ada.peer.fence()
      }
    })
  }

  t.test(`who said more than the history keeps, and then missed as much of others, is told of the loss over ${transport}`, async (t) => {
    const server = await serve(t)
    const ada = new Ada(server, transport)
    await ada.come()
    await ada.say(SIZE + 2)
    ada.peer.cut()
    await ada.peer.ended
    for (let count = 0; count <= SIZE; count++) await others(server, `news ${count}`)
    t.equal(await ada.comeBack(), false)
  })

  t.test(`the own messages of another user are no reason to take anything for heard over ${transport}`, async (t) => {
    const server = await serve(t)
    const ada = new Ada(server, transport)
    await ada.come()
    await ada.say(SIZE + 2)
    ada.peer.cut()
    await ada.peer.ended
    t.equal(await ada.comeBack(undefined, server.token('eve')), false)
  })

  t.test(`our client over ${transport} tells of no gap where it only missed what itself has said`, async (t) => {
    const server = await serve(t)
    const client = connectClient(`${server.url}/ws`, { token: server.token('ada'), transports: [transport] })
    t.teardown(() => { client.close() })
    const room = client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    client.on('gap', () => { heard.push('gap') })
    room.on('said', ({ data }) => { heard.push(data.text) })
    await room.joined
    const expected: string[] = []
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < SIZE + 2; count++) await room.send('say', { text: 'own' })
      client.reconnect()
      await others(server, `news ${round}`)
      expected.push(`news ${round}`)
      await eventually('the news', () => heard.length, (length) => length >= expected.length)
      t.same(heard, expected)
    }
  })
}

t.test('who names a place before an event of another is told of the loss, whatever he has said behind it', async (t) => {
  const server = await serve(t)
  const ada = new Ada(server, 'websocket')
  await ada.come()
  await ada.say(SIZE + 2)
  t.equal(await ada.comeBack(ada.positions[0]), false)
})
