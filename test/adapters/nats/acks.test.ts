import type { JetStreamManager } from '@nats-io/jetstream'
import t from 'tap'
import { isKept } from '../../../lib/adapters/nats/acks.js'

/** What the server that leads the stream says of it. */
function streamsOf (idAt: string | undefined, last: number): JetStreamManager {
  return {
    streams: {
      getMessage: async () => idAt === undefined ? null : { header: { get: () => idAt } },
      info: async () => ({ state: { last_seq: last } })
    }
  } as unknown as JetStreamManager
}

const CASES: ReadonlyArray<readonly [what: string, idAt: string | undefined, last: number, isKept: boolean]> = [
  ['the message stands at its number', 'mine', 7, true],
  ['another message stands at its number', 'other', 9, false],
  ['the stream has not come to its number', undefined, 6, false],
  ['its number was trimmed, or its value replaced', undefined, 12, true]
]

for (const [what, idAt, last, expected] of CASES) {
  t.test(`a message that is called a duplicate was ${expected ? '' : 'not '}accepted where ${what}`, async (t) => {
    t.equal(await isKept(streamsOf(idAt, last), { stream: 's', seq: 7 }, 'mine'), expected)
  })
}
