import Fastify, { type FastifyInstance } from 'fastify'
import realtime from 'fastify-realtime'
import { connect, type Client } from 'fastify-realtime/client'
import t, { type Test } from 'tap'
import { launchWindowless, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { startExample, type Example } from '../helpers/example.js'
import { matchList } from '../helpers/match-list.js'
import { freePort } from '../helpers/servers.js'

type End = string | { readonly code: string }

interface Row {
  readonly id: string
  readonly user: string
  readonly question: string
  readonly text: string
  readonly end?: End
  readonly savedAt: number
}

interface Room {
  readonly joined: Promise<unknown>
  send (message: string, data: object): Promise<{ answer: string }>
}

/** A database, and whether it can be written. */
class Answers {
  readonly rows = new Map<string, Row>()
  isAway = false
  /** What the rows without an end, and a row that gets its end, wait for. */
  openGate: Promise<unknown> = Promise.resolve()
  endGate: Promise<unknown> = Promise.resolve()

  constructor (rows: Iterable<Row> = []) { for (const row of rows) this.rows.set(row.id, row) }

  async insert (row: Pick<Row, 'id' | 'user' | 'question'>): Promise<void> {
    if (this.isAway) throw new Error('the database is away')
    this.rows.set(row.id, { ...row, text: '', savedAt: Date.now() })
  }

  async save (id: string, text: string, end?: End): Promise<void> {
    if (this.isAway) throw new Error('the database is away')
    if (end !== undefined) await this.endGate
    this.rows.set(id, { ...this.rows.get(id)!, text, savedAt: Date.now(), ...end !== undefined && { end } })
  }

  async newest (user: string, count: number): Promise<Row[]> {
    return [...this.rows.values()].filter((row) => row.user === user).slice(-count)
  }

  async open (): Promise<Row[]> {
    const rows = [...this.rows.values()].filter(({ end }) => end === undefined)
    await this.openGate
    return rows
  }
}

/** A page, which loads its rows by `load`. */
interface Shown {
  readonly room: Room
  load: () => Promise<Response>
  readonly shown: () => Row[]
  readonly start: () => Promise<void>
}

interface Site {
  readonly app: FastifyInstance
  /** Ends the answers that grow. */
  finish (): void
  open (): Shown
}

/** Words until the site lets it end. */
async function site (t: Test, answers: Answers, options: object = {}): Promise<Site> {
  const { declareAssistant } = await import('../../example/docs/answers/server.ts' as string) as {
    declareAssistant (app: FastifyInstance, answers: Answers, model: unknown): void
  }
  const { showAnswers } = await import('../../example/docs/answers/client.ts' as string) as {
    showAnswers (client: Client, user: string, load: () => Promise<Response>, show: (all: Row[]) => void): Promise<void>
  }
  let finishing = new AbortController()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(realtime, { jwt: { secret: 'a secret of the test, which is long enough' }, ...options })
  declareAssistant(app, answers, async function * (_question: string, signal: AbortSignal) {
    const { signal: finished } = finishing
    for (let n = 0; !finished.aborted; n++) {
      await new Promise((resolve) => { setTimeout(resolve, 20) })
      signal.throwIfAborted()
      yield `word${n} `
    }
    yield 'end'
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const token = app.jwt.sign({ sub: 'ada' }, { expiresIn: '1m' })
  return {
    app,
    finish () {
      finishing.abort()
      finishing = new AbortController()
    },
    open () {
      const client = connect(`${url}/ws`, { token })
      t.teardown(() => { client.close() })
      let shown: Row[] = []
      const page = {
        room: client.join('assistant/ada' as never) as unknown as Room,
        shown: () => shown,
        load: async () => await fetch(`${url}/answers`, { headers: { authorization: `Bearer ${token}` } }),
        start: async () => { await showAnswers(client, 'ada', async () => await page.load(), (all) => { shown = all }) }
      }
      return page
    }
  }
}

const isWhole = ({ text }: Row): boolean => /^(word\d+ )+end$/.test(text)

t.test('a page shows an answer whole that grows, ends while the page loads, or has ended before', async (t) => {
  const answers = new Answers()
  const { open, finish } = await site(t, answers)
  const first = open()
  await first.start()
  await first.room.send('ask', { question: 'one?' })
  await until('it grows', () => first.shown()[0]?.text.includes('word3'))
  const second = open()
  const { load } = second
  second.load = async () => {
    const answer = await load()
    finish()
    await until('the row has its end', async () => [...answers.rows.values()][0]?.end)
    return answer
  }
  await second.start()
  const third = open()
  await third.start()
  for (const { shown } of [first, second, third]) {
    await until('the end', () => shown()[0]?.end)
    matchList(t, shown(), [{ question: 'one?', end: 'done' }])
    t.equal(shown().length, 1)
    t.ok(isWhole(shown()[0]!), shown()[0]!.text)
    t.equal(shown()[0]!.text, [...answers.rows.values()][0]!.text)
  }
})

t.test('one answer of a user grows at a time, and the next one is let in when it has ended or could not begin', async (t) => {
  const answers = new Answers()
  const { open, finish } = await site(t, answers)
  const { room } = open()
  answers.isAway = true
  await t.rejects(room.send('ask', { question: 'zero?' }), { code: 'internal' })
  answers.isAway = false
  for (const question of ['one?', 'two?']) {
    const { answer } = await room.send('ask', { question })
    await t.rejects(room.send('ask', { question: 'too soon?' }), { code: 'answering', message: 'One answer after the other.' })
    if (question === 'one?') finish()
    else await room.send('stop', { answer })
    await until('its row has its end', () => answers.rows.get(answer)?.end)
  }
  matchList(t, [...answers.rows.values()], [{ end: 'done' }, { end: { code: 'cancelled' } }])
})

t.test('a question that cannot be told leaves no text that grows', async (t) => {
  const answers = new Answers()
  const { app, open } = await site(t, answers, { limits: { event: 1_000 } })
  await t.rejects(open().room.send('ask', { question: '?'.repeat(1_500) }), { code: 'internal' })
  const [id] = answers.rows.keys()
  await until('its end', async () => (await app.rooms.read('assistant/ada', 'answer', id!))?.end)
})

t.test('an answer of a process that has died is kept up to the last second, and its row is closed as lost at the next start', async (t) => {
  const answers = new Answers()
  const { open } = await site(t, answers)
  const { answer } = await open().room.send('ask', { question: 'one?' })
  await until('a part is saved', () => (answers.rows.get(answer)?.text.length ?? 0) > 0)
  t.equal(answers.rows.get(answer)!.end, undefined)
  t.match(answers.rows.get(answer)!.text, /^word0 word1 /)
  const left = new Answers(answers.rows.values())
  const { text } = left.rows.get(answer)!
  const again = await site(t, left)
  await until('the row is closed', () => left.rows.get(answer)?.end)
  t.match(left.rows.get(answer), { text, end: 'lost' })
  const page = again.open()
  await page.start()
  matchList(t, page.shown(), [{ text, end: 'lost' }])
})

t.test('a page that was loaded before a slow database closes the row of a process that has died shows its end, also where its user asks at once', async (t) => {
  for (const asks of [false, true]) {
    const answers = new Answers([{ id: 'left', user: 'ada', question: 'one?', text: 'word0 ', savedAt: Date.now() }])
    let release: () => void = () => undefined
    answers.openGate = new Promise<void>((resolve) => { release = resolve })
    const { open } = await site(t, answers)
    const page = open()
    await page.start()
    matchList(t, page.shown(), [{ id: 'left', text: 'word0 ' }])
    t.equal(page.shown()[0]!.end, undefined)
    if (asks) await page.room.send('ask', { question: 'two?' })
    release()
    await until('the page has the end', () => page.shown()[0]?.end)
    t.match(page.shown()[0], { id: 'left', text: 'word0 ', end: 'lost' })
  }
})

t.test('a database that takes long to save the end of an answer keeps nobody from the next question', async (t) => {
  const answers = new Answers()
  const { open, finish } = await site(t, answers)
  const page = open()
  await page.start()
  let release: () => void = () => undefined
  answers.endGate = new Promise<void>((resolve) => { release = resolve })
  const { answer } = await page.room.send('ask', { question: 'one?' })
  finish()
  await until('it is shown as done', () => page.shown()[0]?.end)
  await page.room.send('ask', { question: 'two?' })
  await until('the next one grows', () => page.shown()[1]?.text.includes('word1'))
  release()
  await until('the row of the first has its end', () => answers.rows.get(answer)?.end)
  t.ok(isWhole(answers.rows.get(answer)!))
})

t.test('an answer that grows when the server closes is saved with all that was written', async (t) => {
  const answers = new Answers()
  const { app, open } = await site(t, answers)
  const page = open()
  await page.start()
  const { answer } = await page.room.send('ask', { question: 'one?' })
  await until('it grows', () => page.shown()[0]?.text.includes('word3'))
  await app.close()
  await until('the page has the end', () => page.shown()[0]?.end)
  t.match(answers.rows.get(answer), { end: { code: 'draining' } })
  t.equal(answers.rows.get(answer)!.text, page.shown()[0]!.text)
})

t.test('the whole app of the guide: an answer grows, is there after a kill and a restart, and the next one is stopped', {
  skip: skipWithoutChromium()
}, async (t) => {
  const DATABASE = `${t.testdir()}/answers.db`
  const port = await freePort()
  const start = async (): Promise<Example> => await startExample(t, 'docs/answers/app.ts', { DATABASE, PORT: `${port}` })
  const killed = await start()
  const page = await (await (await launchWindowless(t)).newContext()).newPage()
  page.on('pageerror', (error) => { t.fail(String(error)) })
  await page.route('**/answers', async (route) => { await route.fulfill({ status: 503 }) }, { times: 1 })
  await page.goto(killed.url)
  await page.getByText('Something went wrong here').waitFor()
  await page.locator('#error:empty').waitFor({ state: 'attached' })
  const ask = async (question: string): Promise<void> => {
    await page.getByLabel('Question').fill(question)
    await page.getByRole('button', { name: 'Ask' }).click()
  }
  const textOf = async (n: number): Promise<string> => await page.locator('section p').nth(n).textContent() ?? ''
  await ask('one?')
  // The first save is a second behind the first word.
  await until('it grows', async () => (await textOf(0)).split(' ').length > 30)
  await page.reload()
  await until('it goes on', async () => (await textOf(0)).split(' ').length > 35)
  const before = await textOf(0)
  await killed.kill()
  const again = await start()
  await until('it is lost', async () => (await page.locator('section small').first().textContent())?.includes('is lost'))
  const saved = await textOf(0)
  t.ok(saved.length > 40 && before.startsWith(saved.slice(0, before.length)), saved)
  await until('the link is there again', async () => await page.locator('#error').textContent() === '')
  await ask('two?')
  await until('the next one grows', async () => await page.locator('section').count() === 2 && (await textOf(1)).length > 20)
  await ask('too soon?')
  await page.getByText('One answer after the other.').waitFor()
  t.equal(await page.getByLabel('Question').inputValue(), 'too soon?', 'a refused question is not lost')
  await page.getByRole('button', { name: 'Stop' }).click()
  await until('it is stopped', async () => await page.locator('section small').nth(1).textContent() === 'Stopped.')
  await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'hidden' })
  t.equal(await again.stop(), 0)
})
