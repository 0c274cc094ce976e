import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import t from 'tap'
import type { HistoryPage } from '../../../lib/adapters/adapter.js'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { node, reliable, said, textOf, type Node } from '../../../lib/adapters/contract/host.js'
import type { Position } from '../../../lib/protocol/position.js'
import { FaultProxy } from '../../helpers/fault-proxy.js'
import { missing, startNats, until, type Server, type Teardown } from '../../helpers/servers.js'

const reason = missing('nats-server')
if (reason !== false) t.plan(0, reason)
else {
  t.setTimeout(120_000)
  olderData()
}

interface Restored {
  readonly server: Server
  /** Leads the node that knows what is lost to the server. */
  readonly proxy: FaultProxy
  /** The only node that knows. */
  readonly knows: Node
  /** A node that has never opened the stream. */
  readonly first: Node
  /** Behind it ten events are left, and twenty are lost. */
  readonly position: Position
}

/** A server that has come back with data of a while ago; only a node that is still cut off knows what is missing. */
async function restored (t: Teardown): Promise<Restored> {
  const server = await startNats(t)
  const proxy = new FaultProxy(server.port)
  const port = await proxy.listen()
  t.teardown(() => proxy.close())
  const options = { timeout: 1_000, check: 2_000 }
  const knows = await node(t, nats({ url: `nats://127.0.0.1:${port}`, ...options }), 'knows')
  const first = await node(t, nats({ url: server.url, ...options }), 'first')
  const say = async (text: string): Promise<Position> => (await until(
    `"${text}" is accepted`,
    async () => await knows.adapter.publish('chat/1', said(text, { idempotencyKey: text }), reliable)
  )).position!
  const position = await say('0')
  for (let index = 1; index <= 10; index++) await say(`${index}`)
  const data = join(server.directory, 'data')
  await server.stop()
  await cp(data, `${data}-old`, { recursive: true })
  await server.start()
  for (let index = 11; index <= 30; index++) await say(`${index}`)
  proxy.isDown = true
  proxy.cut()
  await until('it notices', () => knows.host.states.at(-1) === false)
  await server.kill()
  await rm(data, { recursive: true })
  await cp(`${data}-old`, data, { recursive: true })
  await server.start()
  await until('the other is back', () => first.host.states.at(-1) === true)
  return { server, proxy, knows, first, position }
}

/** Resolves when another life of the stream than that of the position is known to the server. */
async function isRecorded (t: Teardown, { server, position }: Restored): Promise<void> {
  const connection = await connect({ servers: server.url })
  t.teardown(() => connection.close())
  const jsm = await jetstreamManager(connection)
  const lives = await new Kvm(jetstream(connection)).open('realtime_lives')
  const names = await jsm.streams.names().next()
  const name = names.find((each) => /^realtime_[0-9a-f]{12}$/.test(each))!
  await until('another life is known', async () => {
    const entry = await lives.get(`life.${name}`)
    return (JSON.parse(entry!.string()) as { epoch: string }).epoch !== position.epoch
  })
}

function olderData (): void {
  t.test('nats: who stands before what a server lost is not resumed by a node that cannot know, once another one says so', async (t) => {
    const all = await restored(t)
    const { proxy, first, position } = all
    const reading = until('it is read', async () => {
      return await first.adapter.history!('chat/1', { since: position, limit: 100 }, reliable)
    })
    await isRecorded(t, all)
    proxy.isDown = false
    const page: HistoryPage = await reading
    t.same([page.resumed, page.events.length], [false, 0])
  })

  t.test('nats: who was resumed before the node that knows of a loss was back is told of a gap', async (t) => {
    const { proxy, knows, first, position } = await restored(t)
    const page = await until('it is read', async () => {
      return await first.adapter.history!('chat/1', { since: position, limit: 100 }, reliable)
    })
    t.same([page.resumed, page.events.map(textOf).at(-1)], [true, '10'], 'nobody could know')
    await until('the room is followed', async () => {
      await first.adapter.subscribe('chat/1', reliable)
      return true
    })
    proxy.isDown = false
    await until('its member is told', () => first.host.gaps.some(({ from }) => from === undefined))
    const since = { ...page.top, offset: position.offset }
    for (const { adapter } of [first, knows]) {
      for (const each of [position, since]) {
        const again = await adapter.history!('chat/1', { since: each, limit: 100 }, reliable)
        t.same([again.resumed, again.events.length], [false, 0])
      }
    }
  })
}
