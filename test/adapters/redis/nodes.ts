import { Redis } from 'ioredis'
import { redis, type RedisOptions } from '../../../lib/adapters/redis/adapter.js'
import { proxyTo, type FaultProxy } from '../../helpers/fault-proxy.js'
import { until, type Server, type Teardown } from '../../helpers/servers.js'
import { node, type Node } from '../../../lib/adapters/contract/host.js'

/** A node on a Redis that answers within a second or not at all. */
export async function join (t: Teardown, url: string, id: string, options: RedisOptions = {}): Promise<Node> {
  return await node(t, redis({ url, timeout: 1_000, ...options }), id)
}

export async function isUp (...nodes: Node[]): Promise<void> {
  for (const { adapter, host } of nodes) await until(`${host.nodeId} is up`, () => adapter.stats!().isUp === true)
}

/** A client of the test's own, which waits for a server that is away. */
export function admin (t: Teardown, { port }: Server): Redis {
  const client = new Redis(port, { retryStrategy: () => 50, maxRetriesPerRequest: null })
  client.on('error', () => undefined)
  t.teardown(() => { client.disconnect() })
  return client
}

/** The way to the server that a test can break. */
export async function proxied (t: Teardown, server: Server): Promise<{ proxy: FaultProxy, url: string }> {
  const { proxy, port } = await proxyTo(t, server.port)
  return { proxy, url: `redis://127.0.0.1:${port}` }
}
