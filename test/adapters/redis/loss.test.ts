import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { PresenceChange, PresenceSnapshot } from '../../../lib/adapters/adapter.js'
import { Keys } from '../../../lib/adapters/redis/keys.js'
import type { Refusal } from '../../../lib/errors/refusal.js'
import { matchList } from '../../helpers/match-list.js'
import { missing, startRedis, until } from '../../helpers/servers.js'
import { live, reliable, said, textOf, type Node } from '../../../lib/adapters/contract/host.js'
import { admin, isUp, join, proxied } from './nodes.js'

const skip = missing('redis-server')
/** Milliseconds in which a node that was cut off knows again what it missed. */
const SOON = 2_500

if (skip !== false) t.plan(0, skip)
else {
  t.test('redis: who has heard more than its node is resumed once the node has heard as much', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter, host } = await join(t, server.url, 'a')
    await adapter.subscribe('chat/1', reliable)
    const { position } = await adapter.publish('chat/1', said('first'), reliable)
    const [[, fields]] = await client.xrange('realtime:{chat/1}:stream', '-', '+') as [[string, string[]]]
    // An event that the subscription has not brought yet.
    await client.xadd('realtime:{chat/1}:stream', `2-${Date.now()}`, 'e', fields[1]!.replace('first', 'other'))
    await client.hset('realtime:{chat/1}:meta', 'offset', 2)
    const page = await adapter.history!('chat/1', { since: { ...position!, offset: 2 }, limit: 1 }, reliable)
    matchList(t, page, { resumed: true, events: [], top: { offset: 2 } })
    t.equal(host.order.length, 2, 'the node was told of it before')
    matchList(t, host.order, [/ 1$/, / 2$/])
  })

  t.test(
    'redis: a node that was cut off for a moment knows the values, the presence and the messages of that moment soon after, each once and in order',
    async (t) => {
      const server = await startRedis(t)
      const { proxy, url } = await proxied(t, server)
      const [a, b] = [await join(t, url, 'a'), await join(t, server.url, 'b')]
      for (const room of ['chat/1', 'live/1']) {
        for (const { adapter } of [a, b]) await adapter.subscribe(room, room === 'live/1' ? live : reliable)
      }
      const presence = [a.adapter.presence!, b.adapter.presence!] as const
      await presence[0].join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
      const known = await presence[0].snapshot('chat/1', 10)
      const score = (text: string): ReturnType<typeof said> => said(text, {
        type: 'score',
        delivery: 'latest',
        key: 'red'
      })
      await b.adapter.publish('live/1', score('1'), live)
      await a.host.heard('live/1', 1)
      proxy.isDown = true
      proxy.cut()
      await b.adapter.publish('chat/1', score('2'), reliable)
      await b.adapter.publish('live/1', score('3'), live)
      await presence[1].join('chat/1', { userId: 'bob', connection: 'c2' }, 60_000)
      await presence[1].leave('chat/1', { userId: 'bob', connection: 'c2' }, 0)
      await b.adapter.control!.send({ type: 'revoke', user: 'eve', until: 1 })
      await b.adapter.control!.send({ type: 'leave', user: 'dan', room: 'chat/1' })
      await b.adapter.control!.send({ type: 'acked', ack: 'x', connection: 'y' })
      proxy.isDown = false
      await until('the messages are read', () => a.host.controls.length >= 2, SOON)
      await until(
        'the values are read',
        () => a.host.texts('chat/1').includes('2') && a.host.texts('live/1').includes('3'),
        SOON
      )
      await until('the presence is read', () => (a.host.changes.get('chat/1') ?? []).length >= 3, SOON)
      t.same(a.host.controls.map(({ message, from }) => [message.type, from]), [['revoke', 'b'], ['leave', 'b']])
      const changes = a.host.changes.get('chat/1')!.filter(({ sequence }) => sequence > known.sequence)
      t.same(
        changes.map(({ sequence, joined, left }) => [sequence, joined.length, left.length]),
        [[known.sequence + 1, 1, 0], [known.sequence + 2, 0, 1]]
      )
      await b.adapter.control!.send({ type: 'revoke', user: 'fay' })
      await until('the next comes', () => a.host.controls.length >= 3, SOON)
      await sleep(1_200)
      t.equal(a.host.controls.length, 3, 'nothing comes twice')
    }
  )

  t.test('redis: a list that one member reads when the link is back hides no missed change from the others', async (t) => {
    const server = await startRedis(t)
    const { proxy, url } = await proxied(t, server)
    const [a, b] = [await join(t, url, 'a'), await join(t, server.url, 'b')]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    const presence = [a.adapter.presence!, b.adapter.presence!] as const
    const [ann, bob] = [{ userId: 'ann', connection: 'c1' }, { userId: 'bob', connection: 'c2' }]
    await presence[0].join('chat/1', ann, 60_000)
    await presence[1].join('chat/1', bob, 60_000)
    const known = await presence[0].snapshot('chat/1', 10)
    await until('both are known', () => (a.host.changes.get('chat/1') ?? []).length === 2)
    proxy.isDown = true
    proxy.cut()
    await presence[1].leave('chat/1', bob, 0)
    proxy.isDown = false
    // The first list that the broker gives again is read before the node has asked for what it missed.
    let list: PresenceSnapshot | undefined
    while (list === undefined) {
      const asked = Promise.resolve(presence[0].snapshot('chat/1', 10))
      list = await asked.catch(async () => await sleep(1, undefined))
    }
    t.same([list.sequence, list.total], [known.sequence + 1, 1])
    await until('the change is told', () => a.host.changes.get('chat/1')!.length >= 3, SOON)
    t.same(a.host.changes.get('chat/1')!.slice(2), [{ sequence: list.sequence, joined: [], left: [{ userId: 'bob' }] }])
  })

  t.test('redis: members ask where the one change of presence that a node missed is not kept any more', async (t) => {
    const server = await startRedis(t)
    const { proxy, url } = await proxied(t, server)
    const [a, b] = [await join(t, url, 'a'), await join(t, server.url, 'b')]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    for (const [userId, { adapter }] of [['ann', a], ['bob', b]] as const) {
      await adapter.presence!.join('chat/1', { userId, connection: `c-${userId}` }, 60_000)
    }
    const told = (node: Node): readonly PresenceChange[] => node.host.changes.get('chat/1') ?? []
    await until('both are known', () => told(a).length === 2 && told(b).length === 2)
    const { sequence } = told(a).at(-1)!
    proxy.isDown = true
    proxy.cut()
    await b.adapter.presence!.leave('chat/1', { userId: 'bob', connection: 'c-bob' }, 0)
    await admin(t, server).del(new Keys('realtime:').presence('chat/1')[4]!)
    proxy.isDown = false
    await until('a hole is told', () => told(a).at(-1)!.sequence > sequence + 1, SOON)
    t.same(told(a).slice(2), [{ sequence: sequence + 2, joined: [], left: [] }])
    await until('the other node goes on without one', () => told(b).at(-1)!.sequence === sequence + 2, SOON)
    t.same(told(b).slice(2).map((change) => change.sequence), [sequence + 1, sequence + 2])
  })

  t.test('redis: messages of a server that took the place of another before it had everything, by a slower clock, come', async (t) => {
    const server = await startRedis(t)
    const [a, b] = [await join(t, server.url, 'a'), await join(t, server.url, 'b')]
    const client = admin(t, server)
    const told = 'realtime:{control}:told'
    for (const user of ['ann', 'bob']) {
      await b.adapter.control!.send({ type: 'revoke', user })
      await sleep(5)
    }
    await until('both are heard', () => a.host.controls.length === 2)
    const [[first, fields]] = await client.xrange(told, '-', '+') as [[string, string[]]]
    const [time] = first.split('-') as [string]
    await client.multi().del(told)
      .xadd(told, first, ...fields)
      .xadd(told, `${time}-${Number(first.split('-')[1]) + 1}`, 'm', 'other-1 c\n{"type":"revoke","user":"eve"}')
      .exec()
    await until('it is heard', () => a.host.controls.length >= 3, SOON)
    t.same(a.host.controls.map(({ message }) => (message as { user: string }).user), ['ann', 'bob', 'eve'])
  })

  t.test(
    'redis: a value set while the broker is away is shown until the broker has one, whatever the clock of this node says',
    async (t) => {
      const server = await startRedis(t)
      const [a, b] = [
        await join(t, server.url, 'a', { timeout: 300 }),
        await join(t, server.url, 'b', { timeout: 300 })
      ]
      for (const { adapter } of [a, b]) await adapter.subscribe('live/1', live)
      const score = (text: string): ReturnType<typeof said> => said(text, {
        type: 'score',
        delivery: 'latest',
        key: 'red'
      })
      await server.pause()
      await until('the node notices', () => a.host.states.at(-1) === false)
      await a.adapter.publish('live/1', score('alone'), live)
      t.same(a.host.events.get('live/1')!.map(({ event }) => event!.version), [undefined])
      server.resume()
      await isUp(a, b)
      await b.adapter.publish('live/1', score('all'), live)
      // The room drops a version that it has. Here it may come twice: by itself, and with the values read anew.
      t.same([...new Set(await a.host.heard('live/1', 2))], ['alone', 'all'])
    }
  )

  t.test('redis: who stands before what a broker lost is not resumed, by whichever node is asked first', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const [follows, published] = [await join(t, server.url, 'follows'), await join(t, server.url, 'published')]
    await follows.adapter.subscribe('chat/1', reliable)
    const before = new Map<string, Awaited<ReturnType<typeof published.adapter.publish>>>()
    for (const room of ['chat/1', 'chat/2']) {
      for (let index = 0; index < 5; index++) {
        before.set(room, await published.adapter.publish(room, said(`${index}`), reliable))
      }
    }
    await client.save()
    for (const room of ['chat/1', 'chat/2']) {
      for (let index = 5; index < 25; index++) await published.adapter.publish(room, said(`${index}`), reliable)
    }
    await server.kill()
    await server.start()
    const ignorant = await join(t, server.url, 'ignorant')
    for (const room of ['chat/1', 'chat/2']) {
      const page = await ignorant.adapter.history!(room, { since: before.get(room)!.position, limit: 100 }, reliable)
      t.same([page.resumed, page.events.length], [false, 0], `${room}: 20 events are missing behind it`)
    }
    await until('the member is told', () => follows.host.gaps.length > 0)
    t.same(follows.host.gaps.map(({ from }) => from), [undefined])
  })

  t.test('redis: data that is older than what nodes have seen is a new epoch, under the same run id as well', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a', { check: 200 })
    await a.adapter.subscribe('chat/1', reliable)
    const first = await a.adapter.publish('chat/1', said('0'), reliable)
    const [meta, stream] = ['realtime:{chat/1}:meta', 'realtime:{chat/1}:stream']
    const old = [await client.dumpBuffer(meta), await client.dumpBuffer(stream)] as const
    // It fails over to another server, and back to what the first had.
    await client.hset(meta, 'run', 'another')
    const second = await a.adapter.publish('chat/1', said('1'), reliable)
    t.not(second.position!.epoch, first.position!.epoch)
    await client.restore(meta, 0, old[0], 'REPLACE')
    await client.restore(stream, 0, old[1], 'REPLACE')
    await until('the member is told', () => a.host.gaps.some(({ from }) => from === undefined))
    const b = await join(t, server.url, 'b')
    const page = await b.adapter.history!('chat/1', { since: first.position, limit: 10 }, reliable)
    t.equal(page.resumed, false, 'an event of the epoch between is lost')
    t.notOk([first.position!.epoch, second.position!.epoch].includes(page.top.epoch))
    const { epoch } = page.top
    await sleep(600)
    t.equal((await b.adapter.history!('chat/1', { last: 1, limit: 1 }, reliable)).top.epoch, epoch, 'and that is all')
  })

  t.test('redis: an event that is sent again after the broker has lost its data is handed over once, and everybody is told', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const [a, b] = [await join(t, server.url, 'a'), await join(t, server.url, 'b')]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    for (let index = 0; index < 5; index++) {
      await a.adapter.publish('chat/1', said(`${index}`, { idempotencyKey: `key ${index}` }), reliable)
    }
    await b.host.heard('chat/1', 5)
    await client.flushall()
    // By the node that sent it first, and by another one.
    for (let index = 0; index < 5; index++) {
      await (index % 2 === 0 ? a : b).adapter.publish(
        'chat/1',
        said(`${index}`, { idempotencyKey: `key ${index}` }),
        reliable
      )
    }
    for (const { host } of [a, b]) {
      await until(`${host.nodeId} is told`, () => host.gaps.some(({ from }) => from === undefined))
    }
    await a.adapter.publish('chat/1', said('after'), reliable)
    for (const { host } of [a, b]) t.same(await host.heard('chat/1', 6), ['0', '1', '2', '3', '4', 'after'])
  })

  t.test('redis: a join that only the server took is handed over before the leave that follows it', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const [a, b] = [await join(t, server.url, 'a'), await join(t, server.url, 'b')]
    const tell = async (type: 'join' | 'leave'): Promise<void> => {
      await b.adapter.control!.send({ type, user: 'ann', room: 'chat/1' })
    }
    await tell('leave')
    await until('the first is heard', () => a.host.controls.length === 1)
    const [[, [, text]]] = await client.xrange('realtime:{control}:told', '-', '+') as [[string, [string, string]]]
    await client.xadd(
      'realtime:{control}:told',
      '*',
      'm',
      text.replace(/-1 /, '-lost ').replace('"leave"', '"join"')
    )
    await tell('leave')
    await tell('join')
    await until('the rest is heard', () => a.host.controls.length === 4)
    t.same(a.host.controls.map(({ message }) => message.type), ['leave', 'join', 'leave', 'join'])
  })

  t.test('redis: what is set by a server that took the place of another, by a slower clock, is shown by every node', async (t) => {
    const server = await startRedis(t)
    const [a, b, c] = [
      await join(t, server.url, 'a'),
      await join(t, server.url, 'b'),
      await join(t, server.url, 'c')
    ]
    const client = admin(t, server)
    for (const room of ['live/1', 'live/2']) for (const { adapter } of [a, b]) await adapter.subscribe(room, live)
    const set = async ({ adapter }: Node, room: string, key: string, text: string): Promise<void> => {
      await adapter.publish(room, said(text, { type: 'score', delivery: 'latest', key }), live)
    }
    const shown = async (room: string, wanted: string): Promise<unknown> => await until(
      `${wanted} in ${room}`,
      async () => {
        const read = (await c.adapter.latest!(room, live)).map((packet) => `${packet.event!.key} ${textOf(packet)}`)
        const found = [a.host.shown(room), b.host.shown(room), read.sort()]
        if (found.every((each) => String(each) === wanted)) return true
        throw new Error(found.join(' | '))
      },
      SOON
    )
    for (const room of ['live/1', 'live/2']) {
      // The server of before was an hour ahead.
      await client.hset(`realtime:{${room}}:meta`, 'version', `${(Date.now() + 3_600_000) * 1_000}`)
      await set(c, room, 'red', 'before')
      await set(c, room, 'blue', 'before')
      await shown(room, 'blue before,red before')
    }
    await client.flushall()
    await set(c, 'live/1', 'red', 'after, by who knew nothing')
    await set(a, 'live/2', 'red', 'after')
    await shown('live/1', 'blue before,red after, by who knew nothing')
    await shown('live/2', 'blue before,red after')
    await set(c, 'live/1', 'blue', 'after')
    await shown('live/1', 'blue after,red after, by who knew nothing')
  })

  t.test('redis: values of a room whose keys are gone are put back with the next check of its position', async (t) => {
    const server = await startRedis(t)
    const a = await join(t, server.url, 'a', { check: 200 })
    const client = admin(t, server)
    await a.adapter.subscribe('live/1', live)
    await a.adapter.publish('live/1', said('1', { type: 'score', delivery: 'latest', key: 'red' }), live)
    await client.del(...['meta', 'latest', 'latest-order'].map((name) => `realtime:{live/1}:${name}`))
    const kept = await until('it is there', async () => {
      const found = await a.adapter.latest!('live/1', live)
      return found.length > 0 ? found : undefined
    })
    t.same(kept.map(textOf), ['1'])
  })

  for (const [what, setting, refusing, taking] of [
    ['is full', 'maxmemory', '1', '0'],
    ['has too few replicas', 'min-replicas-to-write', '1', '0']
  ] as const) {
    t.test(`redis: a server that ${what} gives a node what it missed beside a value that cannot be put back until writes work`, async (t) => {
      const server = await startRedis(t)
      const client = admin(t, server)
      const { proxy, url } = await proxied(t, server)
      const [a, b] = [await join(t, url, 'a', { check: 2_000 }), await join(t, server.url, 'b')]
      const growing = { ...reliable, append: { size: 1_048_576, ttl: 60_000 } }
      for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', growing)
      const score = said('1', { type: 'score', delivery: 'latest', key: 'red' })
      await a.adapter.subscribe('live/1', live)
      await a.adapter.publish('live/1', score, live)
      await a.adapter.publish('chat/1', score, growing)
      await a.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
      await until('both are known', () => a.host.texts('chat/1').length === 1 && a.host.changes.has('chat/1'))
      proxy.isDown = true
      proxy.cut()
      for (const room of ['chat/1', 'live/1']) {
        await client.del(...['latest', 'latest-order'].map((name) => `realtime:{${room}}:${name}`))
      }
      await b.adapter.presence!.join('chat/1', { userId: 'bob', connection: 'c2' }, 60_000)
      await b.adapter.publish('chat/1', said('missed'), growing)
      const part = { before: '{"text":"', inside: 'grown', isList: false, from: 0, to: 5, end: undefined }
      const step = { type: 'answer', key: 'one', timestamp: Date.now(), writer: 'b', number: 0, lease: 60_000, part }
      t.equal(await b.adapter.texts!.write('chat/1', step, growing), 'written')
      await client.config('SET', setting, refusing)
      proxy.isDown = false
      const heard = (): unknown[] => (a.host.events.get('chat/1') ?? []).map(({ event }) => event!.type)
      await until('the change is told', () => a.host.changes.get('chat/1')!.length === 2, SOON)
      await until('the text is read', () => heard().includes('answer'), SOON)
      await until('the event is read', () => a.host.texts('chat/1').includes('missed'), SOON)
      const kept = async (room: string): Promise<unknown> =>
        (await b.adapter.latest!(room, live)).map((packet) => textOf(packet))
      t.same([await kept('chat/1'), await kept('live/1')], [[], []], 'writes are refused')
      await client.config('SET', setting, taking)
      for (const room of ['chat/1', 'live/1']) {
        await until(`that of ${room} is put back`, async () => String(await kept(room)) === '1')
      }
    })
  }

  t.test('redis: a room that cannot be read keeps no other room from being compared, and is said once', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a', { check: 200 })
    const meta = (room: string): string => `realtime:{${room}}:meta`
    for (const room of ['chat/1', 'chat/2']) {
      await a.adapter.subscribe(room, reliable)
      await a.adapter.publish(room, said('heard'), reliable)
    }
    const kept = await client.hgetall(meta('chat/1'))
    await client.multi().del(meta('chat/1')).set(meta('chat/1'), 'no hash').exec()
    // An event that no subscription brought, and that is gone.
    await client.hset(meta('chat/2'), 'offset', 2)
    await until('what was missed is told', () => a.host.gaps.length === 1)
    t.equal(a.host.gaps[0]?.room, 'chat/2')
    t.equal(a.host.notes.filter((note) => note.includes('rooms could not be read')).length, 1)
    await client.multi().del(meta('chat/1')).hset(meta('chat/1'), { ...kept, offset: 2 }).exec()
    await until('it is compared again', () => a.host.gaps.length === 2)
  })

  t.test('redis: a server that refuses to write gives a page of the history, without what is past its time', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a')
    for (const text of ['old', 'older', 'new', 'newer']) await a.adapter.publish('chat/1', said(text), reliable)
    const stream = 'realtime:{chat/1}:stream'
    const entries = await client.xrange(stream, '-', '+') as Array<[string, string[]]>
    await client.del(stream)
    for (const [index, [id, fields]] of entries.entries()) {
      const [offset, time] = id.split('-').map(Number) as [number, number]
      await client.xadd(stream, `${offset}-${index < 2 ? time - 400_000 : time}`, ...fields)
    }
    await client.config('SET', 'min-replicas-to-write', '1')
    for (const last of [1, 3, 10]) {
      const page = await a.adapter.history!('chat/1', { last, limit: 10 }, reliable)
      t.same(page.events.map(textOf), ['new', 'newer'].slice(-last), `the last ${last}`)
    }
    t.equal(await client.xlen(stream), 4)
  })

  t.test('redis: a server that refuses to write gives the texts of a room beside one whose writer is gone, which ends later', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter: { texts } } = await join(t, server.url, 'a')
    const growing = { ...reliable, append: { size: 1_048_576, ttl: 60_000 } }
    for (const [key, lease] of [['gone', 1], ['grows', 60_000]] as const) {
      const part = { before: '{"text":"', inside: key, isList: false, from: 0, to: key.length, end: undefined }
      const step = { type: 'answer', key, timestamp: Date.now(), writer: key, number: 0, lease, part }
      t.equal(await texts!.write('chat/1', step, growing), 'written')
    }
    const kept = await texts!.read('chat/1', growing)
    const known = kept.map(({ type, key, part: { version, begun, to } }) => {
      // Of the one that grows the last stretch was lost on the way.
      return { type, key, version: key === 'grows' ? version - 1 : version, begun, to }
    })
    const changed = async (): Promise<string[]> => (await texts!.check('chat/1', known, growing)).map(({ key }) => key)
    await client.config('SET', 'min-replicas-to-write', '1')
    await until('the lease is over', () => Date.now() > kept[0]!.timestamp + 10)
    t.same(await changed(), ['grows'])
    await client.config('SET', 'min-replicas-to-write', '0')
    t.same(await changed(), ['gone', 'grows'])
  })

  t.test('redis: a server that refuses to write lists who is shown, also where somebody should have left by now', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { adapter } = await join(t, server.url, 'a')
    await adapter.subscribe('chat/1', reliable)
    const presence = adapter.presence!
    for (const userId of ['ann', 'bob']) await presence.join('chat/1', { userId, connection: userId }, 60_000)
    await presence.leave('chat/1', { userId: 'bob', connection: 'bob' }, 50)
    await client.config('SET', 'min-replicas-to-write', '1')
    const [, entries] = new Keys('realtime:').presence('chat/1') as [string, string]
    await until('the grace has ended', async () => await client.zcount(entries, '-inf', Date.now() - 5) === 1)
    t.equal((await presence.snapshot('chat/1', 10)).total, 2)
    await client.config('SET', 'min-replicas-to-write', '0')
    matchList(t, await presence.snapshot('chat/1', 10), { total: 1, list: [{ userId: 'ann' }] })
  })

  t.test('redis: a server that came back with older data, and refuses to write, is told what nodes have seen once it writes', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const { proxy, url } = await proxied(t, server)
    const a = await join(t, url, 'a', { check: 2_000 })
    const { position } = await a.adapter.publish('chat/2', said('kept'), reliable)
    await client.save()
    await a.adapter.publish('chat/2', said('lost'), reliable)
    proxy.isDown = true
    proxy.cut()
    await server.kill()
    await server.start()
    await client.config('SET', 'min-replicas-to-write', '1')
    proxy.isDown = false
    await isUp(a)
    // Heartbeats too are refused meanwhile.
    await until('it refuses the report', async () =>
      Number(/^errorstat_NOREPLICAS:count=(\d+)/m.exec(await client.info('errorstats'))?.[1]) >= 5)
    await client.config('SET', 'min-replicas-to-write', '0')
    const marked = `${position!.epoch}! 1`
    await until('it is told', async () => await client.hget('realtime:{chat/2}:meta', 'before') === marked)
  })

  t.test('redis: a node notices within seconds that the data is gone, and says so', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const a = await join(t, server.url, 'a')
    await sleep(100)
    const before = a.host.states.length
    await client.flushall()
    await until('it is told again that the broker is there', () => a.host.states.length > before, 3_000)
    t.same(a.host.states.at(-1), true)
  })

  t.test('redis: a publication whose answer was lost with the data of the server is not said to have failed', async (t) => {
    const server = await startRedis(t)
    const { proxy, url } = await proxied(t, server)
    const a = await join(t, url, 'a')
    // The server knows the script by then.
    await a.adapter.publish('chat/2', said('first'), reliable)
    proxy.shut('downward', 30_000)
    const sentAt = performance.now()
    const publishing = Promise.resolve(a.adapter.publish(
      'chat/1',
      said('lost'),
      reliable
    )).catch((error: Refusal) => error.outcome)
    const client = admin(t, server)
    await until('it has run', async () => await client.exists('realtime:{chat/1}:stream') === 1)
    await until('its time is over', () => performance.now() > sentAt + 1_100)
    await server.kill()
    await server.start()
    proxy.cut()
    t.equal(await publishing, 'unknown')
  })
}
