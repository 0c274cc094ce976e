import { once } from 'node:events'
import { existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import t from 'tap'

const isBuilt = existsSync(new URL('../../dist/index.js', import.meta.url))
if (!isBuilt) t.plan(0, 'the package is not built')
else {
  // As somebody else's package has it: what was built, by the package's own name.
  const { adapterContract } = await import('fastify-realtime/adapter')
  const { relay } = await import('../../example/adapter/adapter.js')
  const { createRelay } = await import('../../example/adapter/relay.js')

  adapterContract(t, async (each) => {
    const server = createRelay().listen(0, '127.0.0.1')
    each.teardown(() => { server.close() })
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    return () => relay(port)
  }, { name: 'the example of an adapter' })
}
