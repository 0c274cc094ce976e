import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { nats } from '../../lib/adapters/nats/adapter.js'
import { redis } from '../../lib/adapters/redis/adapter.js'
import { missing, startNats, startRedis, type Server, type Teardown } from '../helpers/servers.js'
import { formerEpochs } from './contract.js'

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

formerEpochs({
  name: 'redis',
  skip: missing('redis-server'),
  open: async (t: Teardown) => {
    const server = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always')
    return {
      make: () => redis({ url: server.url, timeout: 1_000 }),
      ...await copies(server, join(server.directory, 'appendonlydir'))
    }
  }
})

formerEpochs({
  name: 'nats',
  skip: missing('nats-server'),
  open: async (t: Teardown) => {
    const server = await startNats(t)
    return {
      make: () => nats({ url: server.url, timeout: 1_000 }),
      ...await copies(server, join(server.directory, 'data'))
    }
  }
})

t.pass('the brokers that are on this machine')
