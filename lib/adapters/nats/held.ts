import { HELD, nodeOf, type Nodes } from '../broker/nodes.js'

/**
 * Matches a connection, its node, the time for which an entry outlives the node, and the time at which it was taken.
 */
const NAME = /^([\s\S]*) ([A-Za-z0-9_.-]+) (\d+)(?:@(\d+))?$/

/**
 * Writes the stored name of a holder. Names without a mark expire on their own.
 *
 * @param stamp when it was taken, by the broker's clock: of two nodes the one that took it later holds it
 */
export function heldName (connection: string, mark: string, stamp: number): string {
  return mark === '' ? connection : `${connection} ${mark}@${Math.round(stamp)}`
}

/** A stamp above those of all entries of the connection. */
export function nextStamp (held: ReadonlyMap<string, number>, connection: string, now: number): number {
  let stamp = Math.round(now)
  for (const name of held.keys()) {
    const holder = holderOf(name)
    if (holder.connection === connection) stamp = Math.max(stamp, (holder.stamp ?? 0) + 1)
  }
  return stamp
}

/** Whether another node has taken the entry later than at `stamp`, or it cannot be told. */
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

/** Reads the connection of a stored name, and its node where the entry lives as long as that. */
function holderOf (name: string): Holder {
  const [, connection, node, ttl, stamp] = NAME.exec(name) ?? []
  if (connection === undefined) return { connection: name }
  return { connection, node: node!, ttl: Number(ttl), stamp: stamp === undefined ? undefined : Number(stamp) }
}

/**
 * Whether another node holds an entry of the connection.
 *
 * @param isAny what counts for an entry without a mark, which does not say whose it is
 */
export function isHeldElsewhere (
  held: ReadonlyMap<string, number>, connection: string, node: string, isAny: boolean
): boolean {
  return [...held.keys()].some((name) => {
    const holder = holderOf(name)
    if (holder.connection !== connection) return false
    return holder.node === undefined ? isAny : nodeOf(holder.node) !== node
  })
}

/** @returns the time at which an entry under a mark, held for `ttl` ms, ends on its own */
export function endOf (mark: string, ttl: number, now: number): number { return now + (mark === '' ? ttl : HELD) }

export function isLiving (name: string, until: number, now: number, nodes: Nodes): boolean {
  if (until <= now) return false
  const { node, ttl = 0 } = holderOf(name)
  return node === undefined || !nodes.isDead(node, until - HELD, ttl)
}

/**
 * Removes the entries of a connection.
 *
 * @param node removes only entries that no other node has taken later than at `stamp`
 * @returns whether there were any
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
