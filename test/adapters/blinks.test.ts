import { setImmediate } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redis } from '../../lib/adapters/redis/adapter.js'
import type { Refusal } from '../../lib/errors/refusal.js'
import { BROKERS, REDIS, type Broker } from '../helpers/brokers.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { missing, startRedis, until, type Server, type Teardown } from '../helpers/servers.js'
import { Keys } from '../../lib/adapters/redis/keys.js'
import { node, reliable, said, type Node } from '../../lib/adapters/contract/host.js'

const TIMEOUT = { timeout: 1_000 }

interface Story {
  readonly server: Server
  readonly proxy: FaultProxy
  /** behind the proxy */
  readonly near: Node
  readonly far: Node
}

async function story (t: Teardown, { start, make }: Broker): Promise<Story> {
  const server = await start(t)
  const proxy = new FaultProxy(server.port)
  const port = await proxy.listen()
  t.teardown(() => proxy.close())
  const near = await node(t, make(port, TIMEOUT), 'near')
  return { server, proxy, near, far: await node(t, make(server.port, TIMEOUT), 'far') }
}

for (const broker of BROKERS) {
  const { name, program } = broker
  const run = (title: string, body: (t: Test) => Promise<void>): void => {
    void t.test(title, { skip: missing(program) }, body)
  }
  run(`${name}: while the link of a node blinks, who asks for a slot has the broker's answer, none above the limit`, async (t) => {
    const { proxy, near, far } = await story(t, broker)
    const leases = near.adapter.leases!
    t.equal(await far.adapter.leases!.acquire('room:booth', 'far', 2, 60_000), true)
    const asked: Array<Promise<boolean>> = []
    for (let round = 0; round < 4; round++) {
      asked.push(leases.acquire('room:booth', `before-${round}`, 2, 60_000))
      proxy.cut()
      asked.push(leases.acquire('room:booth', `behind-${round}`, 2, 60_000))
      await new Promise((resolve) => { setTimeout(resolve, 50) })
      asked.push(leases.acquire('room:booth', `while-${round}`, 2, 60_000))
    }
    const answers = await Promise.allSettled(asked)
    t.same(answers.map(({ status }) => status), answers.map(() => 'fulfilled'), 'nobody is left to decide alone')
    t.equal(answers.filter((answer) => answer.status === 'fulfilled' && answer.value).length, 1)
    t.equal(await far.adapter.leases!.count('room:booth'), 2)
  })

  run(`${name}: a slot whose answer was lost with the link is taken once, and free when given back once`, async (t) => {
    const { proxy, near, far } = await story(t, broker)
    const leases = near.adapter.leases!
    // What is asked then is one step, of which nothing but its answer is missing.
    t.equal(await leases.acquire('room:booth', 'first', 3, 60_000), true)
    proxy.shut('downward', 10_000)
    const taken = leases.acquire('room:booth', 'near', 3, 60_000)
    await until('the broker has given the slot', async () => await far.adapter.leases!.count('room:booth') === 2)
    proxy.cut()
    t.equal(await taken, true)
    t.equal(await far.adapter.leases!.count('room:booth'), 2)
    await leases.release('room:booth', 'near')
    t.equal(await far.adapter.leases!.count('room:booth'), 1)
  })

  run(`${name}: a node whose link was away while a room was cleared tells its members when it is back, and resumes nobody`, async (t) => {
    const { proxy, near, far } = await story(t, broker)
    await near.adapter.subscribe('chat/1', reliable)
    const before = (await far.adapter.publish('chat/1', said('before'), reliable)).position!
    await near.host.heard('chat/1', 1)
    proxy.isDown = true
    proxy.cut()
    await until('it is away', () => near.host.states.at(-1) === false)
    await far.adapter.clear!('chat/1', reliable)
    proxy.isDown = false
    await until('its members are told', () => near.host.gaps.length > 0)
    const page = await near.adapter.history!('chat/1', { since: before, limit: 10 }, reliable)
    t.same([page.resumed, page.events], [false, []])
    await until('it is up', () => near.host.states.at(-1) === true)
    await far.adapter.publish('chat/1', said('after'), reliable)
    t.same(await near.host.heard('chat/1', 2), ['before', 'after'])
    t.equal(near.host.gaps.length, 1)
  })

  run(`${name}: a user who was revoked on another node is found to be while the link blinks`, async (t) => {
    const { proxy, near, far } = await story(t, broker)
    await far.adapter.denials!.deny('user:eve', Date.now() + 60_000)
    proxy.cut()
    t.equal(await near.adapter.denials!.isDenied(['user:eve', 'token:1']), true)
    const asked = near.adapter.denials!.isDenied(['user:eve'])
    proxy.cut()
    t.equal(await asked, true)
  })

  run(`${name}: a broker that is away is waited for once, and then whoever asks is told at once`, async (t) => {
    const { server, near } = await story(t, broker)
    const leases = near.adapter.leases!
    await server.kill()
    const first = await leases.acquire('room:booth', 'first', 1, 60_000).catch((error: Refusal) => error.word)
    t.equal(first, 'unavailable')
    const next = leases.acquire('room:booth', 'next', 1, 60_000)
    const turns = setImmediate().then(() => setImmediate()).then(() => 'two turns of the event loop')
    const refused = next.then(() => 'taken', () => 'refused')
    t.equal(await Promise.race([refused, turns]), 'refused')
    await server.start()
    await until('the slot is given', async () => await leases.acquire('room:booth', 'later', 1, 60_000))
  })
}

const skip = missing('redis-server')
t.test('redis: a value that cannot be read when the link is back is read as soon as it can be', { skip }, async (t) => {
  const server = await startRedis(t)
  const proxy = new FaultProxy(server.port)
  const port = await proxy.listen()
  t.teardown(() => proxy.close())
  const near = await node(t, redis({ url: `redis://127.0.0.1:${port}`, timeout: 1_000, check: 1_000 }), 'near')
  const far = await node(t, REDIS.make(server.port, TIMEOUT), 'far')
  await near.adapter.subscribe('chat/1', reliable)
  const score = { type: 'score', delivery: 'latest', key: 'red' } as const
  await far.adapter.publish('chat/1', said('1', score), reliable)
  await near.host.heard('chat/1', 1)
  proxy.isDown = true
  proxy.cut()
  await until('the link is down', () => near.adapter.stats!().isUp === false)
  await far.adapter.publish('chat/1', said('2', score), reliable)
  const admin = new Redis(server.url)
  t.teardown(() => { admin.disconnect() })
  const values = new Keys('realtime:').latest('chat/1')
  await admin.rename(values, 'aside')
  await admin.set(values, 'something else')
  proxy.isDown = false
  await until('it could not be read', async () => (await admin.info('errorstats')).includes('WRONGTYPE'))
  await admin.rename('aside', values)
  t.same(await near.host.heard('chat/1', 2), ['1', '2'])
})

t.test('redis: where only the connection for commands is killed, slots are the server\'s to give', { skip }, async (t) => {
  const { server, near, far } = await story(t, REDIS)
  const admin = new Redis(server.url)
  t.teardown(() => { admin.disconnect() })
  t.equal(await far.adapter.leases!.acquire('room:booth', 'far', 1, 60_000), true)
  for (let round = 0; round < 3; round++) {
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    t.equal(await near.adapter.leases!.acquire('room:booth', `near-${round}`, 1, 60_000), false)
  }
})
