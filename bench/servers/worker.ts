import { cluster } from 'fastify-realtime/cluster'
import type { ServerConfig } from '../shared/messages.js'
import { serveRealtime } from './realtime.js'

/** One worker of `workers.ts`, `node worker.js <config>`: it says its port, and its CPU time when it is asked. */
const { port } = await serveRealtime(JSON.parse(process.argv[2]!) as ServerConfig, cluster())
process.on('message', ({ isAsking }: { isAsking?: boolean }) => {
  if (isAsking === true) process.send!({ cpu: process.cpuUsage() })
})
process.send!({ port })
