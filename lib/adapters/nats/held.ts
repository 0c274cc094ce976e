import { HELD, nodeOf, type Nodes } from '../broker/nodes.js'

/** A connection, its node, for how long what it holds outlives that, and when it was taken. */
const NAME = /^([\s\S]*) ([A-Za-z0-9_.-]+) (\d+)(?:@(\d+))?$/

/**
 * Who holds something, as it is written down: names without a mark run out by themselves.
 *
 * @param stamp when it was taken, by the broker's clock: of two nodes it is his who took it later
 */
export function heldName (connection: string, mark: string, stamp: number): string {
  return mark === '' ? connection : `${connection} ${mark}@${Math.round(stamp)}`
}

/** A stamp above that of whoever has it. */
export function nextStamp (held: ReadonlyMap<string, number>, connection: string, now: number): number {
  let stamp = Math.round(now)
  for (const name of held.keys()) {
    const holder = holderOf(name)
    if (holder.connection === connection) stamp = Math.max(stamp, (holder.stamp ?? 0) + 1)
  }
  return stamp
}

/** Whether another node than this has taken it later than at `stamp`, or nobody can tell. */
export function isTakenSince (
  held: ReadonlyMap<string, number>, connection: string, node: string, stamp: number
): boolean {
  return [...held.keys()].some((name) => {
    const holder = holderOf(name)
    return holder.connection === connection && isOfOthers(holder, node, stamp)
  })
}

function isOfOthers (holder: Holder, node: string, stamp: number): boolean {
  if (holder.node === undefined || nodeOf(holder.node) === node) return false
  return holder.stamp === undefined || holder.stamp > stamp
}

interface Holder {
  readonly connection: string
  readonly node?: string
  readonly ttl?: number
  readonly stamp?: number | undefined
}

/** The connection of a name, and its node where it lives as long as that. */
export function holderOf (name: string): Holder {
  const [, connection, node, ttl, stamp] = NAME.exec(name) ?? []
  if (connection === undefined) return { connection: name }
  return { connection, node: node!, ttl: Number(ttl), stamp: stamp === undefined ? undefined : Number(stamp) }
}

/** @returns when something ends by itself that is held under a mark for `ttl` ms */
export function endOf (mark: string, ttl: number, now: number): number { return now + (mark === '' ? ttl : HELD) }

export function isLiving (name: string, until: number, now: number, nodes: Nodes): boolean {
  if (until <= now) return false
  const { node, ttl = 0 } = holderOf(name)
  return node === undefined || !nodes.isDead(node, until - HELD, ttl)
}

/**
 * Takes away what is written of a connection.
 *
 * @param node only what no other node has taken later than at `stamp`
 * @returns whether there was anything
 */
export function drop (held: Map<string, number>, connection: string, node?: string, stamp = 0): boolean {
  let isFound = false
  for (const name of held.keys()) {
    const holder = holderOf(name)
    if (holder.connection !== connection || (node !== undefined && isOfOthers(holder, node, stamp))) continue
    held.delete(name)
    isFound = true
  }
  return isFound
}
