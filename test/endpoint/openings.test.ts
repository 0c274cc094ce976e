import t from 'tap'
import type { FastifyRequest } from 'fastify'
import { Slots } from '../../lib/admission/slots.js'
import { Openings, type OpeningsOptions } from '../../lib/endpoint/opening.js'
import { connect, start } from '../helpers/net.js'
import { letGo } from '../helpers/garbage.js'

t.test('a poll that is over late leaves the slots alone of the next one that comes by the same id', async (t) => {
  const over: Array<() => void> = []
  const slots = new Slots(
    { capacity: 1, user: 1, address: undefined, whenUnavailable: 'admit' },
    undefined,
    () => {},
    () => {}
  )
  const openings = new Openings({
    slots,
    settings: { limits: { rate: {} } },
    connections: { get: () => undefined },
    exchanges: { whenOver: (_request: unknown, callback: () => void) => { over.push(callback) } }
  } as unknown as OpeningsOptions)
  const admit = (): void => {
    slots.reserve('poll', 'ann', '', [])
    openings.watch({ raw: {} } as FastifyRequest, 'poll')
  }
  admit()
  // Its connection has ended while the answer was still being read.
  slots.release('poll')
  admit()
  over.shift()!()
  t.equal(slots.taken, 1)
  t.ok(openings.isUnderWay('poll'))
  over.shift()!()
  t.equal(slots.taken, 0)
  t.notOk(openings.isUnderWay('poll'))
})

for (const when of ['at once', 'later']) {
  t.test(`an open WebSocket keeps nothing of its request where a preHandler lets it in ${when}`, async (t) => {
    const requests: Array<WeakRef<FastifyRequest>> = []
    const server = await start(t, {
      route: {
        preHandler: (request, _reply, done) => {
          requests.push(new WeakRef(request))
          if (when === 'later') setImmediate(done)
          else done()
        }
      }
    })
    const peer = await connect(server, { token: server.token('ada'), rooms: ['chat/1'] })
    t.equal(requests.length, 1)
    await letGo(requests)
    await peer.sync()
  })
}
