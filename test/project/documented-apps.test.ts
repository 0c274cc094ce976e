import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { run } from '../../scripts/matrix/run.js'
import { ROOT } from '../../scripts/matrix/tarball.js'
import { openMessages } from '../../example/support/database.js'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { blocksOf, PAGES } from '../helpers/documents.js'
import { startProgram, type Example } from '../helpers/example.js'
import { matchList } from '../helpers/match-list.js'

const SECRET = 'a secret of the tutorial, long enough'
const PAGES_OF_STEPS = PAGES.filter((page) => /^docs\/tutorial\/[1-6]-/.test(page))
const PACKAGES = ['fastify', '@fastify/jwt', '@sinclair/typebox', '@types/node', 'node-sqlite3-wasm', 'close-with-grace']

/** A tab of its own: pages of one browser share nothing here. */
async function tab (t: Test, browser: Browser, url: string): Promise<Page> {
  const context = await browser.newContext()
  t.teardown(async () => { await context.close() })
  const page = await context.newPage()
  page.on('pageerror', (error) => { t.fail(String(error)) })
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) t.fail(message.text())
  })
  await page.goto(url)
  return page
}

const PASSWORDS = { ada: 'engine', bob: 'ladder', grace: 'sesame' }

async function enter (page: Page, name: keyof typeof PASSWORDS, password = PASSWORDS[name]): Promise<Page> {
  await page.getByLabel('Your name').fill(name)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Enter' }).click()
  return page
}

async function say (page: Page, text: string): Promise<void> {
  await page.getByLabel('Message', { exact: true }).fill(text)
  await page.getByRole('button', { name: 'Send' }).click()
}

/** Milliseconds in which a page that lost its server has tried again: its longest pause is 20 s. */
const BACK = 40_000

/** Waits until the list has exactly these lines. */
async function lines (page: Page, ...texts: string[]): Promise<void> {
  const read = async (): Promise<string[]> => await page.locator('#list li').allTextContents()
  for (const end = performance.now() + BACK; performance.now() < end;) {
    const found = await read()
    if (found.length === texts.length && texts.every((text, at) => found[at]!.includes(text))) return
    await page.waitForTimeout(100)
  }
  throw new Error(`${JSON.stringify(await read())} in place of ${JSON.stringify(texts)}`)
}

