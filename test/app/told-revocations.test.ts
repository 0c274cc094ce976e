import t, { type Test } from 'tap'
import type { Adapter, AdapterHost, ControlMessage } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { start } from '../helpers/net.js'

const chat = defineRoom('chat/:id', {})

/** A node, what it sends to the others, and its broker, which answers again with its data or without. */
async function node (t: Test): Promise<{
  rooms: Awaited<ReturnType<typeof start>>['app']['rooms']
  sent: ControlMessage[]
  back: (hasForgotten: boolean) => Promise<void>
}> {
  const inner = memory()
  const sent: ControlMessage[] = []
  let host!: AdapterHost
  const adapter: Adapter = {
    name: 'broker',
    start: async (given) => {
      host = given
      await inner.start(given)
    },
    close: () => inner.close(),
    subscribe: (room, settings) => inner.subscribe(room, settings),
    unsubscribe: (room) => inner.unsubscribe(room),
    publish: (room, publication, settings) => inner.publish(room, publication, settings),
    history: (room, query, settings) => inner.history!(room, query, settings),
    claims: inner.claims!,
    denials: inner.denials!,
    secret: async () => Buffer.alloc(32, 7).toString('base64url'),
    control: { send: async (message) => { sent.push(message) } }
  }
  const { app } = await start(t, { adapter, declare: (app) => { app.room(chat, {}) } })
  return {
    rooms: app.rooms,
    sent,
    back: async (hasForgotten) => {
      sent.length = 0
      await host.state(false)
      await host.state(true, hasForgotten)
    }
  }
}

const kept = (sent: readonly ControlMessage[]): ControlMessage[] => {
  return sent.filter(({ type }) => type === 'revoke' || type === 'expel')
}

void t.test('who was revoked a moment ago is told to the other nodes again where the broker has lost its data', async (t) => {
  const { rooms, sent, back } = await node(t)
  const until = Date.now() + 600_000
  await rooms.revoke({ user: 'ada' }, { until, message: 'bye' })
  await rooms.revoke({ user: 'bob', room: 'chat/1' }, { until })
  const before = kept(sent)
  t.equal(before.length, 2)
  await back(true)
  t.same(kept(sent), before)
})

void t.test('nothing is told again where the broker has its data', async (t) => {
  const { rooms, sent, back } = await node(t)
  await rooms.revoke({ user: 'ada' })
  await back(false)
  t.same(kept(sent), [])
})

void t.test('whose connections alone were ended is not told again, since others may be there by now', async (t) => {
  const { rooms, sent, back } = await node(t)
  await rooms.revoke({ room: 'chat/1' })
  t.match(kept(sent), [{ type: 'revoke', of: 'chat/1' }])
  await back(true)
  t.same(kept(sent), [])
})
