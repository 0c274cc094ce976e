import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { startExample } from '../helpers/example.js'

const TRANSPORTS = ['websocket', 'sse', 'polling'] as const
/** As the page names them. */
const NAMES = { websocket: 'WebSocket', sse: 'Server-Sent Events', polling: 'long polling' }

/** `SCREENSHOTS=/a/folder` keeps a picture of each layout, to be looked at. Two of them stand in the documents. */
const { SCREENSHOTS } = process.env
/** Of a phone, a tablet and a desk. */
const SIZES = [{ width: 390, height: 844 }, { width: 768, height: 1_024 }, { width: 1_280, height: 800 }] as const

/** What does not fit, is out of sight, or has less contrast than WCAG asks of text (4.5), computed as it is painted. */
const FAULTS = `(() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number)
  const over = ([r, g, b, a = 1], below, by = 1) => [r, g, b].map((of, i) => of * a * by + below[i] * (1 - a * by))
  const ground = (of) => of === null
    ? [255, 255, 255]
    : over(parts(getComputedStyle(of).backgroundColor), ground(of.parentElement))
  const dim = (of) => of === null ? 1 : Number(getComputedStyle(of).opacity) * dim(of.parentElement)
  const light = (color) => color.map((of) => of / 255)
    .map((of) => of <= 0.04045 ? of / 12.92 : ((of + 0.055) / 1.055) ** 2.4)
    .reduce((sum, of, i) => sum + of * [0.2126, 0.7152, 0.0722][i], 0)
  const contrast = (of, pseudo) => {
    const below = ground(of)
    const { color, opacity } = getComputedStyle(of, pseudo)
    const above = over(parts(color), below, dim(of) * (pseudo ? Number(opacity) : 1))
    const [a, b] = [above, below].map(light).sort((a, b) => b - a)
    return (a + 0.05) / (b + 0.05)
  }
  const isOpen = document.querySelector('#app').dataset.state === 'open'
  const inView = ['.brand', '#rooms a', '#state-text', '#me', '#text', '#to', '#send', '.message.own p', '.message p',
    '.message time', ...(isOpen ? [] : ['#banner'])]
  const read = [...inView, '.message header strong', '.message header em', '#online-title', 'label', '.hint', '.links a',
    'button']
  const seen = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility())
  const name = (each) => each.outerHTML.slice(0, 100)
  const list = document.querySelector('#messages').getBoundingClientRect()
  const isInView = (of, within = { left: 0, top: 0, right: innerWidth, bottom: innerHeight }) => of.left >= within.left &&
    of.right <= within.right && of.top >= within.top && of.bottom <= within.bottom + 1
  const text = document.querySelector('#text')
  const placeholder = contrast(text, '::placeholder')
  return [
    ...(document.documentElement.scrollWidth > innerWidth ? ['scrolls sideways'] : []),
    ...(isInView(document.querySelector('#messages > :last-child').getBoundingClientRect(), list)
      ? [] : ['the end is out of sight']),
    ...seen('#app *').filter((each) => each.getBoundingClientRect().right > innerWidth).map((each) => 'wide: ' + name(each)),
    ...inView.filter((selector) => !seen(selector).some((each) => isInView(each.getBoundingClientRect())))
      .map((selector) => 'out of sight: ' + selector),
    ...read.flatMap(seen).filter((each) => !each.disabled && contrast(each) < 4.5)
      .map((each) => 'hard to read, ' + contrast(each).toFixed(1) + ': ' + name(each)),
    ...(placeholder < 4.5 ? ['a placeholder that is hard to read: ' + placeholder.toFixed(1)] : []),
    ...(placeholder > contrast(text) / 1.5 ? ['a placeholder that looks like text: ' + placeholder.toFixed(1)] : [])
  ]
})()`

/** The page has been laid out for the size that it has now. */
const PAINTED = 'new Promise((r) => { requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(r))) })'

/** Of an element in the page, for which no types are here. */
interface Line {
  readonly classList: { contains (name: string): boolean }
  readonly firstElementChild: { readonly offsetHeight: number, checkVisibility (): boolean }
}

interface Visitor { readonly page: Page, readonly context: BrowserContext, readonly faults: string[] }

/** A person with a browser of their own, logged in and connected. */
async function enter (browser: Browser, url: string, name: string, path = ''): Promise<Visitor> {
  const context = await browser.newContext()
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => { faults.push(String(error)) })
  await page.goto(`${url}${path}`)
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: 'Enter' }).click()
  await connected(page)
  return { page, context, faults }
}

