import { OURS } from '../peers.js'
import { singles } from './delivery.js'
import { one, workload, type Pick, type Workload } from './types.js'

/** Events per second to each client that polls: so few that each of them needs a poll of its own. */
const POLLED = 4
const FASTEST = 50

const STREAMS = { transport: 'sse', peers: [OURS, 'fastify-sse', 'sse-loop'], loop: 'sse-loop' } as const
const POLLS = { transport: 'polling', peers: [OURS, 'socketio', 'poll-loop'], loop: 'poll-loop' } as const

/** What an event costs where a WebSocket cannot be had. */
export function fallbacks (pick: Pick): Workload[] {
  const streams = one(pick(1_000, 1_000, 10))
  const polls = one(pick(500, 500, 10))
  const perSecond = pick(POLLED, POLLED, FASTEST)
  return [
    workload('SSE', `single events to ${streams.clients} streams`, streams, singles(streams), {
      ...STREAMS,
      goal: { loop: 0.95 }
    }),
    workload('POLL', `${perSecond} events/s to each of ${polls.clients} long polls`, polls, { kind: 'rate', perSecond }, {
      ...POLLS,
      goal: { loop: 1.07 }
    })
  ]
}

/** Milliseconds between two heartbeats of a connection, and of a poll's wait; uWebSockets.js counts in steps of 4 s. */
const HEARTBEAT = 8_000

/** What connections cost that do nothing, but for their heartbeats. */
export function quiet (pick: Pick): Workload[] {
  const clients = pick(10_000, 4_000, 10)
  // Whole rounds of heartbeats, so that each connection has the same number of them.
  const measure = pick(HEARTBEAT, HEARTBEAT, 100)
  const drive = { kind: 'beats', heartbeat: HEARTBEAT } as const
  return [
    workload('IDLE', `${clients} idle connections, a heartbeat every ${HEARTBEAT / 1_000} s`, one(clients), drive, {
      measure,
      peers: [OURS, 'socketio', 'socketio-uws', 'ws-bare', 'uws'],
      goal: { loop: 1.6 }
    }),
    workload('IDLE-poll', `${clients} long polls without news, each for ${HEARTBEAT / 1_000} s`, one(clients), drive, {
      ...POLLS,
      group: 'IDLE',
      measure
    })
  ]
}
