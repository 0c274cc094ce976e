import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { jetstreamManager } from '@nats-io/jetstream'
import t, { type Test } from 'tap'
import { Leases } from '../../../lib/admission/leases.js'
import { node, reliable, type Node } from '../../../lib/adapters/contract/host.js'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { NatsState } from '../../../lib/adapters/nats/state.js'
import { PresenceKeeper } from '../../../lib/rooms/presence.js'
import { FaultProxy } from '../../helpers/fault-proxy.js'
import { missing, startNats, until, type Server } from '../../helpers/servers.js'
import { openedLink } from './opened.js'

const skip = missing('nats-server')
const LEASE = 60_000

/** A node whose link can be cut. */
async function behindProxy (t: Test): Promise<{ server: Server, proxy: FaultProxy, a: Node }> {
  const server = await startNats(t)
  const proxy = new FaultProxy(server.port)
  const a = await node(t, nats({ url: `nats://127.0.0.1:${await proxy.listen()}`, timeout: 1_000 }), 'a')
  t.teardown(() => proxy.close())
  return { server, proxy, a }
}

void t.test(
  'nats: a server put back to older data is noticed by each node at once, also where others have written more since than was lost',
  { skip },
  async (t) => {
    const { server, proxy, a } = await behindProxy(t)
    const b = await node(t, nats({ url: server.url, timeout: 1_000 }), 'b')
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    const data = join(server.directory, 'data')
    await server.stop()
    await cp(data, `${data}-old`, { recursive: true })
    await server.start()
    await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
    await until('the slot is taken', () => a.adapter.leases!.acquire('user:ann', 'c1', 1, LEASE))
    const before = a.host.forgotten
    proxy.isDown = true
    proxy.cut()
    await until('the node notices', () => a.host.states.at(-1) === false)
    await server.kill()
    await rm(data, { recursive: true })
    await cp(`${data}-old`, data, { recursive: true })
    await server.start()
    await until('the other is back', () => b.adapter.stats!().isUp === true)
    for (let index = 0; index < 50; index++) {
      await until('it is written', () => b.adapter.leases!.acquire(`user:${index}`, 'b1', 1, LEASE))
    }
    proxy.isDown = false
    await until('the node is back', () => a.adapter.stats!().isUp === true)
    await until('it is told', () => a.host.forgotten > before, 3_000)
    t.equal(await b.adapter.leases!.count('user:ann'), 0, 'the server has forgotten it')
    // As the node does then.
    await a.adapter.leases!.renew([{ key: 'user:ann', holder: 'c1' }], LEASE)
    t.equal(await b.adapter.leases!.count('user:ann'), 1)
  }
)

void t.test(
  'nats: each run of a server is other data for a node, and a link that broke is not',
  { skip },
  async (t) => {
    const { server, proxy, a } = await behindProxy(t)
    proxy.cut()
    await until('the link was broken and is back', () => a.host.states.join() === 'true,false,true')
    await a.adapter.leases!.acquire('user:ann', 'c1', 1, LEASE)
    t.equal(a.host.forgotten, 0)
    await server.kill()
    await server.start()
    await until('it is told', () => a.host.forgotten > 0, 10_000)
  }
)

void t.test(
  'nats: what five thousand users hold is held anew after a restart, and nobody who comes meanwhile waits for it',
  { skip },
  async (t) => {
    const server = await startNats(t)
    const users = Array.from({ length: 5_000 }, (_, index) => `u${index}`)
    const { adapter, host } = await node(t, nats({ url: server.url }), 'a')
    const fail = (error: unknown): void => { t.fail(String(error)) }
    const held = users.map((user, fence) => ({ key: `user:${user}`, holder: `c-${user}`, fence, isHeld: () => true }))
    const leases = new Leases(adapter.leases!, { whenUnavailable: 'refuse', held: () => held, onError: fail })
    const rooms = users.map((_, index) => `chat/${index % 500}`)
    const keeper = new PresenceKeeper(adapter.presence!, { grace: 1_000, lease: LEASE }, () => rooms, fail)
    await leases.restore()
    await Promise.all(users.map((user, index) => keeper.join(rooms[index]!, { userId: user, connection: `c-${user}` })))
    const anew = new AbortController()
    host.state = async (isUp, hasForgotten = false) => {
      if (!isUp || !hasForgotten) return
      await Promise.all([leases.restore(true), keeper.restore()])
      anew.abort()
    }
    await server.kill()
    await until('the node notices', () => adapter.stats!().isUp === false)
    await server.start()
    await until('it is back', () => adapter.stats!().isUp === true)
    const began = performance.now()
    const waits: number[] = []
    for (let index = 0; !anew.signal.aborted; index++) {
      const asked = performance.now()
      await adapter.leases!.acquire(`user:comes${index}`, 'c', 1, LEASE)
      waits.push(performance.now() - asked)
    }
    const took = performance.now() - began
    t.comment(`${took.toFixed(0)} ms for all; ${waits.length} came, and waited ${Math.max(...waits).toFixed(0)} ms at most`)
    t.ok(took < 20_000)
    t.ok(Math.max(...waits) < 2_000)
  }
)

