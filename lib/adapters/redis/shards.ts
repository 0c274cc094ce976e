import type { Client } from './clients.js'

type Shard = ReturnType<NonNullable<Client['nodes']>>[number]

/** Tags that are tried for each shard until one of its slots is found; shards have some hundred slots at least. */
const TRIES = 1_000

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
export function probesOf (slots: ReadonlyArray<readonly string[] | undefined>): string[] {
  const missing = new Set<string>()
  for (const slot of slots) if (slot?.[0] !== undefined) missing.add(slot[0])
  const probes: string[] = []
  for (let tag = 0, most = missing.size * TRIES; tag < most && missing.size > 0; tag++) {
    const channel = `probe:{${tag}}`
    const shard = slots[slotOf(channel)]?.[0]
    if (shard !== undefined && missing.delete(shard)) probes.push(channel)
  }
  return probes
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
