import t, { type Test } from 'tap'
import type { NatsLink } from '../../../lib/adapters/nats/link.js'
import { until } from '../../helpers/servers.js'
import { Greeter } from './greeter.js'
import { openedLink } from './opened.js'

interface Opened { readonly server: Greeter, readonly link: NatsLink, readonly ups: () => number }

/**
 * @param timeout milliseconds that one request, and one attempt to connect again, may take
 * @param late milliseconds after which the server greets
 */
async function opened (t: Test, timeout: number, late = 0, server = new Greeter()): Promise<Opened> {
  server.late = late
  let ups = 0
  const link = await openedLink(t, { url: await server.listen(t), jetstream: false, timeout, onUp: () => { ups++ } })
  return { server, link, ups: () => ups }
}

t.test('a start waits longer for an answer than what connects again', async (t) => {
  const { server, ups } = await opened(t, 300, 600)
  server.cut()
  await until('three attempts have ended without an answer', () => server.accepted >= 4, 5_000)
  t.equal(ups(), 0)
  server.late = 0
  await until('the link is up again', () => ups() === 1, 5_000)
})

t.test('what a start asks for may take three times as long as what is asked later', async (t) => {
  const { link } = await opened(t, 300)
  const ask = async (): Promise<string> => {
    await new Promise((resolve) => { setTimeout(resolve, 600) })
    return 'answer'
  }
  t.equal(await link.attempt(ask), 'answer')
  link.started()
  await t.rejects(link.attempt(ask), { code: 'unavailable' })
})

t.test('a start against a server that never says a word fails, and names the option to look at', async (t) => {
  const server = new Greeter()
  await t.rejects(opened(t, 100, 60_000, server), {
    code: 'REALTIME_ERR_ADAPTER',
    message: /check the url option of nats/
  })
  t.equal(server.accepted, 1)
  await until('its socket is closed', () => server.open === 0)
})

t.test('a link that is closed while it connects again leaves no socket open', async (t) => {
  const { server, link } = await opened(t, 10_000)
  server.late = 60_000
  server.cut()
  await until('an attempt is under way', () => server.accepted === 2 && server.open === 1)
  await link.close()
  await until('its socket is closed', () => server.open === 0)
})

t.test('a link that breaks while it is opened is tried again at once, not when the time of an attempt is over', async (t) => {
  const { server, ups } = await opened(t, 10_000)
  const began = performance.now()
  server.broken = 3
  server.cut()
  await until('the link is up again', () => ups() === 1, 5_000)
  t.equal(server.accepted, 5)
  const took = performance.now() - began
  t.ok(took < 2_000, `it took ${Math.round(took)} ms`)
})

t.test('a link that is cut again and again is up a quarter of a second after the last time', async (t) => {
  t.intercept(Math, 'random', { value: () => 0.999 })
  const { server, ups } = await opened(t, 1_000)
  const took: number[] = []
  for (let blink = 1; blink <= 6; blink++) {
    const began = performance.now()
    server.cut()
    await until('the link is up again', () => ups() === blink, 5_000)
    took.push(Math.round(performance.now() - began))
  }
  // A pause that grew would be long in all of the last; a machine that is busy makes one of them long.
  t.ok(Math.min(...took.slice(3)) < 400, `they took ${took.join(', ')} ms`)
})

t.test('a server that was away is waited for again as soon as there is a connection, before it can be asked', async (t) => {
  const { server, link, ups } = await opened(t, 300)
  const ask = async (): Promise<string> => {
    link.send('somewhere', '')
    return 'sent'
  }
  server.late = 60_000
  server.cut()
  await until('the link is down', () => !link.isUp)
  await t.rejects(link.insist('read', ask), { code: 'unavailable' }, 'after two seconds it is away')
  server.answered = 1
  server.late = 0
  await until('there is a connection', () => server.owed > 0, 5_000)
  const waiting = link.insist('read', ask)
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  t.equal(ups(), 0)
  server.answer()
  t.equal(await waiting, 'sent')
})

t.test('who has waited long enough for a server that is away is not kept, and the others wait until it is back', async (t) => {
  const { server, link, ups } = await opened(t, 300)
  server.late = 60_000
  server.cut()
  await until('the link is down', () => !link.isUp)
  let isBack = false
  const waited = link.back(60_000).then(() => { isBack = true })
  await Promise.all(Array.from({ length: 100 }, async () => { await link.back(1) }))
  t.same([link.waiting, isBack], [1, false])
  server.late = 0
  await until('the link is up again', () => ups() === 1, 5_000)
  await waited
  t.equal(link.waiting, 0)
})
