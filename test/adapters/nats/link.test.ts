import t, { type Test } from 'tap'
import { Unread } from '../../../lib/adapters/broker/unread.js'
import { NatsLink } from '../../../lib/adapters/nats/link.js'
import { until } from '../../helpers/servers.js'
import { Greeter } from './greeter.js'

const log = { warn: () => undefined }

/** @param timeout milliseconds that one request, and one attempt to connect, may take */
async function opened (t: Test, timeout: number): Promise<{ server: Greeter, ups: () => number }> {
  const server = new Greeter()
  let ups = 0
  const link = new NatsLink({
    url: await server.listen(t),
    connection: undefined,
    settings: {},
    jetstream: false,
    timeout,
    log,
    unread: new Unread(log),
    onUp: () => { ups++ },
    onDown: () => undefined
  })
  await link.open()
  t.teardown(() => link.close())
  return { server, ups: () => ups }
}

t.test('a link that breaks while it is opened is tried again at once, not when the time of an attempt is over', async (t) => {
  const { server, ups } = await opened(t, 10_000)
  const began = performance.now()
  server.broken = 3
  server.cut()
  await until('the link is up again', () => ups() === 1, 5_000)
  t.equal(server.accepted, 5)
  const took = performance.now() - began
  t.ok(took < 2_000, `it took ${Math.round(took)} ms`)
})

t.test('a link that is cut again and again is up a quarter of a second after the last time', async (t) => {
  t.intercept(Math, 'random', { value: () => 0.999 })
  const { server, ups } = await opened(t, 1_000)
  for (let blink = 1; blink <= 3; blink++) {
    const began = performance.now()
    server.cut()
    await until('the link is up again', () => ups() === blink, 5_000)
    const took = performance.now() - began
    t.ok(took < 400, `it took ${Math.round(took)} ms`)
  }
})
