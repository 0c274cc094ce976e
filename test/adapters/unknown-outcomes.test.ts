import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { node, reliable, said, textOf, type Node } from '../../lib/adapters/contract/host.js'
import type { ControlMessage } from '../../lib/adapters/adapter.js'
import type { Refusal } from '../../lib/errors/refusal.js'
import type { Awaitable } from '../../lib/structures/awaitable.js'
import { BROKERS, type Broker } from '../helpers/brokers.js'
import { proxyTo } from '../helpers/fault-proxy.js'
import { missing, until, type Server } from '../helpers/servers.js'

/**
 * What a caller was told is what happens: a server that stands still may do later what it was asked for, so nobody is
 * told before that it was not done.
 */
const LEASE = 60_000
/** Milliseconds: longer than any test. */
const FOR_GOOD = 600_000
const UNTIL = Date.now() + 3_600_000
const entry = { userId: 'ann', connection: 'c1' }

type Change = readonly [name: string, ask: (adapter: Node['adapter']) => Awaitable<unknown>]

const changes: readonly Change[] = [
  ['a denial', ({ denials }) => denials!.deny('user:eve', UNTIL)],
  ['a slot that is taken', ({ leases }) => leases!.acquire('user:bob', 'c2', 1, LEASE)],
  ['a slot that is given back', ({ leases }) => leases!.release('user:ann', 'c1')],
  ['a renewal', ({ leases }) => leases!.renew([{ key: 'user:cat', holder: 'c3' }], LEASE)],
  ['a member who joins', ({ presence }) => presence!.join('chat/1', { userId: 'bob', connection: 'c2' }, LEASE)],
  ['a member who leaves', ({ presence }) => presence!.leave('hall/1', entry, 0)],
  ['data of a member', ({ presence }) => presence!.update!('yard/1', { userId: 'ann', data: { n: 2 } })],
  ['a claim', ({ claims }) => claims!.claim('ann\nm1', 'hash', LEASE, 'ann', 'a')],
  ['an outcome', ({ claims }) => claims!.settle('ann\nm2', 'hash', '{}', LEASE)],
  ['a ticket', ({ claims }) => claims!.put('ticket:1', 'ann', LEASE)],
  ['a message to all nodes', ({ control }) => control!.send({ type: 'revoke', user: 'eve' })],
  ['an event', ({ publish }) => publish('chat/1', said('kept'), reliable)],
  [
    'a value',
    ({ publish }) => publish('chat/1', said('value', { type: 'score', delivery: 'latest', key: 'red' }), reliable)
  ]
]

async function errorOf (asked: Awaitable<unknown>): Promise<Refusal | undefined> {
  return await Promise.resolve(asked).then(() => undefined, (error: Refusal) => error)
}

/** @param port of the server, or of a proxy that leads to it */
async function primed (t: Test, { make }: Broker, port: number, timeout = 2_000): Promise<Node> {
  const a = await node(t, make(port, { timeout }), 'a')
  // What a node has just written it changes without a question, so that the change is on its way at once.
  const { claims, denials, leases, presence } = a.adapter
  await denials!.deny('user:eve', Date.now() + 1_000)
  for (const message of ['m1', 'm2']) await claims!.claim(`ann\n${message}`, 'hash', LEASE, 'ann', 'a')
  await leases!.acquire('user:bob', 'c2', 1, LEASE)
  await leases!.release('user:bob', 'c2')
  await leases!.renew([{ key: 'user:cat', holder: 'c3' }], LEASE)
  await leases!.acquire('user:ann', 'c1', 1, LEASE)
  for (const room of ['chat/1', 'hall/1', 'yard/1']) await presence!.join(room, { ...entry, data: { n: 1 } }, LEASE)
  // The streams are there.
  await a.adapter.publish('chat/1', said('first'), reliable)
  await a.adapter.publish('chat/1', said('0', { type: 'score', delivery: 'latest', key: 'red' }), reliable)
  await a.adapter.control!.send({ type: 'revoke', user: 'nobody' })
  return a
}

async function frozen (t: Test, broker: Broker): Promise<{ server: Server, a: Node, b: Node }> {
  const server = await broker.start(t)
  const a = await primed(t, broker, server.port, 400)
  const b = await node(t, broker.make(server.port), 'b')
  await server.pause()
  return { server, a, b }
}

