import { mkdirSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import realtime, { defineRoom, type RealtimeOptions } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'

const chat = defineRoom('chat/:id', { events: { said: Type.Object({ text: Type.String() }) } })

/** `SCREENSHOTS=/a/folder` keeps a picture of each, to be looked at. */
const { SCREENSHOTS } = process.env

interface Stats {
  node: string
  connections: { total: number, max: number, slots: number, capacityPercent: number }
  users: number
  rooms: { active: number }
  events: { bytesOut: number }
}
interface Nodes { readonly items: ReadonlyArray<{ node: string, stats: Stats }> }
interface List { readonly total: number, readonly items: readonly object[] }

const A_LONG_NAME = 'a-user-whose-id-is-the-e-mail-address.of-a-long-name@'.padEnd(120, 'department.')
const A_LONG_ROOM = `chat/${'a-room-that-is-named-by-what-is-said-in-it.'.repeat(3)}${'x'.repeat(60)}`

/** What the routes of the page answer with, made of what a node with three connections says. */
interface Situation {
  readonly nodes?: (of: Nodes) => object
  readonly list?: (of: List) => object
  /** Whether the routes fail once the page has been shown: by an answer, or by none. */
  readonly fails?: 'answer' | 'none'
  /** What has to stand on the overview, and on the list of connections. */
  readonly overview: RegExp
  readonly connections: RegExp
}

function many ({ node, stats }: Nodes['items'][number], index: number): object {
  const name = `${node.slice(0, -1)}${index}`
  const connections = { ...stats.connections, total: 10_000, max: 12_000, slots: 10_000, capacityPercent: 83.3 }
  return {
    node: name,
    isAnswering: true,
    stats: {
      ...stats,
      node: name,
      connections,
      users: 9_876,
      rooms: { ...stats.rooms, active: 123_456 },
      // Of three nodes some 170 KiB a second, a figure of the longest ones.
      events: { ...stats.events, bytesOut: Math.round(performance.now() * 60) }
    }
  }
}

const rows = ({ items: [row] }: List): object[] => Array.from({ length: 50 }, (_, index) => ({
  ...row,
  key: `node.${index}`,
  userId: index === 7 ? A_LONG_NAME : `user-${index}`,
  address: '2001:db8:85a3:8d3:1319:8a2e:370:7348',
  age: 8_640_000_000,
  latency: 12_345.6,
  bytesIn: 123_456_789_012,
  bytesOut: 987_654_321_098
}))

const SITUATIONS: Readonly<Record<string, Situation>> = {
  three: { overview: /connections3/, connections: /1–3 of 3 connections/ },
  'thirty thousand on three nodes': {
    nodes: ({ items: [item] }) => ({ items: [1, 2, 3].map((index) => many(item!, index)) }),
    list: (of) => ({ items: rows(of), total: 30_000, next: 'more', silent: [] }),
    overview: /connections30.000.*rooms370,368added up over 3 nodes.*sent1\d\d\.\d.KiB\/s/,
    connections: /1–50 of 30.000 connections/
  },
  'a node that does not answer': {
    nodes: ({ items: [item] }) => ({
      items: [{ ...item, isAnswering: true }, { node: 'silent-node', isAnswering: false, since: 75_000 }]
    }),
    list: (of) => ({ ...of, silent: [{ node: 'silent-node', since: 75_000 }] }),
    overview: /does not answer/,
    connections: /silent-node does not answer/
  },
  'a node of another version, which sends few of its figures': {
    nodes: ({ items: [item] }) => ({
      items: [
        item!,
        { node: 'older', isAnswering: true, stats: { node: 'older', api: { shop: { published: 7 } }, closes: null } },
        { node: 'oldest', isAnswering: true }
      ]
    }),
    overview: /connections33 % of 100.*older\u2713 fineconnections\u2013 of \u2013.*version\u2013.*oldest\u2713 fine.*shop70/,
    connections: /1–3 of 3 connections/
  },
  empty: {
    nodes: ({ items: [item] }) => ({
      items: [{
        ...item,
        stats: {
          ...item!.stats,
          users: 0,
          connections: { ...item!.stats.connections, total: 0, slots: 0, capacityPercent: 0 }
        }
      }]
    }),
    list: () => ({ items: [], total: 0, silent: [] }),
    overview: /connections0/,
    connections: /There are no connections/
  },
  'an error': { fails: 'answer', overview: /The adapter has failed/, connections: /The adapter has failed/ },
  away: { fails: 'none', overview: /The server does not answer/, connections: /The server does not answer/ }
}

/** What can be used has a name, every picture a text, every field a label, and headings follow each other. */
const FAULTS = `(() => {
  const seen = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility())
  const named = (each) => each.getAttribute('aria-label') || each.getAttribute('aria-labelledby') || each.labels?.length ||
    each.textContent.trim()
  const levels = seen('h1, h2, h3, h4').map((each) => Number(each.tagName[1]))
  // A figure or a word of a closed set that stands on two lines is read as two.
  const linesOf = (each) => {
    const range = document.createRange()
    range.selectNodeContents(each)
    return new Set([...range.getClientRects()].map(({ bottom }) => Math.round(bottom / 8))).size
  }
  const isList = document.querySelector('.listing thead')?.getBoundingClientRect().left > 0
  const broken = [...seen('.card b'), ...(isList ? seen('td.whole, td.number') : [])].filter((each) => linesOf(each) > 1)
  const wide = seen('body *').filter((each) => each.getBoundingClientRect().right > innerWidth + 1 &&
    !each.closest('.scroll, [tabindex="0"], svg') && getComputedStyle(each).position !== 'absolute')
  // What hides the rest of its text, what stands outside of the page, and a table that has to be moved on a large screen.
  const cut = seen('body *').filter((each) => !each.closest('svg, .skip') && (
    (each.scrollWidth > each.clientWidth + 1 && ['hidden', 'clip'].includes(getComputedStyle(each).overflowX)) ||
    (each.getBoundingClientRect().left < -1 && each.getBoundingClientRect().width > 0) ||
    (each.matches(innerWidth > 1_200 ? '.scroll, .users' : '.users') && each.scrollWidth > each.clientWidth + 1)))
  return [
    ...cut.map((each) => 'cut off: ' + each.outerHTML.slice(0, 100)),
    ...broken.map((each) => 'broken: ' + each.textContent),
    ...seen('button, a, input, select, [role]:not([role=status], [role=alert]), table, section, nav, dialog')
      .filter((each) => !named(each))
      .map((each) => 'without a name: ' + each.outerHTML.slice(0, 100)),
    ...seen('svg, img').filter((each) => each.closest('[aria-hidden=true], [aria-label]') === null)
      .map((each) => 'without a text: ' + each.outerHTML.slice(0, 100)),
    ...levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1).map((level) => 'a heading leaps to ' + level),
    ...(document.documentElement.scrollWidth > innerWidth
      ? ['scrolls sideways: ' + wide.slice(0, 3).map((each) => each.outerHTML.slice(0, 100)).join(' ')] : []),
    ...(document.documentElement.lang === '' ? ['no language'] : []),
    ...(seen('main, [role=main]').length === 1 ? [] : ['no main part'])
  ]
})()`

/** The page has been laid out for the size that it has now, charts included, which follow a frame later. */
const PAINTED = 'new Promise((r) => { requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(r))) })'

t.test('the page fits and has its names at every width, in light and in dark, whatever it has to show', {
  skip: skipWithoutChromium(),
  timeout: 240_000
}, async (t) => {
  const { url } = await serve(t)
  const browser = await launchWindowless(t)
  const context = await browser.newContext({ reducedMotion: 'reduce' })
  await context.addInitScript("sessionStorage.setItem('realtime-token', 'scrape-me')")
  for (const [what, situation] of Object.entries(SITUATIONS)) {
    const page = await context.newPage()
    const state = { isFailing: false }
    await answering(page, url, situation, state)
    for (const [place, text] of [['', situation.overview], ['#connections', situation.connections]] as const) {
      state.isFailing = false
      await page.goto('about:blank')
      await page.goto(`${url}${place}`)
      await page.locator('#main').waitFor()
      state.isFailing = situation.fails !== undefined
      const body = page.locator('body')
      await body.filter({ hasText: text }).waitFor({ timeout: 20_000 }).catch(async () => {
        t.match(await body.textContent(), text)
      })
      await everywhere(t, page, `${what}, ${place === '' ? 'overview' : 'connections'}`)
    }
    await page.close()
  }
})

/** The views below the overview, of long names, and what has to stand there before it is looked at. */
const VIEWS: Readonly<Record<string, { readonly hash: (key: string) => string, readonly text: RegExp }>> = {
  rooms: { hash: () => '#rooms', text: /1\u20131 of 1 room/ },
  room: {
    hash: () => `#rooms/${encodeURIComponent(A_LONG_ROOM)}`,
    text: /Present users3 users.*The newest first.*3 connections/
  },
  user: { hash: () => `#users/${encodeURIComponent(A_LONG_NAME)}`, text: /Revoke access.*1\u20131 of 1 connection/ },
  connection: { hash: (key) => `#connections/${key}`, text: /Disconnect.*last sign of life.*1 room/ },
  legend: { hash: () => '#legend', text: /a newer value of the same key/ }
}

t.test('rooms, a room, a user, a connection and the legend fit at every width, in light and in dark', {
  skip: skipWithoutChromium(),
  timeout: 120_000
}, async (t) => {
  const { app, url } = await serve(t, { stats: { actions: true } }, [A_LONG_NAME, 'bob', 'eve'], A_LONG_ROOM)
  for (const text of ['short', 'x'.repeat(3_000)]) await app.rooms.broadcast(A_LONG_ROOM, 'said', { text })
  const token = app.jwt.sign({ sub: 'root', role: 'admin' }, { expiresIn: 600 })
  const { items } = (await app.inject({
    url: '/ws/stats/connections?search=address.of',
    headers: { authorization: `Bearer ${token}`, accept: 'application/json' }
  })).json<{ items: Array<{ key: string }> }>()
  const browser = await launchWindowless(t)
  const context = await browser.newContext({ reducedMotion: 'reduce' })
  await context.addInitScript(`sessionStorage.setItem('realtime-token', ${JSON.stringify(token)})`)
  const page = await context.newPage()
  for (const [what, { hash, text }] of Object.entries(VIEWS)) {
    await page.goto('about:blank')
    await page.goto(`${url}${hash(items[0]!.key)}`)
    const main = page.locator('#main')
    await main.filter({ hasText: text }).waitFor({ timeout: 20_000 }).catch(async () => {
      t.match(await main.textContent(), text)
    })
    if (what === 'room') {
      await page.getByRole('button', { name: 'Show data' }).click()
      await page.locator('pre').first().waitFor()
    }
    await everywhere(t, page, what)
  }
})

t.test('in a long list and in a large room nobody gets lost', { skip: skipWithoutChromium() }, async (t) => {
  const { url } = await serve(t)
  const browser = await launchWindowless(t)
  const context = await browser.newContext({ reducedMotion: 'reduce', viewport: { width: 1_280, height: 800 } })
  await context.addInitScript("sessionStorage.setItem('realtime-token', 'scrape-me')")
  const page = await context.newPage()
  await answering(page, url, SITUATIONS['thirty thousand on three nodes']!, { isFailing: false })
  const topOf = async (selector: string): Promise<number> =>
    await page.evaluate(`document.querySelector('${selector}').getBoundingClientRect().top`) as number

  await page.goto(`${url}#connections`)
  const next = page.getByRole('button', { name: 'Next' })
  await next.scrollIntoViewIfNeeded()
  t.ok(await topOf('.listing') < 0, 'the beginning of the list is out of sight')
  await next.click()
  await page.getByText('51\u2013100 of').waitFor()
  await page.evaluate(PAINTED)
  t.ok(await topOf('.listing') >= 0, 'who turns a page at its end begins the next one at its beginning')

  await page.goto(`${url}#rooms`)
  await page.getByText('1\u20131 of 1 room; one that is on several nodes stands here once for each').waitFor()

  await page.route(`${url}/room?**`, async (route) => {
    const nodes = [{ node: 'a', members: 300 }]
    await route.fulfill({
      json: { name: 'chat/1', definition: 'chat/:id', nodes, silent: [], presence: { total: 300 }, events: [] }
    })
  })
  await page.goto(`${url}#rooms/chat%2F1`)
  await page.getByText('300 users, too many to list: the connections below can be searched').waitFor()
  await page.getByText('No event is kept.').waitFor()
  t.equal(await page.getByRole('table', { name: 'last events' }).isVisible(), false, 'there is no head without a body')
})

/** Looks for faults of what the page shows at every width, in light and in dark. */
async function everywhere (t: Test, page: Page, what: string): Promise<void> {
  if (SCREENSHOTS !== undefined) mkdirSync(SCREENSHOTS, { recursive: true })
  for (const width of [390, 768, 1_280, 1_920]) {
    await page.setViewportSize({ width, height: 900 })
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.evaluate(PAINTED)
      const at = `${what}, ${width} px, ${colorScheme}`
      t.same(await page.evaluate(FAULTS), [], at)
      if (SCREENSHOTS !== undefined) {
        await page.screenshot({ path: `${SCREENSHOTS}/${at.replaceAll(/[ ,]+/g, '-')}.png`, fullPage: true })
      }
    }
  }
}

