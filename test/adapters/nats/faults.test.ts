import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import t from 'tap'
import type { PresenceChange, Published, RoomSettings } from '../../../lib/adapters/adapter.js'
import { nats, type NatsOptions } from '../../../lib/adapters/nats/adapter.js'
import { Refusal } from '../../../lib/errors/refusal.js'
import type { Packet } from '../../../lib/protocol/packet.js'
import { remoteNats } from '../../helpers/adapter-process.js'
import { missingClock } from '../../helpers/clock.js'
import { FaultProxy } from '../../helpers/fault-proxy.js'
import { missing, startNats, until, type Server, type Teardown } from '../../helpers/servers.js'
import { live, node, reliable, said, textOf, type Node } from '../../../lib/adapters/contract/host.js'

const reason = missing('nats-server')
if (reason !== false) t.plan(0, reason)
else {
  t.setTimeout(240_000)
  faults()
}

async function joins (t: Teardown, url: string, id: string, options: NatsOptions = {}): Promise<Node> {
  return await node(t, nats({ url, timeout: 1_000, check: 2_000, ...options }), id)
}

/** A node whose link to the server can be cut, beside one whose link stands. */
async function withProxy (
  t: Teardown,
  server: Server,
  options: NatsOptions = {}
): Promise<{ proxy: FaultProxy, a: Node, b: Node }> {
  const proxy = new FaultProxy(server.port)
  const port = await proxy.listen()
  const a = await joins(t, `nats://127.0.0.1:${port}`, 'a', options)
  const b = await joins(t, server.url, 'b', options)
  t.teardown(() => proxy.close())
  return { proxy, a, b }
}

async function blink (proxy: FaultProxy, { host, adapter }: Node, meanwhile: () => Promise<unknown>): Promise<void> {
  proxy.isDown = true
  proxy.cut()
  await until('the node notices', () => host.states.at(-1) === false)
  await meanwhile()
  proxy.isDown = false
  await until('the node is back', () => adapter.stats!().isUp === true)
}

/** What a member of the room shows: the room drops a value whose version it knows. */
class Shown {
  readonly values = new Map<string, string>()
  readonly #versions = new Map<string, number | undefined>()
  constructor (packets: readonly Packet[]) { for (const packet of packets) this.see(packet) }
  see (packet: Packet): void {
    const { key = '', version } = packet.event!
    const known = this.#versions.get(key)
    if (known !== undefined && version !== undefined && known >= version) return
    this.#versions.set(key, version)
    this.values.set(key, textOf(packet))
  }
}

function shown ({ host }: Node, room: string): Record<string, string> {
  return Object.fromEntries(
    new Shown((host.events.get(room) ?? []).filter(({ event }) => event!.delivery === 'latest')).values
  )
}

async function set (
  { adapter }: Node,
  room: string,
  key: string,
  text: string,
  settings: RoomSettings
): Promise<Published> {
  return await adapter.publish(room, said(text, { type: 'score', delivery: 'latest', key }), settings)
}

async function insist ({ adapter }: Node, room: string, text: string): Promise<Published> {
  return await until(
    `"${text}" is accepted`,
    async () => await adapter.publish(room, said(text, { idempotencyKey: text }), reliable)
  )
}

async function admin (t: Teardown, { url }: Server): Promise<JetStreamManager> {
  const connection = await connect({ servers: url })
  t.teardown(() => connection.close())
  return await jetstreamManager(connection)
}

