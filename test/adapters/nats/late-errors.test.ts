import type { Socket } from 'node:net'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import t from 'tap'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { node, reliable, said } from '../../../lib/adapters/contract/host.js'
import { missing, startNats, until } from '../../helpers/servers.js'

interface Inside {
  readonly protocol: {
    readonly transport: { readonly socket: Socket, send (bytes: Uint8Array): void, close (): Promise<void> }
  }
}

t.test('an error that comes behind the end of a link to NATS ends no process, and the node goes on with another link', {
  skip: missing('nats-server')
}, async (t) => {
  const { url } = await startNats(t)
  const settings = { servers: url, reconnectTimeWait: 50, maxReconnectAttempts: -1 }
  const connection: NatsConnection = await connect(settings)
  t.teardown(async () => { await connection.close() })
  const { adapter, host } = await node(t, nats({ connection }))
  // The first link, and one that was made by connecting again.
  for (const round of [1, 2]) {
    const { transport } = (connection as NatsConnection & Inside).protocol
    const before = host.states.length
    // A write of the turn in which the client sees that the server has gone.
    transport.socket.end()
    transport.send(Buffer.from('PING\r\n'))
    await transport.close()
    await until('the node notices', () => host.states.length > before)
    await until('the node is back', () => adapter.stats!().isUp === true)
    const { position } = await adapter.publish('chat/1', said(`round ${round}`), reliable)
    t.ok(position, `round ${round}`)
  }
})
