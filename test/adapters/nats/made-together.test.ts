import { connect } from '@nats-io/transport-node'
import t from 'tap'
import { node, reliable, said, textOf } from '../../../lib/adapters/contract/host.js'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { proxied } from '../../helpers/proxied.js'
import { missing, startNats } from '../../helpers/servers.js'

/** What the server answers while it makes the same stream for another node. */
const OVERLAP = { error: { code: 400, err_code: 10_065, description: 'subjects overlap with an existing stream' } }

t.test('nats: a node starts, and publishes, though another one is making each of its streams at that moment', {
  skip: missing('nats-server')
}, async (t) => {
  const connection = await connect({ servers: (await startNats(t)).url })
  t.teardown(() => connection.close())
  const refused = new Set<string>()
  const request: typeof connection.request = async (subject, ...rest) => {
    if (!subject.startsWith('$JS.API.STREAM.CREATE.') || refused.has(subject)) return await connection.request(subject, ...rest)
    refused.add(subject)
    const data = new TextEncoder().encode(JSON.stringify(OVERLAP))
    return { data, json: () => OVERLAP, string: () => JSON.stringify(OVERLAP) } as never
  }
  const { adapter } = await node(t, nats({ connection: proxied(connection, { request }) }), 'a')
  await adapter.publish('chat/1', said('1'), reliable)
  t.same((await adapter.history!('chat/1', { last: 10, limit: 10 }, reliable)).events.map(textOf), ['1'])
  t.ok(refused.size >= 3, `${refused.size} streams`)
})
