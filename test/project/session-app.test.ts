import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { connectWithCookie } from '../../example/readme/node-cookie.js'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { startProgram } from '../helpers/example.js'

/** The app and the page of docs/guides/cookies-and-sessions.md, as they stand there. */
const APP = ['example/docs/sessions/app.js']

const JSON_TYPE = { 'content-type': 'application/json' }

async function post (url: string, data: object, sid?: string): Promise<Response> {
  const headers = { ...JSON_TYPE, ...sid === undefined ? {} : { cookie: `sid=${sid}` } }
  return await fetch(url, { method: 'POST', headers, body: JSON.stringify(data) })
}

/** Logs in. @returns the value of the cookie */
async function login (url: string, user: string, password: string): Promise<string> {
  const answer = await post(`${url}/login`, { user, password })
  return /^sid=([\w-]{43});/.exec(answer.headers.get('set-cookie')!)![1]!
}

/** A browser's tabs share its cookies; another call is another browser. */
async function visitor (t: Test, browser: Browser, url: string): Promise<() => Promise<Page>> {
  const context = await browser.newContext()
  t.teardown(async () => { await context.close() })
  return async () => {
    const page = await context.newPage()
    page.on('pageerror', (error) => { t.fail(String(error)) })
    await page.goto(url)
    return page
  }
}

async function enter (page: Page, user: string, password: string): Promise<void> {
  await page.getByLabel('Your name').fill(user)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Log in' }).click()
}

t.test('the routes of the app with sessions ask for the session of the link, and end with its logout', async (t) => {
  const { url } = await startProgram(t, APP)
  const pin = async (sid?: string): Promise<number> => (await post(`${url}/boards/7/pins`, { text: 'x' }, sid)).status
  const verdict = async (sid: string): Promise<number> =>
    (await fetch(`${url}/ws/boards/7?verdict=1`, { headers: { cookie: `sid=${sid}` } })).status
  t.equal((await post(`${url}/login`, { user: 'ada', password: 'wrong' })).status, 401)
  t.equal((await post(`${url}/logout`, {})).status, 401)
  t.same([await pin(), await pin('a guess')], [401, 401])
  const [ada, eve] = [await login(url, 'ada', 'engine'), await login(url, 'eve', 'apple')]
  t.same([await pin(ada), await pin(eve)], [200, 403])
  t.same([await verdict(ada), await verdict(eve)], [200, 403])
  t.equal((await post(`${url}/logout`, {}, ada)).status, 200)
  t.same([await pin(ada), await verdict(ada)], [401, 401], 'the cookie opens nothing any more')
  t.equal(await pin(await login(url, 'ada', 'engine')), 200, 'a new login counts at once')
})

t.test('a link of a session that is renewed in time stays open behind its first end', async (t) => {
  const { url } = await startProgram(t, APP, { SESSION_LIFE: '4000' })
  const sid = await login(url, 'ada', 'engine')
  const client = connectWithCookie(url, `sid=${sid}`)
  t.teardown(() => { client.close() })
  const states: string[] = []
  client.on('state', ({ state }) => { states.push(String(state)) })
  await client.join('boards/7').joined
  // An end is kept for some 5 s more, so the first one is over behind nine seconds.
  for (const end = performance.now() + 12_000; performance.now() < end;) {
    t.equal((await post(`${url}/renew`, {}, sid)).status, 200)
    await new Promise((resolve) => { setTimeout(resolve, 1_000) })
  }
  t.same(states, ['open'])
})

t.test('the page with sessions, in a browser', { skip: skipWithoutChromium() }, async (t) => {
  const browser = await launchWindowless(t)

  await t.test('a logout leads all tabs of its session to the login, and no other session', async (t) => {
    const { url } = await startProgram(t, APP)
    const [ofAda, elsewhere] = [await visitor(t, browser, url), await visitor(t, browser, url)]
    const first = await ofAda()
    await enter(first, 'ada', 'engine')
    const [second, other] = [await ofAda(), await elsewhere()]
    await enter(other, 'ada', 'engine')
    for (const page of [first, second, other]) await page.getByRole('button', { name: 'Pin' }).waitFor()
    await first.getByLabel('Text').fill('tea at four')
    await first.getByRole('button', { name: 'Pin' }).click()
    for (const page of [first, second, other]) await page.locator('#pins li', { hasText: 'ada: tea at four' }).waitFor()
    await second.getByRole('button', { name: 'Log out' }).click()
    for (const page of [first, second]) {
      await page.getByRole('button', { name: 'Log in' }).waitFor()
      t.equal(await page.locator('#board').isVisible(), false)
    }
    t.equal((await post(`${url}/boards/7/pins`, { text: 'still here' }, await login(url, 'bob', 'ladder'))).status, 200)
    await other.locator('#pins li', { hasText: 'bob: still here' }).waitFor()
  })

  await t.test('a session whose time is over leads to the login, and a new login to the board', async (t) => {
    const { url } = await startProgram(t, APP, { SESSION_LIFE: '3000' })
    const page = await (await visitor(t, browser, url))()
    await enter(page, 'ada', 'engine')
    await page.getByRole('button', { name: 'Pin' }).waitFor()
    await page.getByRole('button', { name: 'Log in' }).waitFor()
    await enter(page, 'ada', 'engine')
    await page.getByRole('button', { name: 'Pin' }).waitFor()
  })
})
