export interface Peer {
  readonly id: string
  readonly title: string
  readonly dialect: 'realtime' | 'socketio' | 'plain'
  /** what runs its server, where that is not Node */
  readonly runtime?: 'bun'
}

export const OURS = 'realtime'

/** Those that serve WebSockets: measured wherever a workload names no others. */
export const PEERS: readonly Peer[] = [
  { id: OURS, title: 'fastify-realtime', dialect: 'realtime' },
  { id: 'socketio', title: 'socket.io, default engine', dialect: 'socketio' },
  { id: 'socketio-uws', title: 'socket.io on uWebSockets.js', dialect: 'socketio' },
  { id: 'ws-bare', title: 'ws, bare', dialect: 'plain' },
  { id: 'naive', title: '@fastify/websocket loop', dialect: 'plain' },
  { id: 'uws', title: 'uWebSockets.js', dialect: 'plain' },
  { id: 'bun', title: 'Bun', dialect: 'plain', runtime: 'bun' }
]

/** Those that serve something else than WebSockets, for the workloads that name them. */
export const OTHERS: readonly Peer[] = [
  { id: 'sse-loop', title: 'a loop over streams on node:http', dialect: 'plain' },
  { id: 'fastify-sse', title: '@fastify/sse', dialect: 'plain' },
  { id: 'poll-loop', title: 'long polls on Fastify by hand', dialect: 'plain' }
]

/** Ours in other forms, which are measured where they are named. */
export const FORMS: readonly Peer[] = [
  { id: 'gateway', title: 'fastify-realtime, gateway', dialect: 'realtime' },
  { id: 'gateway-hooks', title: 'fastify-realtime, gateway with hooks', dialect: 'realtime' }
]

export const ALL: readonly Peer[] = [...PEERS, ...OTHERS, ...FORMS]
