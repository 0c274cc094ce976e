import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import vue from '@vitejs/plugin-vue'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { build, createServer, preview, type InlineConfig } from 'vite'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { start, statsOf, type Running } from '../helpers/net.js'
import { declareBoard, type Counts } from './rooms.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Variant {
  readonly title: string
  readonly folder: 'react' | 'vue'
  /** What a person edits while the page is open. */
  readonly edited: string
  readonly modules: readonly string[]
  readonly alias?: Record<string, string>
}

/** Vite is told of what it would find later, because it loads a page again when it does. */
const OF_REACT = ['react', 'react/jsx-dev-runtime', 'react-dom/client', 'react-dom/server']
const MODULES_19 = `${ROOT}node_modules/react-19/node_modules`

const VARIANTS: readonly Variant[] = [
  { title: 'React 18', folder: 'react', edited: 'page.jsx', modules: OF_REACT },
  {
    title: 'React 19',
    folder: 'react',
    edited: 'page.jsx',
    modules: OF_REACT,
    alias: {
      'react-dom/server': `${MODULES_19}/react-dom/server.browser.js`,
      'react-dom': `${MODULES_19}/react-dom`,
      react: `${MODULES_19}/react`
    }
  },
  { title: 'Vue', folder: 'vue', edited: 'page.vue', modules: ['vue', 'vue/server-renderer'] }
]

interface Site extends Running { readonly counts: Counts, readonly config: InlineConfig, readonly folder: string }

/** The pages in a folder of their own, and what Vite has to know of it. */
async function site (t: Test, { folder, alias, modules }: Variant): Promise<Site> {
  let counts: Counts | undefined
  const server: Running = await start(t, {
    presence: { grace: 0 },
    declare: (app) => {
      counts = declareBoard(app)
      app.get('/token', async () => server.token('ada'))
    }
  })
  await mkdir(`${ROOT}.tap`, { recursive: true })
  const copy = await mkdtemp(`${ROOT}.tap/page-`)
  t.teardown(async () => { await rm(copy, { recursive: true, force: true }) })
  await cp(fileURLToPath(new URL('page', import.meta.url)), copy, { recursive: true })
  await cp(join(copy, folder, 'index.html'), join(copy, 'index.html'))
  const proxy = { '/ws': { target: server.url, ws: true }, '/token': server.url }
  return {
    ...server,
    counts: counts!,
    folder: join(copy, folder),
    config: {
      root: copy,
      configFile: false,
      logLevel: 'error',
      cacheDir: join(copy, 'node_modules/.vite'),
      plugins: [folder === 'react' ? react() : vue()],
      optimizeDeps: { include: [...modules] },
      resolve: {
        alias: {
          ...alias,
          ...Object.fromEntries(['client', 'react', 'vue'].map((name) => [
            `fastify-realtime/${name}`, `${ROOT}lib/${name}/index.ts`
          ]))
        }
      },
      server: { host: '127.0.0.1', port: 0, proxy, fs: { strict: false } },
      preview: { host: '127.0.0.1', port: 0, proxy }
    }
  }
}

/** A page that is in the room, and everything that it has complained of. */
async function open (browser: Browser, address: AddressInfo): Promise<{ page: Page, complaints: string[] }> {
  const page = await (await browser.newContext()).newPage()
  const complaints: string[] = []
  page.on('pageerror', (error) => { complaints.push(String(error)) })
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  await page.goto(`http://127.0.0.1:${address.port}/`)
  await until(`a page in the room; ${complaints.join()}`, async () => (await statusOf(page)) === 'joined open 1 0')
  return { page, complaints }
}

const statusOf = async (page: Page): Promise<string | null> => await page.locator('#status').textContent()

t.test('components in a browser, by Vite', { skip: skipWithoutChromium() }, async (t) => {
  const browser = await launchWindowless(t)
  for (const variant of VARIANTS) {
    const dev = `${variant.title} in development: one join and one connection, hydrated in silence, and code is replaced under them`
    await t.test(dev, async (t) => {
      const { app, counts, config, folder } = await site(t, variant)
      const vite = await createServer(config)
      t.teardown(async () => { await vite.close() })
      await vite.listen()
      const { page, complaints } = await open(browser, vite.httpServer!.address() as AddressInfo)
      const linked = async (): Promise<number> => (await statsOf(app)).connections.total
      t.same([counts, await linked()], [{ joins: 1, leaves: 0 }, 1])
      await page.locator('#count').click()
      await page.locator('#say').click()
      await page.locator('li', { hasText: 'line 0' }).waitFor()

      const file = join(folder, variant.edited)
      await writeFile(file, (await readFile(file, 'utf8')).replace('Version one', 'Version two'))
      await page.locator('h1', { hasText: 'Version two' }).waitFor()
      t.equal(await page.locator('#count').textContent(), '1', 'the state of the component is there')
      t.same(await page.locator('li').allTextContents(), ['line 0'])
      await page.locator('#say').click()
      await page.locator('li', { hasText: 'line 1' }).waitFor()
      t.equal(await statusOf(page), 'joined open 1 2', 'each event was heard once')
      t.same([counts, await linked(), complaints], [{ joins: 1, leaves: 0 }, 1, []])
      await page.context().close()
    })

    await t.test(`${variant.title} as Vite builds it`, async (t) => {
      const { counts, config } = await site(t, variant)
      await build({ ...config, build: { target: 'es2022', minify: false } })
      const vite = await preview(config)
      t.teardown(async () => { await vite.close() })
      const { page, complaints } = await open(browser, vite.httpServer.address() as AddressInfo)
      await page.locator('#say').click()
      await page.locator('li', { hasText: 'line 0' }).waitFor()
      t.same([counts, complaints], [{ joins: 1, leaves: 0 }, []])
      await page.context().close()
    })
  }
})
