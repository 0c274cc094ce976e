/**
 * `npm run day`: makes ten troubles on three nodes with one Redis, and finds each from their metrics and logs alone, by
 * what docs/operate/troubles.md says: by its query, asked of a Prometheus where there is one, before the trouble and
 * behind it, and on the dashboard where there is a browser. Ends with 1 when one is not found.
 * `npm run day -- --pictures` puts a picture of the dashboard at each into docs/public/troubles.
 */
import { Redis } from 'ioredis'
import { startCluster } from './day/cluster.js'
import { Dashboard } from './day/dashboard.js'
import { Prometheus } from './day/prometheus.js'
import { TROUBLES } from './day/troubles.js'

/** Milliseconds in which a trouble has to be found. */
const PATIENCE = 20_000

const teardowns: Array<() => unknown> = []
const cluster = await startCluster({ teardown: (callback) => { teardowns.unshift(callback) } })
const raw = new Redis(cluster.redis.url)
raw.on('error', () => {})
const dashboard = await Dashboard.open(cluster, { teardown: (callback) => { teardowns.unshift(callback) } })
const prometheus = await Prometheus.open(cluster, { teardown: (callback) => { teardowns.unshift(callback) } })
let missed = 0

async function within (find: () => Promise<boolean> | boolean): Promise<number | undefined> {
  const from = performance.now()
  while (performance.now() - from < PATIENCE) {
    if (await find()) return Math.round(performance.now() - from)
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  return undefined
}

for (const { name, make, query, holds, log, shows } of TROUBLES) {
  await dashboard?.begin()
  const before = await prometheus?.ask(query)
  const begun = cluster.nodes.map(({ lines }) => lines.length)
  await make(cluster, raw)
  const found = await within(async () => await holds(cluster))
  const warnings = (): string[] => cluster.nodes.flatMap(({ lines }, index) =>
    lines.slice(begun[index]).flatMap(({ level, msg }) => level >= 40 ? [msg] : []))
  const said = log === undefined ? undefined : await within(() => warnings().some((msg) => log.test(msg)))
  if (found === undefined || (log !== undefined && said === undefined)) missed++
  console.log(`${name.padEnd(16)} ${found === undefined ? 'NOT FOUND' : `found after ${found} ms`} by ${query}`)
  const asked = before === undefined ? 'not asked' : await within(() => prometheus!.finds(query, before))
  if (asked === undefined) missed++
  if (asked !== 'not asked') {
    console.log(`${''.padEnd(16)} ${asked === undefined ? 'NOT BY PROMETHEUS' : `by Prometheus ${asked} ms later, in ${before!.series} series before`}`)
  }
  const seen = await dashboard?.finds(shows, PATIENCE)
  if (seen === false) missed++
  if (process.argv.includes('--pictures')) await dashboard?.picture(name)
  if (log !== undefined) console.log(`${''.padEnd(16)} ${said === undefined ? 'NOT LOGGED' : 'logged'}: ${log.source}`)
  if (seen !== undefined) console.log(`${''.padEnd(16)} ${seen ? 'on the dashboard' : 'NOT ON THE DASHBOARD'}: ${shows.source}`)
}
raw.disconnect()
for (const teardown of teardowns) await teardown()
console.log(missed === 0 ? 'all of them were found' : `${missed} were not found`)
process.exit(missed === 0 ? 0 : 1)
