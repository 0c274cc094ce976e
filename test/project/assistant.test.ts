import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { createPeer } from 'fastify-realtime/testing'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { startExample } from '../helpers/example.js'
import { matchList } from '../helpers/match-list.js'

const LAST_WORD = 'costs money.'

async function open (browser: Browser, url: string): Promise<{ page: Page, faults: string[] }> {
  const page = await (await browser.newContext()).newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => { faults.push(String(error)) })
  await page.goto(url)
  await page.locator('#state[data-state=open]').waitFor()
  return { page, faults }
}

async function ask (page: Page, text: string): Promise<void> {
  await page.locator('#text').fill(text)
  await page.getByRole('button', { name: 'Ask' }).click()
  await page.locator('.answer').last().waitFor()
}

const textOf = async (page: Page): Promise<string> => await page.locator('.answer').last().textContent() ?? ''
const endOf = async (page: Page): Promise<string | null> => await page.locator('.answer').last().getAttribute('data-end')

/** Waits until an answer grows on the page. */
async function grows (page: Page, by = 40): Promise<number> {
  const before = (await textOf(page)).length
  await until('it grows', async () => (await textOf(page)).length >= before + by)
  return before + by
}

t.test('the assistant in a browser', { skip: skipWithoutChromium() }, async (t) => {
  const { url, stop } = await startExample(t, 'ai')
  const browser = await launchWindowless(t)

  await t.test('goes on after a reload, and shows the same in a second tab and on a slow link', async (t) => {
    const { page, faults } = await open(browser, url)
    await ask(page, 'What is a reliable stream?')
    const seen = await grows(page)
    const here = page.url()
    const [second, slow] = [await open(browser, here), await open(browser, `${here}&transport=slow`)]
    await page.reload()
    await until('what it had', async () => (await textOf(page)).length >= seen)
    for (const each of [page, second.page, slow.page]) {
      await until('the end of the answer', async () => await endOf(each) === 'done')
      t.match(await textOf(each), /^You asked: “What is a reliable stream\?”/)
      t.equal(await textOf(each), await textOf(page))
    }
    t.same([faults, second.faults, slow.faults], [[], [], []])
    t.match(await page.locator('.question').textContent(), /reliable/)
  })

  await t.test('stops from another tab', async (t) => {
    const { page } = await open(browser, url)
    await ask(page, 'Say much')
    await grows(page)
    const second = await open(browser, page.url())
    await second.page.getByRole('button', { name: 'Stop' }).click()
    for (const each of [page, second.page]) {
      await until('it has stopped', async () => await endOf(each) === 'stopped')
      t.notMatch(await textOf(each), LAST_WORD)
    }
    t.equal(await second.page.getByRole('button', { name: 'Stop' }).isVisible(), false)
  })

  await t.test('shows why an answer ends of which the model has failed', async (t) => {
    const { page } = await open(browser, url)
    await ask(page, 'fail')
    await until('it has failed', async () => await endOf(page) === 'failed')
    t.equal(await page.locator('.answer').last().getAttribute('data-why'), 'the source of the text failed')
    t.equal(await page.getByRole('button', { name: 'Stop' }).isVisible(), false)
  })

  await t.test('stops by REST, for its own conversation only', async (t) => {
    const { page } = await open(browser, url)
    await ask(page, 'Say much')
    const chat = new URL(page.url()).searchParams.get('chat')!
    const answer = (await page.locator('.answer').last().getAttribute('id'))!.replace('answer-', '')
    const remove = async (as: string): Promise<number> => {
      const login = await fetch(`${url}/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ chat: as })
      })
      const { token } = await login.json() as { token: string }
      return (await fetch(`${url}/chats/${chat}/answers/${answer}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${token}` }
      })).status
    }
    t.equal(await remove('somebody-else'), 403)
    t.equal(await remove(chat), 204)
    await until('it has stopped', async () => await endOf(page) === 'stopped')
  })

  await t.test('ends its answers when the server closes, and says so', async (t) => {
    const { page } = await open(browser, url)
    await ask(page, 'Say much')
    await grows(page)
    t.equal(await stop(), 0)
    await until('it has ended', async () => await endOf(page) === 'failed')
    t.equal(await page.locator('.answer').last().getAttribute('data-why'), 'the server is shutting down')
  })
})

t.test('the plain page of the guide: an answer grows, is still there after a reload, and stops', {
  skip: skipWithoutChromium()
}, async (t) => {
  const { url } = await startExample(t, 'ai/plain.ts')
  const page = await (await (await launchWindowless(t)).newContext()).newPage()
  page.on('pageerror', (error) => { t.fail(String(error)) })
  await page.goto(url)
  await page.getByLabel('Question').fill('What is a reliable stream?')
  await page.getByRole('button', { name: 'Ask' }).click()
  const length = async (): Promise<number> => (await page.locator('section p').textContent() ?? '').length
  await until('the answer grows', async () => await length() > 40)
  const seen = await length()
  await page.reload()
  await until('it goes on', async () => await length() > seen)
  t.equal(await page.locator('section h2').textContent(), 'What is a reliable stream?')
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'hidden' })
  t.notMatch(await page.locator('section p').textContent(), LAST_WORD)
  t.equal(await page.locator('section small').textContent(), 'Stopped.')
  await page.getByLabel('Question').fill('fail')
  await page.getByRole('button', { name: 'Ask' }).click()
  await until('it says that the model has failed', async () =>
    await page.locator('section small').last().textContent() === 'The answer ends here: the source of the text failed.')
  t.equal(await page.getByRole('button', { name: 'Stop' }).isVisible(), false)
})

t.test('the plain page of the guide offers Stop before the first word of an answer for which another tab has asked', {
  skip: skipWithoutChromium()
}, async (t) => {
  const { buildApp } = await import('../../example/ai/app.ts' as string) as { buildApp (): Promise<FastifyInstance> }
  const app = await buildApp()
  t.teardown(() => app.close())
  app.get('/', async (_request, reply) => {
    return await reply.type('text/html').send(readFileSync(new URL('../../example/ai/plain.html', import.meta.url), 'utf8'))
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const page = await (await (await launchWindowless(t)).newContext()).newPage()
  page.on('pageerror', (error) => { t.fail(String(error)) })
  await page.goto(url)
  const room = `assistant/${await page.evaluate('localStorage.chat') as string}`
  await until('the page is in the room', async () => (await app.rooms.connections({ room })).total === 1)
  const writer = await app.rooms.stream(room, 'answer', { id: 'one' })
  await app.rooms.broadcast(room, 'asked', { answer: 'one', question: 'What is a reliable stream?' })
  await page.getByRole('button', { name: 'Stop' }).click()
  await until('it is stopped', () => writer.signal.aborted)
  await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'hidden' })
  t.equal(await page.locator('section small').textContent(), 'Stopped.')
})

t.test('a server of the guide logs a model that fails, and no answer that is stopped or that a shutdown ends', async (t) => {
  const lines: Array<Record<string, unknown>> = []
  const stream = { write: (line: string) => { lines.push(JSON.parse(line) as Record<string, unknown>) } }
  const { buildApp } = await import('../../example/ai/app.ts' as string) as {
    buildApp (options: object): Promise<FastifyInstance>
  }
  const app = await buildApp({ logger: { level: 'error', stream } })
  t.teardown(() => app.close())
  const chat = 'conversation'
  const token = app.jwt.sign({ sub: chat }, { expiresIn: '1m' })
  await app.ready()
  const peer = await createPeer(app, { room: `assistant/${chat}`, token })
  const endOfAnswer = async (): Promise<unknown> => {
    for (;;) {
      const { end } = await peer.next('answer') as { end?: unknown }
      if (end !== undefined) return end
    }
  }
  peer.send({ type: 'ask', room: `assistant/${chat}`, id: '1', data: { question: 'Say much' } })
  const { answer } = (await peer.next('ack')).data as { answer: string }
  // Before its first word, too.
  peer.send({ type: 'stop', room: `assistant/${chat}`, id: '2', data: { answer } })
  t.match(await endOfAnswer(), { code: 'cancelled' })
  peer.send({ type: 'ask', room: `assistant/${chat}`, id: '3', data: { question: 'fail' } })
  t.match(await endOfAnswer(), { code: 'internal' })
  await until('it is logged', () => lines.length > 0)
  matchList(t, lines, [{ level: 50, msg: 'an answer has failed', err: { message: 'the model is out of order' } }])
  peer.send({ type: 'ask', room: `assistant/${chat}`, id: '4', data: { question: 'Say much' } })
  await peer.next('ack')
  await app.close()
  t.equal(lines.length, 1, JSON.stringify(lines))
})
