import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Published } from '../../../lib/adapters/adapter.js'
import { redis } from '../../../lib/adapters/redis/adapter.js'
import { Refusal } from '../../../lib/errors/refusal.js'
import { missing, startRedis, until } from '../../helpers/servers.js'
import { live, node, reliable, said, textOf, type Node } from '../../../lib/adapters/contract/host.js'
import { admin, isUp, join } from './nodes.js'

const reason = missing('redis-server')
if (reason !== false) t.plan(0, reason)
else faults()

/** Publishes until it is accepted, as a caller that may repeat itself does. */
async function insist ({ adapter }: Node, room: string, text: string): Promise<Published> {
  return await until(
    `"${text}" is accepted`,
    async () => await adapter.publish(room, said(text, { idempotencyKey: text }), reliable)
  )
}

function faults (): void {
  t.test('redis: a restart with its data loses nothing and resumes everybody', async (t) => {
    const server = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always')
    const [a, b] = [await join(t, server.url, 'a'), await join(t, server.url, 'b')]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    for (let index = 0; index < 5; index++) await insist(a, 'chat/1', `${index}`)
    const { position } = await insist(a, 'chat/1', '5')
    await b.host.heard('chat/1', 6)
    for (let round = 0; round < 2; round++) {
      await server.kill()
      await server.start()
      await isUp(a, b)
    }
    await insist(b, 'chat/1', '6')
    for (const { host } of [a, b]) {
      t.same(await host.heard('chat/1', 7), ['0', '1', '2', '3', '4', '5', '6'])
      t.ok(host.gaps.length > 0)
      t.same(host.gaps.filter(({ from, to }) => from !== to), [], 'only the epoch is new')
      t.same(host.states.filter((isUp) => !isUp).length, 2)
    }
    const fresh = await join(t, server.url, 'c')
    const page = await fresh.adapter.history!('chat/1', { since: position, limit: 10 }, reliable)
    t.same([page.resumed, page.events.map(textOf)], [true, ['6']], 'a position of before both restarts is honoured')
    t.not(page.top.epoch, position!.epoch)
  })

  t.test('redis: a restart with older data is a new epoch, and nobody is silently behind', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a')
    await a.adapter.subscribe('chat/1', reliable)
    const published: Published[] = []
    for (let index = 0; index < 3; index++) published.push(await insist(a, 'chat/1', `${index}`))
    await client.save()
    for (let index = 3; index < 6; index++) published.push(await insist(a, 'chat/1', `${index}`))
    await server.kill()
    await server.start()
    await isUp(a)
    await until('the member is told', () => a.host.gaps.length > 0)
    const b = await join(t, server.url, 'b')
    const next = await insist(b, 'chat/1', 'after')
    t.not(next.position!.epoch, published[0]!.position!.epoch)
    t.equal(next.position!.offset, 4, 'offsets go on from the snapshot')
    t.same(await a.host.heard('chat/1', 7), ['0', '1', '2', '3', '4', '5', 'after'])
    t.same(a.host.gaps, [{ room: 'chat/1', epoch: next.position!.epoch, to: 3 }], 'how much was lost is not known')
    for (const { adapter } of [a, b]) {
      const lost = await adapter.history!('chat/1', { since: published[4]!.position, limit: 10 }, reliable)
      t.same(
        [lost.resumed, lost.floor],
        [false, { epoch: next.position!.epoch, offset: 3 }],
        'a position that the server forgot: behind what both epochs share'
      )
      const kept = await adapter.history!('chat/1', { since: published[1]!.position, limit: 10 }, reliable)
      t.same(
        [kept.resumed, kept.floor],
        [false, { epoch: next.position!.epoch, offset: 2 }],
        'a position that it remembers: what came after it is lost'
      )
    }
  })

  t.test('redis: a restart without data tells every member', async (t) => {
    const server = await startRedis(t)
    const [a, b] = [await join(t, server.url, 'a'), await join(t, server.url, 'b')]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    const { position } = await insist(a, 'chat/1', 'before')
    await b.host.heard('chat/1', 1)
    await server.kill()
    await server.start()
    await isUp(a, b)
    for (const { host } of [a, b]) await until(`${host.nodeId} is told`, () => host.gaps.length === 1)
    t.same(a.host.gaps.map(({ from, to }) => [from, to]), [[undefined, 0]])
    const next = await insist(b, 'chat/1', 'after')
    t.same(await a.host.heard('chat/1', 2), ['before', 'after'])
    t.equal(a.host.gaps[0]!.epoch, next.position!.epoch)
    t.equal((await a.adapter.history!('chat/1', { since: position, limit: 10 }, reliable)).resumed, false)
  })

  t.test('redis: while it is frozen nothing hangs, and what was refused is never published', async (t) => {
    const server = await startRedis(t)
    const [a, b] = [await join(t, server.url, 'a', { timeout: 400 }), await join(t, server.url, 'b', { timeout: 400 })]
    for (const { adapter } of [a, b]) {
      await adapter.subscribe('chat/1', reliable)
      await adapter.subscribe('live/1', live)
    }
    await insist(a, 'chat/1', 'before')
    await b.host.heard('chat/1', 1)
    await server.pause()
    const began = performance.now()
    const refused = await Promise.all(Array.from(
      { length: 20 },
      (_, index) => Promise.resolve(a.adapter.publish(
        'chat/1',
        said(`refused ${index}`),
        reliable
      )).catch((error: unknown) => error)
    ))
    t.same(refused.map((error) => error instanceof Refusal && error.word), refused.map(() => 'unavailable'))
    t.ok(performance.now() - began < 1_500, 'refused in time')
    t.same(
      (await a.adapter.publish('chat/1', said('typing', { delivery: 'volatile' }), reliable)).recipients,
      1,
      'volatile events reach the members here'
    )
    t.same(
      (await a.adapter.publish('live/1', said('tick'), live)).recipients,
      1,
      'events without history reach the members here'
    )
    await until('the node notices', () => a.host.states.at(-1) === false)
    const at = performance.now()
    await t.rejects(Promise.resolve(a.adapter.publish('chat/1', said('refused at once'), reliable)))
    await t.rejects(a.adapter.leases!.acquire('user:ann', 'c1', 1, 1_000))
    await t.rejects(Promise.resolve(a.adapter.subscribe('chat/2', reliable)))
    await t.rejects(a.adapter.control!.send({ type: 'revoke', user: 'ann' }))
    t.ok(performance.now() - at < 400, 'known to be away: refused at once, where each would wait 400 ms')
    server.resume()
    await isUp(a, b)
    await insist(a, 'chat/1', 'after')
    t.same(await b.host.heard('chat/1', 2), ['before', 'after'])
    t.same(a.host.texts('chat/1'), ['before', 'typing', 'after'])
    t.same(a.host.texts('live/1'), ['tick'])
    const { events } = await b.adapter.history!('chat/1', { last: 100, limit: 100 }, reliable)
    t.same(events.map(textOf), ['before', 'after'])
  })

  t.test('redis: connections cut 50 times while three nodes publish: nothing lost, doubled or out of order', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const nodes = [await join(t, server.url, 'a'), await join(t, server.url, 'b'), await join(t, server.url, 'c')]
    const settings = { ...reliable, history: { size: 10_000, ttl: 300_000 } }
    for (const { adapter } of nodes) await adapter.subscribe('chat/1', settings)
    const cutting = { isOn: true }
    const accepted: string[] = []
    const publishing = nodes.map(async (each, name) => {
      for (let index = 0; cutting.isOn; index++) {
        const text = `${name} ${index}`
        if (name < 2) {
          await until(
            `"${text}" is accepted`,
            async () => await each.adapter.publish('chat/1', said(text, { idempotencyKey: text }), settings)
          )
        } else {
          // A caller that neither names its event nor repeats itself: the adapter alone sees to it that it is there
          // once.
          try {
            await each.adapter.publish('chat/1', said(text), settings)
          } catch {
            await until('the node is up', () => each.adapter.stats!().isUp === true)
            continue
          }
        }
        accepted.push(text)
      }
    })
    const own = Number(await client.client('ID'))
    for (let cut = 0; cut < 50; cut++) {
      const ids = String(await client.client('LIST'))
        .split('\n')
        .map((line) => Number(/^id=(\d+)/.exec(line)?.[1]))
        .filter((id) => id > 0 && id !== own)
      if (ids.length > 0) await client.call('CLIENT', 'KILL', 'ID', String(ids[cut % ids.length]))
      const before = accepted.length
      await until('publishing goes on', () => accepted.length > before + 5, 20_000)
    }
    cutting.isOn = false
    await Promise.all(publishing)
    await isUp(...nodes)
    for (const { host } of nodes) {
      const texts = await host.heard('chat/1', accepted.length)
      t.equal(new Set(texts).size, texts.length, 'nothing doubled')
      t.same(accepted.filter((text) => !texts.includes(text)), [], 'nothing lost')
      t.same(host.offsets('chat/1'), texts.map((_, index) => index + 1), 'nothing out of order')
      t.same(host.gaps, [])
    }
    t.comment(
      `${accepted.length} events, repairs ${nodes.map(({ adapter }) => String(adapter.stats!().repairs)).join(' ')}`
    )
  })

  t.test('redis: an event that the subscription never brought is found by the position check', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a', { check: 200 })
    await a.adapter.subscribe('chat/1', reliable)
    await insist(a, 'chat/1', '0')
    const lose = async (text: string): Promise<void> => {
      const [[id, fields]] = await client.xrevrange(
        'realtime:{chat/1}:stream',
        '+',
        '-',
        'COUNT',
        1
      ) as [[string, string[]]]
      const offset = Number.parseInt(id, 10) + 1
      const payload = fields[1]!.replace(/^.*/, `lost-${offset}`).replace(/\{"text":.*/s, JSON.stringify({ text }))
      await client.multi()
        .hset('realtime:{chat/1}:meta', 'offset', offset)
        .xadd('realtime:{chat/1}:stream', `${offset}-${Date.now()}`, 'e', payload)
        .exec()
    }
    await lose('1')
    t.same(await a.host.heard('chat/1', 2), ['0', '1'])
    await lose('2')
    await insist(a, 'chat/1', '3')
    t.same(await a.host.heard('chat/1', 4), ['0', '1', '2', '3'], 'a hole before a later event is filled first')
    await lose('4')
    await client.del('realtime:{chat/1}:stream')
    await until('what cannot be read is a gap', () => a.host.gaps.length > 0)
    const { epoch } = (await a.adapter.history!('chat/1', { last: 1, limit: 1 }, reliable)).top
    t.same(a.host.gaps, [{ room: 'chat/1', epoch, from: 4, to: 5 }])
  })

  t.test(
    'redis: a subscription that failed takes nothing from the one after it, which is there again when the connection comes back',
    async (t) => {
      const server = await startRedis(t)
      const client = admin(t, server)
      const [a, b] = [await join(t, server.url, 'a', { timeout: 1_500 }), await join(t, server.url, 'b')]
      await server.pause()
      const first = Promise.resolve(a.adapter.subscribe('live/1', live)).then(() => 'subscribed', () => 'refused')
      await sleep(700)
      await a.adapter.unsubscribe('live/1')
      const second = a.adapter.subscribe('live/1', live)
      t.equal(await first, 'refused')
      server.resume()
      await second
      const ups = a.host.states.length
      await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await until(
        'the connection broke and came back',
        () => a.host.states.length >= ups + 2 && a.host.states.at(-1) === true
      )
      await isUp(b)
      await b.adapter.publish('live/1', said('tick'), live)
      t.same(await a.host.heard('live/1', 1), ['tick'])
    }
  )

  t.test('redis: who comes while the first change of a room is missed is told once the subscription is back', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const [a, b] = [await join(t, server.url, 'a'), await join(t, server.url, 'b')]
    await a.adapter.subscribe('chat/1', reliable)
    await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await a.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
    await b.adapter.presence!.join('chat/1', { userId: 'bob', connection: 'c2' }, 60_000)
    const { sequence } = await b.adapter.presence!.snapshot('chat/1', 10)
    await until('the last change is told', () => a.host.changes.get('chat/1')?.at(-1)?.sequence === sequence, 10_000)
  })

  t.test('redis: close settles what waits and leaves no connection', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a', { timeout: 30_000 })
    await a.adapter.subscribe('chat/1', reliable)
    await a.adapter.subscribe('chat/2', live)
    await server.pause()
    const waiting = [
      a.adapter.publish('chat/1', said('x'), reliable),
      a.adapter.leases!.acquire('k', 'h', 1, 1_000),
      a.adapter.control!.send({ type: 'revoke', user: 'ann' })
    ]
    const settled = Promise.allSettled(waiting)
    await a.adapter.close()
    t.same((await settled).map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
    await t.rejects(Promise.resolve(a.adapter.publish('chat/1', said('late'), reliable)))
    server.resume()
    await until(
      'its connections are gone',
      async () => String(await client.client('LIST')).trim().split('\n').length === 1
    )
  })

  t.test(
    'redis: slots and presence of a node that died end with their lease, and its leave is announced once',
    async (t) => {
      const server = await startRedis(t)
      const [a, b, c] = [await join(t, server.url, 'a'), await join(t, server.url, 'b'), await join(t, server.url, 'c')]
      for (const { adapter } of [b, c]) {
        await adapter.subscribe('chat/1', reliable)
        await adapter.presence!.join(
          'chat/1',
          { userId: 'bob', connection: `c-${adapter === b.adapter ? 'b' : 'c'}` },
          60_000
        )
      }
      await a.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c-a' }, 300)
      t.equal(await a.adapter.leases!.acquire('room:chat/1', 'c-a', 1, 300), true)
      await a.adapter.close()
      await until('the slot is free', () => b.adapter.leases!.acquire('room:chat/1', 'c-b', 1, 60_000))
      await until('the leave is announced', async () => {
        await Promise.all([b, c].map(({ adapter }) => adapter.presence!.sweep(['chat/1'])))
        return [b, c].every(({ host }) => host.changes.get('chat/1')!.some(({ left }) => left.length > 0))
      })
      for (const { host } of [b, c]) {
        const leaves = host.changes.get('chat/1')!.filter(({ left }) => left.length > 0)
        t.same(leaves.map(({ left }) => left), [[{ userId: 'ann' }]])
      }
    }
  )

  t.test('redis: a full server lets nobody past a limit while it may soon have room, and still says who is revoked', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter: { leases, denials } } = await join(t, server.url, 'a')
    t.equal(await leases!.acquire('user:ann', 'c1', 1, 60_000), true)
    await denials!.deny('eve', Date.now() + 60_000)
    await client.config('SET', 'maxmemory', '1')
    const asked = leases!.acquire('user:ann', 'c2', 2, 60_000)
    t.equal(await denials!.isDenied(['eve']), true)
    await sleep(500)
    await client.config('SET', 'maxmemory', '0')
    t.equal(await asked, true)
    await client.config('SET', 'maxmemory', '1')
    await t.rejects(leases!.acquire('user:ann', 'c3', 3, 60_000), { code: 'unavailable' })
    t.equal(await denials!.isDenied(['bob']), false)
    const began = performance.now()
    await t.rejects(leases!.acquire('user:ann', 'c3', 3, 60_000), { code: 'unavailable' })
    const took = performance.now() - began
    t.ok(took < 1_000, `it was waited for ${Math.round(took)} ms once more`)
    await client.config('SET', 'maxmemory', '0')
    t.equal(await leases!.acquire('user:ann', 'c3', 2, 60_000), false)
  })

  t.test('redis: presence and slots that a restart lost are there again after the next renewal', async (t) => {
    const server = await startRedis(t)
    const a = await join(t, server.url, 'a')
    await a.adapter.subscribe('chat/1', reliable)
    const entry = { userId: 'ann', connection: 'c1', data: { name: 'Ann' } }
    await a.adapter.presence!.join('chat/1', entry, 60_000)
    const before = await a.adapter.presence!.snapshot('chat/1', 10)
    await a.adapter.leases!.acquire('user:ann', 'c1', 1, 60_000)
    await server.kill()
    await server.start()
    await isUp(a)
    await a.adapter.presence!.renew!([{ room: 'chat/1', entry }], 60_000)
    await a.adapter.leases!.renew([{ key: 'user:ann', holder: 'c1' }], 60_000)
    const after = await a.adapter.presence!.snapshot('chat/1', 10)
    t.same(after.list, before.list)
    t.ok(after.sequence > before.sequence + 1, 'a hole, so that peers ask')
    t.equal(await a.adapter.leases!.acquire('user:ann', 'c2', 1, 60_000), false)
  })

  t.test(
    'redis: a server that is not there, and options that exclude each other, are refused with the fix',
    async (t) => {
      const server = await startRedis(t)
      await server.kill()
      await t.rejects(node(t, redis({ url: server.url }), 'a'), {
        code: 'REALTIME_ERR_ADAPTER',
        message: /check the url/
      })
      t.throws(() => redis({ url: 'redis://a', cluster: [] }), { code: 'REALTIME_ERR_OPTIONS' })
      t.throws(() => redis({ prefix: 'a{b}' }), { code: 'REALTIME_ERR_OPTIONS' })
    }
  )

  t.test('redis: a client instance lends its settings and stays the application\'s', async (t) => {
    const server = await startRedis(t, '--requirepass', 'secret')
    const client = new Redis({
      port: server.port,
      host: '127.0.0.1',
      password: 'secret',
      keyPrefix: 'mine:',
      lazyConnect: true
    })
    t.teardown(() => { client.disconnect() })
    const a = await node(t, redis({ client }), 'a')
    const b = await node(
      t,
      redis({ url: `redis://:secret@127.0.0.1:${server.port}`, settings: { keyPrefix: 'mine:' } }),
      'b'
    )
    await a.adapter.subscribe('chat/1', reliable)
    await insist(b, 'chat/1', 'hello')
    t.same(await a.host.heard('chat/1', 1), ['hello'])
    await a.adapter.close()
    t.equal(await client.set('x', 'still usable'), 'OK')
  })
}
