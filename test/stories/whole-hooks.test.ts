import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { defineRoom } from '../../lib/index.js'
import { lacking, PAIRS } from '../helpers/node-pairs.js'
import { rejection, until } from '../helpers/client.js'
import { connect, start, TRANSPORTS, type Running, type StartOptions } from '../helpers/net.js'
import { SECRET, type Ready } from '../helpers/node-process.js'
import { missing, startNats, startRedis, type Server } from '../helpers/servers.js'

const plain = defineRoom('plain/:id', {})
const hall = defineRoom('hall/:id', {})
/** Milliseconds for which who is gone without a word may come back. */
const GRACE = 300

/** What the hooks of all nodes were called with. */
class Calls {
  readonly all: string[] = []

  get options (): StartOptions {
    return {
      presence: { grace: GRACE },
      onOnline: ({ userId }) => { this.all.push(`online ${userId}`) },
      onOffline: ({ userId }) => { this.all.push(`offline ${userId}`) },
      declare: (app) => { this.declare(app) }
    }
  }

  declare (app: FastifyInstance): void {
    app.room(plain)
    app.room(hall, {
      onOccupied: ({ room, params }) => { this.all.push(`occupied ${room.name} ${params.id}`) },
      onVacated: ({ room, params }) => { this.all.push(`vacated ${room.name} ${params.id}`) }
    })
  }

  async of (word: string, count: number): Promise<void> {
    await until(`${count} times ${word}; called: ${this.all.join(', ')}`, () =>
      this.all.filter((call) => call === word).length >= count)
  }
}

