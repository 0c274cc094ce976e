import t from 'tap'
import type { User } from '../../lib/index.js'
import { declareChat, poll, type Running } from '../helpers/net.js'
import { PAIRS } from '../helpers/node-pairs.js'

const seconds = (): number => Math.floor(Date.now() / 1_000)

for (const { name, skip, nodes } of PAIRS) {
  t.test(`${name}: polls and POSTs of a session that is over have token_expired, and at another node only while authenticate knows it`, {
    skip
  }, async (t) => {
    let known: { sub: string, exp: number } | null = { sub: 'ada', exp: seconds() - 1 }
    const [here, there] = await nodes(t, { declare: declareChat, authenticate: () => known as User | null })
    const { cursor, connectionId } = await poll(here, { rooms: ['chat/1'], token: 'session' })
    const codes = async (server: Running): Promise<unknown[]> => {
      const polled = await poll(server, { rooms: ['chat/1'], token: 'session', query: { since: cursor, wait: '0' } })
        .then(() => 'answered', (error: { body: { code: string } }) => error.body.code)
      const posted = await fetch(`${server.url}/ws/chat/1`, {
        method: 'POST',
        headers: {
          authorization: 'Bearer session',
          'content-type': 'application/json',
          'x-connection-id': connectionId,
          connection: 'close'
        },
        body: JSON.stringify({ type: 'say', id: 'x', data: { text: 'x' } })
      })
      return [polled, (await posted.json() as { code: string }).code]
    }
    const over = ['token_expired', 'token_expired']
    // It ended a second ago, so the connection lives for four more.
    known = null
    t.same(await codes(there), here === there ? over : ['unauthorized', 'unauthorized'], 'it is forgotten')
    t.same(await codes(here), over)
    known = { sub: 'ada', exp: seconds() - 10 }
    t.same(await codes(there), over, 'it is still known')
    t.same(await codes(here), over)
  })
}