for (const broker of BROKERS) {
  const skip = missing(broker.program)

  t.test(
    `${broker.name}: whoever asks a server that stands still for a change hears that nobody knows, and of one that is gone that it will not be`,
    { skip },
    async (t) => {
      const { server, a } = await frozen(t, broker)
      const told = await Promise.all(changes.map(async ([name, ask]) => {
        const error = await errorOf(ask({ ...a.adapter, publish: a.adapter.publish.bind(a.adapter) }))
        return [name, error?.data.code, error?.outcome]
      }))
      t.same(told, changes.map(([name]) => [name, 'unavailable', 'unknown']))
      server.resume()
      await server.kill()
      await until('the node notices', () => a.host.states.at(-1) === false)
      for (const [name, ask] of changes) {
        const error = await errorOf(ask({ ...a.adapter, publish: a.adapter.publish.bind(a.adapter) }))
        t.same([name, error?.data.code, error?.outcome], [name, 'unavailable', undefined])
      }
    }
  )

  t.test(
    `${broker.name}: what was done, and whose answer is lost because the link breaks, is not told as refused`,
    { skip },
    async (t) => {
      const { port } = await broker.start(t)
      const { proxy, port: near } = await proxyTo(t, port)
      const a = await primed(t, broker, near)
      const { host } = await node(t, broker.make(port), 'b')
      proxy.shut('downward', FOR_GOOD)
      const asked = changes.map(async ([name, ask]) => {
        const error = await errorOf(ask({ ...a.adapter, publish: a.adapter.publish.bind(a.adapter) }))
        return error === undefined || error.outcome === 'unknown' ? [] : [[name, error.data.code]]
      })
      // All go by one connection, and in order.
      const last = errorOf(a.adapter.control!.send({ type: 'revoke', user: 'last' }))
      const isLast = (each: ControlMessage): boolean => 'user' in each && each.user === 'last'
      await until('the server has all', () => host.controls.some(({ message }) => isLast(message)))
      proxy.cut()
      await last
      t.same((await Promise.all(asked)).flat(), [])
    }
  )

  t.test(
    `${broker.name}: an event whose answer is lost is there once and told so, however short idempotency keys are to be remembered`,
    { skip },
    async (t) => {
      const { port } = await broker.start(t)
      const { proxy, port: near } = await proxyTo(t, port)
      const idempotency = 200
      const a = await node(t, broker.make(near, { idempotency }), 'a')
      const b = await node(t, broker.make(port, { idempotency }), 'b')
      await b.adapter.subscribe('chat/1', reliable)
      await a.adapter.publish('chat/1', said('first'), reliable)
      const heard = ['first']
      for (const [text, more] of [['keyed', { idempotencyKey: 'k' }], ['keyless', {}]] as const) {
        await until('the node is there', () => a.adapter.stats!().isUp === true)
        proxy.shut('downward', FOR_GOOD)
        const told = errorOf(a.adapter.publish('chat/1', said(text, more), reliable))
        heard.push(text)
        await b.host.heard('chat/1', heard.length)
        proxy.isDown = true
        proxy.cut()
        // Longer than the key was to be remembered, and not as long as the publish may take.
        await sleep(1_000)
        proxy.isDown = false
        t.equal(await told, undefined, text)
      }
      t.same(b.host.texts('chat/1'), heard)
    }
  )

  t.test(
    `${broker.name}: a value whose outcome is not known is set once when it is set again under the key that is told`,
    { skip },
    async (t) => {
      const { server, a, b } = await frozen(t, broker)
      const value = said('value', { type: 'score', delivery: 'latest', key: 'red' })
      const error = await errorOf(a.adapter.publish('chat/1', value, reliable))
      const { idempotencyKey } = error!
      t.type(idempotencyKey, 'string')
      server.resume()
      const again = { ...value, idempotencyKey: idempotencyKey! }
      await until('it is set', () => a.adapter.publish('chat/1', again, reliable))
      t.same((await b.adapter.latest!('chat/1', reliable)).map(textOf), ['value'])
      // Another one behind it stays: what is asked for once more is known.
      await b.adapter.publish('chat/1', { ...value, data: said('newer').data }, reliable)
      await a.adapter.publish('chat/1', again, reliable)
      t.same((await b.adapter.latest!('chat/1', reliable)).map(textOf), ['newer'])
    }
  )

  t.test(
    `${broker.name}: what a node asked a server for that stood still holds once it is asked for again, and what it took back stays free`,
    { skip },
    async (t) => {
      const { server, a, b } = await frozen(t, broker)
      const { denials, leases, presence } = a.adapter
      await Promise.all([
        errorOf(denials!.deny('user:eve', UNTIL)),
        errorOf(leases!.acquire('user:bob', 'c2', 1, LEASE)),
        errorOf(presence!.join('chat/1', { userId: 'bob', connection: 'c2' }, LEASE))
      ])
      server.resume()
      await until('she is denied', async () => {
        await denials!.deny('user:eve', UNTIL)
        return true
      })
      await until('it is given back', async () => {
        await leases!.release('user:bob', 'c2')
        await presence!.leave('chat/1', { userId: 'bob', connection: 'c2' }, 0)
        return true
      })
      t.equal(await b.adapter.denials!.isDenied(['user:eve']), true)
      t.equal(await b.adapter.leases!.count('user:bob'), 0)
      t.same((await b.adapter.presence!.snapshot('chat/1', 10)).list!.map(({ userId }) => userId), ['ann'])
    }
  )
}
