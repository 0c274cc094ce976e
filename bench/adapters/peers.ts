export interface AdapterPeer {
  /** its file in bench/nodes */
  readonly id: string
  readonly title: string
  readonly dialect: 'realtime' | 'socketio'
}

export const ADAPTER_PEERS: readonly AdapterPeer[] = [
  { id: 'realtime', title: 'fastify-realtime, redis()', dialect: 'realtime' },
  { id: 'pubsub', title: 'socket.io, redis-adapter', dialect: 'socketio' },
  { id: 'streams', title: 'socket.io, redis-streams-adapter', dialect: 'socketio' }
]
