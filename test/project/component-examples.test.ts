import type { Page } from 'playwright-core'
import t from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { startExample } from '../helpers/example.js'

t.test('the chats of React and Vue in a browser', { skip: skipWithoutChromium() }, async (t) => {
  const browser = await launchWindowless(t)
  for (const name of ['react', 'vue']) {
    await t.test(`two pages of example/${name} exchange messages, and each shows who is there and who types`, async (t) => {
      const { url, stop } = await startExample(t, name)
      const complaints: string[] = []
      const enter = async (person: string): Promise<Page> => {
        const page = await (await browser.newContext({ viewport: { width: 390, height: 844 } })).newPage()
        page.on('pageerror', (error) => { complaints.push(String(error)) })
        page.on('console', (message) => {
          if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
        })
        await page.goto(`${url}/?name=${person}`)
        await page.locator('.state[data-state=open]').waitFor()
        return page
      }
      const [ada, bob] = [await enter('Ada'), await enter('Bob')]
      await until('both are there', async () => await ada.locator('.members').textContent() === 'Ada, Bob')
      await bob.locator('#text').pressSequentially('hel')
      await ada.locator('.typing', { hasText: 'Bob is typing' }).waitFor()
      await bob.locator('#text').fill('hello')
      await bob.locator('#text').press('Enter')
      await ada.locator('.messages li', { hasText: 'hello' }).waitFor()
      t.equal(await bob.locator('.messages li.own').textContent(), 'Bobhello')
      t.equal(await ada.locator('.messages li.own').count(), 0)
      t.equal(await ada.evaluate('document.documentElement.scrollWidth'), 390)
      t.same(complaints, [])
      for (const page of [ada, bob]) await page.context().close()
      t.equal(await stop(), 0)
    })
  }
})
