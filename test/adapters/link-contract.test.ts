import t from 'tap'
import { BROKERS } from '../helpers/brokers.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { missing } from '../helpers/servers.js'
import { blinks } from '../../lib/adapters/contract/blinks.js'

for (const { name, program, start, make } of BROKERS) {
  t.test(`${name}: a link that was away for a moment loses nothing unsaid`, { skip: missing(program), timeout: 60_000 }, async (t) => {
    const { port } = await start(t)
    const proxy = new FaultProxy(port)
    const near = await proxy.listen()
    t.teardown(() => proxy.close())
    await blinks(t, {
      make: () => make(near, { timeout: 1_000 }),
      makeOther: () => make(port, { timeout: 1_000 }),
      cut: async () => {
        proxy.isDown = true
        proxy.cut()
      },
      mend: async () => { proxy.isDown = false }
    })
  })
}

t.pass('the brokers that are on this machine')
