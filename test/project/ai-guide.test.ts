import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t from 'tap'
import { launchChromium, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'

const FOLDER = new URL('../../example/ai-sdk/', import.meta.url)
/** How often the model says the same sentences. */
const TIMES = 4

t.test('the page of the guide to the AI SDK', { skip: skipWithoutChromium() }, async (t) => {
  // No module of Node is in what the page imports: the build would fail.
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('main.tsx', FOLDER))],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    write: false
  })
  const { buildApp } = await import(new URL('app.ts', FOLDER).href) as {
    buildApp (model: unknown): Promise<FastifyInstance>
  }
  const { model } = await import(new URL('model.ts', FOLDER).href) as { model: unknown }
  const app = await buildApp(model)
  t.teardown(() => app.close())
  app.get('/', async (_request, reply) => {
    return await reply.type('text/html').send(readFileSync(new URL('index.html', FOLDER), 'utf8').replace('.tsx', '.js'))
  })
  app.get('/main.js', async (_request, reply) => await reply.type('text/javascript').send(outputFiles[0]!.text))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const page = await (await (await launchChromium(t)).newContext()).newPage()
  page.on('pageerror', (error) => { t.fail(String(error)) })
  await page.goto(url)

  const ask = async (text: string): Promise<void> => {
    await page.getByLabel('Question').fill(text)
    await page.getByRole('button', { name: 'Ask' }).click()
  }
  const lines = async (of: Page = page): Promise<string[]> => await of.locator('main p').allTextContents()
  const said = async (of: Page = page): Promise<number> => ((await lines(of)).at(-1) ?? '').split('press Stop').length - 1

  for (const [index, question] of ['first?', 'second?'].entries()) {
    await t.test(`shows what was said before and goes on with its answer, when it is loaded again in the middle (${question})`, async (t) => {
      await ask(question)
      await until('the answer grows', async () => (await lines()).length === index * 2 + 2 && await said() > 0)
      await page.reload()
      await until('the whole answer', async () => await said() === TIMES)
      const all = await lines()
      t.equal(all.length, index * 2 + 2)
      t.equal(all.at(-2), question)
    })
  }

  await t.test('stops an answer that it has gone on with, and keeps what was said of it', async (t) => {
    await ask('third?')
    await until('the answer grows', async () => (await lines()).length === 6 && await said() > 0)
    await page.reload()
    await until('it goes on', async () => (await lines()).length === 6 && await said() > 0)
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.locator('button:enabled', { hasText: 'Ask' }).waitFor()
    t.ok(await said() < TIMES, 'not all of it')
    await page.reload()
    await until('the questions', async () => (await lines()).includes('third?'))
    t.equal((await lines()).filter((line) => line.endsWith('?')).length, 3)
  })
})
