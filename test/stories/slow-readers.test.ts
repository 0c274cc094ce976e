import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  connect, eventually, start, statsOf, TRANSPORTS, type Running, type StartOptions, type TransportName
} from '../helpers/net.js'

interface Line { readonly level: number, readonly msg: string, readonly [field: string]: unknown }

/** Starts a server with one reader that reads nothing, though less waits for it than its outbox may hold. */
async function stalled (t: Test, transport: TransportName, options: StartOptions): Promise<Running> {
  const server = await start(t, {
    limits: { outbox: 4_000_000, event: 900_000 },
    ...options,
    timeouts: { close: 200, ...options.timeouts }
  })
  const reader = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1'] })
  reader.stall()
  await eventually('what waits', async () => {
    await server.app.rooms.broadcast('chat/1', 'said', { text: 'x'.repeat(800_000), by: 'bob' })
    // A short time may have ended it before anybody looked.
    return server.lines.some((line) => line.includes('"connection closed"')) || (await statsOf(server.app)).outbox.bytes
  }, (waits) => waits === true || waits > 0)
  return server
}

/** The lines of a connection's end, and of what it was that ended it. */
async function toldOf ({ lines }: Running): Promise<{ readonly end: Line, readonly limits: Line[] }> {
  const logged = (): Line[] => lines.map((line) => JSON.parse(line) as Line)
  const [end] = await eventually(
    'the end', () => logged().filter(({ msg }) => msg === 'connection closed'), (ends) => ends.length > 0)
  const limits = logged().filter(({ level, msg }) => level >= 40 && msg.startsWith('all of '))
  return { end: end!, limits }
}

/** Options under which a stalled reader is cut by each of the times, and what is said of it. */
const TIMES: Record<string, { readonly options: StartOptions, readonly value: number }> = {
  'timeouts.write': { options: { timeouts: { write: 300 } }, value: 300 },
  heartbeat: { options: { heartbeat: 200 }, value: 200 }
}

for (const transport of ['websocket', 'sse'] as const) {
  for (const [limit, { options, value }] of Object.entries(TIMES)) {
    t.test(`over ${transport} the end of a reader that takes nothing for too long names ${limit} and no other limit`, async (t) => {
      const { end, limits } = await toldOf(await stalled(t, transport, options))
      t.match(end, { reason: 'slow_consumer', limit, value, lag: Number })
      t.match(limits, [{ limit, value, userId: 'ada', lag: Number, msg: new RegExp(`^all of ${limit} is used: .+`) }])
      t.equal(limits.length, 1, 'its outbox was not full')
    })
  }

  t.test(`over ${transport} the end of a reader that takes nothing until a drain is over names drain.timeout`, async (t) => {
    const server = await stalled(t, transport, { drain: { timeout: 300 } })
    await server.app.close()
    const { end, limits } = await toldOf(server)
    t.match(end, { reason: 'slow_consumer', limit: 'drain.timeout', value: 300 })
    t.same(limits.map(({ limit }) => limit), ['drain.timeout'])
  })
}

for (const transport of TRANSPORTS) {
  t.test(`over ${transport} the end of a reader for whom too much waits names limits.outbox`, async (t) => {
    // Each poll takes one of two events, unless both come while it waits: it may take some of them until then.
    const rate = { messages: 10_000, burst: 10_000 }
    const waits = async (): Promise<void> => {
      await reader.sync().catch(() => undefined)
      await delay(30)
    }
    const server = await start(t, { limits: { outbox: 100_000, event: 90_000, rate }, timeouts: { close: 200 } })
    const reader = await connect(server, { transport, token: server.token('ada'), rooms: ['chat/1'] })
    if (transport !== 'polling') reader.stall()
    await eventually('the cut', async () => {
      if (transport === 'polling') await waits()
      const said = { text: 'x'.repeat(80_000), by: 'bob' }
      void server.app.rooms.broadcast('chat/1', 'said', said)
      await server.app.rooms.broadcast('chat/1', 'said', said)
      return (await statsOf(server.app)).closes
    }, (closes) => closes.slow_consumer === 1)
    const { end, limits } = await toldOf(server)
    t.match(end, { reason: 'slow_consumer', limit: 'limits.outbox', value: 100_000 })
    t.match(limits.at(-1), { limit: 'limits.outbox', value: 100_000, userId: 'ada', lag: Number })
    t.same(new Set(limits.map(({ limit }) => limit)), new Set(['limits.outbox']))
  })
}
