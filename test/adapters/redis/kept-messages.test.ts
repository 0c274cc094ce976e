import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { ControlMessage } from '../../../lib/adapters/adapter.js'
import { missing, startRedis, until } from '../../helpers/servers.js'
import { admin, isUp, join, proxied } from './nodes.js'

const skip = missing('redis-server')
const MINUTE = 60_000
const TOLD = 'realtime:{control}:told'

if (skip !== false) t.plan(0, skip)
else {
  t.test('redis: a server that restarts with its data has no node do again what it was told long ago, or before it came', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const now = Date.now()
    let number = 0
    const keep = async (user: string, at: number): Promise<void> => {
      const message = `other-${++number} c\n${JSON.stringify({ type: 'leave', user, room: 'chat/1' })}`
      await client.xadd(TOLD, `${at}-0`, 'm', message)
    }
    await keep('ada', now - 20 * MINUTE)
    await keep('bob', now - 5 * MINUTE)
    const a = await join(t, server.url, 'a')
    await client.save()
    await server.kill()
    await server.start()
    // As where only that server had it.
    await client.del(TOLD)
    await keep('ada', now - 20 * MINUTE)
    await keep('bob', now - 5 * MINUTE)
    await keep('cat', now - 3 * MINUTE)
    await isUp(a)
    const b = await join(t, server.url, 'b')
    await until('it is accepted', async () => {
      await b.adapter.control!.send({ type: 'leave', user: 'eve', room: 'chat/1' })
      return true
    })
    await until('the new one is heard', () => a.host.controls.some(({ message }) => 'user' in message && message.user === 'eve'))
    t.same(a.host.controls.map(({ message }) => 'user' in message && message.user), ['eve'])
  })

  for (const [what, message] of [
    ['polls that have moved', { type: 'moved', user: 'bob', connection: 'c' }],
    ['members who were taken out', { type: 'leave', user: 'bob', room: 'chat/1' }]
  ] as ReadonlyArray<readonly [string, ControlMessage]>) {
    t.test(`redis: a revocation reaches a node that is away for a moment behind any number of ${what}`, async (t) => {
      const server = await startRedis(t)
      const { proxy, url } = await proxied(t, server)
      const [a, b] = [await join(t, url, 'a'), await join(t, server.url, 'b')]
      proxy.isDown = true
      proxy.cut()
      await b.adapter.control!.send({ type: 'revoke', user: 'ann', until: 1 })
      for (let sent = 0; sent < 10_500; sent += 500) {
        await Promise.all(Array.from({ length: 500 }, () => b.adapter.control!.send(message)))
      }
      proxy.isDown = false
      await until('it is heard', () => a.host.controls.length > 10_500)
      t.equal(a.host.controls.filter(({ message }) => message.type === 'revoke').length, 1)
      t.equal(a.host.controls.length, 10_501, 'each once')
      t.equal(a.host.missing, 0)
    })
  }

  t.test('redis: more messages than are kept of one minute are refused, and none of before is dropped', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const b = await join(t, server.url, 'b')
    await client.eval(
      "for i = 1, 100000 do redis.call('XADD', KEYS[1], '*', 'm', 'x') end",
      1,
      TOLD
    )
    await t.rejects(b.adapter.control!.send({ type: 'revoke', user: 'ann', until: 1 }), { code: 'unavailable' })
    t.equal(await client.xlen(TOLD), 100_000)
    await b.adapter.control!.send({ type: 'moved', user: 'bob', connection: 'c' })
  })

  t.test('redis: a server whose clock is behind that of the one before takes messages, and drops those that are a minute old', async (t) => {
    const server = await startRedis(t)
    const client = admin(t, server)
    const b = await join(t, server.url, 'b')
    const send = async (user: string): Promise<void> => {
      await b.adapter.control!.send({ type: 'revoke', user, until: 1 })
    }
    /** The server time of the newest message, and how many there are. */
    const tape = async (): Promise<{ time: number, length: number }> => {
      const [[id]] = await client.xrevrange(TOLD, '+', '-', 'COUNT', 1) as [[string, string[]]]
      return { time: Number.parseInt(id, 10), length: await client.xlen(TOLD) }
    }
    const ahead = 20 * MINUTE
    // As many as are kept of a minute, of which all but one are older by now.
    await client.eval(
      "for i = 1, 99999 do redis.call('XADD', KEYS[1], ARGV[1] .. '-' .. i, 'm', 'x') end",
      1,
      TOLD,
      Date.now() + ahead - MINUTE - 1
    )
    await client.xadd(TOLD, `${Date.now() + ahead}-1`, 'm', 'x')
    await send('ann')
    const first = await tape()
    t.equal(first.length, 2, 'the newer one is kept')
    await sleep(50)
    await send('bob')
    const second = await tape()
    t.ok(second.time - first.time >= 50, `the time of messages goes on: ${second.time - first.time} ms`)
    t.ok(second.time - first.time < 5_000, 'as fast as the clock')
    t.equal(second.length, 3)
  })
}
