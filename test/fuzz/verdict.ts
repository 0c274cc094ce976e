import type { FuzzResult } from './run.js'

/**
 * Bytes of heap that a run may end with beyond its first second: outcomes of messages and history stay for their time.
 */
const GROWTH = 64 * 1024 * 1024

/** What a run must not have done, in words; empty when all promises held. */
export function verdictOf ({
  faults,
  harmed,
  sockets,
  connections,
  ledger,
  heap: [before, after],
  handles
}: FuzzResult): string[] {
  const broken: string[] = []
  const { meant = 0, queued = 0, ...columns } = ledger
  const told = ['delivered', 'resumed', 'conflated', 'dropped', 'gone'].reduce(
    (sum, name) => sum + (columns[name] ?? 0),
    queued
  )
  if (faults.length > 0) broken.push(`${faults.length} faults of the server`)
  if (harmed.length > 0) broken.push(`well-behaved peers were harmed ${harmed.length} times`)
  if (sockets > 0 || connections > 0) broken.push(`${sockets} sockets and ${connections} connections are left`)
  if (told !== meant || queued !== 0) broken.push(`the ledger does not add up: ${JSON.stringify(ledger)}`)
  if (after - before > GROWTH) broken.push(`the heap grew by ${Math.round((after - before) / 1e6)} MB`)
  if (handles[1] > handles[0]) broken.push(`handles grew from ${handles[0]} to ${handles[1]}`)
  return broken
}
