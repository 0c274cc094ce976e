export interface Peer {
  readonly id: string
  readonly title: string
  readonly dialect: 'realtime' | 'socketio' | 'plain'
}

export const OURS = 'realtime'

export const PEERS: readonly Peer[] = [
  { id: OURS, title: 'fastify-realtime', dialect: 'realtime' },
  { id: 'socketio', title: 'socket.io', dialect: 'socketio' },
  { id: 'ws-bare', title: 'ws, bare', dialect: 'plain' },
  { id: 'naive', title: '@fastify/websocket loop', dialect: 'plain' },
  { id: 'uws', title: 'uWebSockets.js', dialect: 'plain' }
]

/** Ours in other forms, which are measured where they are named. */
export const FORMS: readonly Peer[] = [
  { id: 'gateway', title: 'fastify-realtime, gateway', dialect: 'realtime' },
  { id: 'gateway-hooks', title: 'fastify-realtime, gateway with hooks', dialect: 'realtime' }
]

export const ALL: readonly Peer[] = [...PEERS, ...FORMS]
