/**
 * The dashboard beside very many connections: three nodes with one Redis behind HAProxy. Says how long each answer
 * takes, and what it costs the nodes and the page.
 *
 * `npm run crowd -- [connections, 30000] [--write] [--pictures] [--screens folder] [--stay]`
 *
 * `--write` puts the report into bench/DASHBOARD.md, `--pictures` the pictures of docs/operate/dashboard.md into
 * docs/public/dashboard, `--screens` all pages at four widths, light and dark, into a folder, and `--stay` leaves all
 * of it running until a key is pressed. A process may have to have 20 000 descriptors.
 */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Look } from './crowd/look.js'
import { Asker } from './crowd/measure.js'
import { report, type Found } from './crowd/report.js'
import { tokenOf } from './crowd/secret.js'
import { Stage } from './crowd/stage.js'
import { lookAround, takePictures } from './crowd/tour.js'

const CONNECTIONS = 30_000
/** Messages a second of all users. */
const SPOKEN = 40
/** Milliseconds that the nodes are watched for. */
const WATCHED = 20_000

const args = process.argv.slice(2)
const connections = Number(args[0] ?? CONNECTIONS) || CONNECTIONS
const screens = args.includes('--screens') ? args[args.indexOf('--screens') + 1] : undefined
const teardowns: Array<() => unknown> = []
const t = { teardown: (callback: () => unknown): void => { teardowns.unshift(callback) } }

async function main (): Promise<Found> {
  const stage = await Stage.start(t, connections)
  console.error(`${stage.url}\n${tokenOf('an-admin', 'admin')}`)
  const start = performance.now()
  await stage.fill(connections, (n) => { console.error(`${n} connections`) })
  const filled = (performance.now() - start) / 1_000
  await stage.speak(SPOKEN)
  const look = await Look.open(t, stage.url)
  const shown = look === undefined ? [] : await lookAround(look, screens)
  const open = await stage.usageIn(WATCHED)
  await look?.go('', /Connections\d/)
  const page = await look?.cost()
  if (look !== undefined && args.includes('--pictures')) await takePictures(look)
  await look?.page.goto('about:blank')
  const closed = await stage.usageIn(WATCHED)
  const { answers } = await new Asker(stage).all()
  if (args.includes('--stay')) {
    console.error('press Enter to end it')
    await once(process.stdin, 'data')
  }
  return { connections, filled, answers, shown, closed, open, page }
}

async function end (): Promise<void> { for (const teardown of teardowns.splice(0)) await teardown() }

// Nothing is left behind when it is interrupted: in place of what ends the children alone.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.removeAllListeners(signal)
  process.once(signal, () => { void end().finally(() => { process.exit(1) }) })
}
try {
  const text = report(await main())
  process.stdout.write(text)
  if (args.includes('--write')) writeFileSync(new URL('../bench/DASHBOARD.md', import.meta.url), text)
} finally {
  await end()
}
process.exit(0)
