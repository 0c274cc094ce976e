import { createServer as createWeb, type Server } from 'node:http'
import { createServer as createSecure } from 'node:https'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import cors from '@fastify/cors'
import { build } from 'esbuild'
import type { Page } from 'playwright-core'
import selfsigned from 'selfsigned'
import t, { type Test } from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { matchList } from '../helpers/match-list.js'
import { start } from '../helpers/net.js'
import { freePort } from '../helpers/servers.js'
import { WebProxy } from '../helpers/web-proxy.js'

const TIMEOUT = 5_000

/** What a page was told of its first failures, and when, in milliseconds since it called `connect`. */
interface Told {
  readonly errors: Array<{ code: string, transport: string, attempt?: number, retryIn?: number, at: number }>
  readonly open?: string
}

async function listen (t: Test, server: Server): Promise<number> {
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** A page on a server of its own, with the client in it. */
async function openPage (t: Test): Promise<{ page: Page, origin: string }> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../lib/client/index.ts', import.meta.url))],
    bundle: true,
    format: 'iife',
    globalName: 'realtime',
    target: 'es2022',
    write: false
  })
  const port = await listen(t, createWeb((request, response) => {
    if (request.url === '/client.js') {
      response.setHeader('content-type', 'text/javascript').end(outputFiles[0]!.contents)
    } else if (request.url === '/') {
      response.setHeader('content-type', 'text/html').end(
        '<!doctype html><link rel="icon" href="data:,"><script src="/client.js"></script>'
      )
    } else response.writeHead(404).end()
  }))
  const page = await (await launchWindowless(t)).newPage()
  const origin = `http://127.0.0.1:${port}`
  await page.goto(origin)
  return { page, origin }
}

/** Connects in the page until `count` failures were told, or it is open. */
async function connectIn (page: Page, url: string, token: string, count: number): Promise<Told> {
  return await page.evaluate(async ({ url, token, count, timeout }) => await new Promise<Told>((resolve) => {
    const { connect } = (globalThis as unknown as { realtime: typeof import('../../lib/client/index.js') }).realtime
    const begun = performance.now()
    const errors: Told['errors'] = []
    const client = connect(url, { token, timeout })
    client.on('error', ({ code, transport, attempt, retryIn }) => {
      errors.push({ code, transport: transport!, attempt: attempt!, retryIn: retryIn!, at: performance.now() - begun })
      if (errors.length === count) {
        client.close()
        resolve({ errors })
      }
    })
    client.on('state', ({ state }) => {
      if (state === 'open') {
        resolve({ errors, open: client.transport })
        client.close()
      }
    })
  }), { url, token, count, timeout: TIMEOUT })
}

function assertRetried (t: Test, { errors: [first, second] }: Told, code: string): void {
  t.match(first, { code, transport: 'websocket', attempt: 1, retryIn: Number })
  t.ok(first!.at < TIMEOUT, `told after ${first!.at} ms`)
  t.match(second, { code, attempt: 2 })
  const late = second!.at - first!.at - first!.retryIn!
  t.ok(late > -20 && late < TIMEOUT, `the next attempt failed ${late} ms after its time`)
}

t.test(
  'a page is told why it does not get through, within the timeout, and when it will be tried again',
  { skip: skipWithoutChromium() },
  async (t) => {
    const { page, origin } = await openPage(t)

    await t.test('no server there', async (t) => {
      assertRetried(t, await connectIn(page, `http://127.0.0.1:${await freePort()}/ws`, 'a-token', 2), 'unreachable')
    })

    await t.test('a server of something else, of its own origin', async (t) => {
      assertRetried(t, await connectIn(page, `${origin}/ws`, 'a-token', 2), 'not_found')
    })

    await t.test('a server of something else, on another port', async (t) => {
      const port = await listen(t, createWeb((_, response) => { response.end('hello') }))
      assertRetried(t, await connectIn(page, `http://127.0.0.1:${port}/ws`, 'a-token', 2), 'cors_refused')
    })

    await t.test('an endpoint that does not let its origin in', async (t) => {
      const app = await start(t, { origins: ['https://app.example.com'] })
      assertRetried(t, await connectIn(page, `${app.url}/ws`, app.token('ada'), 2), 'cors_refused')
    })

    await t.test('a certificate that nobody vouches for, of which a page is not told', async (t) => {
      const { private: key, cert } = await selfsigned.generate([{ name: 'commonName', value: 'example.com' }])
      const port = await listen(
        t,
        createSecure({ key, cert }, (_, response) => { response.end() }) as unknown as Server
      )
      assertRetried(t, await connectIn(page, `https://127.0.0.1:${port}/ws`, 'a-token', 2), 'unreachable')
    })

    await t.test('a proxy that lets no upgrade through, behind which a stream opens', async (t) => {
      const app = await start(t, {
        origins: [origin],
        before: async (fastify) => {
          await fastify.register(cors, { origin, allowedHeaders: ['authorization', 'content-type', 'x-connection-id'] })
        }
      })
      const proxy = new WebProxy(app.port)
      const port = await proxy.listen()
      t.teardown(async () => { await proxy.close() })
      proxy.blocksUpgrades = true
      const told = await connectIn(page, `http://127.0.0.1:${port}/ws`, app.token('ada'), 3)
      matchList(t, told, {
        open: 'sse',
        errors: [{ code: 'transport_blocked', transport: 'websocket', attempt: 1, retryIn: 0 }]
      })
      t.equal(told.errors.length, 1)
      t.ok(told.errors[0]!.at < TIMEOUT)
    })
  }
)