/** Longer than other nodes wait before they look whether a hook has run. */
async function settled (): Promise<void> { await new Promise((resolve) => { setTimeout(resolve, 2_000) }) }

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: of the first connection of a user and the last, and of the first member of a room and the last, one node is told once`, {
    skip,
    timeout: 60_000
  }, async (t) => {
    const calls = new Calls()
    const [a, b] = await nodes(t, calls.options)
    for (const transport of TRANSPORTS) {
      const token = (server: Running): string => server.token(transport)
      const first = await connect(a, { transport, token: token(a), rooms: ['hall/x%2Fy'] })
      await calls.of(`online ${transport}`, 1)
      const second = await connect(b, { token: token(b), rooms: ['hall/x%2Fy', 'plain/1'] })
      await calls.of('occupied hall/x%2Fy x/y', 1)
      await first.close()
      second.cut()
      // Back within the grace, on the other node.
      const third = await connect(a, { token: token(a), rooms: ['hall/x%2Fy'] })
      await new Promise((resolve) => { setTimeout(resolve, GRACE * 2) })
      third.send({ type: 'leave', room: 'hall/x%2Fy', id: '1' })
      await calls.of('vacated hall/x%2Fy x/y', 1)
      third.cut()
      await calls.of(`offline ${transport}`, 1)
      await settled()
      t.same([...calls.all.splice(0)].sort(), [
        'occupied hall/x%2Fy x/y', `offline ${transport}`, `online ${transport}`, 'vacated hall/x%2Fy x/y'
      ].sort())
    }
    t.same([a.loud, b.loud], [[], []])
  })
}

t.test('a hook that throws is logged, and so is one that hangs; the other hooks run', async (t) => {
  const seen: string[] = []
  const server = await start(t, {
    timeouts: { handler: 50 },
    onOnline: async ({ userId }) => {
      seen.push(userId)
      if (userId === 'thrower') throw new Error('no')
      if (userId === 'hanger') await new Promise(() => undefined)
    },
    declare: (app) => { app.room(plain) }
  })
  for (const user of ['thrower', 'hanger', 'ada']) await connect(server, { token: server.token(user) })
  await until('both are logged', () => server.loud.length === 2)
  t.match(server.loud, [
    { msg: 'a hook failed', hook: 'onOnline', subject: 'thrower', err: { message: 'no' } },
    { msg: 'a hook failed', hook: 'onOnline', subject: 'hanger', err: { message: /50 ms/ } }
  ])
  t.same(seen, ['thrower', 'hanger', 'ada'])
})

t.test('hooks are refused with a code where they cannot be kept, and an adapter keeps nothing where there are none', async (t) => {
  const code = async (options: StartOptions): Promise<string> => (await rejection(start(t, options))).code
  const onOnline = (): void => {}
  for (const ability of ['presence', 'claims']) {
    t.equal(await code({ adapter: lacking(ability), onOnline }), 'REALTIME_ERR_ADAPTER')
    t.equal(await code({
      adapter: lacking(ability),
      declare: (app) => { app.room(hall, { onVacated () {} }) }
    }), 'REALTIME_ERR_ADAPTER')
  }
  t.equal(await code({ onOffline: 'no' as never }), 'REALTIME_ERR_OPTIONS')
  t.equal(await code({ declare: (app) => { app.room(hall, { onOccupied: true as never }) } }), 'REALTIME_ERR_OPTIONS')
  const adapter = lacking()
  const subscribed: string[] = []
  const server = await start(t, {
    adapter: new Proxy(adapter, {
      get: (target, name) => name === 'subscribe'
        ? (room: string, ...rest: [never]) => {
            subscribed.push(room)
            return target.subscribe(room, ...rest)
          }
        : Reflect.get(target, name) as unknown
    }),
    declare: (app) => { app.room(hall) }
  })
  await connect(server, { token: server.token('ada'), rooms: ['hall/1'] })
  t.same(subscribed, ['hall/1'])
})

/** Milliseconds: the shortest lease of what lives by the heartbeats of its node, as all does by default. */
const LEASE = 30_000
/** Its lease, the heartbeats around it, a sweep, and what a machine that is busy adds to that. */
const GONE = LEASE + 2 * 10_000 + 5_000 + 20_000

async function killed (t: Test, server: Server, adapter: () => Adapter): Promise<void> {
  const calls = new Calls()
  const { declare, ...options } = { ...calls.options, presence: { grace: GRACE, lease: LEASE } }
  const one = async (): Promise<Running> => await start(t, {
    ...options,
    jwt: { secret: SECRET },
    adapter: adapter(),
    declare: declare!
  })
  const [a, b] = [await one(), await one()]
  const child: ChildProcess = fork(
    fileURLToPath(new URL('../helpers/node-process.ts', import.meta.url)),
    [server.url, '20', String(LEASE), 'hooks'],
    { execArgv: ['--import', 'tsx'] }
  )
  t.teardown(() => child.kill('SIGKILL'))
  child.on('message', (message: unknown) => { if (typeof message === 'string') calls.all.push(message) })
  const [{ port }] = await once(child, 'message') as [Ready]
  const token = (user: string): string => a.token(user, {}, 600)
  const victim = { port, url: `http://127.0.0.1:${port}` }
  await connect(victim, { token: token('there'), rooms: ['hall/there'] })
  await connect(victim, { token: token('both'), rooms: ['hall/both'] })
  await connect(b, { token: token('both'), rooms: ['hall/both'] })
  await calls.of('online there', 1)
  await calls.of('online both', 1)
  await calls.of('occupied hall/there there', 1)
  await calls.of('occupied hall/both both', 1)
  await settled()
  const before = calls.all.splice(0)
  t.equal(before.length, 4, before.join(', '))
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
  const began = performance.now()
  await until('both are told', () => calls.all.length >= 2, GONE)
  t.comment(`told ${Math.round((performance.now() - began) / 1_000)} s after the kill`)
  await settled()
  t.same([...calls.all].sort(), ['offline there', 'vacated hall/there there'])
}

// Most of it is waiting for a lease to end.
t.jobs = 2

t.test('redis: of users and rooms that were only on a node that is killed, another node is told when its lease is over', {
  buffered: true,
  timeout: GONE + 30_000,
  skip: missing('redis-server')
}, async (t) => {
  const server = await startRedis(t)
  await killed(t, server, () => redis({ url: server.url }))
})

t.test('nats: of users and rooms that were only on a node that is killed, another node is told when its lease is over', {
  buffered: true,
  timeout: GONE + 30_000,
  skip: missing('nats-server')
}, async (t) => {
  const server = await startNats(t)
  await killed(t, server, () => nats({ url: server.url }))
})
