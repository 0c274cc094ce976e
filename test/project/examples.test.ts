import type { FastifyInstance } from 'fastify'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { startExample } from '../helpers/example.js'

interface Visitor { readonly page: Page, readonly faults: string[] }

/** A page in a browser of its own, connected. */
async function open (browser: Browser, url: string): Promise<Visitor> {
  const page = await (await browser.newContext()).newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => { faults.push(String(error)) })
  await page.goto(url)
  await page.locator('#state[data-state=open]').waitFor()
  return { page, faults }
}

async function fitsPhone (t: Test, page: Page): Promise<void> {
  await page.setViewportSize({ width: 390, height: 844 })
  t.equal(await page.evaluate('document.documentElement.scrollWidth'), 390, 'as wide as a phone')
}

t.test('the small examples in a browser', { skip: skipWithoutChromium() }, async (t) => {
  const browser = await launchWindowless(t)
  const [notifications, dashboard, cursors] = await Promise.all([
    startExample(t, 'notifications'), startExample(t, 'dashboard'), startExample(t, 'cursors')
  ])

  await t.test('notifications: a REST call reaches the owner of the order, in all tabs and later, and nobody else', async (t) => {
    const { url, stop } = notifications
    for (const [path, method] of [['/orders', 'GET'], ['/orders/1001/ship', 'POST']] as const) {
      t.equal((await fetch(`${url}${path}`, { method })).status, 401, `${method} ${path} without a token`)
    }
    const ada = await open(browser, `${url}/?user=ada`)
    const second = await open(browser, `${url}/?user=ada`)
    const bob = await open(browser, `${url}/?user=bob`)
    await bob.page.getByRole('button', { name: 'Ship 1001' }).click()
    for (const { page } of [ada, second]) {
      await page.locator('#notices li', { hasText: 'A kettle is on its way' }).waitFor()
      t.equal(await page.locator('#count').textContent(), '1')
    }
    await bob.page.getByRole('button', { name: 'Ship 1001' }).click()
    await bob.page.locator('#error', { hasText: 'it was shipped before' }).waitFor()
    await ada.page.getByRole('button', { name: 'Mark as seen' }).click()
    t.equal(await ada.page.locator('#count').isVisible(), false)
    const late = await open(browser, `${url}/?user=ada`)
    await late.page.locator('#notices li', { hasText: 'A kettle' }).waitFor()
    t.equal(await ada.page.locator('#notices li').count(), 1, 'a refused call tells nobody')
    t.equal(await bob.page.locator('#notices li').count(), 0)
    await fitsPhone(t, ada.page)
    t.same([...ada.faults, ...second.faults, ...bob.faults, ...late.faults], [])
    t.equal(await stop(), 0)
  })

  await t.test('dashboard: values come by EventSource, change, and come again after a reload', async (t) => {
    const { url, stop } = dashboard
    const { page, faults } = await open(browser, url)
    const values = async (): Promise<string> => (await page.locator('.machines p').allTextContents()).join(' ')
    for (let reload = 0; reload < 2; reload++) {
      await page.locator('.machines .card').nth(5).waitFor()
      const before = await values()
      await until('other values', async () => await values() !== before)
      t.equal(await page.locator('.machines .card').count(), 6)
      await page.reload()
    }
    await fitsPhone(t, page)
    t.same(faults, [])
    t.equal(await stop(), 0)
  })

  await t.test('cursors: a pointer is seen by the others where it is, and goes with its user', async (t) => {
    const { url, stop } = cursors
    const [ada, bob] = [await open(browser, url), await open(browser, url)]
    await ada.page.locator('#members li').nth(1).waitFor()
    const { width, height, x, y } = (await ada.page.locator('#board').boundingBox())!
    await ada.page.mouse.move(x + width / 4, y + height / 2)
    const pointer = bob.page.locator('.pointer')
    await pointer.waitFor()
    t.match(await pointer.evaluate((each) => (each as unknown as { style: { left: string } }).style.left), /^25(\.\d+)?%$/)
    t.equal(await ada.page.locator('.pointer').count(), 0, 'not by oneself')
    await fitsPhone(t, bob.page)
    await ada.page.context().close()
    await pointer.waitFor({ state: 'detached' })
    t.equal(await bob.page.locator('#members li').count(), 1)
    t.same([...ada.faults, ...bob.faults], [])
    t.equal(await stop(), 0)
  })
  await t.test('the plain page of the guide: what one tab says is read in another, as text', async (t) => {
    const { build } = await import('../../example/docs/plain-page/server.ts' as string) as { build (): Promise<FastifyInstance> }
    const app = await build()
    t.teardown(async () => {
      const closed = app.close()
      // A browser keeps sockets open on which it has asked nothing yet; a server waits for them.
      app.server.closeAllConnections()
      await closed
    })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const [one, other] = [await browser.newPage(), await browser.newPage()]
    for (const page of [one, other]) {
      await page.goto(url)
      await page.locator('#state', { hasText: 'open' }).waitFor()
    }
    await one.locator('#text').fill('<b>hello</b>')
    await one.locator('#text').press('Enter')
    await other.locator('#lines li', { hasText: ': <b>hello</b>' }).waitFor()
    await Promise.all([one.close(), other.close()])
  })
})
