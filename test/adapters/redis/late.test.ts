import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t from 'tap'
import { slotOf } from '../../../lib/adapters/redis/shards.js'
import type { PresenceEntry, RoomSettings, TextWrite } from '../../../lib/adapters/adapter.js'
import type { Refusal } from '../../../lib/errors/refusal.js'
import { matchList } from '../../helpers/match-list.js'
import { missing, startRedis, until } from '../../helpers/servers.js'
import { reliable, said, textOf } from '../../../lib/adapters/contract/host.js'
import { admin, isUp, join, proxied } from './nodes.js'

const skip = missing('redis-server')

if (skip !== false) t.plan(0, skip)
else {
  t.test('redis: what a frozen server is asked for and refused is not done later, whatever it is', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a', { timeout: 300 })
    const { leases, claims, denials, presence, control } = a.adapter
    await claims!.put('ticket', 'value', 60_000)
    await leases!.acquire('user:bob', 'c1', 5, 60_000)
    await server.pause()
    const steps = {
      publish: a.adapter.publish('chat/1', said('x'), reliable),
      latest: a.adapter.publish('chat/1', said('x', { delivery: 'latest', key: 'k' }), reliable),
      acquire: leases!.acquire('user:ann', 'c1', 1, 60_000),
      release: leases!.release('user:bob', 'c1'),
      claim: claims!.claim('id', 'hash', 60_000),
      take: claims!.take('ticket'),
      put: claims!.put('other', 'value', 60_000),
      deny: denials!.deny('user:eve', Date.now() + 60_000),
      join: presence!.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000),
      tell: control!.send({ type: 'leave', user: 'ann', room: 'chat/1' })
    }
    const ended = await Promise.allSettled(Object.values(steps).map(async (step) => await step))
    t.same(ended.map(({ status }) => status), ended.map(() => 'rejected'))
    const unknown = ended[0] as PromiseRejectedResult
    t.match(unknown.reason, { word: 'unavailable', outcome: 'unknown', idempotencyKey: String })
    server.resume()
    await isUp(a)
    await sleep(500)
    const keys = (await client.keys('*')).filter((key) => !/:(mark|nodes)$/.test(key)).sort()
    t.same(keys, ['realtime:{lease:user:bob}', 'realtime:{value:ticket}'], 'nothing was done')
    t.equal(await claims!.take('ticket'), 'value')
    t.equal(await leases!.count('user:bob'), 1)
    const { idempotencyKey } = unknown.reason as Refusal
    const again = await a.adapter.publish('chat/1', said('x', { idempotencyKey }), reliable)
    t.equal(again.position!.offset, 1, 'asked again by its key it is published, once')
    t.same((await a.adapter.publish('chat/1', said('x', { idempotencyKey }), reliable)).position, again.position)
  })

  for (const [what, lose] of Object.entries({
    'has lost its data': async (client: Redis) => { await client.flushall() },
    'may have evicted the key': async (client: Redis) => {
      await client.config('SET', 'maxmemory', '1gb', 'maxmemory-policy', 'allkeys-lru')
      await client.del('realtime:{chat/1}:once:k')
    }
  })) {
    t.test(`redis: of an event that was published and whose answer was lost nobody is told that it was not, though the server ${what} since`, async (t) => {
      const server = await startRedis(t)
      const client = admin(t, server)
      const { proxy, url } = await proxied(t, server)
      const [a, b] = [await join(t, url, 'a'), await join(t, server.url, 'b')]
      await b.adapter.subscribe('chat/1', reliable)
      await a.adapter.publish('chat/1', said('first'), reliable)
      proxy.shut('downward', 600_000)
      const told = Promise.resolve(a.adapter.publish('chat/1', said('x', { idempotencyKey: 'k' }), reliable))
        .then(() => undefined, (error: Refusal) => error)
      await b.host.heard('chat/1', 2)
      await lose(client)
      proxy.isDown = true
      proxy.cut()
      // Until the deadline is past: the answer is then that it will not run.
      await sleep(1_100)
      proxy.isDown = false
      t.match(await told, { code: 'unavailable', outcome: 'unknown', idempotencyKey: 'k' })
    })
  }

  t.test('redis: an event that never reached a server which has kept its data since is told as refused', async (t) => {
    const server = await startRedis(t)
    const { proxy, url } = await proxied(t, server)
    const a = await join(t, url, 'a')
    await a.adapter.publish('chat/1', said('first'), reliable)
    proxy.shut('upward', 600_000)
    const told = Promise.resolve(a.adapter.publish('chat/1', said('x'), reliable))
      .then(() => undefined, (error: Refusal) => error)
    await sleep(20)
    proxy.isDown = true
    proxy.cut()
    await sleep(1_100)
    proxy.isDown = false
    const error = await told
    t.same([error?.data.code, error?.outcome], ['unavailable', undefined])
    await isUp(a)
    t.equal((await a.adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)).events.length, 1)
  })

  t.test('redis: a leave that comes while its join is under way ends it, also where the join has to be asked for twice', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter: { presence } } = await join(t, server.url, 'a')
    const [ann, bob] = ['ann', 'bob'].map((userId) => ({ userId, connection: userId, fence: 1 }))
    await presence!.join('chat/1', bob!, 60_000)
    // A server that was restarted knows no script.
    await client.script('FLUSH')
    await presence!.leave('chat/1', bob!, 0)
    await Promise.all([presence!.join('chat/1', ann!, 60_000), presence!.leave('chat/1', ann!, 0)])
    t.equal((await presence!.snapshot('chat/1', 10)).total, 0)
  })

  t.test('redis: a release that is overtaken on its way frees neither the slot nor the presence taken after it', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter: { leases, presence } } = await join(t, server.url, 'a')
    const entry = (fence: number, connection = 'c1'): PresenceEntry => ({ userId: connection, connection, fence })
    await leases!.acquire('user:ann', 'c1', 1, 60_000, 1)
    await presence!.join('chat/1', entry(1), 60_000)
    // The scripts that release are asked for twice, those that take are known: the second question comes behind them.
    await client.script('FLUSH')
    await leases!.acquire('user:bob', 'c2', 1, 60_000, 2)
    await presence!.join('chat/2', entry(2, 'c2'), 60_000)
    await Promise.all([
      leases!.release('user:ann', 'c1', 1),
      presence!.leave('chat/1', entry(1), 0),
      leases!.acquire('user:ann', 'c1', 1, 60_000, 3),
      presence!.join('chat/1', entry(3), 60_000)
    ])
    t.same([await leases!.count('user:ann'), (await presence!.snapshot('chat/1', 10)).total], [1, 1])
    await leases!.release('user:ann', 'c1', 3)
    await presence!.leave('chat/1', entry(3), 0)
    t.same([await leases!.count('user:ann'), (await presence!.snapshot('chat/1', 10)).total], [0, 0])
  })

  t.test('redis: a publication is found again by its key however many events came after it', async (t) => {
    const server = await startRedis(t)
    const { proxy, url } = await proxied(t, server)
    const [a, b] = [await join(t, url, 'a'), await join(t, server.url, 'b', { timeout: 10_000 })]
    const small = { ...reliable, history: { size: 3, ttl: 300_000 } }
    await b.adapter.subscribe('chat/1', small)
    let accepted = 0
    for (let round = 0; round < 5; round++) {
      proxy.stall(undefined, 150)
      const publishing = Promise.resolve(a.adapter.publish('chat/1', said(`own ${round}`), small)).then(
        () => { accepted++ },
        () => undefined
      )
      await sleep(30)
      await Promise.all(Array.from(
        { length: 300 },
        (_, index) => b.adapter.publish('chat/1', said(`${round} ${index}`), small)
      ))
      await sleep(130)
      proxy.cut()
      await publishing
      await isUp(a)
    }
    const heard = await b.host.heard('chat/1', 1_500 + accepted)
    t.equal(new Set(heard).size, heard.length, 'nothing twice')
    t.equal(heard.filter((text) => text.startsWith('own')).length, accepted)
  })

  t.test('redis: a claim whose answer was lost is given to its holder again, and to nobody else', async (t) => {
    const server = await startRedis(t)
    const { adapter: { claims } } = await join(t, server.url, 'a')
    t.same(await claims!.claim('id', 'hash', 60_000, 'ann', 'node a'), { state: 'claimed' })
    t.same(await claims!.claim('id', 'hash', 60_000, 'ann', 'node a'), { state: 'claimed' })
    t.match(await claims!.claim('id', 'hash', 60_000, 'ann', 'node b'), { state: 'running' })
    t.same(await claims!.claim('id', 'other', 60_000, 'ann', 'node a'), { state: 'conflict' })
    await claims!.settle('id', 'hash', '{"data":1}', 60_000)
    t.same(await claims!.claim('id', 'hash', 60_000, 'ann', 'node a'), { state: 'settled', outcome: '{"data":1}' })
  })

  t.test('redis: whichever key of a room\'s presence is evicted, those who stay are shown without a flap and nobody stays who has gone', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a')
    const { presence } = a.adapter
    for (const part of ['-entries', '-counts', '-users', '']) {
      const room = `chat/evicted${part}`
      await a.adapter.subscribe(room, reliable)
      const [ann, bob] = [{ userId: 'ann', connection: 'c1' }, { userId: 'bob', connection: 'c2' }]
      for (const entry of [ann, bob]) await presence!.join(room, entry, 500)
      await client.del(`realtime:{${room}}:presence${part}`)
      // Bob's node has died; Ann's renews her.
      const renew = async (): Promise<void> => { await presence!.renew!([{ room, entry: ann }], 500) }
      await renew()
      await until(`${room}: bob has left`, async () => {
        await renew()
        await client.hset(`realtime:{${room}}:presence`, 'repair', 1)
        await presence!.sweep([room])
        return (await presence!.snapshot(room, 10)).list?.map(({ userId }) => userId).join() === 'ann'
      })
      const left = a.host.changes.get(room)!.flatMap((change) => change.left.map(({ userId }) => userId))
      t.same(left.filter((user) => user === 'ann'), [], `${room}: who stayed never left`)
      await presence!.leave(room, ann, 0)
      t.equal((await presence!.snapshot(room, 10)).total, 0, room)
    }
  })

  for (const evicted of [['-entries'], ['-counts'], ['-users'], ['-nodes'], ['-entries', '-nodes'], ['']]) {
    const what = evicted.map((part) => `"presence${part}"`).join(' and ')
    t.test(`redis: where ${what} of a room is evicted, the nodes make it whole and no member is told of anybody`, async (t) => {
      const server = await startRedis(t)
      const client = admin(t, server)
      const key = (part: string): string => `realtime:{chat/1}:presence${part}`
      // The second looks later, when the first has repaired what it holds.
      const [a, b] = [await join(t, server.url, 'a', { check: 200 }), await join(t, server.url, 'b', { check: 2_000 })]
      for (const [{ adapter, host }, userId] of [[a, 'ann'], [b, 'bob']] as const) {
        await adapter.subscribe('chat/1', reliable)
        await adapter.presence!.join('chat/1', { userId, connection: `c-${userId}`, data: { name: userId } }, 60_000)
        const entry = { userId, connection: `c-${userId}`, data: { name: userId } }
        host.hold = async () => { await adapter.presence!.renew!([{ room: 'chat/1', entry }], 60_000) }
      }
      await until('both are told', () => a.host.changes.get('chat/1')?.length === 2)
      const isWhole = async (): Promise<boolean> => {
        const sizes = await Promise.all([
          client.zcard(key('-entries')), ...['-counts', '-users', '-nodes'].map((part) => client.hlen(key(part)))
        ])
        return sizes.every((size) => size === 2)
      }
      t.ok(await isWhole())
      await client.del(...evicted.map(key))
      await a.adapter.presence!.sweep([])
      await until('it is whole', isWhole)
      if (await client.hexists(key(''), 'repair') === 1) await client.hset(key(''), 'repair', 1)
      const { list = [] } = await b.adapter.presence!.snapshot('chat/1', 10)
      t.same(list.map(({ userId, data }) => ({ userId, data })).sort((one, two) => one.userId < two.userId ? -1 : 1), [
        { userId: 'ann', data: { name: 'ann' } }, { userId: 'bob', data: { name: 'bob' } }
      ])
      for (const { adapter, host } of [a, b]) {
        await adapter.presence!.sweep([])
        const changes = host.changes.get('chat/1') ?? []
        const told = changes.flatMap(({ joined, left }) => [...joined, ...left]).map(({ userId }) => userId)
        t.equal(told.length, host === a.host ? 2 : 1, 'each joined once, and nobody has left')
      }
    })
  }

  t.test('redis: nothing is held anew for a user who has left with a long grace, who is shown no longer where entries are evicted', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const [a, b] = [await join(t, server.url, 'a'), await join(t, server.url, 'b', { check: 200 })]
    const [ann, bob] = ['ann', 'bob'].map((userId) => ({ userId, connection: `c-${userId}` })) as [PresenceEntry, PresenceEntry]
    let held = 0
    b.host.hold = async () => { held++ }
    for (const [{ adapter }, entry] of [[a, ann], [b, bob]] as const) {
      await adapter.subscribe('chat/1', reliable)
      await adapter.presence!.join('chat/1', entry, 60_000)
    }
    await a.adapter.presence!.leave('chat/1', ann, 1_800_000)
    for (const check of ['first', 'second']) {
      // A check lets the position of a room live for minutes.
      await client.pexpire('realtime:{chat/1}:meta', 10_000)
      await until(`the ${check} check`, async () => await client.pttl('realtime:{chat/1}:meta') > 10_000)
    }
    t.equal(held, 0)
    t.equal((await b.adapter.presence!.snapshot('chat/1', 10)).total, 2)
    await client.del('realtime:{chat/1}:presence-entries')
    await b.adapter.presence!.sweep([])
    t.equal(await client.zcard('realtime:{chat/1}:presence-entries'), 1)
    await client.hset('realtime:{chat/1}:presence', 'repair', 1)
    matchList(t, (await b.adapter.presence!.snapshot('chat/1', 10)).list, [{ userId: 'bob' }])
    t.equal((await b.adapter.presence!.snapshot('chat/1', 10)).total, 1)
  })

  t.test('redis: a text whose inside alone is evicted is written whole again, and its rest is never shown as the whole', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter: { texts } } = await join(t, server.url, 'a')
    const settings: RoomSettings = { ...reliable, append: { size: 1_048_576, ttl: 60_000 } }
    const step = (number: number, inside: string, from: number): TextWrite => ({
      type: 'answer',
      key: 'a',
      timestamp: Date.now(),
      writer: 'one',
      number,
      lease: 60_000,
      part: { before: '{"text":"', inside, isList: false, from, to: from + inside.length, end: undefined }
    })
    const write = async (next: TextWrite): Promise<string> => await texts!.write('chat/1', next, settings)
    await write(step(0, '', 0))
    await write(step(1, 'one', 0))
    const [evicted] = await client.keys('*:text-inside:*')
    await client.del(evicted!)
    t.equal(await write(step(2, ' two', 3)), 'behind')
    t.same(await texts!.read('chat/1', settings), [])
    t.equal(await write(step(2, 'one two', 0)), 'written')
    matchList(t, await texts!.read('chat/1', settings), [{ part: { inside: 'one two', from: 0, to: 7 } }])
  })

  t.test('redis: the epoch of a room is kept as long as its events, also beyond a day and after a use that is shorter', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter } = await join(t, server.url, 'a')
    const week = 7 * 86_400_000
    const inbox = { ...reliable, history: { size: 100, ttl: week }, append: { size: 1_048_576, ttl: 60_000 } }
    const left = async (): Promise<number[]> => await Promise.all(['meta', 'stream'].map(async (key) => {
      return Math.round(await client.pttl(`realtime:{inbox/1}:${key}`) / 60_000)
    }))
    const minutes = week / 60_000
    await adapter.publish('inbox/1', said('x'), inbox)
    t.same(await left(), [minutes, minutes])
    await adapter.history!('inbox/1', { last: 10, limit: 10 }, reliable)
    await adapter.subscribe('inbox/1', inbox)
    await adapter.publish('inbox/1', said('y', { delivery: 'latest', key: 'k' }), reliable)
    await adapter.texts!.write('inbox/1', {
      type: 'answer',
      key: 'a',
      timestamp: Date.now(),
      writer: 'one',
      number: 0,
      lease: 60_000,
      part: { before: '{"text":"', inside: '', isList: false, from: 0, to: 0, end: undefined }
    }, inbox)
    t.same(await left(), [minutes, minutes])
    await adapter.publish('inbox/1', said('z'), reliable)
    t.equal((await left())[0], minutes)
  })

  t.test('redis: a read of a stream whose events are past their time costs the server a moment, whatever their number', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a', { timeout: 5_000 })
    const settings = { ...reliable, history: { size: 100_000, ttl: 60_000 } }
    for (const kept of [0, 10]) {
      const room = `chat/${kept}`
      await a.adapter.publish(room, said('first'), settings)
      const [meta, stream] = [`realtime:{${room}}:meta`, `realtime:{${room}}:stream`]
      const old = Date.now() - 120_000
      const total = 20_000
      for (let from = 2; from <= total; from += 2_000) {
        const pipeline = client.pipeline()
        for (let offset = from; offset < Math.min(from + 2_000, total + 1); offset++) {
          pipeline.xadd(
            stream,
            `${offset}-${offset > total - kept ? Date.now() : old}`,
            'e',
            `o-${offset}\n{"t":"said","s":${old}}\n{"text":"${offset}"}`
          )
        }
        await pipeline.exec()
      }
      await client.hset(meta, 'offset', total)
      await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0')
      await client.call('SLOWLOG', 'RESET')
      const page = await a.adapter.history!(room, { last: 100, limit: 100 }, settings)
      const slow = await client.call('SLOWLOG', 'GET', '50') as Array<[number, number, number, string[]]>
      const micros = slow.filter(([,,, [command]]) => /^eval/i.test(command!)).map(([,, duration]) => duration)
      t.ok(micros.length > 0 && Math.max(...micros) < 20_000, `${Math.max(...micros)} us`)
      // The first event is young, and stands before the old ones: what is behind it is not looked through.
      t.same([textOf(page.events.at(-1)!), page.top.offset], [`${total}`, total])
    }
  })

  t.test('redis: the slot of a key is the one that the cluster reckons', async (t) => {
    const server = await startRedis(t, '--cluster-enabled', 'yes')
    const client = admin(t, server)
    for (const key of ['realtime:{chat/1}:meta', 'a', 'x{}y', '{user:ann}', 'p{claim:ü}z', '{a}{b}']) {
      t.equal(slotOf(key), await client.call('CLUSTER', 'KEYSLOT', key), key)
    }
  })
}
