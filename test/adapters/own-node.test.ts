import t from 'tap'
import { live, node, reliable, said } from '../../lib/adapters/contract/host.js'
import { BROKERS } from '../helpers/brokers.js'
import { missing, until } from '../helpers/servers.js'

for (const { name, program, start, make } of BROKERS) {
  t.test(`${name}: what is not kept and published while the server is away reaches members of its own node once under one key`, {
    skip: missing(program)
  }, async (t) => {
    const server = await start(t)
    const { adapter, host } = await node(t, make(server.port), 'a')
    await adapter.subscribe('live/1', live)
    await server.kill()
    await until('the node notices', () => host.states.at(-1) === false)
    const publish = async (key: string): Promise<unknown> => {
      return await adapter.publish('live/1', said(key, { idempotencyKey: key }), live)
    }
    t.same(await publish('one'), { recipients: 1, ...name === 'redis' ? { nodes: 0 } : {} })
    t.match(await publish('one'), { recipients: 0 })
    await Promise.all([publish('two'), publish('two')])
    t.same(host.texts('live/1'), ['one', 'two'])
  })

  t.test(`${name}: what is not kept reaches members of its own node once although the server stands still, and again when it goes on`, {
    skip: missing(program)
  }, async (t) => {
    const server = await start(t)
    const { adapter, host } = await node(t, make(server.port), 'a')
    await adapter.subscribe('live/1', live)
    await adapter.subscribe('chat/1', reliable)
    await adapter.publish('live/1', said('first'), live)
    await server.pause()
    await Promise.all([
      adapter.publish('live/1', said('keyed', { idempotencyKey: 'k' }), live),
      adapter.publish('chat/1', said('volatile', { delivery: 'volatile' }), reliable)
    ])
    t.same([host.texts('live/1'), host.texts('chat/1')], [['first', 'keyed'], ['volatile']])
    server.resume()
    await until('the server goes on', () => adapter.stats!().isUp === true)
    // What was sent before comes before it, on every channel of its own.
    await until('it has come back', async () => {
      await adapter.publish('live/1', said('last', { idempotencyKey: 'last' }), live)
      await adapter.publish('chat/1', said('last', { delivery: 'volatile', idempotencyKey: 'last too' }), reliable)
      return host.texts('live/1').includes('last') && host.texts('chat/1').includes('last')
    })
    t.same([host.texts('live/1'), host.texts('chat/1')], [['first', 'keyed', 'last'], ['volatile', 'last']])
  })
}

t.pass('the brokers that are on this machine')
