import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { defineRoom } from '../../lib/index.js'
import { dial, rejection, until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { start, TRANSPORTS } from '../helpers/net.js'

/** Milliseconds for which an answer is held back. */
const LATE = 300
const door = defineRoom('door', { messages: { knock: Type.Object({}) } })

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} a client whose connection its own message revokes hears so, and stays away`, async (t) => {
    const server = await start(t, {
      declare (app) {
        app.room(door, { on: { async knock ({ sender }) { await app.rooms.revoke({ connection: sender! }) } } })
      }
    })
    // The answer to its POST comes behind the end of its stream.
    const late: typeof fetch = async (url, init) => {
      const answer = await fetch(url, init)
      if (init?.method === 'POST') await sleep(LATE)
      return answer
    }
    for (const ask of [fetch, late]) {
      const { client, errors, states } = dial(t, server, 'ada', { transports: [transport], fetch: ask })
      const room = client.join(door)
      await room.joined
      t.match(await rejection(room.send('knock', {})), { code: /^(revoked|closed)$/ })
      await until(`it is closed: ${states.join()}`, () => client.state === 'closed')
      matchList(t, errors, [{ code: 'revoked' }])
    }
  })
}
