import type { Mode } from '../options.js'
import { OURS } from '../peers.js'
import { clients, connections } from './connections.js'
import { curve, deliveries } from './delivery.js'
import { fallbacks, quiet } from './fallbacks.js'
import type { Pick, Workload } from './types.js'

/**
 * With a handful of clients it is enough to see that each peer runs: with ingest, compressed, with TLS, with rooms that
 * are joined and left, and with heartbeats. The rest is tried on ours, and where it has peers of its own, on these.
 */
const SMOKE: readonly string[] = ['W3', 'Z', 'TLS', 'CHURN', 'IDLE']

function all (mode: Mode): Workload[] {
  const pick: Pick = (full, quick, smoke) => mode === 'full' ? full : mode === 'quick' ? quick : smoke
  return [
    ...deliveries(pick),
    ...fallbacks(pick),
    ...connections(pick),
    ...quiet(pick),
    ...clients(pick),
    ...curve(pick)
  ]
}

export function workloads (mode: Mode): Workload[] {
  if (mode !== 'smoke') return all(mode)
  const isWhole = ({ id, peers }: Workload): boolean => SMOKE.includes(id) || peers.length < MANY
  return all(mode).map((each) => isWhole(each) ? each : { ...each, peers: [OURS] })
}

/** So many peers are those of all workloads. */
const MANY = 5
