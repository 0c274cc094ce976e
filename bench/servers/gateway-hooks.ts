import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ServerConfig } from '../shared/messages.js'
import { startGateway } from './gateway-app.js'
import { KEY } from './gateway-backend.js'
import type { PeerServer } from './peer.js'

const RATE = { messages: 1_000_000, burst: 1_000_000 }

/** The gateway with a backend in a process of its own, which is asked each message and publishes its event. */
export async function start (config: ServerConfig): Promise<PeerServer> {
  const backend = fork(fileURLToPath(new URL('gateway-backend.js', import.meta.url)))
  process.once('exit', () => { backend.kill() })
  const [port] = await once(backend, 'message') as [number]
  const hooks = {
    url: `http://127.0.0.1:${port}`,
    secret: `whsec_${Buffer.alloc(32, 'benchmark').toString('base64')}`,
    on: ['message' as const]
  }
  const keys = [{ key: KEY, name: 'backend', rooms: ['*'], may: ['publish' as const] }]
  const server = await startGateway(config, {}, { room: { hooks }, config: { api: { keys, rate: RATE } } })
  backend.send(server.port)
  return server
}
