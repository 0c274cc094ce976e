import { connect, type NatsConnection } from '@nats-io/transport-node'
import t, { type Test } from 'tap'
import type { Publication } from '../../../lib/adapters/adapter.js'
import { node, reliable, said, textOf, type Node } from '../../../lib/adapters/contract/host.js'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { missing, startNats } from '../../helpers/servers.js'

const skip = missing('nats-server')

interface Losing { prefix?: string, isDone?: boolean, isOnce?: boolean }

/** A node some of whose requests are done, or not, and never answered. */
async function deaf (t: Test): Promise<Node & { readonly losing: Losing }> {
  const connection = await connect({ servers: (await startNats(t)).url })
  t.teardown(() => connection.close())
  const losing: Losing = {}
  const request: NatsConnection['request'] = async (subject, ...rest) => {
    const { prefix, isDone = false, isOnce = false } = losing
    if (prefix === undefined || !subject.startsWith(prefix)) return await connection.request(subject, ...rest)
    if (isOnce) losing.prefix = 'none'
    if (isDone) void connection.request(subject, ...rest)
    return await new Promise<never>(() => {})
  }
  const given = new Proxy(connection, {
    get (target, name) {
      if (name === 'request') return request
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
  return { ...await node(t, nats({ connection: given, timeout: 300 }), 'a'), losing }
}

/** The same, following a room that has a value. */
async function withValue (t: Test): Promise<Node & { readonly losing: Losing, readonly value: Publication }> {
  const found = await deaf(t)
  await found.adapter.subscribe('chat/1', reliable)
  const value = said('1', { type: 'score', delivery: 'latest', key: 'red' })
  await found.adapter.publish('chat/1', value, reliable)
  return { ...found, value }
}

void t.test(
  'nats: a value that comes back by the subscription was set, whatever became of the answer',
  { skip },
  async (t) => {
    const { adapter, host, losing, value } = await withValue(t)
    Object.assign(losing, { prefix: 'realtime.latest.', isDone: true })
    const { recipients } = await adapter.publish('chat/1', { ...value, data: said('2').data }, reliable)
    t.equal(recipients, 1)
    t.same(host.texts('chat/1'), ['1', '2'], 'it was handed over once')
    losing.prefix = 'none'
    t.same((await adapter.latest!('chat/1', reliable)).map(textOf), ['2'])
  }
)

void t.test(
  'nats: a removal that was lost, and whose value has been replaced when it is sent again, is told to nobody',
  { skip },
  async (t) => {
    const { adapter, host, losing, value } = await withValue(t)
    const { version } = (await adapter.latest!('chat/1', reliable))[0]!.event!
    await adapter.publish('chat/1', { ...value, data: said('2').data }, reliable)
    Object.assign(losing, { prefix: 'realtime.latest.', isOnce: true })
    const { recipients } = await adapter.publish('chat/1', { ...value, data: '{}', removes: { version } }, reliable)
    t.equal(losing.prefix, 'none', 'it was sent twice')
    t.same([recipients, host.events.get('chat/1')!.length], [0, 2])
    t.same((await adapter.latest!('chat/1', reliable)).map(textOf), ['2'])
  }
)

void t.test(
  'nats: a clear by which members go is not told as refused where what is before it could not be removed, and may be repeated',
  { skip },
  async (t) => {
    const { adapter, host, losing } = await deaf(t)
    await adapter.subscribe('chat/1', reliable)
    for (const text of ['1', '2']) await adapter.publish('chat/1', said(text), reliable)
    losing.prefix = '$JS.API.STREAM.PURGE.'
    await t.rejects(Promise.resolve(adapter.clear!('chat/1', reliable)), { code: 'unavailable', outcome: 'unknown' })
    t.equal(host.gaps.length, 1, 'members were told')
    losing.prefix = 'none'
    await adapter.clear!('chat/1', reliable)
    t.same((await adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)).events, [])
  }
)
