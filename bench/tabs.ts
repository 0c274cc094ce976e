/**
 * How long the tabs of a browser that share one link hear nothing when the tab that holds it dies: an event every 10
 * ms, ten tabs, the first of which has the link. It is closed, or its process is killed as by a crash. Silence is the
 * longest time between two events that a tab hears from then on; what is missing or came twice is counted.
 *
 * `npm run bench:tabs -- [rounds of each] [--write]`; `--write` puts it into bench/TABS.md. Needs Chromium;
 * `CHROMIUM` is its path where it is not /usr/bin/chromium.
 */
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import realtime, { defineRoom } from 'fastify-realtime'
import { describeMachine } from './machine.js'
import { show } from './page.js'
import { spread } from './sample.js'
import { range, table } from './table.js'

const TABS = 10
const EVERY = 10
/** Milliseconds that are watched before and after the death. */
const BEFORE = 500
const AFTER = 4_000

const clock = defineRoom('clock', { events: { tick: Type.Object({ n: Type.Integer() }) } })
const WAYS = {
  closed: async (page: Page) => { await page.close() },
  crashed: async (page: Page) => {
    // The page does not answer to its own death.
    page.goto('chrome://crash').catch(() => {})
    await page.waitForEvent('crash')
  }
}
type Way = keyof typeof WAYS

const PAGE = `<!doctype html><script type="module">
  import { connect } from '/ws/client.js'
  const heard = window.heard = []
  const client = window.client = connect('/ws', { share: true, token: async () => await (await fetch('/token')).text() })
  client.on('gap', () => { heard.push({ n: NaN, at: Date.now() }) })
  const room = client.join('clock')
  room.on('tick', ({ data }) => { heard.push({ n: data.n, at: Date.now() }) })
  room.joined.then(() => { window.isIn = true })
</script>`

interface Heard { readonly n: number | null, readonly at: number }
interface Round { readonly silences: number[], lost: number, doubled: number }

async function listen (): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: 'bench' } })
  app.room(clock)
  app.get('/token', () => app.jwt.sign({ sub: 'ada' }, { expiresIn: 600 }))
  app.get('/', (_request, reply) => reply.type('text/html').send(PAGE))
  await app.listen({ port: 0 })
  return app
}

async function open (context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage()
  await page.goto(url)
  await page.waitForFunction('window.isIn')
  return page
}

async function round (browser: Browser, app: FastifyInstance, url: string, way: Way): Promise<Round> {
  const context = await browser.newContext()
  const leader = await open(context, url)
  const others = await Promise.all(Array.from({ length: TABS - 1 }, async () => await open(context, url)))
  let n = 0
  const ticking = setInterval(() => { void app.rooms.broadcast(clock, 'tick', { n: ++n }) }, EVERY)
  await sleep(BEFORE)
  const died = Date.now()
  const first = n
  await WAYS[way](leader)
  await sleep(AFTER)
  clearInterval(ticking)
  await app.rooms.broadcast(clock, 'tick', { n: ++n })
  const result: Round = { silences: [], lost: 0, doubled: 0 }
  for (const page of others) {
    await page.waitForFunction(`window.heard.some((each) => each.n === ${n})`)
    const heard = await page.evaluate<Heard[]>('window.heard')
    const since = heard.filter(({ at }) => at >= died - 2 * EVERY)
    result.silences.push(Math.max(...since.map(({ at }, index) => at - (since[index - 1]?.at ?? at))))
    const numbers = new Set(heard.map((each) => each.n))
    result.doubled += heard.length - numbers.size
    for (let each = first; each <= n; each++) if (!numbers.has(each)) result.lost++
  }
  await context.close()
  return result
}

const rounds = Number(process.argv.slice(2).find((word) => /^\d+$/.test(word)) ?? 10)
const app = await listen()
const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu']
})
const rows: string[][] = []
for (const way of Object.keys(WAYS) as Way[]) {
  const silences: number[] = []
  let lost = 0
  let doubled = 0
  for (let count = 0; count < rounds; count++) {
    const each = await round(browser, app, url, way)
    silences.push(...each.silences)
    lost += each.lost
    doubled += each.doubled
  }
  rows.push([way, `${rounds}`, `${silences.length}`, range(spread(silences)), `${lost}`, `${doubled}`])
}
await browser.close()
await app.close()
show('TABS.md', `# Tabs that share one link

\`npm run bench:tabs -- ${rounds} --write\`: ${TABS} tabs in Chromium (${browser.version()}), an event every ${EVERY} ms. The tab that holds the link
is closed, or its process crashes. Silence is the longest time between two events that another tab hears around it:
the browser hands on the lock, the tab connects with a token of its own and resumes. Server, browser and all tabs
share the machine.

${describeMachine().join('  \n')}

## Silence

${table(['the tab that has the link is', 'rounds', 'tabs', 'silence ms', 'events lost', 'events twice'], rows)}
`)
