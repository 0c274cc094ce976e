import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, type AddressInfo, type Socket } from 'node:net'
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

  t.test('the relay of the example outlives a node whose connection is reset, and serves the others', async (t) => {
    const server = createRelay().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const node = async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1').setEncoding('utf8')
      t.teardown(() => { socket.destroy() })
      await once(socket, 'connect')
      return socket
    }
    t.teardown(() => { server.close() })
    const [broken, first, second] = [await node(), await node(), await node()]
    const whole = once(second, 'data')
    broken.write('whole\nhalf a li')
    t.strictSame(await whole, ['whole\n'])
    broken.resetAndDestroy()
    await once(broken, 'close')
    const heard = once(second, 'data')
    first.write('from the first\n')
    t.strictSame(await heard, ['from the first\n'], 'half a line of the broken one is told to nobody')
  })
}
