import { readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redis } from '../../../lib/adapters/redis/adapter.js'
import { FakeHost, node, reliable, said, type Node } from '../../../lib/adapters/contract/host.js'
import type { Refusal } from '../../../lib/errors/refusal.js'
import { missing, REDIS_USER, startRedis, until, type Server } from '../../helpers/servers.js'
import { admin } from './nodes.js'

/** Rights of the user of the page about Redis. */
const RIGHTS = readFileSync(new URL('../../../example/docs/adapters/realtime.acl', import.meta.url), 'utf8')
  .split('\n').find((line) => line.startsWith('user realtime '))!.split(' ').slice(2)
/** A cluster alone asks for these; the first says who asks. */
const OTHERS = /^\+cluster\|/
const ADAPTER = 'REALTIME_ERR_ADAPTER'

async function user (t: Test): Promise<{ server: Server, client: Redis }> {
  const server = await startRedis(t)
  const client = admin(t, server)
  await client.call('ACL', 'SETUSER', 'realtime', ...RIGHTS)
  return { server, client }
}

const start = async (t: Test, { url }: Server, id = 'a'): Promise<Node> => {
  return await node(t, redis({ url, settings: REDIS_USER }), id)
}

const skip = missing('redis-server')
if (skip !== false) t.plan(0, skip)
else {
  t.test('redis: a start without any one of the rights that the documents name is refused, and is told which one is missing', async (t) => {
    const { server, client } = await user(t)
    const commands = RIGHTS.filter((right) => right.startsWith('+') && !OTHERS.test(right)).map((right) => right.slice(1))
    t.ok(commands.length > 40)
    for (const command of commands) {
      await client.call('ACL', 'SETUSER', 'realtime', `-${command}`)
      await t.rejects(start(t, server), { code: ADAPTER, message: new RegExp(`\\b${command}\\b.* ACL`) }, command)
      await client.call('ACL', 'SETUSER', 'realtime', `+${command}`)
    }
    for (const [taken, named] of [['resetkeys', /keys.* keys \(~\)/], ['resetchannels', /spublish.* channels \(&\)/]] as const) {
      await client.call('ACL', 'SETUSER', 'realtime', taken)
      await t.rejects(start(t, server), { code: ADAPTER, message: named }, taken)
      await client.call('ACL', 'SETUSER', 'realtime', 'resetkeys', 'resetchannels', ...RIGHTS)
    }
    await start(t, server)
  })

  t.test('redis: a start that is refused leaves no connection', async (t) => {
    const { server, client } = await user(t)
    await client.call('ACL', 'SETUSER', 'realtime', '-xadd')
    const adapter = redis({ url: server.url, settings: REDIS_USER })
    await t.rejects(Promise.resolve(adapter.start(new FakeHost('a'))), { code: ADAPTER })
    await until('its connections have gone', async () => !String(await client.call('CLIENT', 'LIST')).includes('user=realtime'))
  })

  t.test('redis: where a right is taken away later, nothing is told as refused that was done, and an event under a key is there once at most', async (t) => {
    const { server, client } = await user(t)
    const { adapter } = await start(t, server)
    const told = async (asked: unknown): Promise<string> => await Promise.resolve(asked).then(
      () => 'done',
      (error: Refusal) => error.outcome ?? 'refused'
    )
    for (const right of ['spublish', 'pexpire', 'xadd', 'hset', 'get']) {
      const room = `chat/${right}`
      await adapter.publish(room, said('0'), reliable)
      await client.call('ACL', 'SETUSER', 'realtime', `-${right}`)
      const answers: string[] = []
      for (let asked = 0; asked < 3; asked++) {
        answers.push(await told(adapter.publish(room, said('1', { idempotencyKey: 'k' }), reliable)))
      }
      const count = await client.xlen(`realtime:{${room}}:stream`) - 1
      t.ok(count <= 1, `${right}: ${count} copies`)
      if (count === 1) t.notOk(answers.includes('refused'), right)
      if (count === 0) t.notOk(answers.includes('done'), right)
      if (right === 'spublish') {
        t.same(answers, ['done', 'done', 'done'], 'it is kept, and members read it')
        t.equal(await told(adapter.clear!(room, reliable)), 'unknown', 'a clear that nobody was told of')
      }
      await client.call('ACL', 'SETUSER', 'realtime', `+${right}`)
      await adapter.publish(room, said('1', { idempotencyKey: 'k' }), reliable)
      if (right !== 'spublish') t.equal(await client.xlen(`realtime:{${room}}:stream`), 2, `${right}: asked again it is there`)
    }
  })
}
