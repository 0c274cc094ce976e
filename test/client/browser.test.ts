import { fileURLToPath } from 'node:url'
import { Type } from '@sinclair/typebox'
import { build } from 'esbuild'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { redis } from '../../lib/adapters/redis/adapter.js'
import realtime, { defineRoom } from '../../lib/index.js'
import { launchWindowless, openTab, skipWithoutChromium } from '../helpers/chromium.js'
import { statsOf } from '../helpers/net.js'
import { freePort, missing, startRedis, until } from '../helpers/servers.js'
import { WebProxy } from '../helpers/web-proxy.js'

const DOWN = 1_000
const UP = 200
const room = defineRoom('run/:id', {
  messages: { say: { data: Type.Object({ n: Type.Integer() }), reply: Type.Object({ n: Type.Integer() }) } },
  events: { tick: Type.Object({ n: Type.Integer() }) }
})

/** What runs in the page; `seconds` is how long its sends take. */
const SCRIPT = `
import { connect } from '/client.js'
const run = window.run = { heard: [], replies: [], failed: [], states: [], gaps: [], life: [], pause: 0, tokens: 0, isJoined: false }
for (const name of ['freeze', 'resume']) document.addEventListener(name, () => run.life.push(name))
document.addEventListener('visibilitychange', () => run.life.push(document.visibilityState))
const client = connect('/ws', {
  token: async () => {
    run.tokens++
    return (await fetch('/token')).text()
  },
  timeout: 2_000
})
client.on('state', ({ state }) => run.states.push(state))
client.on('gap', ({ room }) => run.gaps.push(room))
const room = client.join({ name: 'run/1' })
room.on('tick', ({ data }) => run.heard.push(data.n))
room.joined.then(() => { run.isJoined = true })
run.start = (seconds) => {
  let n = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    run.pause = Math.max(run.pause, now - last)
    last = now
    const mine = ++n
    room.send('say', { n: mine }).then((reply) => run.replies.push(reply.n), (error) => run.failed.push(mine + ' ' + error))
    if (n === ${UP}) clearInterval(timer)
  }, seconds * 1_000 / ${UP})
}
`

interface Run {
  heard: number[]
  replies: number[]
  failed: string[]
  states: string[]
  gaps: string[]
  /** what the page was told of its being hidden and frozen */
  life: string[]
  /** longest time between two turns of its timer, in milliseconds */
  pause: number
  tokens: number
  isJoined: boolean
}

interface Scene {
  readonly proxy: WebProxy
  readonly page: Page
  look (): Promise<Run>
  /** connections that the server holds */
  connections (): Promise<number>
  /** events broadcast so far */
  published (): number
  /** another life of the server on the same port and the same broker */
  restart (): Promise<void>
}

interface Options {
  readonly seconds?: number
  /** seconds that a token lasts */
  readonly token?: number
  readonly open?: (t: Test) => Promise<Page>
  readonly before?: (proxy: WebProxy) => void
  /** the fault, when a third of the run is over */
  readonly during?: (scene: Scene) => Promise<void>
  readonly after?: (scene: Scene, run: Run) => void
}

const range = (size: number): number[] => Array.from({ length: size }, (_, index) => index + 1)

async function play (
  t: Test,
  {
    seconds = 4,
    token = 600,
    open = async (t) => await (await launchWindowless(t)).newPage(),
    before,
    during,
    after
  }: Options
): Promise<void> {
  const { url } = await startRedis(t)
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('../../lib/client/index.ts', import.meta.url))],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    write: false
  })
  const port = await freePort()
  const applied: number[] = []
  const boot = async (): Promise<FastifyInstance> => {
    const app = Fastify({ forceCloseConnections: true })
    await app.register(realtime, {
      jwt: { secret: 'browser' },
      adapter: redis({ url }),
      heartbeat: 2_000,
      sse: { comment: 2_000 },
      drain: { timeout: 1_000 },
      limits: { rate: { messages: 1_000, burst: 1_000 } }
    })
    app.room(room, {
      history: { size: 5_000 },
      on: {
        say ({ data }) {
          applied.push(data.n)
          return { n: data.n }
        }
      }
    })
    app.get(
      '/',
      async (_, reply) => await reply.type('text/html').send(
        '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/run.js"></script>'
      )
    )
    app.get('/run.js', async (_, reply) => await reply.type('text/javascript').send(SCRIPT))
    app.get('/client.js', async (_, reply) => await reply.type('text/javascript').send(bundle.outputFiles[0]!.text))
    app.get('/token', async () => app.jwt.sign({ sub: 'ada' }, { expiresIn: token }))
    await app.listen({ port, host: '127.0.0.1' })
    return app
  }
  let app = await boot()
  t.teardown(async () => { await app.close() })
  const proxy = new WebProxy(port)
  const base = `http://127.0.0.1:${await proxy.listen()}`
  t.teardown(async () => { await proxy.close() })
  before?.(proxy)
  const page = await open(t)
  const faults: string[] = []
  page.on('pageerror', (error) => { faults.push(String(error)) })
  await page.goto(base)
  const look = async (): Promise<Run> => await page.evaluate(() => (globalThis as unknown as { run: Run }).run)
  await until('the page is in the room', async () => (await look()).isJoined, 20_000)
  await page.evaluate(
    (seconds) => { (globalThis as unknown as { run: { start (seconds: number): void } }).run.start(seconds) },
    seconds
  )

  let published = 0
  const scene: Scene = {
    proxy,
    page,
    look,
    connections: async () => (await statsOf(app)).connections.total,
    published: () => published,
    async restart () {
      await app.close()
      app = await boot()
    }
  }
  let fault: Promise<void> | undefined
  for (let n = 1; n <= DOWN;) {
    if (n > DOWN / 3) fault ??= during?.(scene)
    // A server that closes takes nothing: the same event again, under its key.
    try {
      await app.rooms.broadcast(room.at({ id: '1' }), 'tick', { n }, { idempotencyKey: String(n) })
      published = n++
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, seconds * 10_000 / DOWN))
  }
  await fault
  let run = await look()
  await until('everything has arrived', async () => {
    run = await look()
    return run.heard.length >= DOWN && run.replies.length + run.failed.length >= UP
  }, 40_000).catch((error: Error) => {
    t.fail(
      `${error.message}: ${run.heard.length} events, ${run.replies.length} replies, ${run.failed.join()}, ${run.states.join()}`
    )
  })
  t.same(run.heard, range(DOWN), `${DOWN} events, each once and in order`)
  t.same(applied, range(UP), `${UP} messages, each carried out once and in order`)
  t.same(run.replies, range(UP))
  t.same([run.failed, run.gaps, faults], [[], [], []])
  after?.(scene, run)
}

