import { rm } from 'node:fs/promises'
import { join as path } from 'node:path'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import { defineRoom } from '../../lib/index.js'
import type { Adapter } from '../../lib/adapters/adapter.js'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { dial } from '../helpers/client.js'
import { start, type Running } from '../helpers/net.js'
import { missing, startNats, startRedis, until, type Teardown } from '../helpers/servers.js'

const team = defineRoom('team/:id', {
  messages: { wave: Type.Object({}) },
  member: Type.Object({ mood: Type.String() })
})

function declare (app: FastifyInstance): void {
  app.room(team, { presence: { data: () => ({ mood: 'new' }), update: true }, on: { wave () {} } })
}

interface Broker { readonly make: () => Adapter, readonly lose: () => Promise<void> }

async function redisBroker (t: Teardown): Promise<Broker> {
  const server = await startRedis(t)
  const admin = new Redis(server.url)
  t.teardown(() => { admin.disconnect() })
  return { make: () => redis({ url: server.url, timeout: 1_000 }), lose: async () => { await admin.flushall() } }
}

async function natsBroker (t: Teardown): Promise<Broker> {
  const server = await startNats(t)
  return {
    make: () => nats({ url: server.url, timeout: 1_000 }),
    lose: async () => {
      await server.kill()
      await rm(path(server.directory, 'data'), { recursive: true, force: true })
      await server.start()
    }
  }
}

for (const [name, program, make] of [['redis', 'redis-server', redisBroker], ['nats', 'nats-server', natsBroker]] as const) {
  t.test(`${name}: what a user changed in one tab is shown after the broker has lost its data, though another tab came later and only that is left`, {
    skip: missing(program),
    timeout: 60_000
  }, async (t) => {
    const broker = await make(t)
    const join = async (): Promise<Running> => {
      return await start(t, { adapter: broker.make(), presence: { grace: 50 }, declare })
    }
    const [a, b, c] = [await join(), await join(), await join()]
    await dial(t, c, 'bob').client.join(team.at({ id: '1' })).joined
    const moodOf = async (): Promise<string | undefined> => {
      const list = await c.app.rooms.members(team.at({ id: '1' }))
      return list.find(({ userId }) => userId === 'ann')?.data.mood
    }
    const first = dial(t, a, 'ann')
    const room = first.client.join(team.at({ id: '1' }))
    await room.joined
    await room.presence({ mood: 'away' })
    await until('it is shown', async () => await moodOf() === 'away')
    await dial(t, b, 'ann').client.join(team.at({ id: '1' })).joined
    await broker.lose()
    await until('it is shown again', async () => await moodOf() === 'away', 20_000)
    first.client.close()
    await broker.lose()
    await until('both are there', async () => await moodOf() !== undefined, 20_000)
    t.equal(await until('it is shown by the other tab', moodOf, 20_000), 'away')
  })
}

t.pass('the brokers that are on this machine')
