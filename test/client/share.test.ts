import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { launchChromium, skipWithoutChromium } from '../helpers/chromium.js'
import { until } from '../helpers/client.js'
import { chat, start, statsOf, type Running } from '../helpers/net.js'

const TABS = 10

interface Tab { heard: string[], replies: number, errors: string[], state: string, user: string, shown: string[] }

const PAGE = (options: string): string => `<!doctype html><script type="module">
  import { connect } from '/ws/client.js'
  const tab = window.tab = { heard: [], replies: 0, errors: [], shown: [] }
  const client = window.client = connect('/ws', { ${options}, token: async () => await (await fetch('/token')).text() })
  client.on('error', ({ code, message }) => { tab.errors.push(code + ' ' + message) })
  client.on('gap', () => { tab.errors.push('gap') })
  const room = window.room = client.join('chat/1', { last: 5 })
  room.on('said', ({ data }) => { tab.heard.push(data.text) })
  room.on('score', ({ data }) => { tab.shown.push(data.team + data.points) })
  window.say = async (text) => { await room.send('say', { text }); tab.replies++ }
</script>`

async function app (t: Test): Promise<Running> {
  return await start(t, {
    declare: (app) => {
      app.room(chat, {
        presence: true,
        on: {
          async say ({ data, userId, room }) {
            await room.broadcast('said', { text: data.text, by: userId })
            return { id: '1' }
          },
          type: () => undefined
        }
      })
      app.get('/token', () => app.jwt.sign({ sub: 'ada' }, { expiresIn: 600 }))
      app.get('/', (_request, reply) => reply.type('text/html').send(PAGE('share: true')))
    }
  })
}

const look = async (page: Page): Promise<Tab> => await page.evaluate(
  '({ ...window.tab, state: window.client.state, user: window.client.userId })'
)

t.test(`in Chromium ${TABS} tabs share one link, and go on when the tab that holds it is gone, without a loss or a double`, {
  skip: skipWithoutChromium()
}, async (t) => {
  const server = await app(t)
  const browser = await launchChromium(t)
  const context = await browser.newContext()
  const open = async (): Promise<Page> => {
    const page = await context.newPage()
    await page.goto(server.url)
    await page.waitForFunction('window.client?.state === "open"')
    await page.evaluate('window.room.joined')
    return page
  }
  const pages: Page[] = [await open()]
  await server.app.rooms.broadcast('chat/1', 'said', { text: 'before', by: 'server' })
  await server.app.rooms.broadcast('chat/1', 'score', { team: 'red', points: 1 })
  pages.push(...await Promise.all(Array.from({ length: TABS - 1 }, open)))
  await until('all have the newest value', async () => {
    return (await Promise.all(pages.map(look))).every(({ shown, heard }) => shown.length > 0 && heard.length > 0)
  })
  for (const page of pages) t.match(await look(page), { heard: ['before'], shown: ['red1'], user: 'ada', errors: [] })
  t.equal((await statsOf(server.app)).connections.total, 1, 'one connection for all')

  let count = 0
  const over = new AbortController()
  const opened: number[] = []
  const writing = (async () => {
    while (!over.signal.aborted) {
      await server.app.rooms.broadcast('chat/1', 'said', { text: `${++count}`, by: 'server' })
      opened.push((await statsOf(server.app)).connections.total)
      await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
  })()
  const [leader, ...others] = pages
  const says = others.map(async (page, index) => {
    for (let n = 0; n < 5; n++) await page.evaluate(`window.say('of ${index}: ${n}')`)
  })
  await until('some are heard', async () => (await look(others[0]!)).heard.length > 20)
  await leader!.close()
  await Promise.all(says)
  await until('the link has moved', async () => {
    return (await Promise.all(others.map(look))).every(({ state }) => state === 'open')
  })
  const moved = count
  await until('more is heard', () => count > moved + 20)
  over.abort()
  await writing

  const numbers = Array.from({ length: count }, (_, index) => `${index + 1}`)
  for (const page of others) {
    await until('all is heard', async () => (await look(page)).heard.includes(`${count}`))
    const { heard, replies, errors } = await look(page)
    t.same(heard.filter((text) => /^\d+$/.test(text)), numbers)
    t.same(heard.filter((text) => text.startsWith('of ')).length, 5 * others.length, 'each message once')
    t.same([replies, errors], [5, []])
  }
  t.equal(Math.max(...opened), 1, 'never more than one connection')
  const last = await open()
  t.match((await look(last)).heard.length, 5)
  await Promise.all([...others, last].map(async (page) => { await page.close() }))
  await until('nobody is connected', async () => (await statsOf(server.app)).connections.total === 0)
})

t.test('in Chromium a tab that shares a link is in the room into which the server has put the client', {
  skip: skipWithoutChromium()
}, async (t) => {
  const server = await app(t)
  const browser = await launchChromium(t)
  const context = await browser.newContext()
  const pages = [await context.newPage(), await context.newPage()]
  for (const page of pages) {
    await page.goto(server.url)
    await page.waitForFunction('window.client?.state === "open"')
    await page.evaluate("void client.on('joined', ({ room }) => { window.told = room })")
  }
  t.equal(await server.app.rooms.join({ user: 'ada' }, 'chat/2'), 1)
  for (const page of pages) {
    await page.waitForFunction('window.told === "chat/2"')
    t.same(await page.evaluate(`(async () => {
      const room = client.join('chat/2')
      await room.joined
      return [await room.send('say', { text: 'x' }), [...room.members.keys()]]
    })()`), [{ id: '1' }, ['ada']])
  }
})
