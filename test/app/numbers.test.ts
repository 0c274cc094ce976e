import t, { type Test } from 'tap'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { memory } from '../../lib/adapters/memory/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { declareChat, start, type Running } from '../helpers/net.js'
import { missing, startRedis } from '../helpers/servers.js'

const VALUES: readonly unknown[] = [0, -1, NaN, Infinity, -Infinity, 1e300, 1.5, -0.5, 2 ** 53, '5', null, {}, [], true]

type Ask = (rooms: Running['app']['rooms'], value: never, user: string) => Promise<unknown>

/**
 * Every member of the server's API that takes a time or a number, with what it answers that does not depend on the
 * moment.
 */
const MEMBERS: Readonly<Record<string, Ask>> = {
  'history limit': async (rooms, limit) => (await rooms.history('chat/1', { limit })).events.length,
  'history since': async (rooms, offset) => (await rooms.history('chat/1', {
    since: { epoch: 'AAAAAAAA', offset }
  })).resumed,
  'revoke until': async (rooms, until, user) => await rooms.revoke({ user }, { until }),
  'ping timeout': async (rooms, timeout) => (await rooms.ping({ connection: 'nobody' }, { timeout })).alive,
  'broadcastWithAck timeout': async (rooms, timeout) => (await rooms.broadcastWithAck(
    'chat/empty',
    'said',
    { text: 'x', by: 'x' },
    { timeout }
  )).acked
}

async function answers (t: Test, adapter: Adapter): Promise<Record<string, unknown>> {
  const { app } = await start(t, { adapter, declare: (app) => { declareChat(app, { history: { size: 5 } }) } })
  for (let n = 0; n < 3; n++) await app.rooms.broadcast('chat/1', 'said', { text: String(n), by: 'x' })
  const found: Record<string, unknown> = {}
  for (const [name, ask] of Object.entries(MEMBERS)) {
    for (const [index, value] of VALUES.entries()) {
      const shown = `${name}: ${typeof value === 'number' ? value : JSON.stringify(value)}`
      found[shown] = await ask(
        app.rooms,
        value as never,
        `user ${index}`
      ).catch(({ code }: { code?: string }) => code ?? 'no code')
    }
  }
  const { position, events } = await app.rooms.history('chat/1', { limit: 0 })
  found['history of none'] = [events, position.offset]
  return found
}

const expected: Record<string, unknown> = {}
for (const value of VALUES) {
  const shown = typeof value === 'number' ? value : JSON.stringify(value)
  const isTime = typeof value === 'number' && value >= 0
  expected[`history limit: ${shown}`] = isTime && (Number.isInteger(value) || value === Infinity)
    ? Math.min(value, 3)
    : 'REALTIME_ERR_OPTIONS'
  expected[`history since: ${shown}`] = Number.isSafeInteger(value) && isTime ? false : 'REALTIME_ERR_OPTIONS'
  expected[`revoke until: ${shown}`] = typeof value === 'number' && !Number.isNaN(value) ? 0 : 'REALTIME_ERR_OPTIONS'
  expected[`ping timeout: ${shown}`] = isTime ? false : 'REALTIME_ERR_OPTIONS'
  expected[`broadcastWithAck timeout: ${shown}`] = isTime ? [] : 'REALTIME_ERR_OPTIONS'
}
expected['history of none'] = [[], 3]

t.test('every time and number of app.rooms is checked before the adapter: in memory', async (t) => {
  t.same(await answers(t, memory()), expected)
})

t.test('every time and number of app.rooms is checked before the adapter: with Redis', {
  skip: missing('redis-server')
}, async (t) => {
  t.same(await answers(t, redis({ url: (await startRedis(t)).url })), expected)
})
