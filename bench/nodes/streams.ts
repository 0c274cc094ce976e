import { createAdapter } from '@socket.io/redis-streams-adapter'
import { createClient } from 'redis'
import type { NodePeer } from './peer.js'
import { startSocketIo } from './socketio.js'

/** Events of all rooms by XADD to one stream of 10 000 entries, which every node reads whole. */
export async function start (url: string): Promise<NodePeer> {
  const client = createClient({ url })
  await client.connect()
  // Its own switch for JSON, which is what these events are: it need not look for binary data in each.
  return await startSocketIo(createAdapter(client, { onlyPlaintext: true }), ['@socket.io/redis-streams-adapter'])
}
