import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import { jetstreamManager } from '@nats-io/jetstream'
import t from 'tap'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { node } from '../../../lib/adapters/contract/host.js'
import { missing, startNatsCluster, until } from '../../helpers/servers.js'

t.test(
  'nats: a server whose cluster stands still says of nobody that he is not revoked, and still who is',
  { skip: missing('nats-server'), timeout: 120_000 },
  async (t) => {
    const servers = await startNatsCluster(t)
    const { adapter: first } = await node(t, nats({ url: servers.map(({ url }) => url), replicas: 3 }), 'first')
    await until('somebody is kept out', async () => {
      await first.denials!.deny('user:eve', Date.now() + 300_000)
      return true
    }, 30_000)
    const connection = await connect({ servers: servers.map(({ url }) => url) })
    t.teardown(() => connection.close())
    const jsm = await jetstreamManager(connection)
    const leader = await until('the bucket has a leader', async () => {
      return (await jsm.streams.info('KV_realtime_denials')).cluster?.leader
    })
    const led = servers[Number(leader.slice(1))]!
    const { adapter } = await node(t, nats({ url: led.url, replicas: 3 }), 'second')
    const { denials } = adapter
    t.equal(await denials!.isDenied(['user:ann']), false)
    const others = servers.filter((server) => server !== led)
    for (const server of others) await server.pause()
    await sleep(1_100)
    await t.rejects(async () => await denials!.isDenied(['user:ann']), { code: 'unavailable' })
    t.equal(await denials!.isDenied(['user:eve']), true)
    for (const server of others) server.resume()
    await until('who may come in is told so again', async () => !await denials!.isDenied(['user:ann']), 60_000)
  }
)
