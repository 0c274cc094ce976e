import { appendFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { Refusal } from '../../../lib/errors/refusal.js'
import { matchList } from '../../helpers/match-list.js'
import { missing, NATS_USER, natsAccount, startNats, until, type Server } from '../../helpers/servers.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'
import { live, node, reliable, said, textOf } from '../../../lib/adapters/contract/host.js'
import { publishFrom } from './publishers.js'

async function admin (t: Test, { url }: Server): Promise<JetStreamManager> {
  const connection = await connect({ servers: [url] })
  t.teardown(() => connection.close())
  return await jetstreamManager(connection)
}

const reason = missing('nats-server')
if (reason !== false) t.plan(0, reason)
else {
  for (const jetstream of [true, false]) {
    let server: Promise<Server> | undefined
    let count = 0
    const prefixes = Array.from({ length: 64 }, (_, index) => `realtime${index}`)
    adapterContract(t, async () => {
      // With the rights that the documents name, and no others.
      const { url } = await (server ??= startNats(t, { jetstream, more: jetstream ? natsAccount(prefixes) : '' }))
      const prefix = prefixes[++count]!
      return () => nats({ url, prefix, jetstream, settings: jetstream ? NATS_USER : {} })
    }, { name: jetstream ? 'nats' : 'nats without JetStream' })
  }

  t.test(
    'nats: what is absent without JetStream is said once, and a server without it is refused with the fix',
    async (t) => {
      const { url } = await startNats(t, { jetstream: false })
      const a = await node(t, nats({ url, jetstream: false }), 'a')
      t.equal(a.host.notes.length, 1)
      t.same(
        [a.adapter.history, a.adapter.leases, a.adapter.presence, a.adapter.claims],
        [undefined, undefined, undefined, undefined]
      )
      await t.rejects(node(t, nats({ url }), 'b'), { code: 'REALTIME_ERR_ADAPTER', message: /jetstream: false/ })
    }
  )

  t.test('nats: the server keeps claims with their outcomes for as long as a message id holds, and no longer', async (t) => {
    const server = await startNats(t)
    const { adapter: { claims } } = await node(t, nats({ url: server.url, idempotency: 1_000 }), 'a')
    const jsm = await admin(t, server)
    const kept = async (): Promise<number> => {
      let count = 0
      for await (const { config: { name }, state } of jsm.streams.list('$KV.>')) {
        if (name !== 'KV_realtime_state' && name !== 'KV_realtime_claims') continue
        const { state: { subjects = {} } } = await jsm.streams.info(name, { subjects_filter: '>' })
        count += state.messages === 0 ? 0 : Object.keys(subjects).filter((key) => key.includes('.claim.')).length
      }
      return count
    }
    const keys = Array.from({ length: 50 }, (_, index) => `ann\nm-${index}`)
    await Promise.all(keys.map(async (key) => {
      await claims!.claim(key, 'hash', 1_000)
      await claims!.settle(key, 'hash', '{"data":1}', 1_000)
    }))
    t.match(await claims!.claim(keys[0]!, 'hash', 1_000), { state: 'settled' })
    t.equal(await kept(), 50)
    await until('the server holds none of them', async () => await kept() === 0, 12_000)
    t.match(await claims!.claim(keys[0]!, 'hash', 1_000), { state: 'claimed' })
  })

  t.test('nats: claims and tickets are kept for as long as the node that needs them longest says', async (t) => {
    const server = await startNats(t)
    const jsm = await admin(t, server)
    const age = async (): Promise<number> => (await jsm.streams.info('KV_realtime_claims')).config.max_age / 1_000_000
    const a = await node(t, nats({ url: server.url }), 'a')
    const b = await node(t, nats({ url: server.url, idempotency: 1_000 }), 'b')
    await b.adapter.claims!.claim('ann\nm-1', 'hash', 1_000)
    t.equal(await age(), 6_000)
    await a.adapter.claims!.claim('ann\nm-2', 'hash', 35_000)
    t.equal(await age(), 125_000)
    await a.adapter.claims!.put('ticket:abc', 'identity', 600_000.5)
    t.equal(await age(), 605_001)
    await b.adapter.claims!.claim('ann\nm-3', 'hash', 300_000)
    t.equal(await age(), 605_001, 'another node needs it longer')
    t.equal(await b.adapter.claims!.take('ticket:abc'), 'identity')
    for (const id of ['m-1', 'm-2', 'm-3']) await a.adapter.claims!.settle(`ann\n${id}`, 'hash', '1', 120_000)
    await jsm.streams.delete('KV_realtime_claims')
    t.match(await b.adapter.claims!.claim('ann\nm-2', 'hash', 1_000), { state: 'claimed' }, 'with the bucket they go')
    t.equal(await age(), 305_000)
    await until('the other node notices', async () => {
      await a.adapter.claims!.claim('ann\nm-4', 'hash', 1_000)
      return await age() === 605_001
    })
  })

  t.test('nats: an account that may make streams and not change them is told at the start which right is missing', async (t) => {
    const rights = (deny: string): string => `
      accounts { A { jetstream: enabled, users: [{ user: a, password: a, permissions: { publish: { ${deny} } } }] } }`
    const settings = { user: 'a', pass: 'a' }
    const right = /allow "\$JS\.API\.STREAM\.UPDATE\.>" under permissions\.publish/
    const { url } = await startNats(t, { more: rights('allow: [">"], deny: ["$JS.API.STREAM.UPDATE.>"]') })
    const { adapter, host } = await node(t, nats({ url, settings }), 'a')
    await until('it is told', () => host.notes.some((note) => right.test(note)))
    t.match(await adapter.claims!.claim('ann\nm-1', 'hash', 1_000), { state: 'claimed' }, 'all else works')
    await t.rejects(adapter.claims!.put('ticket:abc', 'identity', 600_000) as Promise<void>, { code: 'unavailable' })
    await t.rejects(node(t, nats({ url, settings, idempotency: 1_000 }), 'b'), { code: 'REALTIME_ERR_ADAPTER', message: right })
    const { url: other } = await startNats(t, { more: rights('allow: ["$KV.>", "realtime.>"]') })
    await t.rejects(node(t, nats({ url: other, settings }), 'c'), {
      code: 'REALTIME_ERR_ADAPTER',
      message: /allow "\$JS\.API\.(INFO\.)?>"/
    })
  })

  t.test('nats: a start with the documented rights has nothing to say of them', async (t) => {
    const server = await startNats(t, { more: natsAccount(['realtime']) })
    const first = await node(t, nats({ url: server.url, settings: NATS_USER }), 'a')
    const second = await node(t, nats({ url: server.url, settings: NATS_USER }), 'b')
    await first.adapter.claims!.claim('ann\nm-1', 'hash', 1_000)
    await second.adapter.claims!.claim('ann\nm-2', 'hash', 1_000)
    t.same([first.host.notes, second.host.notes], [[], []])
  })

  t.test('nats: who stands at the end of a stream, behind events of other rooms, is not kept waiting for his own', async (t) => {
    const server = await startNats(t)
    const { adapter } = await node(t, nats({ url: server.url }), 'a')
    await adapter.subscribe('chat/1', reliable)
    await adapter.publish('chat/1', said('one'), reliable)
    const { position } = await adapter.publish('chat/2', said('two'), reliable)
    const from = performance.now()
    matchList(
      t,
      await adapter.history!('chat/1', { since: position!, limit: 1 }, reliable),
      { resumed: true, events: [] }
    )
    t.ok(performance.now() - from < 2_000)
  })

  t.test('nats: an event that is larger than the server takes is refused, and known not to be accepted', async (t) => {
    const server = await startNats(t, { more: 'max_payload: 10000' })
    const { adapter } = await node(t, nats({ url: server.url }), 'a')
    for (const more of [{}, { type: 'score', delivery: 'latest', key: 'a' } as const]) {
      const publish = async (): Promise<unknown> => {
        return await adapter.publish('chat/1', said('x'.repeat(10_000), more), reliable)
      }
      await t.rejects(publish, { code: 'unavailable', outcome: undefined })
    }
    t.same((await adapter.history!('chat/1', { last: 1, limit: 1 }, reliable)).events, [])
  })

  t.test('nats: a value that was lost and that the server takes no more is given up, and the log names max_payload', async (t) => {
    const server = await startNats(t)
    const { adapter, host } = await node(t, nats({ url: server.url }), 'a')
    await adapter.subscribe('chat/1', reliable)
    const texts = ['x'.repeat(20_000), 'small']
    for (const [index, text] of texts.entries()) {
      await adapter.publish('chat/1', said(text, { type: 'score', delivery: 'latest', key: `${index}` }), reliable)
    }
    await server.kill()
    await rm(join(server.directory, 'data'), { recursive: true })
    await appendFile(join(server.directory, 'nats.conf'), 'max_payload: 10000\n')
    await server.start()
    await until('it is told', () => host.notes.some((note) => /too large to be put back.*max_payload/.test(note)), 15_000)
    t.same((await adapter.latest!('chat/1', reliable)).map(textOf), ['small'])
  })

  t.test('nats: a crash of the server loses nothing, and what was published meanwhile is refused', async (t) => {
    const server = await startNats(t)
    const [a, b] = [await node(t, nats({ url: server.url }), 'a'), await node(t, nats({ url: server.url }), 'b')]
    for (const { adapter } of [a, b]) {
      await adapter.subscribe('chat/1', reliable)
      await adapter.subscribe('live/1', live)
    }
    const first = await a.adapter.publish('chat/1', said('before'), reliable)
    await server.kill()
    await until('the node notices', () => a.host.states.at(-1) === false)
    const refused = await Promise.resolve(a.adapter.publish(
      'chat/1',
      said('refused'),
      reliable
    )).catch((error: unknown) => error)
    t.equal(refused instanceof Refusal && refused.word, 'unavailable')
    t.same((await a.adapter.publish('live/1', said('tick'), live)).recipients, 1)
    await server.start()
    await until('both are up', () => a.adapter.stats!().isUp === true && b.adapter.stats!().isUp === true)
    await until(
      'the event is accepted',
      async () => await a.adapter.publish('chat/1', said('after', { idempotencyKey: 'after' }), reliable)
    )
    t.same(await b.host.heard('chat/1', 2), ['before', 'after'])
    t.same(a.host.texts('chat/1'), ['before', 'after'])
    const page = await b.adapter.history!('chat/1', { since: first.position, limit: 10 }, reliable)
    t.equal(page.resumed, true)
    t.same(a.host.gaps, [])
  })

  t.test('nats: a restart without data is a new epoch, and every member is told', async (t) => {
    const server = await startNats(t)
    const [a, b] = [await node(t, nats({ url: server.url }), 'a'), await node(t, nats({ url: server.url }), 'b')]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    for (let index = 0; index < 5; index++) await a.adapter.publish('chat/1', said(`${index}`), reliable)
    const { position } = await a.adapter.publish('chat/1', said('5'), reliable)
    await b.host.heard('chat/1', 6)
    await server.kill()
    await rm(join(server.directory, 'data'), { recursive: true })
    await server.start()
    for (const { host } of [a, b]) await until(`${host.nodeId} is told`, () => host.gaps.length === 1)
    const next = await until(
      'the event is accepted',
      async () => await a.adapter.publish('chat/1', said('after', { idempotencyKey: 'after' }), reliable)
    )
    t.not(next.position!.epoch, position!.epoch)
    t.same(a.host.gaps, [{ room: 'chat/1', epoch: next.position!.epoch, to: 0 }])
    t.same(await b.host.heard('chat/1', 7), ['0', '1', '2', '3', '4', '5', 'after'])
    t.equal((await b.adapter.history!('chat/1', { since: position, limit: 10 }, reliable)).resumed, false)
  })

  t.test('nats: connections cut while both nodes publish: nothing lost, doubled or out of order', async (t) => {
    const server = await startNats(t)
    const [a, b] = [await node(t, nats({ url: server.url }), 'a'), await node(t, nats({ url: server.url }), 'b')]
    const settings = { ...reliable, history: { size: 10_000, ttl: 300_000 } }
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', settings)
    const { accepted, stop } = publishFrom([a, b], 'chat/1', settings, 20_000)
    for (let cut = 0; cut < 4; cut++) {
      const before = accepted.length
      await until('publishing goes on', () => accepted.length > before + 50, 20_000)
      await server.kill()
      await server.start()
    }
    await stop()
    for (const { host } of [a, b]) {
      const texts = await host.heard('chat/1', accepted.length)
      t.equal(new Set(texts).size, texts.length, 'nothing doubled')
      t.same(accepted.filter((text) => !texts.includes(text)), [], 'nothing lost')
      const offsets = host.offsets('chat/1')
      t.same(offsets, [...offsets].sort((x, y) => x - y), 'nothing out of order')
      t.same(host.gaps, [])
    }
    t.comment(
      `${accepted.length} events, repairs ${[a, b].map(({ adapter }) => String(adapter.stats!().repairs)).join(' ')}`
    )
  })

  t.test('nats: while the server is frozen nothing hangs, and nothing is lost after it', async (t) => {
    const server = await startNats(t)
    const [a, b] = [
      await node(t, nats({ url: server.url, timeout: 400 }), 'a'),
      await node(t, nats({ url: server.url, timeout: 400 }), 'b')
    ]
    for (const { adapter } of [a, b]) await adapter.subscribe('chat/1', reliable)
    await a.adapter.publish('chat/1', said('before'), reliable)
    await server.pause()
    const began = performance.now()
    const refused = await Promise.allSettled([
      a.adapter.publish('chat/1', said('frozen', { idempotencyKey: 'frozen' }), reliable),
      a.adapter.leases!.acquire('user:ann', 'c1', 1, 1_000),
      a.adapter.control!.send({ type: 'revoke', user: 'ann' }),
      a.adapter.subscribe('chat/2', reliable)
    ])
    t.same(refused.map(({ status }) => status), refused.map(() => 'rejected'))
    t.ok(performance.now() - began < 2_000, 'refused in time')
    server.resume()
    for (const text of ['frozen', 'after']) {
      await until(
        `"${text}" is accepted`,
        async () => await a.adapter.publish('chat/1', said(text, { idempotencyKey: text }), reliable)
      )
    }
    t.same(await b.host.heard('chat/1', 3), ['before', 'frozen', 'after'])
    t.same(b.host.gaps, [])
  })
}