/** A connection whose next write of a shared value is sent only when it is let go. */
function withLateWrite (connection: NatsConnection): {
  readonly late: NatsConnection, readonly hold: () => void, readonly letGo: () => Promise<void>
} {
  let isHeld = false
  let open!: () => void
  const gate = new Promise<void>((resolve) => { open = resolve })
  let sent: Promise<unknown> = Promise.resolve()
  const request: NatsConnection['request'] = async (subject, ...rest) => {
    if (!isHeld || !subject.startsWith('$KV.')) return await connection.request(subject, ...rest)
    isHeld = false
    const answer = gate.then(() => connection.request(subject, ...rest))
    sent = answer.catch(() => undefined)
    return await answer
  }
  const late = new Proxy(connection, {
    get (target, name) {
      if (name === 'request') return request
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
  return { late, hold: () => { isHeld = true }, letGo: async () => { open(); await sent } }
}

function faults (): void {
  for (const before of ['nobody has had', 'somebody had']) {
    t.test(
      `nats: a slot that ${before} and whose taking was not answered stays free when it reaches the server after it was given back`,
      async (t) => {
        const connection = await connect({ servers: (await startNats(t)).url })
        t.teardown(() => connection.close())
        const { late, hold, letGo } = withLateWrite(connection)
        const { adapter } = await node(t, nats({ connection: late, timeout: 500 }))
        const leases = adapter.leases!
        if (before === 'somebody had') {
          await leases.acquire('booth', 'former', 1, 60_000)
          await leases.release('booth', 'former')
        }
        hold()
        await t.rejects(leases.acquire('booth', 'late', 1, 60_000), { code: 'unavailable' })
        await leases.release('booth', 'late')
        await letGo()
        t.equal(await leases.count('booth'), 0)
      }
    )
  }

  for (const [kind, room, settings] of [
    ['with history', 'chat/1', reliable],
    ['without history', 'live/1', live]
  ] as const) {
    t.test(
      `nats: a latest value of a room ${kind} that was set while a node's link was cut is shown there when it is back`,
      async (t) => {
        const { proxy, a, b } = await withProxy(t, await startNats(t))
        for (const { adapter } of [a, b]) await adapter.subscribe(room, settings)
        await set(b, room, 'red', '1', settings)
        await until('both show it', () => shown(a, room).red === '1')
        await blink(proxy, a, async () => { await set(b, room, 'red', '2', settings) })
        await until('the node whose link was cut shows the newest', () => shown(a, room).red === '2', 5_000)
      }
    )
  }

  t.test(
    'nats: a latest value set on a node alone while the server was away gives way to what is set after it, and to what the server has',
    async (t) => {
      const server = await startNats(t)
      const [a, b] = [await joins(t, server.url, 'a'), await joins(t, server.url, 'b')]
      for (const { adapter } of [a, b]) await adapter.subscribe('live/1', live)
      await set(a, 'live/1', 'red', '1', live)
      await set(a, 'live/1', 'blue', '1', live)
      await server.kill()
      await until('the node notices', () => a.host.states.at(-1) === false)
      await set(a, 'live/1', 'red', 'alone', live)
      await set(a, 'live/1', 'blue', 'alone', live)
      t.same(shown(a, 'live/1'), { red: 'alone', blue: 'alone' })
      await server.start()
      await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
      await until('it is set', async () => await set(b, 'live/1', 'red', '3', live))
      for (const each of [a, b]) {
        await until(
          `${each.host.nodeId} shows what the server has`,
          () => shown(each, 'live/1').red === '3' && shown(each, 'live/1').blue === '1',
          5_000
        )
      }
      t.same((await a.adapter.latest!('live/1', live)).map(textOf).sort(), ['1', '3'])
    }
  )

  for (const jetstream of [true, false]) {
    t.test(
      `nats${jetstream ? '' : ' without JetStream'}: of 200 values that two nodes set at once all nodes show the same, and a later one wins`,
      async (t) => {
        const server = await startNats(t, { jetstream })
        const [a, b] = [await joins(t, server.url, 'a', { jetstream }), await joins(t, server.url, 'b', { jetstream })]
        for (const { adapter } of [a, b]) await adapter.subscribe('live/1', live)
        const keys = Array.from({ length: 200 }, (_, index) => `k${index}`)
        await Promise.all(keys.flatMap((key) => [
          set(a, 'live/1', key, `a ${key}`, live),
          set(b, 'live/1', key, `b ${key}`, live)
        ]))
        await until('all are there', () => [a, b].every(({ host }) => (host.events.get('live/1')?.length ?? 0) >= 400))
        t.same(shown(a, 'live/1'), shown(b, 'live/1'))
        await set(b, 'live/1', 'k0', 'last', live)
        for (const key of keys.slice(1, 50)) {
          await Promise.all([set(a, 'live/1', key, 'first', live), set(a, 'live/1', key, 'second', live)])
        }
        for (const each of [a, b]) {
          await until(
            'the last is there',
            () => shown(each, 'live/1').k0 === 'last' && shown(each, 'live/1').k49 === 'second'
          )
          t.same(keys.slice(1, 50).filter((key) => shown(each, 'live/1')[key] !== 'second'), [])
        }
      }
    )
  }

  t.test(
    'nats: revocations, leaves and moves that a node could not hear are told when its link is back, each once and in order',
    async (t) => {
      const { proxy, a, b } = await withProxy(t, await startNats(t))
      await b.adapter.control!.send({ type: 'revoke', user: 'zoe' })
      await until('it is heard', () => a.host.controls.length === 1)
      const messages = [
        { type: 'revoke', user: 'ann' } as const,
        { type: 'join', user: 'bob', room: 'chat/1' } as const,
        { type: 'leave', user: 'bob', room: 'chat/1' } as const,
        { type: 'moved', user: 'cat', connection: 'c1' } as const
      ]
      await blink(proxy, a, async () => { for (const message of messages) await b.adapter.control!.send(message) })
      await until('the rest is heard', () => a.host.controls.length >= 5, 2_000)
      await b.adapter.control!.send({ type: 'revoke', user: 'dan' })
      await until('live ones go on', () => a.host.controls.length >= 6)
      t.same(a.host.controls.slice(1).map(({ message }) => message), [...messages, { type: 'revoke', user: 'dan' }])
    }
  )

  t.test(
    'nats: presence changes that a node could not hear are told when its link is back, in their order',
    async (t) => {
      const { proxy, a, b } = await withProxy(t, await startNats(t))
      for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
      await a.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
      await until('the first is told', () => b.host.changes.get('chat/1')?.length === 1)
      await b.adapter.presence!.join('chat/1', { userId: 'bob', connection: 'c2' }, 60_000)
      await until('both are told', () => a.host.changes.get('chat/1')?.length === 2)
      await blink(proxy, a, async () => {
        await b.adapter.presence!.leave('chat/1', { userId: 'bob', connection: 'c2' }, 0)
        await b.adapter.presence!.join('chat/1', { userId: 'cat', connection: 'c3' }, 60_000)
      })
      await until('the changes are told', () => a.host.changes.get('chat/1')?.length === 4, 5_000)
      t.same(a.host.changes.get('chat/1'), [...b.host.changes.get('chat/1')!])
      await blink(proxy, a, async () => {
        for (let user = 0; user < 20; user++) {
          await b.adapter.presence!.join('chat/1', { userId: `u${user}`, connection: `u${user}` }, 60_000)
        }
      })
      const { sequence } = await b.adapter.presence!.snapshot('chat/1', 200)
      const last = await until(
        'more than is kept is told as a number that does not follow',
        () => a.host.changes.get(
          'chat/1'
        )!.find((change, index, all) => index > 0 && change.sequence > all[index - 1]!.sequence + 1),
        5_000
      )
      t.ok(last.sequence <= sequence)
    }
  )

  t.test('nats: the store was put back to older data: members are told of the gap, nothing is lost in silence, and who was offline before what was lost is not resumed', async (t) => {
    const server = await startNats(t)
    const [a, b] = [await joins(t, server.url, 'a'), await joins(t, server.url, 'b')]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    for (let index = 0; index < 5; index++) await insist(a, 'chat/1', `${index}`)
    const kept = (await insist(a, 'chat/1', '5')).position!
    await b.host.heard('chat/1', 6)
    const data = join(server.directory, 'data')
    await server.stop()
    await cp(data, `${data}-old`, { recursive: true })
    await server.start()
    await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
    for (let index = 6; index < 20; index++) await insist(a, 'chat/1', `${index}`)
    const lost = (await insist(b, 'chat/1', '20')).position!
    for (const { host } of [a, b]) await host.heard('chat/1', 21)
    await server.kill()
    await rm(data, { recursive: true })
    await cp(`${data}-old`, data, { recursive: true })
    await server.start()
    await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
    // More than what was lost, so that the numbers of the lost events are given again.
    const after = Array.from({ length: 30 }, (_, index) => `after ${index}`)
    for (const text of after) await insist(b, 'chat/1', text)
    for (const { host } of [a, b]) {
      await host.heard('chat/1', 21 + after.length)
      t.same(host.texts('chat/1').slice(21), after, 'each once, in order')
      const gap = host.gaps.filter(({ from }) => from === undefined)
      t.equal(gap.length, 1, 'told once')
      t.ok(gap[0]!.to < lost.offset && gap[0]!.to >= kept.offset)
      t.not(gap[0]!.epoch, lost.epoch)
    }
    const fresh = await joins(t, server.url, 'c')
    const offline = await fresh.adapter.history!('chat/1', { since: lost, limit: 100 }, reliable)
    t.equal(offline.resumed, false)
    // It is there still, and what followed it is not.
    const behind = await fresh.adapter.history!('chat/1', { since: kept, limit: 100 }, reliable)
    t.equal(behind.resumed, false)
    const { floor } = behind
    const resumed = await fresh.adapter.history!(
      'chat/1',
      { since: { ...floor, offset: kept.offset }, limit: 100 },
      reliable
    )
    t.same([resumed.resumed, resumed.events.map(textOf)], [true, after], 'a position of the new life is honoured')
  })

  t.test(
    'nats: presence that went back to older data is told by a number that does not follow, so that members ask who is there',
    async (t) => {
      const server = await startNats(t)
      const [a, b] = [await joins(t, server.url, 'a'), await joins(t, server.url, 'b')]
      const changes = ({ host }: Node): PresenceChange[] => host.changes.get('chat/1') ?? []
      for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
      await a.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
      await b.adapter.presence!.join('chat/1', { userId: 'bob', connection: 'c2' }, 60_000)
      const data = join(server.directory, 'data')
      await server.stop()
      await cp(data, `${data}-old`, { recursive: true })
      await server.start()
      await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
      await until('one more is there', async () => {
        await b.adapter.presence!.join('chat/1', { userId: 'cat', connection: 'c3' }, 60_000)
        return true
      })
      await until('all are told', () => changes(a).length === 3 && changes(b).length === 3)
      const { sequence } = changes(a)[2]!
      await server.kill()
      await rm(data, { recursive: true })
      await cp(`${data}-old`, data, { recursive: true })
      await server.start()
      for (const each of [a, b]) {
        const told = await until('another change is told', () => changes(each)[3])
        t.ok(told.sequence > sequence + 1, `${told.sequence} does not follow ${sequence}`)
      }
    }
  )

  t.test(
    'nats: nodes that remember nothing of a server with older data resume nobody from what it has lost',
    async (t) => {
      const server = await startNats(t)
      const a = await joins(t, server.url, 'a')
      const kept = (await insist(a, 'chat/1', '0')).position!
      const data = join(server.directory, 'data')
      await server.stop()
      await cp(data, `${data}-old`, { recursive: true })
      await server.start()
      await until('it is back', () => a.adapter.stats!().isUp === true)
      for (let index = 1; index < 5; index++) await insist(a, 'chat/1', `${index}`)
      const lost = (await insist(a, 'chat/1', '5')).position!
      await a.adapter.close()
      await server.kill()
      await rm(data, { recursive: true })
      await cp(`${data}-old`, data, { recursive: true })
      await server.start()
      const b = await joins(t, server.url, 'b')
      for (let index = 1; index < 10; index++) await insist(b, 'chat/1', `other ${index}`)
      t.equal((await b.adapter.history!('chat/1', { since: lost, limit: 100 }, reliable)).resumed, false)
      const page = await b.adapter.history!('chat/1', { since: kept, limit: 100 }, reliable)
      t.same([page.resumed, page.events.length], [true, 9])
    }
  )

  t.test(
    'nats: a node is told that the server is back without its data, so that leases, presence and revocations are held anew',
    async (t) => {
      const server = await startNats(t)
      const a = await joins(t, server.url, 'a')
      await a.adapter.leases!.acquire('user:ann', 'c1', 1, 60_000)
      t.equal(a.host.forgotten, 0)
      await server.kill()
      await rm(join(server.directory, 'data'), { recursive: true })
      await server.start()
      await until('it is told', () => a.host.forgotten > 0, 10_000)
    }
  )

  t.test(
    'nats: an event that is sent again by another node after the server has lost its data is handed over once, and everybody is told',
    async (t) => {
      const server = await startNats(t)
      const [a, b] = [await joins(t, server.url, 'a'), await joins(t, server.url, 'b')]
      for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
      for (let index = 0; index < 4; index++) {
        await a.adapter.publish('chat/1', said(`${index}`, { idempotencyKey: `key ${index}` }), reliable)
      }
      await b.host.heard('chat/1', 4)
      await server.kill()
      await rm(join(server.directory, 'data'), { recursive: true })
      await server.start()
      await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
      for (let index = 0; index < 4; index++) {
        await until(
          'it is accepted',
          async () => await (index % 2 === 0 ? a : b).adapter.publish(
            'chat/1',
            said(`${index}`, { idempotencyKey: `key ${index}` }),
            reliable
          )
        )
      }
      await insist(a, 'chat/1', 'after')
      for (const { host } of [a, b]) {
        await until(`${host.nodeId} is told`, () => host.gaps.some(({ from }) => from === undefined))
        t.same(await host.heard('chat/1', 5), ['0', '1', '2', '3', 'after'])
      }
    }
  )

  t.test(
    'nats: what a node has delivered is not offered again under its key, though the server lost everything',
    async (t) => {
      const server = await startNats(t)
      const [a, b] = [await joins(t, server.url, 'a'), await joins(t, server.url, 'b')]
      for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
      const first = await insist(a, 'chat/1', 'once')
      await b.host.heard('chat/1', 1)
      await server.kill()
      await rm(join(server.directory, 'data'), { recursive: true })
      await server.start()
      await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
      t.same(await a.adapter.publish('chat/1', said('once', { idempotencyKey: 'once' }), reliable), {
        position: first.position,
        recipients: 0
      })
      await insist(a, 'chat/1', 'fence')
      for (const { host } of [a, b]) t.same(await host.heard('chat/1', 2), ['once', 'fence'])
    }
  )

  for (const maker of ['its publisher', 'another node']) {
    t.test(
      `nats: a stream that is deleted under running nodes is made anew by ${maker}, and all nodes hear what is accepted from then on`,
      async (t) => {
        const server = await startNats(t)
        const [a, b] = [await joins(t, server.url, 'a'), await joins(t, server.url, 'b')]
        for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
        for (let index = 0; index < 10; index++) await insist(a, 'chat/1', `${index}`)
        const { position } = await insist(a, 'chat/1', '10')
        await b.host.heard('chat/1', 11)
        const jsm = await admin(t, server)
        for await (const { config: { name } } of jsm.streams.list()) {
          if (name.startsWith('realtime_')) await jsm.streams.delete(name)
        }
        const maybe = maker === 'its publisher' ? a : await joins(t, server.url, 'c')
        const accepted: string[] = []
        for (let index = 0; index < 20; index++) {
          await maybe.adapter.publish('chat/1', said(`after ${index}`), reliable)
          accepted.push(`after ${index}`)
        }
        for (const { host } of [a, b]) {
          await host.heard('chat/1', 31)
          t.same(host.texts('chat/1').slice(11), accepted)
          t.ok(host.gaps.some(({ from }) => from === undefined), 'told of the loss')
        }
        t.equal((await b.adapter.history!('chat/1', { since: position, limit: 100 }, reliable)).resumed, false)
      }
    )
  }

  t.test('nats: buckets that are deleted under running nodes are made anew at their next use', async (t) => {
    const server = await startNats(t)
    const a = await joins(t, server.url, 'a')
    await a.adapter.leases!.acquire('user:ann', 'c1', 1, 60_000)
    const jsm = await admin(t, server)
    for await (const { config: { name } } of jsm.streams.list()) {
      if (name.startsWith('KV_')) await jsm.streams.delete(name)
    }
    t.equal(await a.adapter.leases!.acquire('user:ann', 'c1', 1, 60_000), true)
    t.same(await a.adapter.claims!.claim('ann\nm1', 'hash', 60_000), { state: 'claimed' })
    await a.adapter.denials!.deny('user:eve', Date.now() + 60_000)
    t.equal(await a.adapter.denials!.isDenied(['user:eve']), true)
    const { epoch } = (await a.adapter.publish('chat/1', said('first'), reliable)).position!
    for await (const { config: { name } } of jsm.streams.list()) {
      if (name.startsWith('KV_')) await jsm.streams.delete(name)
    }
    t.equal(
      (await a.adapter.publish('chat/1', said('second'), reliable)).position!.epoch,
      epoch,
      'a stream that is there stays the same'
    )
  })

  t.test('nats: an idempotency key holds for latest, volatile and kept events alike, and on every node', async (t) => {
    const server = await startNats(t)
    const [a, b] = [await joins(t, server.url, 'a'), await joins(t, server.url, 'b')]
    for (const { adapter } of [a, b]) {
      await adapter.subscribe('chat/1', reliable)
      await adapter.subscribe('live/1', live)
    }
    const cases = [
      [
        'chat/1',
        reliable,
        { type: 'score', delivery: 'latest', key: 'red' }
      ], ['chat/1', reliable, { delivery: 'volatile' }],
      [
        'chat/1',
        reliable,
        {}
      ], ['live/1', live, {}], ['live/1', live, { type: 'score', delivery: 'latest', key: 'red' }]
    ] as const
    for (const [index, [room, settings, more]] of cases.entries()) {
      for (const { adapter } of [a, b, a]) {
        await adapter.publish(room, said(`${index}`, { ...more, idempotencyKey: `key ${index}` }), settings)
      }
    }
    for (const room of ['chat/1', 'live/1']) {
      await a.adapter.publish(room, said('fence', { delivery: 'volatile' }), live)
    }
    for (const { host } of [a, b]) {
      t.same(await host.heard('chat/1', 4), ['0', '1', '2', 'fence'])
      t.same(await host.heard('live/1', 3), ['3', '4', 'fence'])
    }
  })

  t.test(
    'nats: what is refused for want of an answer says that nobody knows, and happens once when it is asked for again under its key',
    async (t) => {
      const server = await startNats(t)
      const [a, b] = [await joins(t, server.url, 'a', { timeout: 300 }), await joins(t, server.url, 'b')]
      await b.adapter.subscribe('chat/1', reliable)
      await a.adapter.publish('chat/1', said('before'), reliable)
      await server.pause()
      const refused: unknown = await Promise.resolve(a.adapter.publish(
        'chat/1',
        said('late'),
        reliable
      )).catch((error: unknown) => error)
      server.resume()
      const { outcome, idempotencyKey } = refused as Refusal
      t.ok(refused instanceof Refusal)
      t.equal(outcome, 'unknown')
      await until(
        'it is accepted',
        async () => await a.adapter.publish('chat/1', said('late', { idempotencyKey: idempotencyKey! }), reliable)
      )
      await insist(b, 'chat/1', 'fence')
      t.same(await b.host.heard('chat/1', 3), ['before', 'late', 'fence'])
      await server.kill()
      await until('the node notices', () => a.host.states.at(-1) === false)
      const away: unknown = await Promise.resolve(a.adapter.publish(
        'chat/1',
        said('away'),
        reliable
      )).catch((error: unknown) => error)
      t.equal((away as Refusal).outcome, undefined, 'what was never sent will not happen')
    }
  )

  t.test('nats: an answer that comes late is waited for, and an event that was accepted is not refused', async (t) => {
    const server = await startNats(t)
    const { proxy, a, b } = await withProxy(t, server, { timeout: 600 })
    await b.adapter.subscribe('chat/1', reliable)
    await a.adapter.publish('chat/1', said('before'), reliable)
    proxy.stall(undefined, 1_000)
    await a.adapter.publish('chat/1', said('late'), reliable)
    t.same(await b.host.heard('chat/1', 2), ['before', 'late'])
  })

  t.test('nats: a slot that is released while it is renewed is free', async (t) => {
    const server = await startNats(t)
    const a = await joins(t, server.url, 'a')
    const leases = a.adapter.leases!
    for (let round = 0; round < 20; round++) {
      await leases.acquire('user:ann', 'c1', 1, 60_000)
      await Promise.all([leases.renew([{ key: 'user:ann', holder: 'c1' }], 60_000), leases.release('user:ann', 'c1')])
      t.equal(await leases.count('user:ann'), 0)
    }
  })

  t.test(
    'nats: the leases of a thousand users are renewed by one request each, and hold up no other call',
    async (t) => {
      const server = await startNats(t)
      const a = await joins(t, server.url, 'a', { timeout: 20_000 })
      const leases = Array.from({ length: 1_000 }, (_, index) => ({ key: `user:u${index}`, holder: `c${index}` }))
      await a.adapter.leases!.renew(leases, 60_000)
      const jsm = await admin(t, server)
      const requests = async (): Promise<number> => (await jsm.getAccountInfo()).api.total
      const before = await requests()
      const began = performance.now()
      const renewing = a.adapter.leases!.renew(leases, 60_000)
      t.equal(await a.adapter.leases!.acquire('user:ann', 'c1', 1, 60_000), true)
      const waited = performance.now() - began
      await renewing
      const took = performance.now() - began
      t.ok(waited < took, 'it does not wait for all of them')
      t.comment(`${took.toFixed(0)} ms for all, ${waited.toFixed(0)} ms for another`)
      t.ok(await requests() - before < 100, 'what this node wrote itself it does not read')
      t.equal(await a.adapter.leases!.count('user:u999'), 1)
    }
  )

  t.test('nats: two thousand members who join one room at once are there soon, each announced once', async (t) => {
    const server = await startNats(t)
    const [a, b] = [
      await joins(t, server.url, 'a', { timeout: 10_000 }),
      await joins(t, server.url, 'b', { timeout: 10_000 })
    ]
    await b.adapter.subscribe('chat/1', reliable)
    const began = performance.now()
    await Promise.all(Array.from(
      { length: 2_000 },
      (_, index) => a.adapter.presence!.join('chat/1', { userId: `u${index}`, connection: `c${index}` }, 60_000)
    ))
    t.comment(`${(performance.now() - began).toFixed(0)} ms`)
    t.ok(performance.now() - began < 5_000)
    t.equal((await a.adapter.presence!.snapshot('chat/1', 10)).total, 2_000)
    await until('all are announced', () => b.host.changes.get('chat/1')?.length === 2_000)
    t.equal(
      new Set(b.host.changes.get('chat/1')!.flatMap(({ joined }) => joined.map(({ userId }) => userId))).size,
      2_000
    )
  })

  for (const seconds of [3_600, -3_600]) {
    t.test(`nats: a node whose clock is ${seconds} s off decides like the others`, {
      skip: missingClock
    }, async (t) => {
      const server = await startNats(t)
      const a = await joins(t, server.url, 'a')
      const b = await remoteNats(t, server.url, seconds)
      t.ok(Math.abs(await b.call('host.now') as number - Date.now() - seconds * 1_000) < 60_000, 'its clock is wrong')
      const { leases, claims, denials, presence } = a.adapter
      t.equal(await leases!.acquire('user:ann', 'c1', 1, 60_000), true)
      t.equal(await b.call('leases.acquire', 'user:ann', 'c2', 1, 60_000), false)
      t.equal(await b.call('leases.acquire', 'user:bob', 'c2', 1, 60_000), true)
      t.equal(await leases!.acquire('user:bob', 'c1', 1, 60_000), false)
      await claims!.claim('ann\nm1', 'hash', 60_000)
      t.equal((await b.call('claims.claim', 'ann\nm1', 'hash', 60_000) as { state: string }).state, 'running')
      await claims!.settle('ann\nm1', 'hash', '{}', 60_000)
      t.equal((await b.call('claims.claim', 'ann\nm1', 'hash', 60_000) as { state: string }).state, 'settled')
      await claims!.put('ticket:1', 'ann', 60_000)
      t.equal(await b.call('claims.take', 'ticket:1'), 'ann')
      await denials!.deny('user:eve', Date.now() + 600_000)
      t.equal(await b.call('denials.isDenied', ['user:eve']), true)
      await b.call('denials.deny', 'user:fay', Date.now() + seconds * 1_000 + 600_000)
      t.equal(await denials!.isDenied(['user:fay']), true)
      await a.adapter.subscribe('chat/1', reliable)
      await presence!.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
      await b.call('presence.join', 'chat/1', { userId: 'bob', connection: 'c2' }, 60_000)
      await b.call('presence.sweep', ['chat/1'])
      await presence!.sweep(['chat/1'])
      t.equal((await presence!.snapshot('chat/1', 10)).total, 2)
      const short = { ...reliable, history: { size: 10, ttl: 60_000 } }
      const first = await b.call(
        'adapter.publish',
        'chat/2',
        said('0', { timestamp: Date.now() + seconds * 1_000 }),
        short
      ) as Published
      await a.adapter.publish('chat/2', said('1'), short)
      await b.call('adapter.subscribe', 'chat/2', short)
      await b.call('adapter.publish', 'chat/2', said('2', { timestamp: Date.now() + seconds * 1_000 }), short)
      const mine = await a.adapter.history!('chat/2', { since: first.position, limit: 10 }, short)
      t.same([mine.resumed, mine.events.map(textOf)], [true, ['1', '2']])
      t.ok(
        mine.events.every(({ event }) => Math.abs(event!.timestamp - Date.now()) < 60_000),
        'stamped by the time of the broker'
      )
      t.equal(
        (await b.call(
          'adapter.history',
          'chat/2',
          { since: first.position, limit: 10 },
          short
        ) as { resumed: boolean }).resumed,
        true
      )
      await a.adapter.subscribe('live/1', live)
      await b.call('adapter.publish', 'live/1', said('b', { type: 'score', delivery: 'latest', key: 'red' }), live)
      await set(a, 'live/1', 'red', 'a', live)
      await sleep(50)
      t.equal(shown(a, 'live/1').red, 'a')
    })
  }
}