t.test('who is killed while it writes locks nobody out of the database, and what was stored is there', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'killed-'))
  t.teardown(async () => { await rm(directory, { recursive: true }) })
  const path = join(directory, 'support.db')
  const { output } = await run(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', `
    import sqlite from 'node-sqlite3-wasm'
    import { openMessages } from './example/support/database.ts'
    const messages = openMessages('${path}')
    messages.add({ customer: 'ada', by: 'ada', text: 'stored' }, 'x')
    const writer = new sqlite.Database('${path}')
    writer.exec('BEGIN EXCLUSIVE')
    writer.run("UPDATE message SET text = 'half done'")
    process.kill(process.pid, 'SIGKILL')`], { cwd: ROOT })
  t.ok(existsSync(`${path}.lock`), `its lock is left: ${output}`)
  const messages = openMessages(path)
  matchList(t, messages.of('ada'), [{ text: 'stored' }])
  messages.add({ customer: 'ada', by: 'ada', text: 'and on' }, 'y')
  t.same(messages.of('ada').map(({ text }) => text), ['stored', 'and on'])
  messages.close()
})

t.test('the app of the README, and the support chat of the tutorial', { skip: skipWithoutChromium() }, async (t) => {
  const browser = await launchWindowless(t)
  const directory = await mkdtemp(join(tmpdir(), 'support-'))
  t.teardown(async () => { await rm(directory, { recursive: true }) })
  const variables = (name: string): Record<string, string> =>
    ({ DATABASE: join(directory, `${name}.db`), JWT_SECRET: SECRET })

  const modules = join(directory, 'node_modules')
  for (const scope of ['@fastify', '@sinclair', '@types']) await mkdir(join(modules, scope), { recursive: true })
  await symlink(ROOT, join(modules, 'fastify-realtime'))
  for (const name of PACKAGES) await symlink(`${ROOT}node_modules/${name}`, join(modules, name))
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }')

  /** Starts a step as who follows the tutorial has it: the whole files of its page, over those of the pages before. */
  const startStep = async (t: Test, step: number, more: Record<string, string> = {}): Promise<Example> => {
    const folder = join(directory, `step ${step}`)
    await mkdir(folder, { recursive: true })
    for (const { quoted, text } of PAGES_OF_STEPS.slice(0, step).flatMap(blocksOf)) {
      if (quoted?.includes('#') !== false) continue
      const [, inFolder = basename(quoted)] = /\/(public\/.+)$/.exec(quoted) ?? []
      await mkdir(dirname(join(folder, inFolder)), { recursive: true })
      await writeFile(join(folder, inFolder), text)
    }
    const main = join(folder, step === 6 ? 'server.ts' : 'app.ts')
    return await startProgram(t, ['--import', 'tsx', main], { ...variables(`${step}`), ...more })
  }

  await t.test('README: the app, copied out of it into a folder with what it installs, lets two tabs talk', async (t) => {
    const app = blocksOf('README.md').find(({ language }) => language === 'js')!.text
    await writeFile(join(directory, 'app.mjs'), app)
    const { url } = await startProgram(t, [join(directory, 'app.mjs')])
    const [ada, bob] = [await tab(t, browser, 'about:blank'), await tab(t, browser, 'about:blank')]
    for (const [page, name] of [[ada, 'ada'], [bob, 'bob']] as const) {
      page.on('dialog', (dialog) => { void dialog.accept(name) })
      await page.goto(url)
    }
    for (const [from, to, text] of [[ada, bob, 'hello'], [bob, ada, 'hello too']] as const) {
      await say(from, text)
      await to.getByText(text, { exact: false }).last().waitFor()
    }
    t.same(await ada.locator('li').allTextContents(), ['ada: hello', 'bob: hello too'])
  })

  await t.test('step 1: what one tab says, both tabs show', async (t) => {
    const { url } = await startStep(t, 1)
    const ada = await tab(t, browser, `${url}/?name=ada`)
    const grace = await tab(t, browser, `${url}/?name=grace`)
    await say(ada, 'hello')
    await lines(grace, 'ada: hello')
    await say(grace, 'how are you?')
    await lines(ada, 'ada: hello', 'grace: how are you?')
  })

  await t.test('step 2: an agent enters each conversation, a customer the own one only', async (t) => {
    const { url } = await startStep(t, 2)
    const stranger = await enter(await tab(t, browser, url), 'ada', 'a guess')
    await stranger.getByText('wrong name or password').waitFor()
    const ada = await enter(await tab(t, browser, url), 'ada')
    const grace = await tab(t, browser, `${url}/?customer=ada`)
    await enter(grace, 'grace', 'wrong')
    await grace.getByText('wrong name or password').waitFor()
    await enter(grace, 'grace')
    await say(grace, 'what is it?')
    await lines(ada, 'grace: what is it?')
    const bob = await enter(await tab(t, browser, `${url}/?customer=ada`), 'bob')
    await bob.getByText('forbidden').waitFor()
  })

  await t.test('step 3: what was said is in the database', async (t) => {
    const { url, stop } = await startStep(t, 3)
    const ada = await enter(await tab(t, browser, url), 'ada')
    await say(ada, 'keep this')
    await lines(ada, 'ada: keep this')
    await stop()
    const messages = openMessages(variables('3').DATABASE!)
    matchList(t, messages.of('ada'), [{ id: 1, customer: 'ada', by: 'ada', text: 'keep this' }])
    const add = (): object => messages.add({ customer: 'ada', by: 'ada', text: 'twice' }, 'x')
    t.same(add(), add(), 'what is sent again is stored once')
    messages.close()
  })

  await t.test('step 4: a page that is loaded again, and one that lost its server, have each line once', async (t) => {
    const first = await startStep(t, 4)
    const ada = await enter(await tab(t, browser, first.url), 'ada')
    await say(ada, 'one')
    await lines(ada, 'one')
    const other = await enter(await tab(t, browser, first.url), 'ada')
    await lines(other, 'one')
    await first.stop()
    await say(ada, 'two')
    await ada.getByLabel('Message').press('Enter')
    t.same(await ada.locator('#pending li').allTextContents(), ['two'], 'a second Enter sends nothing')
    await startStep(t, 4, { PORT: new URL(first.url).port })
    await say(ada, 'three')
    await lines(ada, 'one', 'two', 'three')
    await lines(other, 'one', 'two', 'three')
    await ada.locator('#pending li').waitFor({ state: 'detached' })
    const bob = await enter(await tab(t, browser, `${first.url}/?customer=ada`), 'bob')
    await bob.getByText('forbidden: not allowed').waitFor()
    // An uncaught error would have come by the next turn of the page, and fail the test.
    await bob.evaluate('0')
  })

  for (const step of [5, 6]) {
    await t.test(`step ${step}: an agent finds the conversation at the desk, and each sees the other`, async (t) => {
      const { url } = await startStep(t, step)
      const grace = await enter(await tab(t, browser, url), 'grace')
      const ada = await enter(await tab(t, browser, url), 'ada')
      await say(ada, 'it is broken')
      await grace.getByRole('button', { name: /it is broken/ }).click()
      await lines(grace, 'it is broken')
      await ada.getByText('grace (agent)').waitFor()
      await grace.getByLabel('Message', { exact: true }).pressSequentially('w')
      await ada.getByText('grace is typing').waitFor()
      await say(grace, 'which one?')
      await lines(ada, 'it is broken', 'which one?')
      const post = async (path: string, body: object, more: Record<string, string> = {}): Promise<Response> =>
        await fetch(`${url}${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...more },
          body: JSON.stringify(body)
        })
      const { token } = await (await post('/login', { name: 'bob', password: 'ladder' })).json() as { token: string }
      const mail = async (customer: string): Promise<Response> => await post(`/conversations/${customer}`, {
        text: 'by mail'
      }, { authorization: `Bearer ${token}`, 'idempotency-key': 'mail 7' })
      t.same(await (await mail('bob')).json(), await (await mail('bob')).json(), 'what is sent again is stored once')
      t.equal((await mail('ada')).status, 403)
      await grace.getByRole('button', { name: /by mail/ }).waitFor()
      await enter(await tab(t, browser, url), 'grace')
        .then((later) => later.getByRole('button', { name: /which one/ }).waitFor())
      if (step === 5) return
      for (const width of [390, 768, 1_280]) {
        await grace.setViewportSize({ width, height: 800 })
        t.equal(await grace.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, `it fits ${width} pixels`)
      }
    })
  }

  await t.test('step 5: what is written without a link reaches its conversation, where another one is opened meanwhile', async (t) => {
    const more = { DATABASE: join(directory, 'switched.db') }
    const first = await startStep(t, 5, more)
    const [ada, bob] = [await enter(await tab(t, browser, first.url), 'ada'), await enter(await tab(t, browser, first.url), 'bob')]
    const grace = await enter(await tab(t, browser, first.url), 'grace')
    await say(ada, 'I am ada')
    await say(bob, 'I am bob')
    await grace.getByRole('button', { name: /I am ada/ }).click()
    await lines(grace, 'I am ada')
    await first.stop()
    await say(grace, 'for ada')
    t.same(await grace.locator('#pending li').allTextContents(), ['for ada'])
    await grace.getByLabel('Message').fill('half a word for ada')
    await grace.getByRole('button', { name: /I am bob/ }).click()
    t.same(await grace.locator('#pending li').allTextContents(), [], 'it is no line of this conversation')
    t.equal(await grace.getByLabel('Message').inputValue(), '', 'nor is what stood in the field')
    await startStep(t, 5, { ...more, PORT: new URL(first.url).port })
    await lines(ada, 'I am ada', 'for ada')
    await lines(bob, 'I am bob')
    await grace.getByRole('button', { name: /for ada/ }).click()
    await lines(grace, 'I am ada', 'for ada')
    t.equal(await grace.getByLabel('Message').inputValue(), 'half a word for ada')
  })

  for (const step of [5, 6]) {
    await t.test(`step ${step}: a refused message comes back into the field, before what was typed meanwhile`, async (t) => {
      const { url } = await startStep(t, step)
      const ada = await enter(await tab(t, browser, url), 'ada')
      await ada.locator('#form:not([hidden]) button:enabled').waitFor()
      // In one turn, so that no answer comes between.
      await ada.evaluate(`{
        const field = document.getElementById('text')
        field.value = 'x'.repeat(2_001)
        document.getElementById('form').requestSubmit()
        field.value = 'and on'
      }`)
      await ada.getByText(/invalid_message|not sent/).waitFor()
      t.equal(await ada.getByLabel('Message', { exact: true }).inputValue(), `${'x'.repeat(2_001)} and on`)
    })

    await t.test(`step ${step}: who goes on typing at once after a message is shown as typing again`, async (t) => {
      const { url } = await startStep(t, step)
      const [ada, grace] = [await enter(await tab(t, browser, url), 'ada'), await enter(await tab(t, browser, url), 'grace')]
      await say(ada, `step ${step}`)
      await grace.getByRole('button', { name: `step ${step}` }).click()
      await ada.getByText('grace (agent)').waitFor()
      await grace.getByLabel('Message', { exact: true }).pressSequentially('w')
      await ada.getByText('grace is typing').waitFor()
      await grace.getByRole('button', { name: 'Send' }).click()
      await ada.getByText('grace is typing').waitFor({ state: 'hidden' })
      await grace.getByLabel('Message', { exact: true }).pressSequentially('x')
      await ada.getByText('grace is typing').waitFor({ timeout: 1_500 })
    })
  }

  await t.test('steps 5 and 6: the types fit, by the tsconfig.json of step 1 and that of the page on installing', async (t) => {
    for (const [step, page] of [[5, PAGES_OF_STEPS[0]!], [6, 'docs/reference/install.md']] as const) {
      const config = blocksOf(page).find(({ language, text }) => language === 'json' && text.includes('compilerOptions'))!
      await writeFile(join(directory, `step ${step}`, 'tsconfig.json'), config.text)
      const check = ['node_modules/typescript-7/bin/tsc', '--noEmit', '-p', join(directory, `step ${step}`)]
      const { code, output } = await run(process.execPath, check, { cwd: ROOT })
      t.equal(code, 0, output)
    }
  })

  await t.test('step 6: the test that it shows passes', async (t) => {
    const testing = ['--import', 'tsx', '--test', join(directory, 'step 6', 'support.test.ts')]
    const { code, output } = await run(process.execPath, testing, { cwd: ROOT })
    t.equal(code, 0, output)
  })
})
