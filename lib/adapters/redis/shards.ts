import { setImmediate } from 'node:timers/promises'
import type { NatMap, Shard } from './clients.js'
import { isAway } from './unreachable.js'

/** Tags that are tried for each shard until one of its slots is found; shards have some hundred slots at least. */
const TRIES = 1_000

/** Keys that are sorted by shard in one turn of the event loop. */
const SORTED = 1_000

/** @property tag hash tag of the channel */
export interface Probe { readonly shard: string, readonly tag: string, readonly channel: string }

/** Name of a shard, as `slots` of the client has it. */
export function nameOf ({ options: { host = '', port = 0 } }: Shard): string { return `${host}:${port}` }

/**
 * Name of the shard that serves the slot of a key, '' where it is not known. The client has it by the address at which
 * it is reached, and behind a redirection, until it looks again, by the one that the servers name.
 *
 * @param slots the shard that serves each slot
 */
export function shardOf (
  key: string,
  slots: ReadonlyArray<readonly string[] | undefined> | undefined,
  natMap: NatMap
): string {
  const name = slots?.[slotOf(key)]?.[0] ?? ''
  const reached = typeof natMap === 'function' ? natMap(name) : natMap?.[name]
  return reached == null ? name : `${reached.host}:${reached.port}`
}

/** Groups very many items by the shard that keeps them. */
export async function byShard<T> (items: Iterable<T>, shardOf: (item: T) => string): Promise<T[][]> {
  const sorted = new Map<string, T[]>()
  let count = 0
  for (const item of items) {
    const shard = shardOf(item)
    const some = sorted.get(shard)
    if (some === undefined) sorted.set(shard, [item])
    else some.push(item)
    if (++count % SORTED === 0) await setImmediate()
  }
  return [...sorted.values()]
}

/**
 * Runs a step for very many items, `size` of them at a time and those of each shard by themselves, so that a shard
 * which is away keeps none of the others waiting: its other items are not tried.
 *
 * @param step resolves with the items that failed, and why
 * @returns all that failed; those that were not tried with what came of their shard
 */
export async function stepByShard<T> (
  items: Iterable<T>,
  size: number,
  shardOf: (item: T) => string,
  step: (some: readonly T[]) => Promise<ReadonlyMap<T, unknown>>
): Promise<Map<T, unknown>> {
  const failed = new Map<T, unknown>()
  await Promise.all((await byShard(items, shardOf)).map(async (all) => {
    for (let index = 0; index < all.length; index += size) {
      const some = all.slice(index, index + size)
      const now = await step(some)
      for (const [item, error] of now) failed.set(item, error)
      const errors = [...now.values()]
      if (errors.length < some.length || !errors.every(isAway)) continue
      for (const item of all.slice(index + size)) failed.set(item, errors[0])
      return
    }
  }))
  return failed
}

/** Names of the shards that serve any slot. */
export function leadersOf (slots: ReadonlyArray<readonly string[] | undefined>): Set<string> {
  const names = new Set<string>()
  for (const slot of slots) if (slot?.[0] !== undefined) names.add(slot[0])
  return names
}

/** Whether there is a connection to the shard, or one is being made: it has none before its first command. */
export function isConnected ({ status }: Shard): boolean {
  return status === 'ready' || status === 'connect' || status === 'connecting'
}

/**
 * A channel of each shard to which nobody subscribes: ending a subscription to it changes nothing, and the shard
 * answers.
 *
 * @param slots the shard that serves each slot
 */
export function probesOf (slots: ReadonlyArray<readonly string[] | undefined>): Probe[] {
  const missing = leadersOf(slots)
  const probes: Probe[] = []
  for (let tag = 0, most = missing.size * TRIES; tag < most && missing.size > 0; tag++) {
    const channel = `probe:{${tag}}`
    const shard = slots[slotOf(channel)]?.[0]
    if (shard !== undefined && missing.delete(shard)) probes.push({ shard, tag: String(tag), channel })
  }
  return probes
}

/**
 * Knows which servers lead a cluster. One that has restarted, or has taken another's place, may lack what was accepted
 * last.
 */
export class Leaders {
  #names = new Set<string>()
  /** Those that led before, and of which it is not known yet whether another has taken their place. */
  #gone = new Set<string>()
  readonly #runs = new Map<string, string>()

  /**
   * @param slots the shard that serves each slot
   * @returns whether one has taken the place of another since the last call: a master that comes, or one that goes
   *   when its slots have been moved, has not
   */
  areNow (slots: ReadonlyArray<readonly string[] | undefined>): boolean {
    const before = this.#names
    const names = this.#names = leadersOf(slots)
    for (const name of before) if (!names.has(name)) this.#gone.add(name)
    for (const name of names) this.#gone.delete(name)
    for (const name of this.#runs.keys()) if (!names.has(name)) this.#runs.delete(name)
    const isReplaced = this.#gone.size > 0 && [...names].some((name) => !before.has(name))
    // Nobody asks for those again: what is missing at all of them is missing at the one that has come.
    if (isReplaced || this.#gone.size > names.size) this.#gone.clear()
    return isReplaced
  }

  /** Whether it leads and has ever been connected. */
  isKnown (name: string): boolean { return this.#runs.has(name) }

  /**
   * @param run id that the server gives itself at each start
   * @returns whether it has restarted since it was last connected
   */
  hasRestarted (name: string, run: string): boolean {
    const before = this.#runs.get(name)
    this.#runs.set(name, run)
    return before !== undefined && before !== run
  }
}

/** Slot of one of the adapter's keys: CRC-16 (XMODEM) of the part between its braces. */
export function slotOf (key: string): number {
  const open = key.indexOf('{')
  const close = key.indexOf('}', open + 1)
  let crc = 0
  for (const byte of Buffer.from(open !== -1 && close > open + 1 ? key.slice(open + 1, close) : key)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021
    crc &= 0xffff
  }
  return crc % 16_384
}