async function serve (
  t: Test,
  options: RealtimeOptions = {},
  users = ['ada', 'bob', 'eve'],
  room = 'chat/1'
): Promise<{ app: FastifyInstance, url: string }> {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  await app.register(realtime, {
    jwt: { secret: 'stats' }, stats: { token: 'scrape-me' }, capacity: 100, heartbeat: 600_000, ...options
  })
  app.room(chat, { presence: room !== 'chat/1' })
  await app.listen({ port: 0, host: '127.0.0.1' })
  for (const sub of users) {
    await createPeer(app, { room, token: app.jwt.sign({ sub }, { expiresIn: 3_600 }) })
  }
  return { app, url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/ws/stats` }
}

/** Stands between the page and its node. */
async function answering (
  page: Page,
  url: string,
  { nodes, list, fails }: Situation,
  state: { isFailing: boolean }
): Promise<void> {
  await page.route(`${url}/**`, async (route) => {
    const asked = new URL(route.request().url())
    const path = asked.pathname.slice('/ws/stats'.length)
    if (/\.(js|css)$/.test(path)) return await route.continue()
    if (state.isFailing && fails === 'none') return await route.abort()
    if (state.isFailing) return await route.fulfill({ status: 503, json: { message: 'the adapter has failed' } })
    // The node itself has one page, the first.
    asked.searchParams.delete('after')
    const answer = await route.fetch({ url: asked.href })
    const json = await answer.json() as Nodes & List
    const change = path === '/nodes' ? nodes : path === '/connections' ? list : undefined
    await route.fulfill({ response: answer, json: { ...json, ...change?.(json) } })
  })
}
