import { createAdapter } from '@socket.io/redis-adapter'
import { createClient } from 'redis'
import type { NodePeer } from './peer.js'
import { startSocketIo } from './socketio.js'

/** Events by PUBLISH: nothing is stored, every node is subscribed to every room. */
export async function start (url: string): Promise<NodePeer> {
  const publisher = createClient({ url })
  const subscriber = publisher.duplicate()
  await Promise.all([publisher.connect(), subscriber.connect()])
  return await startSocketIo(createAdapter(publisher, subscriber), ['@socket.io/redis-adapter'])
}