const skip = skipWithoutChromium() || missing('redis-server')

t.test('a page gets and sends everything once and in order', { skip }, async (t) => {
  // Most of each is waiting, but for the start of its browser. The one of the hidden tab has the machine to itself.
  t.jobs = 2

  void t.test('over a WebSocket', { buffered: true }, async (t) => {
    await play(t, {
      after: ({ proxy }, { states }) => {
        t.same(states, ['open'])
        t.same([proxy.upgrades, proxy.streams, proxy.polls], [1, 0, 0])
      }
    })
  })

  void t.test('over a stream, where a proxy lets no WebSocket through', { buffered: true }, async (t) => {
    await play(t, {
      before: (proxy) => { proxy.blocksUpgrades = true },
      after: ({ proxy }) => { t.same([proxy.streams, proxy.polls], [1, 0]) }
    })
  })

  void t.test('over polls, where it holds streams back as well', { buffered: true }, async (t) => {
    await play(t, {
      before: (proxy) => {
        proxy.blocksUpgrades = true
        proxy.holdsStreams = true
      },
      after: ({ proxy }) => { t.ok(proxy.polls > 10, `${proxy.polls} polls`) }
    })
  })

  void t.test('while the server is restarted', { buffered: true }, async (t) => {
    await play(t, {
      during: async ({ restart }) => { await restart() },
      after: (_, { states }) => { t.ok(states.includes('reconnecting')) }
    })
  })

  void t.test('while the network is away for a time', { buffered: true }, async (t) => {
    await play(t, {
      during: async ({ proxy, page }) => {
        proxy.isDown = true
        await page.context().setOffline(true)
        proxy.cut()
        await new Promise((resolve) => setTimeout(resolve, 3_000))
        proxy.isDown = false
        await page.context().setOffline(false)
      },
      after: (_, { states }) => { t.ok(states.includes('reconnecting')) }
    })
  })

  await t.test('in a tab that is hidden, then frozen while its link dies, then shown again', { buffered: false }, async (t) => {
    await play(t, {
      seconds: 6,
      open: openTab,
      during: async ({ proxy, page, look, connections, published }) => {
        const devtools = await page.context().newCDPSession(page)
        const other = await page.context().newPage()
        await other.bringToFront()
        await until('the timers of the page are throttled', async () => (await look()).pause > 900)
        t.same((await look()).states, ['open'], 'being hidden costs no link')
        await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
        proxy.cut()
        await until('the server has lost it', async () => await connections() === 0)
        const before = published()
        await until('events pass it by', () => published() >= before + 200)
        await devtools.send('Page.setWebLifecycleState', { state: 'active' })
        await page.bringToFront()
      },
      after: (_, { life, states }) => {
        t.same(life, ['hidden', 'freeze', 'resume', 'visible'])
        t.same(states, ['open', 'reconnecting', 'open'])
      }
    })
  })

  void t.test('with tokens that each last five seconds, over the same WebSocket', { buffered: true }, async (t) => {
    await play(t, {
      seconds: 14,
      token: 5,
      after: (_, { states, tokens }) => {
        t.same(states, ['open'])
        t.ok(tokens > 3, `${tokens} tokens: the first, and at least three in its place`)
      }
    })
  })
})
