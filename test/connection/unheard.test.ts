import t from 'tap'
import { Connection, type ConnectionHost } from '../../lib/connection/connection.js'
import { Flusher } from '../../lib/connection/flusher.js'
import type { Named } from '../../lib/connection/named-set.js'
import { PollLink } from '../../lib/transports/polling.js'
import { newCounters } from './fakes.js'

const MOST = 256

const host = {
  flusher: new Flusher(),
  counters: newCounters(),
  outboxLimit: 1_000_000,
  rate: { messages: 10, burst: 10 },
  onReplayed: () => undefined
} as unknown as ConnectionHost<Named>

/** Rooms that a poll which begins now is told of. */
function told (connection: Connection<Named>): string[] {
  connection.attach(new PollLink({ wait: 10_000, answer: () => undefined }))
  const rooms = connection.take().map(({ payload }) => (JSON.parse(payload.toString()) as { room: string }).room)
  connection.detach()
  return rooms
}

void t.test('a poll is told again of the last rooms that its peer is out of, however many there were', (t) => {
  const connection = new Connection<Named>(host, { id: 'c', address: '', identity: { userId: 'u', user: {} } as never })
  const names = Array.from({ length: MOST + 10 }, (_, index) => `chat/${index}`)
  for (const room of names) connection.sendSurely({ type: 'left', room } as never)
  const last = names.slice(-MOST)
  t.same(told(connection), last)
  t.same(told(connection), last, 'nobody has heard it')
  connection.heard()
  t.same(told(connection), [])
  t.end()
})
