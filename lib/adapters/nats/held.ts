import { HELD, nodeOf, type Nodes } from '../broker/nodes.js'

/** A connection, its node, and for how long what it holds outlives that. */
const NAME = /^([\s\S]*) ([A-Za-z0-9_.-]+) (\d+)$/

/** Who holds something, as it is written down: names without a mark run out by themselves. */
export function heldName (
  connection: string,
  mark: string
): string { return mark === '' ? connection : `${connection} ${mark}` }

/** The connection of a name, and its node where it lives as long as that. */
export function holderOf (name: string): {
  readonly connection: string
  readonly node?: string
  readonly ttl?: number
} {
  const [, connection, node, ttl] = NAME.exec(name) ?? []
  return connection === undefined ? { connection: name } : { connection, node: node!, ttl: Number(ttl) }
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
 * @param node only what is this node's, or nobody's
 * @returns whether there was anything
 */
export function drop (held: Map<string, number>, connection: string, node?: string): boolean {
  let isFound = false
  for (const name of held.keys()) {
    const holder = holderOf(name)
    if (holder.connection !== connection ||
      (node !== undefined && holder.node !== undefined && nodeOf(holder.node) !== node)) {
      continue
    }
    held.delete(name)
    isFound = true
  }
  return isFound
}
