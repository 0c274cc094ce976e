import cluster, { type Worker } from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { createPublisher } from 'fastify-realtime'
import { cluster as workersOf, hostCluster } from 'fastify-realtime/cluster'
import type { ServerConfig } from '../shared/messages.js'
import type { PeerServer } from './peer.js'
import { room } from './realtime.js'

interface Answer { readonly port?: number, readonly cpu?: NodeJS.CpuUsage }

/** Waits for what a worker says, among what its adapter says. */
async function said<K extends keyof Answer> (worker: Worker, what: K): Promise<NonNullable<Answer[K]>> {
  return await new Promise((resolve) => {
    const hear = (answer: Answer): void => {
      const found = answer[what]
      if (found === undefined) return
      worker.off('message', hear)
      resolve(found)
    }
    worker.on('message', hear)
  })
}

async function cpuOf (worker: Worker): Promise<NodeJS.CpuUsage> {
  const answer = said(worker, 'cpu')
  worker.send({ isAsking: true })
  return await answer
}

/** As many workers as `BENCH_WORKERS` says, each like the server of one process; the primary publishes the events. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  hostCluster()
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('worker.js', import.meta.url)),
    args: [JSON.stringify(config)]
  })
  const workers = Array.from({ length: Number(process.env.BENCH_WORKERS ?? 1) }, () => cluster.fork())
  const [port] = await Promise.all(workers.map(async (worker) => await said(worker, 'port')))
  const publisher = await createPublisher({ adapter: workersOf(), rooms: [room] })
  return {
    port: port!,
    broadcast (name, data) { void publisher.broadcast(name, 'said', data) },
    async others () {
      const all = await Promise.all(workers.map(cpuOf))
      return {
        user: all.reduce((sum, { user }) => sum + user, 0),
        system: all.reduce((sum, { system }) => sum + system, 0)
      }
    }
  }
}
