import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import realtime, { defineRoom, type RealtimeOptions } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { builtPage } from '../../scripts/build-page.mjs'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/servers.js'

const chat = defineRoom('chat/:id', { events: { said: Type.Object({ text: Type.String() }) } })
const STYLE = readFileSync(new URL('../../lib/stats/dashboard/page/style.css', import.meta.url), 'utf8')

interface Running {
  readonly app: FastifyInstance
  readonly url: string
  readonly tokenOf: (sub: string, claims?: object) => string
}

async function start (t: Test, options: RealtimeOptions = {}): Promise<Running> {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  await app.register(realtime, {
    jwt: { secret: 'stats' },
    stats: { token: 'scrape-me', actions: true },
    limits: { user: { connections: 100, then: 'reject' } },
    capacity: 100,
    ...options
  })
  app.room(chat)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/ws/stats`,
    tokenOf: (sub, claims = {}) => app.jwt.sign({ sub, ...claims }, { expiresIn: 60 })
  }
}

t.test('the page that is served is built from the files that it is written in', async (t) => {
  const built = readFileSync(new URL('../../lib/stats/dashboard/built.ts', import.meta.url), 'utf8')
  t.equal(built, await builtPage(), 'run npm run build, and commit what it made')
})

t.test('the page holds no data and no code, and names its own two files by a nonce of this answer', async (t) => {
  const { app, tokenOf } = await start(t)
  await createPeer(app, { room: 'chat/secret-room', token: tokenOf('ada') })
  const nonces = new Set<string>()
  const base = 'stats/'
  for (let i = 0; i < 2; i++) {
    const { statusCode, headers, body } = await app.inject({ url: '/ws/stats', headers: { accept: 'text/html,*/*;q=0.8' } })
    t.equal(statusCode, 200)
    t.match(headers, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      vary: 'Accept, Authorization'
    })
    t.notMatch(body, /secret-room|https?:|<script>|<style| on\w+=/, 'nothing is inline, nothing is from elsewhere')
    const policy = String(headers['content-security-policy'])
    const nonce = /script-src 'nonce-([\w-]{22})'/.exec(policy)![1]!
    nonces.add(nonce)
    t.equal(policy, `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`)
    t.ok(body.includes(`<script src="${base}dashboard.js" defer nonce="${nonce}">`))
    t.ok(body.includes(`href="${base}dashboard.css" nonce="${nonce}"`))
  }
  t.equal(nonces.size, 2, 'a nonce is used once')
  for (const [name, type] of [['dashboard.js', 'text/javascript'], ['dashboard.css', 'text/css']]) {
    const { headers, body } = await app.inject(`/ws/stats/${name}`)
    t.match(headers, {
      'content-type': `${type}; charset=utf-8`,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff'
    })
    t.notMatch(body, /secret-room/)
  }
})

/** Relative luminance as WCAG 2.2 defines it. */
function luminanceOf (colour: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrastOf (a: string, b: string): number {
  const [light, dark] = [luminanceOf(a), luminanceOf(b)].sort((x, y) => y - x) as [number, number]
  return (light + 0.05) / (dark + 0.05)
}

/** What stands on what, and the contrast that WCAG AA asks for: 4.5 of text, 3 of lines that mean something. */
const PAIRS: ReadonlyArray<readonly [front: string, grounds: readonly string[], least: number]> = [
  ['text', ['ground', 'panel', 'accent-soft'], 4.5],
  ['quiet', ['ground', 'panel', 'accent-soft'], 4.5],
  ['accent', ['ground', 'panel', 'accent-soft'], 4.5],
  ['good', ['ground', 'panel'], 4.5],
  ['warn', ['panel', 'warn-soft'], 4.5],
  ['bad', ['ground', 'panel', 'bad-soft'], 4.5],
  ['panel', ['accent', 'text'], 4.5],
  ['edge', ['ground', 'panel'], 3]
]

t.test('every colour has the contrast of WCAG AA on what it stands on, in light and in dark', async (t) => {
  const colours = new Map([...STYLE.matchAll(/--([\w-]+): light-dark\((#[\da-f]{6}), (#[\da-f]{6})\)/g)]
    .map(([, name, light, dark]) => [name!, [light!, dark!] as const]))
  for (const [front, grounds, least] of PAIRS) {
    for (const ground of grounds) {
      for (const index of [0, 1] as const) {
        const contrast = contrastOf(colours.get(front)![index], colours.get(ground)![index])
        t.ok(contrast >= least, `${front} on ${ground}, ${index === 0 ? 'light' : 'dark'}: ${contrast.toFixed(2)}`)
      }
    }
  }
  const known = new Set(PAIRS.flatMap(([front, grounds]) => [front, ...grounds]))
  // Lines between rows are ornament.
  t.same([...colours.keys()].filter((name) => !known.has(name) && name !== 'line'), [], 'no colour is left out')
  const rules = STYLE.replace(/--[\w-]+: light-dark\([^)]*\);/g, '')
  t.same(rules.match(/#[\da-f]{3,8}\b(?!-)/gi), ['#0009'], 'no rule has a colour of its own but the veil behind a dialog')
})

/** Names of what can be used and of what is drawn, as a screen reader is told them: none of them may be empty. */
const NAMELESS = `[...document.querySelectorAll('button, a, input, select, [role], table, section, nav, dialog')]
  .filter((each) => each.checkVisibility() && !(each.getAttribute('aria-label') || each.textContent.trim() || each.labels?.length ||
    each.getAttribute('aria-labelledby')))
  .map((each) => each.outerHTML.slice(0, 120))`

/** What a screen reader reads out by itself, each time that it changes. */
const READ_OUT = `[...document.querySelectorAll('[role=status], [role=alert], [aria-live], output')]
  .filter((each) => each.checkVisibility()).map((each) => each.textContent).join('|')`

async function fits (page: Page): Promise<unknown> {
  return await page.evaluate('document.documentElement.scrollWidth <= innerWidth')
}

t.test('in a browser', { skip: skipWithoutChromium() }, async (t) => {
  const browser = await launchWindowless(t)
  const errors: string[] = []
  const openPage = async (url: string, width = 390, session?: string): Promise<Page> => {
    const context = await browser.newContext({ viewport: { width, height: 844 }, reducedMotion: 'reduce' })
    if (session !== undefined) await context.addCookies([{ name: 'session', value: session, url }])
    const page = await context.newPage()
    page.on('pageerror', ({ message }) => { errors.push(message) })
    page.on('console', (line) => { if (/Content.Security/i.test(line.text())) errors.push(line.text()) })
    await page.goto(url)
    return page
  }
  const shown = async (page: Page, text: string): Promise<void> => { await page.getByText(text).first().waitFor() }

  await t.test('the page shows figures to who gives a token, and asks no more once it is refused', async (t) => {
    const { app, url, tokenOf } = await start(t)
    let asked = 0
    app.server.on('request', ({ headers }) => { if (headers.accept === 'application/json') asked++ })
    for (let i = 0; i < 51; i++) await createPeer(app, { room: `chat/${i}`, token: tokenOf(i < 50 ? 'ada' : 'bob') })
    const page = await openPage(url)
    await shown(page, 'Sign in')
    t.equal(await page.locator('#main').isVisible(), false)
    await page.fill('#token', 'wrong')
    await page.keyboard.press('Enter')
    await shown(page, 'a valid credential is needed')
    const before = asked
    await page.waitForTimeout(2_500)
    t.equal(asked, before, 'a refused token is not tried again by itself')

    await page.fill('#token', 'scrape-me')
    await page.keyboard.press('Enter')
    await page.locator('.cards').getByText('51 % of 100').waitFor()
    t.match(await page.locator('.cards').textContent(), /connections5151 % of 100users2on this node/)
    t.equal(await page.getByText('Drain').count(), 0, 'who may only look is shown no action')
    await createPeer(app, { room: 'chat/20', token: tokenOf('eve') })
    await page.locator('.cards').getByText('52 % of 100').waitFor()
    t.match(await page.evaluate(READ_OUT), /^node \S+ · adapter memory · (nothing over its threshold|\d findings?)$/,
      'neither the time nor any figure that changes by itself is read out')
    t.equal(await fits(page), true, 'no sideways scrolling')
    for (const width of [320, 768, 2_560]) {
      await page.setViewportSize({ width, height: 900 })
      t.equal(await fits(page), true, `nor at ${width} px`)
    }
    t.same(await page.evaluate(NAMELESS), [])

    await page.reload()
    await page.locator('.cards').getByText('52 % of 100').waitFor()
    t.notMatch(page.url(), /scrape-me/)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await shown(page, 'Sign in')
    t.same(await page.evaluate('sessionStorage.length'), 0)
  })

  await t.test('a reader goes from a list to a user, a connection and a room by keyboard', async (t) => {
    const { app, url, tokenOf } = await start(t)
    for (let i = 0; i < 60; i++) await createPeer(app, { room: `chat/${i % 3}`, token: tokenOf(`user-${100 + i}`) })
    await app.rooms.broadcast(chat.at({ id: '0' }), 'said', { text: '<b>a secret</b>' })
    const page = await openPage(url, 1_280)
    await page.fill('#token', tokenOf('root', { role: 'admin' }))
    await page.keyboard.press('Enter')
    await page.getByRole('link', { name: 'Connections' }).focus()
    await page.keyboard.press('Enter')
    await shown(page, '1\u201350 of 60 connections')
    t.equal(await page.evaluate('document.activeElement.id'), 'title', 'the focus goes to the heading of the new page')
    // The second click comes before the answer to the first.
    await page.getByRole('button', { name: 'Next' }).evaluate((button) => { for (let i = 0; i < 2; i++) (button as { click (): void }).click() })
    await shown(page, '51\u201360 of 60 connections')
    await page.getByRole('button', { name: 'user' }).press('Enter')
    await page.locator('tbody tr').first().getByText('user-159').waitFor()
    t.equal(await page.locator('th[aria-sort]').getAttribute('aria-sort'), 'descending')
    await page.getByRole('searchbox').fill('USER-103')
    await shown(page, '1\u20131 of 1 connection')
    t.same(await page.evaluate(NAMELESS), [])
    await page.locator('tbody a').first().press('Enter')
    await shown(page, 'User user-103')
    await page.locator('tbody a').first().press('Enter')
    await shown(page, 'last sign of life')
    t.match(await page.locator('.facts').textContent(), /transportwebsocket.*latency.*lag0.B.*in.*out/)
    await page.getByRole('link', { name: 'chat/0' }).press('Enter')
    await shown(page, 'Last events')
    await page.locator('td.data').getByText('hidden').waitFor()
    t.notMatch(await page.locator('#place').textContent(), /secret/)
    await page.getByRole('button', { name: 'Show data' }).press('Enter')
    await page.locator('pre').getByText('{"text":"<b>a secret</b>"}').waitFor()
    t.equal(await page.locator('pre b').count(), 0, 'data is text, never markup')
    await page.getByRole('link', { name: 'Legend' }).press('Enter')
    await shown(page, 'a newer value of the same key')
    t.equal(await fits(page), true)
  })

  await t.test('who is signed in by a cookie acts after a question, and sees when the server is away', async (t) => {
    const auth = { carriers: ['header' as const, 'cookie' as const], cookie: 'session' }
    const { app, url, tokenOf } = await start(t, { auth, origins: 'same' })
    const peer = await createPeer(app, { room: 'chat/1', token: tokenOf('bob') })
    const page = await openPage(`${url}#users/bob`, 768, tokenOf('root', { role: 'admin' }))
    await page.getByRole('link', { name: /^#\d+$/ }).click()
    await page.getByRole('button', { name: 'Disconnect' }).click()
    t.same(await page.evaluate(NAMELESS), [])
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Cancel', 'the focus is on the way out')
    await page.keyboard.press('Escape')
    t.equal(await page.getByRole('dialog').count(), 0)
    t.ok(app.rooms.isAccepting())
    t.match(await app.rooms.stats(), { connections: { total: 1 } }, 'nothing was done')
    let asked = false
    let answer = (): void => undefined
    await page.route('**/actions', async (route) => {
      asked = true
      await new Promise<void>((resolve) => { answer = resolve })
      await route.fulfill({ status: 503, json: { message: 'the adapter is away' } })
    })
    await page.getByRole('button', { name: 'Disconnect' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
    await until('it is asked', () => asked)
    await page.keyboard.press('Escape')
    answer()
    await page.locator('#told').getByText('Disconnect has failed: the adapter is away').waitFor()
    await page.unroute('**/actions')
    await page.getByRole('button', { name: 'Disconnect' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
    t.match((await peer.next('error')).data, { code: 'unavailable' })
    await shown(page, 'This connection has ended.')
    await page.evaluate("location.hash += '000'")
    await shown(page, 'There is no such connection; it has ended.')
    t.equal(await page.locator('#place .panel:visible').count(), 0, 'no panel stands there empty')

    await page.getByRole('link', { name: 'Overview' }).click()
    const chart = page.getByRole('slider', { name: 'Connections, over time' })
    await chart.focus()
    await page.keyboard.press('Home')
    t.match(await chart.getAttribute('aria-valuetext'), /^\d\d:\d\d:\d\d: [01] open$/, 'keys read the chart')
    await page.getByRole('button', { name: 'Drain' }).click()
    const drain = page.getByRole('dialog').getByRole('button', { name: 'Drain' })
    t.equal(await drain.isDisabled(), true, 'its name has to be typed')
    await page.getByRole('dialog').getByRole('textbox').fill(String((await app.rooms.stats()).node))
    await drain.click()
    await page.locator('.alerts .bad').getByText('accepts no connections').waitFor()
    await app.close()
    await page.locator('#state.bad').getByText('The server does not answer. The figures are of').waitFor()
  })
  t.same(errors, [])
})
