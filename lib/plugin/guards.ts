import cluster from 'node:cluster'
import type { Declaration } from '../rooms/declaration.js'
import type { Foundation } from './foundation.js'

/** Bytes of an event, as a guess of what rooms keep: all that is certain is that none is above limits.event. */
const TYPICAL = 1_024

/** What is looked at beside the options. */
export interface Around {
  /** Whether this process is a worker of `cluster`, which share their ports. */
  readonly isWorker: boolean
  /** Which of several processes of an app this one is, as PM2 numbers them from 0 in `NODE_APP_INSTANCE`. */
  readonly instance: string | undefined
}

const APART = 'so that members of one room do not hear each other: give options.adapter'

/**
 * Finds what starts well and goes wrong later.
 *
 * @returns what is wrong, and what helps, for one warning each
 */
export function findRisks (
  { options, settings, adapter }: Pick<Foundation, 'options' | 'settings' | 'adapter'>,
  declarations: Iterable<Pick<Declaration, 'pattern' | 'settings'>>,
  { isWorker, instance }: Around = { isWorker: cluster.isWorker, instance: process.env.NODE_APP_INSTANCE }
): string[] {
  const risks: string[] = []
  if (adapter.name === 'memory' && isWorker) {
    risks.push(`each worker of the cluster has rooms of its own, ${APART}, cluster() of fastify-realtime/cluster with hostCluster() in the primary, or redis() or nats()`)
  } else if (adapter.name === 'memory' && isFurther(instance)) {
    risks.push(`NODE_APP_INSTANCE (${instance}) says that this is one of several processes, and each has rooms of its own, ${APART}, redis() or nats()`)
  }
  if (settings.auth.carriers.includes('cookie') && typeof settings.origins === 'function') {
    risks.push('browsers send cookies with requests of any page, and options.origins is a function, which nobody can look into: let it refuse foreign pages, or write \'same\' or a list')
  }
  const most = options.limits?.user?.connections
  if (most !== undefined && most >= settings.capacity) {
    risks.push(`one user may take all connections of this node: options.limits.user.connections (${most}) is not below options.capacity (${settings.capacity})`)
  }
  for (const { pattern, settings: { history } } of declarations) {
    if (history === false || history.size * TYPICAL <= settings.historyBytes) continue
    risks.push(`history.size of "${pattern.source}" (${history.size}) is more than options.history.bytes (${settings.historyBytes}) holds of events of ${TYPICAL} bytes, so that one room takes the past of all others: lower the size, or raise the bytes`)
  }
  return risks
}

/** The first of several looks like the only one. Other tools put a name here, of a configuration of the app. */
function isFurther (instance: string | undefined): instance is string {
  return instance !== undefined && /^[1-9]\d*$/.test(instance)
}

/** Says what is wrong where several apps of this process listen on one port: each on an address of its own. */
export function findSharedPort (ports: readonly number[]): string | undefined {
  if (ports.length === 0) return undefined
  return `another app of this process listens on port ${ports.join(', ')} too, and each has rooms of its own, ${APART}, redis() or nats(); or let one app listen on all addresses`
}
