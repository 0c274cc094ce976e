import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { CLUSTER } from '../helpers/brokers.js'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/servers.js'
import { connect, declareChat, inbox, start, type Running } from '../helpers/net.js'

/** Two nodes with some members, as an admin finds them who may act. */
async function serve (t: Test): Promise<{ nodes: readonly [Running, Running], url: string, token: string }> {
  const { port } = await CLUSTER.start(t)
  const node = async (): Promise<Running> => await start(t, {
    adapter: CLUSTER.make(port),
    fastify: { forceCloseConnections: true },
    stats: { actions: true },
    declare: (app) => { app.room(inbox); declareChat(app) },
    capacity: 100
  })
  const nodes = [await node(), await node()] as const
  for (const [index, user] of ['ada', 'ada', 'bob', 'eve'].entries()) {
    const at = nodes[index % 2]!
    await connect(at, { rooms: ['chat/1', `chat/${user}`], token: at.token(user, {}, 600) })
  }
  for (const text of ['one', 'two']) await nodes[0].app.rooms.broadcast('chat/1', 'said', { text, by: 'app' })
  return { nodes, url: `${nodes[0].url}/ws/stats`, token: nodes[0].token('root', { role: 'admin' }, 600) }
}

/** What a keyboard can reach, in the order of the document, which is that of reading. */
const CONTROLS = `[...document.querySelectorAll('a[href], button:enabled, input:enabled, select:enabled, [tabindex="0"]')]
  .filter((each) => each.checkVisibility({ visibilityProperty: true }))`

/** Names a control, and says what is wrong with how it looks while it has the focus. */
const FOCUSED = `(() => {
  const each = document.activeElement
  if (each === null || each === document.body) return undefined
  const { left, right, top, bottom } = each.getBoundingClientRect()
  const { outlineStyle, outlineWidth, outlineOffset } = getComputedStyle(each)
  const faults = []
  if (!each.matches(':focus-visible') || outlineStyle === 'none' || parseFloat(outlineWidth) < 2) faults.push('no outline')
  if (left < 0 || top < -1 || right > innerWidth || bottom > innerHeight + 1 || right - left < 4) {
    faults.push('out of sight: ' + [left, top, right, bottom])
  }
  else {
    const shown = document.elementFromPoint((left + right) / 2, Math.min(bottom - 1, (top + bottom) / 2))
    // A link may go on in a second line.
    if (shown === null || !(each.contains(shown) || each.getClientRects().length > 1)) faults.push('covered by ' + shown?.outerHTML.slice(0, 80))
  }
  const edge = parseFloat(outlineWidth) + parseFloat(outlineOffset)
  for (let box = each.parentElement; box !== null && box !== document.body; box = box.parentElement) {
    if (getComputedStyle(box).overflowX === 'visible' || box.scrollWidth > box.clientWidth) continue
    const around = box.getBoundingClientRect()
    if (left - edge < around.left || right + edge > around.right) faults.push('its outline is cut by ' + box.className)
  }
  return { at: (${CONTROLS}).indexOf(each), name: each.outerHTML.slice(0, 90), left, top, bottom, faults }
})()`

/** What is animated, changes by and by, or scrolls smoothly: nothing may, where the system asks for it. */
const MOVING = `[document.documentElement, ...document.querySelectorAll('*')].flatMap((each) =>
    [undefined, '::before', '::after', ...(each.matches('dialog') ? ['::backdrop'] : [])].flatMap((part) => {
      const { animationName, animationDuration, transitionDuration, scrollBehavior } = getComputedStyle(each, part)
      const lasts = (text) => text.split(',').some((of) => parseFloat(of) > 0)
      return (animationName !== 'none' && lasts(animationDuration)) || lasts(transitionDuration) || scrollBehavior === 'smooth'
        ? [each.outerHTML.slice(0, 80)]
        : []
    })).concat(document.getAnimations().map(String))`

interface Focused {
  readonly at: number
  readonly name: string
  readonly left: number
  readonly top: number
  readonly bottom: number
  readonly faults: readonly string[]
}

/** Walks through the whole page by Tab, from its beginning, and returns where the focus was. */
async function walk (page: Page): Promise<Focused[]> {
  const found: Focused[] = []
  for (let each = 0; each < 300; each++) {
    await page.keyboard.press('Tab')
    const focused = await page.evaluate(FOCUSED) as Focused | undefined
    if (focused === undefined || focused.at === found[0]?.at) return found
    found.push(focused)
  }
  return found
}

