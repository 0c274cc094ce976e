import { BEAT, MAX_NODES, REMEMBERED, type Beat } from '../broker/nodes.js'
import type { NatsClock } from './clock.js'
import { decoded, type NatsState } from './state.js'
import { decodeHolders, encodeHolders } from '../broker/stored.js'
import type { Unread } from '../broker/unread.js'

/** `node`: the name that it goes by now; `away`: milliseconds for which it could not reach the broker */
interface Beating { readonly clock: NatsClock, readonly node: string, readonly away: number, readonly unread: Unread }

/** All nodes are one value: the few that there are write it every few seconds each. */
const KEY = 'nodes.all'

/** One heartbeat, as `NodesOptions.beat` wants it. */
export async function beatOf (state: NatsState, { clock, node, away, unread }: Beating): Promise<Beat> {
  return await state.change<Beat>(KEY, (value) => {
    const now = clock.now()
    const nodes = new Map([...decoded('nodes', value, decodeHolders, unread) ??
      []].filter(([, at]) => at > now - REMEMBERED))
    const before = nodes.get(node)
    // Others may not have been heard for the same reason.
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
