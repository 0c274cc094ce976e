import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Type } from '@sinclair/typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import realtime, { defineRoom } from '../../lib/index.js'
import { createPeer } from '../../lib/testing/index.js'
import { builtPage } from '../../scripts/build-page.mjs'
import { launchChromium, skipWithoutChromium } from '../helpers/chromium.js'

const chat = defineRoom('chat/:id', { events: { said: Type.Object({ text: Type.String() }) } })

async function start (t: Test): Promise<{ app: FastifyInstance, url: string, user: string }> {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(async () => { await app.close() })
  await app.register(realtime, { jwt: { secret: 'stats' }, stats: { token: 'scrape-me' }, capacity: 100 })
  app.room(chat)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/ws/stats`,
    user: app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 })
  }
}

t.test('the page that is served is built from the files that it is written in', async (t) => {
  const built = readFileSync(new URL('../../lib/stats/dashboard/built.ts', import.meta.url), 'utf8')
  t.equal(built, await builtPage(), 'run npm run build, and commit what it made')
})

t.test(
  'a browser without a credential is sent the page, which holds no data and runs nothing but itself',
  async (t) => {
    const { app, user } = await start(t)
    await createPeer(app, { room: 'chat/secret-room', token: user })
    const { statusCode, headers, body } = await app.inject({
      url: '/ws/stats',
      headers: { accept: 'text/html,*/*;q=0.8' }
    })
    t.equal(statusCode, 200)
    t.match(headers, {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      vary: 'Accept, Authorization'
    })
    t.notMatch(body, /secret-room/)
    t.notMatch(body, /https?:|src=/, 'nothing is loaded from anywhere')
    const policy = String(headers['content-security-policy'])
    t.match(policy, /^default-src 'none';/)
    t.notMatch(policy, /unsafe/)
    for (const name of ['script', 'style']) {
      const text = new RegExp(`<${name}>([^]*?)</${name}>`).exec(body)![1]!
      t.ok(
        policy.includes(`${name}-src 'sha256-${createHash('sha256').update(text).digest('base64')}'`),
        `${name} is the one that the policy names`
      )
    }
  }
)

t.test(
  'the page shows the figures to who gives a token, keeps them fresh, and stops asking when it is refused',
  { skip: skipWithoutChromium() },
  async (t) => {
    const { app, url, user } = await start(t)
    let asked = 0
    app.server.on('request', ({ headers }) => { if (headers.accept === 'application/json') asked++ })
    for (let i = 0; i < 21; i++) {
      await createPeer(app, {
        room: `chat/${i}`,
        token: i < 20 ? user : app.jwt.sign({ sub: 'bob' }, { expiresIn: 60 })
      })
    }
    const browser = await launchChromium(t)
    const page = await browser.newPage({ viewport: { width: 390, height: 844 } })
    const errors: string[] = []
    page.on('pageerror', ({ message }) => { errors.push(message) })
    page.on('console', (line) => { if (/Content.Security/i.test(line.text())) errors.push(line.text()) })
    await page.goto(url)
    await page.getByText('Give an admin').waitFor()
    t.equal(await page.locator('#main').isVisible(), false)

    await page.fill('#token', 'wrong')
    await page.keyboard.press('Enter')
    await page.locator('#state.bad').waitFor()
    const before = asked
    await page.waitForTimeout(2_500)
    t.equal(asked, before, 'a refused token is not tried again by itself')

    await page.fill('#token', 'scrape-me')
    await page.keyboard.press('Enter')
    await page.getByText('1–20 of 21').waitFor()
    t.match(await page.locator('#cards').textContent(), /connections2121 % of 100users2on this node/)
    t.match(await page.locator('#state').textContent(), /^accepting · node .* adapter memory/)
    await page.getByRole('button', { name: 'Next' }).click()
    await page.getByText('21–21 of 21').waitFor()
    t.match(await page.locator('#rooms').textContent(), /chat\/20/)

    await createPeer(app, { room: 'chat/20', token: app.jwt.sign({ sub: 'eve' }, { expiresIn: 60 }) })
    await page.getByText('22 % of 100').waitFor()
    t.equal(
      await page.evaluate('document.documentElement.scrollWidth > innerWidth'),
      false,
      'no sideways scrolling at 390 px'
    )

    await page.reload()
    await page.getByText('22 % of 100').waitFor()
    t.notMatch(page.url(), /scrape-me/)
    t.same(errors, [])
  }
)