interface Bucket {
  readonly connection: NatsConnection
  readonly state: NatsState
  readonly forgotten: () => number
  /** The next request to a subject that begins so is sent, and its answer is lost. */
  readonly losing: (prefix: string) => void
}

async function bucket (t: Test): Promise<Bucket> {
  const connection = await connect({ servers: (await startNats(t)).url })
  t.teardown(() => connection.close())
  let lost: string | undefined
  const request: NatsConnection['request'] = async (subject, ...rest) => {
    const answer = connection.request(subject, ...rest)
    if (lost === undefined || !subject.startsWith(lost)) return await answer
    lost = undefined
    await answer
    return await new Promise<never>(() => {})
  }
  const given = new Proxy(connection, {
    get (target, name) {
      if (name === 'request') return request
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
  const link = await openedLink(t, { connection: given, timeout: 300 })
  link.started()
  let forgotten = 0
  const state = new NatsState(
    link,
    'test_state',
    { ttl: 600_000, replicas: 1, storage: 'memory' },
    () => { forgotten++ }
  )
  return { connection, state, forgotten: () => forgotten, losing: (prefix) => { lost = prefix } }
}

const KEY = 'clock.a'
const SUBJECT = `$KV.test_state.${KEY}`

void t.test(
  'nats: a bucket that lacks the newest stamp of a node is other data, whatever was written into it since',
  { skip },
  async (t) => {
    const { connection, state, forgotten } = await bucket(t)
    const jsm = await jetstreamManager(connection)
    for (let stamp = 0; stamp < 3; stamp++) await state.stamp(KEY)
    t.equal(forgotten(), 0)
    const newest = await jsm.streams.getMessage('KV_test_state', { last_by_subj: SUBJECT })
    // As after a restore, once other nodes have written more than was lost.
    await jsm.streams.deleteMessage('KV_test_state', newest!.seq)
    for (let index = 0; index < 5; index++) connection.publish('$KV.test_state.other', `${index}`)
    await connection.flush()
    await state.stamp(KEY)
    t.equal(forgotten(), 1)
    await state.stamp(KEY)
    t.equal(forgotten(), 1, 'it is told once')
  }
)

void t.test('nats: a stamp whose answer was lost is no sign of other data', { skip }, async (t) => {
  const { state, forgotten, losing } = await bucket(t)
  await state.stamp(KEY)
  losing(SUBJECT)
  await t.rejects(state.stamp(KEY), { code: 'unavailable', outcome: 'unknown' })
  await state.stamp(KEY)
  // Of stamps at once only the newest can be read.
  await Promise.allSettled([state.stamp(KEY), state.stamp(KEY), state.stamp(KEY)])
  await state.stamp(KEY)
  t.equal(forgotten(), 0)
})

void t.test(
  'nats: a number that was given before shows with any change that the bucket is other data',
  { skip },
  async (t) => {
    const { connection, state, forgotten } = await bucket(t)
    const change = async (value: string): Promise<void> => { await state.change('k', () => ({ value, result: undefined })) }
    for (let index = 0; index < 5; index++) await change(`${index}`)
    t.equal(forgotten(), 0)
    const jsm = await jetstreamManager(connection)
    await jsm.streams.delete('KV_test_state')
    await change('after')
    t.equal(forgotten(), 1)
    t.equal(await state.read('k'), 'after')
    await Promise.all(Array.from({ length: 20 }, (_, index) => state.write(`k${index}`, '')))
    t.equal(forgotten(), 1)
  }
)
