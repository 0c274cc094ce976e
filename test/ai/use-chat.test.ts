import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { start, type Running } from '../helpers/net.js'
import { declareChats, TOKENS, type Chats } from './app.js'

const WHOLE = TOKENS.join('')
/** Milliseconds between two tokens: an answer takes three seconds, in which a page reloads. */
const PAUSE = 50

interface Site { readonly chats: Chats, open (): Promise<Page> }

async function site (t: Test): Promise<Site> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('page.js', import.meta.url))],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    define: { 'process.env.NODE_ENV': '"production"' },
    write: false
  })
  let chats: Chats | undefined
  const server: Running = await start(t, {
    declare: (app) => {
      chats = declareChats(app, PAUSE)
      app.get('/token', async () => server.token('ada'))
      app.get('/page.js', async (_request, reply) => await reply.type('text/javascript').send(outputFiles[0]!.text))
      app.get('/', async (_request, reply) => {
        return await reply.type('text/html').send('<!doctype html><body><script type="module" src="/page.js"></script>')
      })
    }
  })
  const browser = await launchWindowless(t)
  const { url } = server
  return {
    chats: chats!,
    open: async () => {
      const page = await (await browser.newContext()).newPage()
      page.on('pageerror', (error) => { t.fail(String(error)) })
      await page.goto(url)
      return page
    }
  }
}

const statusIs = async (page: Page, status: string): Promise<void> => {
  await until(status, async () => await page.locator('#status').textContent() === status)
}
const answerOf = async (page: Page): Promise<string> => (await page.locator('.assistant .text').allTextContents()).join('')

t.test('useChat in a browser', { skip: skipWithoutChromium() }, async (t) => {
  await t.test('sends, and shows the answer as it comes, with the parts of tools', async (t) => {
    const { open } = await site(t)
    const page = await open()
    await statusIs(page, 'ready')
    await page.locator('#weather').click()
    await statusIs(page, 'streaming')
    await statusIs(page, 'ready')
    t.equal(await answerOf(page), WHOLE)
    t.match(await page.locator('.tool-weather').textContent(), /"town":"Oslo","degrees":20/)
  })

  await t.test('goes on after a reload, and in a second page, each with the whole answer, of each answer of a chat', async (t) => {
    const { open } = await site(t)
    for (let ended = 0; ended < 3; ended++) {
      const page = await open()
      await statusIs(page, 'ready')
      await page.locator('#hello').click()
      await until('some of it', async () => (await answerOf(page)).includes(TOKENS[5]!))
      await page.reload()
      const second = await open()
      for (const each of [page, second]) {
        await until(`the whole answer behind ${ended} others`, async () => await answerOf(each) === WHOLE)
        await statusIs(each, 'ready')
        await each.context().close()
      }
    }
  })

  await t.test('stops the model from the page that resumed it, and the page that asked is told', async (t) => {
    const { open, chats } = await site(t)
    const page = await open()
    await statusIs(page, 'ready')
    await page.locator('#hello').click()
    await until('some of it', async () => await answerOf(page) !== '')
    const second = await open()
    await until('some of it in the second page', async () => await answerOf(second) !== '')
    await second.locator('#stop').click()
    for (const each of [page, second]) await statusIs(each, 'ready')
    t.same(chats.stopped, chats.answers)
    t.not(await answerOf(page), WHOLE)
  })

  await t.test('shows the error of a model, and can be asked again', async (t) => {
    const { open } = await site(t)
    const page = await open()
    await statusIs(page, 'ready')
    await page.locator('#fail').click()
    await statusIs(page, 'error')
    t.not(await page.locator('#error').textContent(), '')
    await page.locator('#hello').click()
    await until('the whole answer', async () => await answerOf(page) === WHOLE)
  })
})
