import cluster from 'node:cluster'
import { availableParallelism } from 'node:os'
import { hostCluster } from 'fastify-realtime/cluster'

if (cluster.isPrimary) {
  // Before the first worker: it keeps what all of them share.
  hostCluster()
  const workers = Number(process.env.WORKERS ?? availableParallelism())
  for (let count = 0; count < workers; count++) cluster.fork()

  let isStopping = false
  let running = workers
  cluster.on('exit', ({ process: { pid } }, code, signal) => {
    if (isStopping) {
      // What else this process has open, a loader of modules for example, must not keep it.
      if (--running === 0) process.exit()
      return
    }
    console.log(`worker ${pid} ended by ${signal ?? code}; another one takes its place`)
    cluster.fork()
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      isStopping = true
      // Each of them drains; this process ends with the last one.
      for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
    })
  }
} else {
  await import('./app.js')
}
