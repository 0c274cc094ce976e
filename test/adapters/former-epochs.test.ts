import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { missing, startNats, startRedis, type Server } from '../helpers/servers.js'
import { formerEpochs } from '../../lib/adapters/contract/former-epochs.js'

/** What its server keeps is put aside, put back, or taken away while it is down. */
async function copies (
  server: Server,
  data: string
): Promise<{
  keep: () => Promise<void>
  restart: () => Promise<void>
  putBack: () => Promise<void>
  lose: () => Promise<void>
}> {
  const down = async (step: () => Promise<void>): Promise<void> => {
    await server.kill()
    await step()
    await server.start()
  }
  const remove = async (): Promise<void> => { await rm(data, { recursive: true, force: true }) }
  return {
    keep: async () => { await down(async () => { await cp(data, `${data}-old`, { recursive: true }) }) },
    restart: async () => { await down(async () => {}) },
    putBack: async () => {
      await down(async () => {
        await remove()
        await cp(`${data}-old`, data, { recursive: true })
      })
    },
    lose: async () => { await down(remove) }
  }
}

t.test(
  'redis: a position of a former epoch is honoured when all up to it is there and nothing behind it was lost, by every node',
  { skip: missing('redis-server'), timeout: 60_000 },
  async (t) => {
    const server = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always')
    await formerEpochs(t, {
      make: () => redis({ url: server.url, timeout: 1_000 }),
      ...await copies(server, join(server.directory, 'appendonlydir'))
    })
  }
)

t.test(
  'nats: a position of a former epoch is honoured when all up to it is there and nothing behind it was lost, by every node',
  { skip: missing('nats-server'), timeout: 60_000 },
  async (t) => {
    const server = await startNats(t)
    await formerEpochs(t, {
      make: () => nats({ url: server.url, timeout: 1_000 }),
      ...await copies(server, join(server.directory, 'data'))
    })
  }
)

t.pass('the brokers that are on this machine')
