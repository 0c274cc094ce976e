import { descriptorLimit } from './machine.js'
import type { Options } from './options.js'
import { ALL, FORMS, OTHERS, OURS, PEERS, type Peer } from './peers.js'
import { workloads } from './workloads/list.js'
import type { Drive, Workload } from './workloads/types.js'

/** Descriptors that a process needs besides its connections. */
const SPARE = 100

/** What ours in other forms is measured by. */
const FORMED: ReadonlyArray<Drive['kind']> = ['rounds', 'speak', 'rate', 'upgrades', 'idle']

/** Whether a peer is measured by a workload. */
export function takesPart ({ peers, transport, isSecure, drive }: Workload, { id }: Peer): boolean {
  if (peers.includes(id)) return true
  return FORMS.some((form) => form.id === id) && peers.includes(OURS) && transport === 'websocket' && !isSecure &&
    FORMED.includes(drive.kind)
}

/** Connections at the same time. */
function connectionsOf ({ clients, drive }: Workload): number {
  if (drive.kind === 'idle' || drive.kind === 'upgrades') return drive.before + clients
  return drive.kind === 'rooms' ? 3 * clients : clients
}

/** @param leaveOut is told of what this machine cannot do */
export function selectedWorkloads ({ mode, only }: Options, leaveOut: (note: string) => void): Workload[] {
  const all = workloads(mode)
  const unknown = only.filter((name) => !all.some(({ id, group }) => id === name || group === name))
  if (unknown.length > 0) throw new Error(`--only: no workload ${unknown.join(', ')}`)
  const known = only.length === 0 ? all : all.filter(({ id, group }) => only.includes(id) || only.includes(group))
  const limit = descriptorLimit()
  return known.filter((workload) => {
    const needed = connectionsOf(workload) + SPARE
    if (needed <= limit) return true
    leaveOut(`${workload.id} left out: it needs ${needed} open files, the limit is ${limit}; raise it with ulimit -n`)
    return false
  })
}

/** The peers that are named, or else all but for ours in other forms, as far as the workloads have work for them. */
export function selectedPeers ({ peers }: Options, chosen: readonly Workload[]): Peer[] {
  const unknown = peers.filter((name) => !ALL.some(({ id }) => id === name))
  if (unknown.length > 0) throw new Error(`--peers: no peer ${unknown.join(', ')}`)
  const named = peers.length === 0 ? [...PEERS, ...OTHERS] : ALL.filter(({ id }) => peers.includes(id))
  return named.filter((peer) => chosen.some((workload) => takesPart(workload, peer)))
}
