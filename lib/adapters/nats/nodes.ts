import { BEAT, MAX_NODES, REMEMBERED, type Beat } from '../broker/nodes.js'
import type { NatsClock } from './clock.js'
import { decoded, type NatsState } from './state.js'
import { decodeHolders, encodeHolders } from '../broker/stored.js'
import type { Unread } from '../broker/unread.js'

/**
 * `node` is the name by which the node goes now; `away` is the milliseconds for which it could not reach the broker.
 */
interface Beating { readonly clock: NatsClock, readonly node: string, readonly away: number, readonly unread: Unread }

/** All nodes are in one value, which each of the few nodes writes every few seconds. */
const KEY = 'nodes.all'

/** Sends one heartbeat, as `NodesOptions.beat` requires it. */
export async function beatOf (state: NatsState, { clock, node, away, unread }: Beating): Promise<Beat> {
  return await state.change<Beat>(KEY, (value) => {
    const now = clock.now()
    const nodes = new Map([...decoded('nodes', value, decodeHolders, unread) ??
      []].filter(([, at]) => at > now - REMEMBERED))
    const before = nodes.get(node)
    // Other nodes may be missing for the same reason.
    if (away > 0) for (const [other, at] of nodes) if (at >= now - away - 3 * BEAT) nodes.set(other, now)
    nodes.delete(node)
    for (const other of nodes.keys()) {
      if (nodes.size < MAX_NODES) break
      nodes.delete(other)
    }
    const others = [...nodes].map(([other, at]) => ({ node: other, at }))
    nodes.set(node, now)
    return { value: encodeHolders(nodes), result: { now, before, others } }
  })
}