async function connected (page: Page): Promise<void> { await page.locator('#state[data-state=open]').waitFor() }

async function say (page: Page, text: string, to = ''): Promise<void> {
  await page.locator('#to').selectOption(to)
  await page.locator('#text').fill(text)
  await page.locator('#text').press('Enter')
}

async function read (page: Page, text: string, kind = 'message'): Promise<void> {
  await page.locator(`#messages .${kind}:not(.pending)`, { hasText: text }).waitFor()
}

/** The transports by which the user Ada is connected. */
async function transportsOf (url: string): Promise<string[]> {
  const login = await fetch(`${url}/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"name":"admin"}'
  })
  const { token } = await login.json() as { token: string }
  const answer = await fetch(`${url}/ws/stats/connections`, { headers: { authorization: `Bearer ${token}` } })
  const { items } = await answer.json() as { items: Array<{ userId: string, transport: string }> }
  return items.filter(({ userId }) => userId === 'ada').map(({ transport }) => transport)
}

async function until (t: Test, what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 50; i++) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.fail(what)
}

async function texts (page: Page): Promise<string[]> {
  return await page.locator('#messages .message:not(.pending) p').allTextContents()
}

/** A wire to the example that can be torn. */
async function startWire (t: Test, target: string): Promise<{ url: string, tear (): void }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const other = connect(Number(new URL(target).port), '127.0.0.1')
    for (const [from, to] of [[socket, other], [other, socket]] as const) {
      sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const tear = (): void => { for (const socket of sockets) socket.destroy() }
  t.teardown(() => {
    server.close()
    tear()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tear }
}

/** A page with two native EventSources, connected: one by cookie, one by ticket. */
async function readByEventSource (browser: Browser, url: string): Promise<Visitor & { streams: Locator[] }> {
  const visitor = await enter(browser, url, 'Eve', '/?room=garden')
  await visitor.page.goto(`${url}/eventsource.html`)
  const streams = ['cookie', 'ticket'].map((name) => visitor.page.locator(`section:has(#${name}-title)`))
  for (const stream of streams) await stream.locator('.state[data-state=open]').waitFor()
  return { ...visitor, streams }
}

/**
 * Drops the connection of a page, which plugs itself in again five seconds later: here it does when the test says so.
 *
 * @returns plugs it in
 */
async function drop (page: Page): Promise<() => Promise<void>> {
  const button = page.getByRole('button', { name: 'Drop my connection' })
  await button.evaluate((button) => {
    const { setTimeout: later } = globalThis
    const held = globalThis as unknown as { setTimeout: unknown, plugIn: () => void }
    held.setTimeout = (callback: () => void, ms: number) => {
      if (ms !== 5_000) return later(callback, ms)
      held.plugIn = callback
      return 0
    }
    ;(button as unknown as { click (): void }).click()
    held.setTimeout = later
  })
  return async () => { await page.evaluate(() => { (globalThis as unknown as { plugIn (): void }).plugIn() }) }
}

t.test('the example in a browser', { skip: skipWithoutChromium() }, async (t) => {
  const { url, stop } = await startExample(t, 'chat')
  const browser = await launchWindowless(t)
  const ada = await enter(browser, url, 'Ada')
  const bob = await enter(browser, url, 'Bob')

  await t.test('two pages exchange messages over WebSocket', async (t) => {
    for (const { page } of [ada, bob]) {
      await page.locator('#transport').selectOption('websocket')
      await connected(page)
    }
    await say(ada.page, 'Hello Bob')
    await read(bob.page, 'Hello Bob')
    await say(bob.page, 'Hello Ada')
    await read(ada.page, 'Hello Ada')
    t.same(await texts(ada.page), ['Hello Bob', 'Hello Ada'])
    t.same(await texts(bob.page), ['Hello Bob', 'Hello Ada'])
  })

  await t.test('the list of those online names both users, and each once for two tabs', async (t) => {
    const tab = await ada.context.newPage()
    await tab.goto(url)
    await tab.getByLabel('Your name').fill('Ada')
    await tab.getByRole('button', { name: 'Enter' }).click()
    await connected(tab)
    for (const { page } of [ada, bob]) {
      await page.locator('#online li', { hasText: 'Bob' }).waitFor()
      t.equal(await page.locator('#online li').count(), 2)
    }
    await tab.close()
  })

  await t.test('typing is shown to the others and not to oneself', async (t) => {
    await ada.page.locator('#text').pressSequentially('hm')
    await bob.page.locator('#typing', { hasText: 'Ada is typing' }).waitFor()
    t.equal(await ada.page.locator('#typing').textContent(), '')
    await ada.page.locator('#text').fill('')
  })

  await t.test('a direct message reaches its user and nobody else', async (t) => {
    const carl = await enter(browser, url, 'Carl')
    await ada.page.locator('#to option[value=bob]').waitFor({ state: 'attached' })
    await say(ada.page, 'only for Bob', 'bob')
    await read(bob.page, 'only for Bob', 'direct')
    await read(ada.page, 'only for Bob', 'direct')
    await say(ada.page, 'for all')
    await read(carl.page, 'for all')
    t.notOk((await texts(carl.page)).includes('only for Bob'))
    await carl.context.close()
  })

  await t.test('a page that comes later gets what was said before', async (t) => {
    const dora = await enter(browser, url, 'Dora')
    await read(dora.page, 'for all')
    t.same(await texts(dora.page), ['Hello Bob', 'Hello Ada', 'for all'])
    await dora.context.close()
  })

  await t.test('what others write stays text', async (t) => {
    await say(bob.page, '<img src=x onerror="document.title = 1"><b>bold</b>')
    await read(ada.page, '<b>bold</b>')
    t.equal(await ada.page.locator('#messages b, #messages img').count(), 0)
  })

  await t.test(
    'a REST call broadcasts to two WebSockets and to two native EventSources, by cookie and by ticket',
    async (t) => {
      const eve = await readByEventSource(browser, url)
      const { token } = await (await fetch(`${url}/login`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"Zoe"}'
      })).json() as { token: string }
      const answer = await fetch(`${url}/announce`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          authorization: `Bearer ${token}`
        },
        body: '{"text":"Tea is ready"}'
      })
      t.equal(answer.status, 200)
      for (const { page } of [ada, bob]) await read(page, 'Tea is ready', 'announcement')
      for (const stream of eve.streams) {
        await stream.locator('li', { hasText: '(announced) Zoe: Tea is ready' }).waitFor()
      }
      t.same(eve.faults, [])
      await eve.context.close()
      const refused = await fetch(`${url}/announce`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"text":"no"}'
      })
      t.equal(refused.status, 401)
    }
  )

  await t.test(
    'a native EventSource comes back after a break with what it missed, by cookie and with a fresh ticket',
    async (t) => {
      const wire = await startWire(t, url)
      const eve = await readByEventSource(browser, wire.url)
      await say(bob.page, 'before the break')
      for (const stream of eve.streams) await stream.locator('li', { hasText: 'before the break' }).waitFor()
      wire.tear()
      for (const stream of eve.streams) await stream.locator('.state[data-state=reconnecting]').waitFor()
      await say(bob.page, 'in the break')
      await read(bob.page, 'in the break')
      for (const stream of eve.streams) {
        await stream.locator('li', { hasText: 'in the break' }).waitFor()
        const said = await stream.locator('li').allTextContents()
        t.equal(new Set(said).size, said.length, 'nothing twice')
        t.same(said.slice(-2), ['Bob: before the break', 'Bob: in the break'])
      }
      await eve.context.close()
    }
  )

  await t.test('the button of the page announces to everybody', async () => {
    await ada.page.locator('#announcement').fill('The shop closes')
    await ada.page.getByRole('button', { name: 'POST /announce' }).click()
    for (const { page } of [ada, bob]) await read(page, 'The shop closes', 'announcement')
  })

  for (const transport of TRANSPORTS) {
    await t.test(
      `a dropped connection resumes over ${transport} with what was said meanwhile, and what was written is still there`,
      async (t) => {
        await ada.page.locator('#transport').selectOption(transport)
        await connected(ada.page)
        await until(t, `${transport} is in use`, async () => (await transportsOf(url)).includes(transport))
        const plugIn = await drop(ada.page)
        await ada.page.locator('#state[data-state=reconnecting]').waitFor()
        await say(bob.page, `during the break of ${transport}, 1`)
        await say(bob.page, `during the break of ${transport}, 2`)
        await read(bob.page, `during the break of ${transport}, 2`)
        await ada.page.locator('#text').fill(`written offline over ${transport}`)
        await ada.page.locator('#banner', { hasText: 'tries again by itself' }).waitFor()
        t.ok(await ada.page.locator('#send').isDisabled(), 'nothing can be sent meanwhile')
        await ada.page.locator('#text').press('Enter')
        await plugIn()
        await read(ada.page, `during the break of ${transport}, 2`)
        await connected(ada.page)
        t.equal(await ada.page.locator('#banner').textContent(), '')
        t.ok((await ada.page.locator('#state-text').textContent())?.endsWith(` by ${NAMES[transport]}`))
        t.equal(await ada.page.locator('#text').inputValue(), `written offline over ${transport}`)
        await ada.page.locator('#text').press('Enter')
        await read(bob.page, `written offline over ${transport}`)
        await ada.page.locator('#resume', { hasText: '2 messages were caught up' }).waitFor()
        await read(ada.page, `written offline over ${transport}`)
        for (const { page } of [ada, bob]) {
          const said = await texts(page)
          t.same(said.filter((text) => text.includes(transport)).sort(), [
            `during the break of ${transport}, 1`, `during the break of ${transport}, 2`,
            `written offline over ${transport}`
          ])
        }
      }
    )
  }

  await t.test('the links of the page lead somewhere', async (t) => {
    const hrefs = await ada.page.locator('.links a').evaluateAll((links) => links.map((link) => {
      return (link as unknown as { getAttribute (name: string): string }).getAttribute('href')
    }))
    for (const href of hrefs) {
      t.equal((await fetch(new URL(href, url), { headers: { accept: 'text/html,*/*;q=0.8' } })).status, 200, href)
    }
  })

  await t.test('the page fits, can be read and says how it is connected at every width, in light and in dark', async (t) => {
    for (const { page } of [ada, bob]) {
      await page.goto(`${url}/?room=garden`)
      await connected(page)
    }
    const { page } = ada
    await say(bob.page, 'Who waters the garden this week?')
    await read(page, 'Who waters the garden')
    await say(page, 'I do, on Monday and on Thursday.')
    await say(page, 'The roses had enough today.')
    await read(bob.page, 'The roses had enough')
    await say(bob.page, 'Thank you!')
    const hose = 'https://example.org/hoses/of-30-metres-with-a-reel-and-a-nozzle'
    await say(bob.page, `Then I come on Saturday, and bring the new hose: ${hose}`)
    await page.locator('#to option[value=bob]').waitFor({ state: 'attached' })
    await say(page, 'The key is under the third pot.', 'bob')
    await read(bob.page, 'third pot', 'direct')
    await page.locator('#to').selectOption('')
    await page.locator('.direct', { hasText: 'third pot' }).waitFor()
    await read(page, 'Then I come on Saturday')

    t.same(await page.locator('#messages .said').evaluateAll((lines) => lines.map((line) => {
      const { classList, firstElementChild: head } = line as unknown as Line
      return `${classList.contains('follows') ? 'follows' : 'begins'}, head ${head.checkVisibility() && head.offsetHeight > 0}`
    })), ['begins, head true', 'begins, head true', 'follows, head false', 'begins, head true', 'follows, head false'])

    if (SCREENSHOTS !== undefined) mkdirSync(SCREENSHOTS, { recursive: true })
    const look = async (what: string): Promise<void> => {
      for (const size of SIZES) {
        await page.setViewportSize(size)
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme })
          await page.evaluate(PAINTED)
          const at = `${what}-${size.width}-${colorScheme}`
          t.same(await page.evaluate(FAULTS), [], at)
          if (SCREENSHOTS !== undefined) await page.screenshot({ path: `${SCREENSHOTS}/${at}.png` })
        }
      }
    }
    const opacity = "Number(getComputedStyle(document.querySelector('#online')).opacity)"
    const opacityOfPresence = async (): Promise<number> => await page.evaluate(opacity)
    t.equal(await page.locator('#state-text').textContent(), 'Connected by WebSocket')
    t.equal(await opacityOfPresence(), 1)
    await look('chat')

    const plugIn = await drop(page)
    await page.locator('#state[data-state=reconnecting]').waitFor()
    t.ok(await page.locator('#send').isDisabled(), 'nothing can be sent')
    t.ok(await opacityOfPresence() < 0.7, 'who was online is greyed')
    t.equal(await page.locator('#online li').count(), 2)
    await look('reconnecting')
    await plugIn()
    await connected(page)
    t.equal(await opacityOfPresence(), 1)
    t.same([...ada.faults, ...bob.faults], [], 'no page has thrown')
  })

  await t.test('SIGTERM ends the process with status 0 although pages are connected', async (t) => {
    t.equal(await stop(), 0)
  })
})
