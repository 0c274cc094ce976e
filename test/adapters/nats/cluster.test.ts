import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import { jetstreamManager } from '@nats-io/jetstream'
import t from 'tap'
import { nats, type NatsOptions } from '../../../lib/adapters/nats/adapter.js'
import { missing, startNatsCluster, until } from '../../helpers/servers.js'
import { node, reliable, said } from '../../../lib/adapters/contract/host.js'
import { publishFrom } from './publishers.js'

const reason = missing('nats-server')
if (reason !== false) t.plan(0, reason)
else {
  t.setTimeout(320_000)
  t.test('nats: the server of a cluster that leads the stream stands still while nodes publish: what was accepted is heard once and in order, or a gap is told', {
    timeout: 290_000
  }, async (t) => {
    const servers = await startNatsCluster(t)
    const urls = servers.map(({ url }) => url)
    const options: NatsOptions = { replicas: 3, timeout: 2_000 }
    const [a, b] = [
      await node(t, nats({ url: urls, ...options }), 'a'),
      await node(t, nats({ url: [...urls].reverse(), ...options }), 'b')
    ]
    const settings = { ...reliable, history: { size: 5_000, ttl: 300_000 } }
    for (const { adapter } of [a, b]) {
      await until('the room is followed', async () => { await adapter.subscribe('chat/1', settings); return true })
    }
    const connection = await connect({ servers: urls })
    t.teardown(() => connection.close())
    const jsm = await jetstreamManager(connection)
    const { accepted, stop } = publishFrom([a, b], 'chat/1', settings, 100_000)
    for (let round = 0; round < 2; round++) {
      const before = accepted.length
      await until('publishing goes on', () => accepted.length > before + 50, 100_000)
      const name = await until('the stream has a leader', async () => {
        for await (const { config, cluster } of jsm.streams.list()) {
          if (/^realtime_[0-9a-f]{12}$/.test(config.name)) return cluster?.leader
        }
        return undefined
      })
      const leader = servers[Number(name.slice(1))]!
      await leader.pause()
      const paused = accepted.length
      await until('another leads', () => accepted.length > paused + 20, 100_000)
      leader.resume()
      await sleep(500)
    }
    await stop()
    await until('both are back', () => [a, b].every(({ adapter }) => adapter.stats!().isUp === true))
    for (const each of [a, b]) {
      await until(
        'the fence is accepted',
        async () => await each.adapter.publish(
          'chat/1',
          said(`fence ${each.host.nodeId}`, { idempotencyKey: `fence ${each.host.nodeId}` }),
          settings
        )
      )
    }
    for (const { host } of [a, b]) {
      await until(
        'the fences are heard',
        () => host.texts('chat/1').filter((text) => text.startsWith('fence')).length === 2,
        60_000
      )
      const texts = host.texts('chat/1')
      t.equal(new Set(texts).size, texts.length, 'nothing doubled')
      t.same(
        host.gaps.length > 0 ? [] : accepted.filter((text) => !texts.includes(text)),
        [],
        'nothing lost in silence'
      )
      // Numbers of another epoch are others: they begin behind what both share.
      const byEpoch = new Map<string, number[]>()
      for (const { position } of host.events.get('chat/1')!) {
        byEpoch.set(position!.epoch, [...byEpoch.get(position!.epoch) ?? [], position!.offset])
      }
      for (const offsets of byEpoch.values()) {
        t.same(offsets, [...offsets].sort((x, y) => x - y), 'nothing out of order')
      }
      t.ok(byEpoch.size === 1 || host.gaps.length > 0, 'another epoch is told')
    }
    t.comment(`${accepted.length} events`)
  })

  t.test('nats: of nodes that take the last slot at once from several servers, one has it and all of it is given back', {
    timeout: 60_000
  }, async (t) => {
    const servers = await startNatsCluster(t)
    const urls = servers.map(({ url }) => url)
    const nodes = []
    for (const id of ['a', 'b', 'c']) nodes.push(await node(t, nats({ url: urls, replicas: 3, timeout: 5_000 }), id))
    let [held, most, had] = [0, 0, 0]
    await Promise.all(nodes.map(async ({ adapter, host: { nodeId } }) => {
      for (let round = 0; round < 80; round++) {
        const holder = `${nodeId}-${round}`
        if (!await adapter.leases!.acquire('booth', holder, 1, 60_000)) continue
        most = Math.max(most, ++held)
        had++
        await adapter.leases!.count('booth')
        held--
        await adapter.leases!.release('booth', holder)
      }
    }))
    t.equal(most, 1)
    t.ok(had > 10, `${had} had it`)
    t.equal(await nodes[0]!.adapter.leases!.count('booth'), 0)
  })
}
