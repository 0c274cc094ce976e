import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import t from 'tap'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { dataOf, live, node, reliable, said } from '../../../lib/adapters/contract/host.js'
import { FaultProxy } from '../../helpers/fault-proxy.js'
import { freePort, missing, run, until, type Server, type Teardown } from '../../helpers/servers.js'

/** Milliseconds in which a node knows what it missed: it looks every 200 ms here, and a request takes 1 s at most. */
const SOON = 5_000

/** A server of a cluster of two, of which the one with more room keeps all streams. */
async function startNext (t: Teardown, name: string, lines: readonly string[]): Promise<Server> {
  return await run(t, {
    program: 'nats-server',
    scheme: 'nats',
    args: async (port, directory) => {
      const config = join(directory, 'nats.conf')
      const store = lines[0]!.replace('DATA', JSON.stringify(join(directory, 'data')))
      await writeFile(config, [`listen: "127.0.0.1:${port}"`, `server_name: ${name}`, store, lines[1]!].join('\n'))
      return ['-c', config]
    },
    ask: 'CONNECT {"verbose":false}\r\nPING\r\n',
    expected: /PONG/
  })
}

t.test('nats: what servers did not forward while they had lost each other is read again soon after, though no link of a node broke', {
  skip: missing('nats-server'),
  timeout: 60_000
}, async (t) => {
  const route = await freePort()
  const proxy = new FaultProxy(route)
  const way = await proxy.listen()
  t.teardown(() => proxy.close())
  // The first is told of a route to nobody, which it needs for JetStream. The other comes to it through the proxy.
  const nobody = await freePort()
  const cluster = (at: string, other: number): string => {
    return `cluster { name: test, ${at}, routes: ["nats://127.0.0.1:${other}"] }`
  }
  const [first, second] = await Promise.all([
    startNext(t, 'n0', [
      'jetstream { store_dir: DATA }',
      cluster(`listen: "127.0.0.1:${route}", cluster_advertise: "127.0.0.1:${way}"`, nobody)
    ]),
    startNext(t, 'n1', [
      'jetstream { store_dir: DATA, max_file_store: 10485760 }',
      cluster(`listen: "127.0.0.1:${await freePort()}"`, way)
    ])
  ])
  const options = { timeout: 1_000, check: 2_000 }
  for (const { url } of [first, second]) {
    const connection = await connect({ servers: url })
    t.teardown(() => connection.close())
    await until('the cluster has a leader', async () => await jetstreamManager(connection, { timeout: 500 }))
  }
  const near = await node(t, nats({ url: first.url, ...options }), 'near')
  const far = await node(t, nats({ url: second.url, ...options }), 'far')
  for (const { adapter } of [near, far]) {
    await adapter.subscribe('live/1', live)
    await adapter.subscribe('chat/1', reliable)
  }
  const shown = (): unknown => dataOf((far.host.events.get('live/1') ?? []).at(-1)!)
  const set = async (text: string): Promise<void> => {
    await near.adapter.publish('live/1', said(text, { type: 'score', delivery: 'latest', key: 'red' }), live)
  }
  await far.adapter.presence!.join('chat/1', { userId: 'ann', connection: 'c1' }, 60_000)
  await set('before')
  await far.host.heard('live/1', 1)
  const states = far.host.states.length
  proxy.isDown = true
  proxy.cut()
  await set('meanwhile')
  await near.adapter.presence!.join('chat/1', { userId: 'bob', connection: 'c2' }, 60_000)
  await near.adapter.publish('chat/1', said('meanwhile'), reliable)
  proxy.isDown = false
  await until('the value is there', () => (shown() as { text: string }).text === 'meanwhile', SOON)
  await until('the change is there', () => far.host.changes.get('chat/1')!.at(-1)!.joined[0]?.userId === 'bob', SOON)
  await until('the event is there', () => far.host.texts('chat/1').includes('meanwhile'), SOON)
  t.equal(far.host.states.length, states, 'its link has not broken')
})

t.pass('the brokers that are on this machine')
