import t from 'tap'
import { node, reliable, said, textOf } from '../../lib/adapters/contract/host.js'
import { BROKERS } from '../helpers/brokers.js'
import { proxyTo } from '../helpers/fault-proxy.js'
import { missing } from '../helpers/servers.js'

/** Milliseconds for which answers are held. The link is taken for dead before, and the second attempt breaks. */
const HELD = 3_500

for (const { name, program, start, make } of BROKERS) {
  t.test(
    `${name}: events that were accepted are told so once, though answers are late and the link breaks`,
    { skip: missing(program) },
    async (t) => {
      const { port } = await start(t)
      const { proxy, port: near } = await proxyTo(t, port)
      const { adapter } = await node(t, make(near), 'a')
      const { adapter: other, host } = await node(t, make(port), 'b')
      await other.subscribe('chat/1', reliable)
      await adapter.publish('chat/1', said('warm'), reliable)
      proxy.shut('downward', HELD)
      const texts = ['1', '2', '3']
      const value = said('value', { type: 'score', delivery: 'latest', key: 'red' })
      const told = await Promise.allSettled([
        ...texts.map((text) => adapter.publish('chat/1', said(text), reliable)),
        adapter.publish('hall/1', value, reliable)
      ])
      t.same(told.map(({ status }) => status), told.map(() => 'fulfilled'))
      t.same(host.texts('chat/1'), ['warm', ...texts])
      t.same((await other.latest!('hall/1', reliable)).map(textOf), ['value'])
    }
  )
}
