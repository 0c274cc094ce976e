import { OURS } from '../peers.js'
import { singles } from './delivery.js'
import { one, workload, type Pick, type Workload } from './types.js'

/** Upgrades before the measured ones of a server that is warm, over those that are measured. */
const WARM = 0.5

/** What it costs that connections come, come back, move and are there. */
export function connections (pick: Pick): Workload[] {
  const idle = one(pick(10_000, 4_000, 20))
  // So many that each server's full collections, which come every few thousand connections and cost as much as
  // hundreds, are in with their share.
  const upgrades = one(pick(10_000, 4_000, 20))
  const cold = one(pick(5_000, 2_000, 20))
  const back = { clients: pick(5_000, 2_000, 20), rooms: pick(100, 40, 2), roomsPerClient: 1 }
  const moving = { clients: 1_000, rooms: 20, roomsPerClient: 1 }
  const churning = pick(moving, moving, { clients: 20, rooms: 2, roomsPerClient: 1 })
  const owners = one(pick(500, 500, 5))
  const holders = { clients: 0, rooms: pick(1_000, 1_000, 20), roomsPerClient: 1 }
  return [
    workload('S', `${upgrades.clients} upgrades of a server that is warm, each with its own JWT`, upgrades, {
      kind: 'upgrades',
      before: Math.ceil(upgrades.clients * WARM)
    }, { goal: { socketio: 1.7 } }),
    workload('S-cold', `the first ${cold.clients} upgrades of a process`, cold, { kind: 'upgrades', before: 0 }, {
      group: 'S',
      goal: { loop: 1 }
    }),
    workload('RESUME', `${back.clients} clients come back, each has missed 10 events`, back, {
      kind: 'resume',
      missed: 10
    }, { recovery: true, peers: [OURS, 'socketio', 'socketio-uws'], goal: { socketio: 3 } }),
    workload(
      'CHURN',
      `${pick(200, 200, 4)} members join another room of ${churning.clients / churning.rooms} with presence and leave it, again and again`,
      churning,
      { kind: 'churn', movers: pick(200, 200, 4) },
      { presence: true }
    ),
    workload('START', 'from the start of the process to its first connection', one(1), { kind: 'start' }, {
      peers: [OURS, 'socketio', 'ws-bare', 'naive'],
      loop: 'naive',
      goal: { loop: 1.07 }
    }),
    workload('M', `memory of ${idle.clients} idle connections`, idle, { kind: 'idle', before: pick(1_000, 500, 10) }, {
      goal: { socketio: 2.5 }
    }),
    workload('M-room', 'memory of a room with one member', owners, { kind: 'rooms', own: pick(40, 40, 3) }, {
      group: 'M'
    }),
    workload('M-event', 'memory of an event that is kept for who comes back', holders, {
      kind: 'retained',
      events: pick(50, 50, 5)
    }, { group: 'M', recovery: true, peers: [OURS, 'socketio'] })
  ]
}

/** What an event costs a client that uses the peer's library. */
export function clients (pick: Pick): Workload[] {
  const population = one(pick(100, 100, 5))
  const { turns } = singles(population) as { turns: number }
  return [
    workload('CLIENT', `CPU of ${population.clients} clients in Node, by the library of the peer`, population, {
      kind: 'library',
      turns
    }, { peers: [OURS, 'socketio', 'ws-bare'] })
  ]
}
