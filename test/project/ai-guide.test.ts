import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import { MockLanguageModelV4 } from 'ai/test'
import { build } from 'esbuild'
import type { FastifyInstance } from 'fastify'
import { createPeer } from 'fastify-realtime/testing'
import type { Page } from 'playwright-core'
import t from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'

const FOLDER = new URL('../../example/ai-sdk/', import.meta.url)
/** How often the model says the same sentences. */
const TIMES = 4

t.test('the page of the guide to the AI SDK', { skip: skipWithoutChromium() }, async (t) => {
  // No module of Node is in what the page imports: the build would fail.
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('main.tsx', FOLDER))],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
    write: false
  })
  const { buildApp } = await import(new URL('app.ts', FOLDER).href) as {
    buildApp (model: unknown): Promise<FastifyInstance>
  }
  const { model } = await import(new URL('model.ts', FOLDER).href) as { model: unknown }
  const app = await buildApp(model)
  t.teardown(() => app.close())
  app.get('/', async (_request, reply) => {
    return await reply.type('text/html').send(readFileSync(new URL('index.html', FOLDER), 'utf8').replace('.tsx', '.js'))
  })
  app.get('/main.js', async (_request, reply) => await reply.type('text/javascript').send(outputFiles[0]!.text))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const page = await (await (await launchWindowless(t)).newContext()).newPage()
  page.on('pageerror', (error) => { t.fail(String(error)) })
  await page.goto(url)

  const ask = async (text: string): Promise<void> => {
    await page.getByLabel('Question').fill(text)
    await page.getByRole('button', { name: 'Ask' }).click()
  }
  const lines = async (of: Page = page): Promise<string[]> => await of.locator('main p').allTextContents()
  const said = async (of: Page = page): Promise<number> => ((await lines(of)).at(-1) ?? '').split('press Stop').length - 1

  for (const [index, question] of ['first?', 'second?'].entries()) {
    await t.test(`shows what was said before and goes on with its answer, when it is loaded again in the middle (${question})`, async (t) => {
      await ask(question)
      await until('the answer grows', async () => (await lines()).length === index * 2 + 2 && await said() > 0)
      await page.reload()
      await until('the whole answer', async () => await said() === TIMES)
      const all = await lines()
      t.equal(all.length, index * 2 + 2)
      t.equal(all.at(-2), question)
    })
  }

  await t.test('shows an answer that ends between the load of its messages and its join', async (t) => {
    await ask('third?')
    await until('the answer grows', async () => (await lines()).length === 6 && await said() > 0)
    const chat = await page.evaluate('localStorage.chat') as string
    const token = (await app.inject({ method: 'POST', url: '/login', payload: { chat } })).json<{ token: string }>().token
    const kept = async (): Promise<unknown[]> => {
      return (await app.inject({ url: '/messages', headers: { authorization: `Bearer ${token}` } })).json<unknown[]>()
    }
    await page.route('**/messages', async (route) => {
      const response = await route.fetch()
      t.equal((await response.json() as unknown[]).length, 5, 'loaded without the answer')
      await until('the answer has ended', async () => (await kept()).length === 6)
      await route.fulfill({ response })
    }, { times: 1 })
    await page.reload()
    await until('the whole answer', async () => (await lines()).length === 6 && await said() === TIMES)
  })

  await t.test('stops an answer that it has gone on with, and keeps what was said of it', async (t) => {
    await ask('fourth?')
    await until('the answer grows', async () => (await lines()).length === 8 && await said() > 0)
    await page.reload()
    await until('it goes on', async () => (await lines()).length === 8 && await said() > 0)
    await page.getByRole('button', { name: 'Stop' }).click()
    await page.locator('button:enabled', { hasText: 'Ask' }).waitFor()
    t.ok(await said() < TIMES, 'not all of it')
    await page.reload()
    await until('the questions', async () => (await lines()).includes('fourth?'))
    t.equal((await lines()).filter((line) => line.endsWith('?')).length, 4)
  })
})

/** A model that goes on until it is stopped; asked to break, it throws in the middle of its stream. */
const endless = new MockLanguageModelV4({
  doStream: async ({ prompt }) => {
    let left = JSON.stringify(prompt).includes('break') ? 3 : Infinity
    return {
      stream: new ReadableStream({
        start (controller) { controller.enqueue({ type: 'text-start', id: 't' }) },
        async pull (controller) {
          await delay(20)
          if (left-- === 0) controller.error(new Error('the model is out of order'))
          else controller.enqueue({ type: 'text-delta', id: 't', delta: 'word ' })
        }
      })
    }
  }
})

t.test('the server of the guide lets one answer of a chat grow at a time, logs a model that breaks, and no answer that is stopped', async (t) => {
  const logged: Array<Record<string, unknown>> = []
  const stream = { write: (line: string) => { logged.push(JSON.parse(line) as Record<string, unknown>) } }
  const { buildApp } = await import(new URL('app.ts', FOLDER).href) as {
    buildApp (model: unknown, options: object): Promise<FastifyInstance>
  }
  const app = await buildApp(endless, { logger: { level: 'error', stream } })
  t.teardown(() => app.close())
  await app.ready()
  const chat = 'conversation'
  const token = app.jwt.sign({ sub: chat }, { expiresIn: '1m' })
  const room = `ai/${chat}`
  const peer = await createPeer(app, { room, token })
  const ask = (id: string, text: string): void => {
    peer.send({ type: 'ask', room, id, data: { messages: [{ id, role: 'user', parts: [{ type: 'text', text }] }] } })
  }
  const endOfAnswer = async (): Promise<unknown> => {
    for (;;) {
      const { end } = await peer.next('answer') as { end?: unknown }
      if (end !== undefined) return end
    }
  }
  ask('1', 'go on')
  const { answer } = (await peer.next('ack')).data as { answer: string }
  ask('2', 'at once')
  t.match(await peer.next('error'), { id: '2', data: { code: 'answering' } })
  peer.send({ type: 'stop', room, id: '3', data: { answer } })
  t.match(await endOfAnswer(), { code: 'cancelled' })
  ask('4', 'break')
  t.match(await endOfAnswer(), { code: 'internal' })
  await until('it is logged', () => logged.length > 0)
  matchList(t, logged, [{ level: 50, msg: 'an answer has failed', err: { message: 'the model is out of order' } }])
  const kept = await app.inject({ url: '/messages', headers: { authorization: `Bearer ${token}` } })
  matchList(t, kept.json(), [{ role: 'user' }, { role: 'assistant', parts: [{}, { type: 'text', text: 'word word word ' }] }])
})