const PLACES = (key: string): ReadonlyArray<readonly [what: string, hash: string, shows: RegExp]> => [
  ['overview', '', /Show this node/],
  ['rooms', '#rooms', /of \d+ rooms/],
  ['room', '#rooms/chat%2F1', /The newest first[^]*of 4 connections/],
  ['connections', '#connections', /of 4 connections/],
  ['user', '#users/ada', /of 2 connections/],
  ['connection', `#connections/${key}`, /last sign of life/],
  ['legend', '#legend', /meant/]
]

t.test('by keyboard and without motion', { skip: skipWithoutChromium(), timeout: 120_000 }, async (t) => {
  const { nodes, url, token } = await serve(t)
  const { items } = await (await fetch(`${url}/connections?sort=user`, {
    headers: { authorization: `Bearer ${token}`, accept: 'application/json' }
  })).json() as { items: Array<{ key: string }> }
  const places = PLACES(items[0]!.key)
  const browser = await launchWindowless(t)
  const context = await browser.newContext({ viewport: { width: 1_280, height: 800 }, reducedMotion: 'reduce' })
  await context.addInitScript(`sessionStorage.setItem('realtime-token', ${JSON.stringify(token)})`)
  const page = await context.newPage()
  const show = async (hash: string, shows: RegExp): Promise<void> => {
    // A document of its own, whose first Tab begins at its beginning.
    await page.goto('about:blank')
    await page.goto(`${url}${hash}`)
    await page.locator('#main').filter({ hasText: shows }).waitFor()
  }
  /** The page has read and shown its figures anew, lists and rooms included, which it reads every second time. */
  const looked = async (...paths: string[]): Promise<void> => {
    const read = Promise.all(['/nodes', ...paths].map(async (path) =>
      await page.waitForResponse((answer) => new URL(answer.url()).pathname.endsWith(path))))
    for (let each = 0; each < 2; each++) {
      const nodesRead = page.waitForResponse((answer) => new URL(answer.url()).pathname.endsWith('/nodes'))
      // As when its reader comes back to it, which is sooner than its next turn.
      await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
      await (await nodesRead).finished()
    }
    for (const answer of await read) await answer.finished()
    await page.evaluate('new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)) })')
  }
  /** The question is over: one that is only hidden has not given the focus back yet. */
  const over = async (): Promise<void> => { await page.locator('dialog').waitFor({ state: 'detached' }) }
  const active = async (): Promise<unknown> => await page.evaluate('document.activeElement.outerHTML')

  for (const width of [1_280, 390]) {
    await t.test(`at ${width} px Tab reaches each control of each page in the order in which it is read, and shows where it is`, async (t) => {
      await page.setViewportSize({ width, height: 800 })
      // A phone has another header, and lists without heads.
      const some = places.filter(([what]) => width > 1_000 || ['overview', 'room', 'legend'].includes(what))
      for (const [what, hash, shows] of some) {
        await show(hash, shows)
        const count = await page.evaluate(`${CONTROLS}.length`) as number
        const found = await walk(page)
        t.same(found.map(({ at }) => at), Array.from({ length: count }, (_, index) => index), `${what}: ${
          found.map(({ name }) => name).join('\n')}`)
        t.ok(count >= 7)
        if (width > 1_000) t.same(await page.evaluate(MOVING), [], `${what} does not move`)
        t.same(found.flatMap(({ name, faults }) => faults.map((fault) => `${fault}: ${name}`)), [], what)
      }
      await show('', /Show this node/)
      // Lines from above to below, and within a line from left to right.
      const boxes = await page.evaluate(`${CONTROLS}.filter((each) => each.closest('header')).map((each) => {
        const { left, top, bottom } = each.getBoundingClientRect()
        return [each.textContent, left, top, bottom]
      })`) as Array<[string, number, number, number]>
      for (const [index, [name, left, top, bottom]] of boxes.entries()) {
        const [before, leftBefore, topBefore, bottomBefore] = boxes[index - 1] ?? ['', 0, 0, 0]
        const isBelow = top >= bottomBefore - 1
        t.ok(isBelow || (left > leftBefore && bottom > topBefore), `${name} stands behind ${before}`)
      }
    })
  }

  await t.test('the first Tab leads past the header, and a new page has the focus on its heading', async (t) => {
    await page.setViewportSize({ width: 1_280, height: 800 })
    await show('', /Show this node/)
    await page.keyboard.press('Tab')
    t.match(await active(), /To the content/)
    await page.keyboard.press('Enter')
    t.equal(await page.evaluate('document.activeElement.id'), 'title')
    await page.getByRole('link', { name: 'Legend' }).press('Enter')
    // The focus moves in the turn in which the heading changes.
    await page.locator('#title').getByText('Legend').waitFor()
    t.equal(await page.evaluate('document.activeElement.id'), 'title')
  })

  await t.test('new figures leave the focus where it is', async (t) => {
    await show('#connections', /of 4 connections/)
    const second = page.getByRole('link', { name: 'ada', exact: true }).nth(1)
    await second.focus()
    const before = await active()
    await nodes[0].app.rooms.broadcast('chat/1', 'said', { text: 'more', by: 'app' })
    await looked('/connections')
    t.equal(await active(), before)
    t.equal(await page.evaluate("[...document.querySelectorAll('a[href=\"#users/ada\"]')].indexOf(document.activeElement)"), 1, 'of two links to one user the same')
    await show('#rooms/chat%2F1', /The newest first/)
    await page.getByRole('button', { name: 'Show data' }).press('Enter')
    await page.locator('pre').first().focus()
    const data = await active()
    await nodes[1].app.rooms.broadcast('chat/1', 'said', { text: 'three', by: 'app' })
    await looked('/room')
    await page.locator('pre').nth(3).waitFor()
    t.equal(await active(), data, 'of an event that has moved down')
    await show('', /Show this node/)
    const look = page.getByRole('button', { name: 'Show this node' }).first()
    await look.press('Enter')
    t.match(await active(), /Show all nodes/, 'a button that has changed its word')
    await page.keyboard.press('Enter')
    t.match(await active(), /Show this node/)
  })

  await t.test('a question keeps the focus until it is over, and gives it back to where it came from', async (t) => {
    for (const [hash, shows, button, stops] of [
      [`#connections/${items[0]!.key}`, /last sign of life/, 'Disconnect', ['Cancel', 'Disconnect']],
      ['#users/bob', /of 1 connection/, 'Revoke access', ['', 'Cancel', 'Revoke']],
      ['', /Show this node/, 'Drain', ['', 'Cancel']]
    ] as const) {
      await show(hash, shows)
      const opener = page.getByRole('button', { name: button }).first()
      await opener.focus()
      const from = await active()
      await page.keyboard.press('Enter')
      await page.getByRole('dialog').waitFor()
      t.equal(await page.evaluate('document.activeElement.textContent'), 'Cancel', `${button}: the way out has the focus`)
      t.equal(await page.evaluate("document.querySelector('dialog').matches(':modal')"), true)
      const seen = new Set<string>()
      for (let each = 0; each < 2 * stops.length + 2; each++) {
        await page.keyboard.press(each % 5 === 4 ? 'Shift+Tab' : 'Tab')
        const at = await page.evaluate(`(() => {
          const { activeElement: each } = document
          return each === document.body ? undefined : [each.closest('dialog') !== null, each.matches('button') ? each.textContent : '']
        })()`) as [boolean, string] | undefined
        if (at === undefined) continue
        t.equal(at[0], true, `${button}: the focus stays within`)
        seen.add(at[1])
      }
      t.same([...seen].sort(), [...stops].sort(), `${button}: each of its controls is reached`)
      // The page below goes on, and makes its parts anew.
      await looked()
      // A node that was slow to answer has no button until it does.
      await until('its button', async () => (await page.locator('main').innerHTML()).includes(String(from)))
      await page.keyboard.press('Escape')
      await over()
      t.equal(await active(), from, `${button}: the focus is back`)
    }
  })

  await t.test('a question whose button is gone gives the focus to the heading', async (t) => {
    await show('', /Show this node/)
    await page.getByRole('button', { name: 'Drain' }).first().press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.route('**/nodes', async (route) => {
      const answer = await route.fetch()
      const { items, ...rest } = await answer.json() as { items: Array<{ node: string }> }
      await route.fulfill({ json: { ...rest, items: items.map(({ node }) => ({ node, isAnswering: false })) } })
    })
    await looked()
    // Each node, because a slow one may have said so before, and the opener is of another.
    await until('no button', async () => await page.locator('main').getByText('Drain').count() === 0)
    await page.keyboard.press('Escape')
    await over()
    t.equal(await page.evaluate('document.activeElement.id'), 'title')
    await page.unroute('**/nodes')
  })

  await t.test('a question does not move either, and what does elsewhere is found', async (t) => {
    await show('#users/bob', /of 1 connection/)
    await page.getByRole('button', { name: 'Revoke access' }).press('Enter')
    await page.getByRole('dialog').waitFor()
    t.same(await page.evaluate(MOVING), [])
    await page.emulateMedia({ reducedMotion: 'no-preference' })
    await show('', /Show this node/)
    t.not((await page.evaluate(MOVING) as unknown[]).length, 0)
  })
})
