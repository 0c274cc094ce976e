/**
 * `npm run day`: makes ten troubles on three nodes with one Redis, and finds each from their metrics and logs alone, by
 * what docs/operate/troubles.md says. Ends with 1 when one of them is not found.
 */
import { Redis } from 'ioredis'
import { startCluster } from './day/cluster.js'
import { TROUBLES } from './day/troubles.js'

/** Milliseconds in which a trouble has to be found. */
const PATIENCE = 20_000

const teardowns: Array<() => unknown> = []
const cluster = await startCluster({ teardown: (callback) => { teardowns.unshift(callback) } })
const raw = new Redis(cluster.redis.url)
raw.on('error', () => {})
let missed = 0

async function within (find: () => Promise<boolean> | boolean): Promise<number | undefined> {
  const from = performance.now()
  while (performance.now() - from < PATIENCE) {
    if (await find()) return Math.round(performance.now() - from)
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  return undefined
}

for (const { name, make, query, holds, log } of TROUBLES) {
  await make(cluster, raw)
  const found = await within(async () => await holds(cluster))
  const warnings = (): string[] => cluster.nodes.flatMap(({ lines }) =>
    lines.flatMap(({ level, msg }) => level >= 40 ? [msg] : []))
  const said = log === undefined ? undefined : await within(() => warnings().some((msg) => log.test(msg)))
  if (found === undefined || (log !== undefined && said === undefined)) missed++
  console.log(`${name.padEnd(16)} ${found === undefined ? 'NOT FOUND' : `found after ${found} ms`} by ${query}`)
  if (log !== undefined) console.log(`${''.padEnd(16)} ${said === undefined ? 'NOT LOGGED' : 'logged'}: ${log.source}`)
}
raw.disconnect()
for (const teardown of teardowns) await teardown()
console.log(missed === 0 ? 'all of them were found' : `${missed} were not found`)
process.exit(missed === 0 ? 0 : 1)
