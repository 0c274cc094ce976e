/**
 * Publishes 10 000 events from Python through links that are cut, while the gateway is killed twice:
 * `npm run chaos:api`, `npm run chaos:api -- --events 50000`.
 */
import { parseArgs } from 'node:util'
import { tell } from '../test/server-api/story.js'

const ROOMS = 4
const { values } = parseArgs({ options: { events: { type: 'string', default: '10000' } } })
const callbacks: Array<() => unknown> = []
try {
  const report = await tell(
    { teardown: (callback) => { callbacks.unshift(callback) } },
    { rooms: ROOMS, events: Math.ceil(Number(values.events) / ROOMS), kills: 2 }
  )
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`)
  if (report.faults.length > 0) process.exitCode = 1
} finally {
  for (const callback of callbacks) await callback()
}
