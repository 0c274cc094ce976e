import t, { type Test } from 'tap'
import type { Adapter, AdapterHost, ControlMessage } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { defineRoom } from '../../lib/contract/index.js'
import { Refusal } from '../../lib/errors/refusal.js'
import { keyOfKind } from '../../lib/protocol/key.js'
import { matchList } from '../helpers/match-list.js'
import { start } from '../helpers/net.js'

const chat = defineRoom('chat/:id', {})

/** A node, what it sends to the others, and its broker, which answers again with its data or without. */
async function node (t: Test): Promise<{
  rooms: Awaited<ReturnType<typeof start>>['app']['rooms']
  sent: ControlMessage[]
  /** What the next denial or message to the other nodes fails with. */
  failing: { denial?: Refusal | undefined, message?: Refusal | undefined }
  isDenied: (user: string) => Promise<boolean>
  back: (hasForgotten: boolean) => Promise<void>
}> {
  const inner = memory()
  const sent: ControlMessage[] = []
  const failing: { denial?: Refusal | undefined, message?: Refusal | undefined } = {}
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
    denials: {
      deny: async (subject, until) => {
        if (failing.denial !== undefined) throw failing.denial
        await inner.denials!.deny(subject, until)
      },
      isDenied: (subjects) => inner.denials!.isDenied(subjects)
    },
    secret: async () => Buffer.alloc(32, 7).toString('base64url'),
    control: {
      send: async (message) => {
        if (failing.message !== undefined) throw failing.message
        sent.push(message)
      }
    }
  }
  const { app } = await start(t, { adapter, declare: (app) => { app.room(chat, {}) } })
  return {
    rooms: app.rooms,
    sent,
    failing,
    isDenied: async (user) => await inner.denials!.isDenied([keyOfKind('user', user)]),
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
  matchList(t, before, [{ id: /^[\w-]{12}$/ }, { id: /^[\w-]{12}$/ }], 'by an id, so that who has heard it does nothing again')
})

void t.test('who was kept out until a moment that is over is told again, for a node that has not heard it', async (t) => {
  const { rooms, sent, back } = await node(t)
  await rooms.revoke({ user: 'ada' }, { until: Date.now() })
  const before = kept(sent)
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
  matchList(t, kept(sent), [{ type: 'revoke', of: 'chat/1' }])
  await back(true)
  t.same(kept(sent), [])
})

void t.test('whoever revokes, puts in, takes out or ends hears that nobody knows where it was done here and the others could not be told', async (t) => {
  const { rooms, failing, isDenied } = await node(t)
  failing.message = new Refusal('unavailable')
  const told = { code: 'unavailable', outcome: 'unknown', message: /done on this node.*call it again/ }
  await t.rejects(rooms.revoke({ user: 'ada' }), told)
  t.equal(await isDenied('ada'), true, 'it is in force')
  await t.rejects(rooms.revoke({ user: 'bob', room: 'chat/1' }), told)
  await t.rejects(rooms.revoke({ room: 'chat/1' }), told)
  await t.rejects(rooms.join({ user: 'bob' }, 'chat/1'), told)
  await t.rejects(rooms.leave({ user: 'bob' }, 'chat/1'), told)
  await t.rejects(rooms.close({ user: 'bob' }), told)
  failing.message = undefined
  t.equal(await rooms.revoke({ user: 'ada' }), 0)
})

void t.test('a denial of which nobody knows whether it is in force is told so, and one that is not in force is not', async (t) => {
  const { rooms, sent, failing } = await node(t)
  failing.denial = new Refusal('unavailable', { outcome: 'unknown' })
  const told = { code: 'unavailable', outcome: 'unknown', message: /in force is not known.*revoke again/ }
  await t.rejects(rooms.revoke({ user: 'ada' }), told)
  await t.rejects(rooms.revoke({ user: 'ada', room: 'chat/1' }), told)
  failing.denial = new Refusal('unavailable')
  await t.rejects(rooms.revoke({ user: 'ada' }), { code: 'unavailable', outcome: undefined })
  t.same(kept(sent), [])
})
