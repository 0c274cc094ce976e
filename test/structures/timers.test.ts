import { mock } from 'node:test'
import t, { type Test } from 'tap'
import * as client from '../../lib/client/timers.js'
import { after, every } from '../../lib/structures/timers.js'
import { dial } from '../helpers/client.js'
import { matchList } from '../helpers/match-list.js'
import { chat, start, TRANSPORTS } from '../helpers/net.js'

const DAY = 86_400_000
/** What the platform can wait. */
const LONGEST = 2_147_483_647

interface Armed { wait: number, fire: () => void, isCleared: boolean }

/** In place of the platform's timers: they are fired by hand, and what each was to wait is kept. */
function platform (t: Test): Armed[] {
  const armed: Armed[] = []
  const arm = (fire: () => void, wait: number): object => {
    const timer: Armed & { refresh: () => void } = {
      wait,
      fire,
      isCleared: false,
      refresh: () => { armed.push(timer) }
    }
    armed.push(timer)
    return timer
  }
  mock.method(globalThis, 'setTimeout', arm)
  mock.method(globalThis, 'setInterval', arm)
  mock.method(globalThis, 'clearTimeout', (timer: Armed) => { timer.isCleared = true })
  t.teardown(() => { mock.restoreAll() })
  return armed
}

/** @returns how long the platform waited in all until the callback, or until `most` timers had fired */
function run (armed: Armed[], isDone: () => boolean, most = 1_000): number {
  let waited = 0
  for (let i = 0; i < most && !isDone(); i++) {
    const timer = armed.shift()
    if (timer === undefined || timer.isCleared) break
    waited += timer.wait
    timer.fire()
  }
  return waited
}

const HELPERS = { server: after, client: (callback: () => void, wait: number) => client.after(wait, callback) }

for (const [name, arm] of Object.entries(HELPERS)) {
  t.test(`${name}: a timer waits as long as it is told, also beyond what the platform can wait`, async (t) => {
    for (const wait of [1, LONGEST, LONGEST + 1, 30 * DAY, 3_650 * DAY]) {
      const armed = platform(t)
      let fired = 0
      arm(() => { fired++ }, wait)
      t.ok(armed[0]!.wait <= LONGEST)
      t.equal(Math.round(run(armed, () => fired > 0)), wait)
      t.equal(fired, 1)
      t.same(armed, [], 'nothing is armed any more')
      mock.restoreAll()
    }
  })

  t.test(`${name}: a timer of Infinity never fires`, async (t) => {
    const armed = platform(t)
    arm(() => { t.fail('it fired') }, Infinity)
    run(armed, () => false, 1_000)
    t.ok(armed[0]!.wait > DAY && armed[0]!.wait <= LONGEST)
  })
}

t.test('an interval longer than the platform can wait comes again and again', async (t) => {
  const armed = platform(t)
  let fired = 0
  every(() => { fired++ }, 30 * DAY)
  t.equal(Math.round(run(armed, () => fired === 3)), 90 * DAY)
  t.equal(fired, 3)
})

t.test('the handle of a long timer is one of the platform: it can be cleared and unreferenced', async (t) => {
  const timer = after(() => { t.fail('it fired') }, 30 * DAY)
  t.equal(timer.unref().hasRef(), false)
  clearTimeout(timer)
  const stop = client.after(30 * DAY, () => { t.fail('it fired') })
  stop()
})

t.test('a timer of the client that has fired is not kept for as long as the link lives', async (t) => {
  const armed = platform(t)
  const timers = client.createTimers()
  let calls = 0
  for (let index = 0; index < 100; index++) timers.after({}, 1, () => { calls++ })
  const fired = armed.slice()
  for (const { fire } of fired) fire()
  t.equal(calls, 100)
  timers.cancel()
  t.same(fired.filter(({ isCleared }) => isCleared), [])
})

t.test('a timer of the client is put off by its next one of the same name, and all end together', async (t) => {
  const armed = platform(t)
  const timers = client.createTimers()
  timers.after('one', 1_000, () => { t.fail('it fired') })
  timers.after('one', 2_000, () => { t.fail('it fired') })
  timers.after('two', 3_000, () => { t.fail('it fired') })
  timers.cancel()
  t.same(
    armed.map(({ wait, isCleared }) => ({ wait, isCleared })),
    [1_000, 2_000, 3_000].map((wait) => ({ wait, isCleared: true }))
  )
})

for (const transport of TRANSPORTS) {
  t.test(
    `over ${transport}: never to give up may be written as Infinity or as 30 days, everywhere where milliseconds are told`,
    async (t) => {
      const overflows: string[] = []
      const warned = ({ name }: Error): void => { if (name.startsWith('Timeout')) overflows.push(name) }
      process.on('warning', warned)
      t.teardown(() => process.off('warning', warned))
      const app = await start(t)
      for (const forever of [Infinity, 30 * DAY, LONGEST + 1]) {
        const { client } = dial(t, app, 'ada', { transports: [transport], timeout: forever, queue: { age: forever } })
        const room = client.join(chat.at({ id: '1' }))
        await room.joined
        t.match(await room.send('say', { text: 'by age' }), { id: String })
        t.match(await room.send('say', { text: 'by timeout' }, { timeout: forever }), { id: String })
        client.close()
      }
      await new Promise((resolve) => setImmediate(resolve))
      t.same(overflows, [])
    }
  )
}

t.test('a call of app.rooms waits as long as it is told, and refuses what is no time', async (t) => {
  const { app } = await start(t)
  for (const timeout of [Number.NaN, -1, '1s' as unknown as number]) {
    await t.rejects(app.rooms.broadcastWithAck(chat.at({ id: '1' }), 'said', { text: 'a', by: 'b' }, { timeout }), {
      code: 'REALTIME_ERR_OPTIONS',
      message: /timeout of broadcastWithAck/
    })
    await t.rejects(app.rooms.ping({ user: 'ada' }, { timeout }), {
      code: 'REALTIME_ERR_OPTIONS',
      message: /timeout of ping/
    })
    await t.rejects(app.rooms.drain({ timeout }), { code: 'REALTIME_ERR_OPTIONS', message: /timeout of drain/ })
  }
  matchList(
    t,
    await app.rooms.broadcastWithAck(chat.at({ id: '1' }), 'said', { text: 'a', by: 'b' }, { timeout: Infinity }),
    { acked: [], missing: [] }
  )
  t.equal(app.rooms.isAccepting(), true)
})
