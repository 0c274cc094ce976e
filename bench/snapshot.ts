/**
 * Whether `room.snapshot` leaves a hole or shows something twice while a writer never stops. One server keeps rows in
 * memory and has a route that answers the newest ones; a page in Chromium loads them by `room.snapshot`. In each round
 * the page is loaded again, or the server clears the history of the room, which is a gap. Then the list of the page is
 * compared with the rows that the writer has made.
 *
 * `npm run bench:snapshot -- [--rounds 1000] [--seconds 360] [--write]`; it ends after so many rounds or seconds;
 * `--write` puts it into bench/SNAPSHOT.md. Needs Chromium; `CHROMIUM` is its path where it is not /usr/bin/chromium.
 */
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { chromium, type Page } from 'playwright-core'
import realtime, { defineRoom } from 'fastify-realtime'
import { describeMachine } from './machine.js'
import { show } from './page.js'
import { percentile, spread } from './sample.js'
import { table } from './table.js'

/** Rows that the route answers. */
const SHOWN = 200
/** Milliseconds between two writes where the event loop is free. */
const EVERY = 0.5

const list = defineRoom('list', { events: { added: Type.Object({ n: Type.Integer() }) } })

const PAGE = `<!doctype html><script type="module">
  import { connect } from '/ws/client.js'
  const shown = window.shown = { rows: [], loads: 0, gaps: 0, errors: [] }
  const client = connect('/ws', { token: async () => await (await fetch('/token')).text() })
  client.on('gap', () => { shown.gaps++ })
  client.on('error', ({ code }) => { shown.errors.push(code) })
  const room = client.join('list')
  room.on('added', ({ data }) => { shown.rows.push(data.n) })
  await room.snapshot(async () => {
    const answer = await fetch('/rows')
    shown.rows = await answer.json()
    shown.loads++
    return answer
  })
</script>`

interface Shown { readonly rows: number[], readonly loads: number, readonly gaps: number, readonly errors: string[] }
interface Result {
  rounds: number
  holes: number
  doubles: number
  unordered: number
  errors: number
  readonly took: number[]
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '360' },
    write: { type: 'boolean', default: false }
  }
})

const app = Fastify()
await app.register(realtime, { jwt: { secret: 'bench' } })
app.room(list, { history: { size: 20_000, ttl: 60_000 } })
let newest = 0
app.get('/rows', async (_request, reply) => {
  await reply.position(list)
  return Array.from({ length: Math.min(SHOWN, newest) }, (_, index) => newest - Math.min(SHOWN, newest) + 1 + index)
})
app.get('/token', () => app.jwt.sign({ sub: 'ada' }, { expiresIn: 3_600 }))
app.get('/', (_request, reply) => reply.type('text/html').send(PAGE))
await app.listen({ port: 0, host: '127.0.0.1' })

let isOver = false
let last = performance.now()
const pauses: number[] = []
/** Looks in each turn of the event loop, so that nothing but a long turn is a longer pause. */
function write (): void {
  const now = performance.now()
  if (now - last >= EVERY) {
    pauses.push(now - last)
    last = now
    // A row is stored and told in one turn: so none is in the state and behind its position as well.
    void app.rooms.broadcast(list, 'added', { n: ++newest })
  }
  if (!isOver) setImmediate(write)
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu']
})
const page = await browser.newPage()
const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`

const WAYS: Readonly<Record<string, (page: Page) => Promise<string>>> = {
  'loads the page again': async (page) => {
    await page.reload()
    return 'window.shown?.loads > 0'
  },
  'clears the history of the room': async (page) => {
    const { loads, gaps } = await page.evaluate<Shown>('window.shown')
    await app.rooms.clear(list)
    return `window.shown.gaps > ${gaps} && window.shown.loads > ${loads}`
  }
}

async function round (way: string, result: Result): Promise<void> {
  const began = performance.now()
  await page.waitForFunction(await WAYS[way]!(page))
  // What the store has by now has to come.
  const mark = newest
  await page.waitForFunction(`window.shown.rows.at(-1) >= ${mark}`)
  const { rows, errors } = await page.evaluate<Shown>('window.shown')
  const numbers = new Set(rows)
  const first = Math.min(...rows.slice(0, SHOWN))
  const end = rows.reduce((most, n) => Math.max(most, n), 0)
  result.took.push(performance.now() - began)
  result.rounds++
  result.doubles += rows.length - numbers.size
  for (let n = first; n <= end; n++) if (!numbers.has(n)) result.holes++
  result.unordered += rows.filter((n, index) => index > 0 && n < rows[index - 1]!).length
  result.errors += errors.length
}

const results = new Map(Object.keys(WAYS).map((way) => {
  const result: Result = { rounds: 0, holes: 0, doubles: 0, unordered: 0, errors: 0, took: [] }
  return [way, result] as const
}))
write()
await page.goto(url)
await page.waitForFunction('window.shown?.loads > 0')
const started = performance.now()
const ends = started + Number(values.seconds) * 1_000
for (let count = 0; count < Number(values.rounds) && performance.now() < ends; count++) {
  const [way, result] = [...results][count % results.size]!
  await round(way, result)
}
const seconds = (performance.now() - started) / 1_000
isOver = true
await browser.close()
await app.close()

const seconded = (ms: number): string => (ms / 1_000).toFixed(2)
const rows = [...results].map(([way, { rounds, holes, doubles, unordered, errors, took }]) => {
  const { median, max } = spread(took)!
  return [way, `${rounds}`, `${holes}`, `${doubles}`, `${unordered}`, `${errors}`, seconded(median), seconded(max)]
})
const sum = [...results.values()].reduce((all, { rounds }) => all + rounds, 0)
pauses.sort((a, b) => a - b)
show('SNAPSHOT.md', `# A snapshot under a writer that never stops

\`npm run bench:snapshot -- --rounds ${values.rounds} --seconds ${values.seconds} --write\`: ${sum} rounds in ${seconds.toFixed(0)} s, in Chromium (${browser.version()}).
A writer stored and told ${newest.toLocaleString('en')} rows, one every ${EVERY} ms while the event loop was free: half of the pauses were
below ${percentile(pauses, 0.5)!.toFixed(2)} ms, 99 % below ${percentile(pauses, 0.99)!.toFixed(2)} ms, the longest was ${pauses.at(-1)!.toFixed(0)} ms. A page loads the newest ${SHOWN} rows by
\`room.snapshot\`. In each round the page is loaded again, or the server clears the history of its room: then
the page is told of a gap, and loads by itself up to 1 s later. At the end of a round, each row from the first that was loaded up to the newest
has to be in its list, once and in order.

${describeMachine().join('  \n')}

## Rounds

${table(['each round', 'rounds', 'holes', 'doubles', 'out of order', 'errors', 'median s', 'most s'], rows)}
`)
