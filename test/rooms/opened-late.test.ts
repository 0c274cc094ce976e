import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { Type } from '@sinclair/typebox'
import type { Adapter, AdapterHost } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { encodeEvent } from '../../lib/protocol/packet.js'
import { connect, start } from '../helpers/net.js'

const board = defineRoom('board/:id', {
  events: { told: Type.Number(), level: { data: Type.Object({ key: Type.String() }), delivery: 'latest', key: 'key' } }
})
const ROOM = 'board/1'
const [OLD, NEW] = ['abcdefgh', 'ijklmnop']

void t.test('a room whose broker goes on in another epoch while its values are read tells its members that epoch', async (t) => {
  const inner = memory()
  let host!: AdapterHost
  const tell = (offset: number): void => {
    const position = { epoch: NEW, offset }
    const head = { type: 'told', room: ROOM, timestamp: 1, delivery: 'reliable' as const, position }
    void host.event(ROOM, encodeEvent(head, String(offset)))
  }
  const adapter: Adapter = {
    name: 'replaced',
    start: async (given) => {
      host = given
      await inner.start(given)
    },
    close: async () => { await inner.close() },
    subscribe: async () => ({ epoch: OLD, offset: 34 }),
    unsubscribe: () => undefined,
    publish: (room, publication, settings) => inner.publish(room, publication, settings),
    history: (room, query, settings) => inner.history!(room, query, settings),
    latest: async () => {
      await setImmediate()
      host.gap(ROOM, { epoch: NEW, to: 30 })
      await setImmediate()
      return []
    },
    claims: inner.claims!,
    denials: inner.denials!,
    secret: async () => Buffer.alloc(32, 7).toString('base64url')
  }
  const server = await start(t, { adapter, declare: (app) => { app.room(board, {}) } })
  const peer = await connect(server, { token: server.token('ada'), rooms: [ROOM] })
  t.match(peer.welcome.data, { rooms: { [ROOM]: { epoch: NEW, offset: 30 } } })
  for (let offset = 31; offset <= 36; offset++) tell(offset)
  for (let offset = 31; offset <= 36; offset++) t.equal((await peer.next('told')).data, offset)
})
