import t, { type Test } from 'tap'
import { dial, until } from '../helpers/client.js'
import { chat, start } from '../helpers/net.js'

/** Milliseconds for which the machine sleeps. */
const NIGHT = 3_600_000

/** Lets the machine sleep while the newest timer of so many milliseconds runs, which then fires late. */
function sleeper (t: Test): { sleep: (least: number, most: number) => Promise<void>, forget: () => void } {
  const { setTimeout } = globalThis
  const now = performance.now.bind(performance)
  const timers = new Map<() => void, number>()
  let shift = 0
  t.intercept(performance, 'now', { value: () => now() + shift })
  t.intercept(globalThis, 'setTimeout', {
    value: Object.assign((callback: () => void, wait: number, ...rest: unknown[]) => {
      const timer = setTimeout(callback, wait, ...rest as [])
      timers.set(() => {
        clearTimeout(timer)
        callback()
      }, wait)
      return timer
    }, setTimeout)
  })
  return {
    forget: () => { timers.clear() },
    sleep: async (least, most) => {
      const [fire] = await until('a timer', () => [...timers].findLast(([, wait]) => wait >= least && wait <= most))
      timers.clear()
      shift += NIGHT
      fire()
    }
  }
}

t.test('a stream that has said something before the machine slept is replaced by a stream', async (t) => {
  const { sleep } = sleeper(t)
  const app = await start(t)
  const { client } = dial(t, app, 'ada', { transports: ['sse', 'polling'], token: app.token('ada', {}, '1d') })
  const room = client.join(chat.at({ id: '1' }))
  const heard: string[] = []
  room.on('said', ({ data }) => { heard.push(data.text) })
  await room.joined
  await app.app.rooms.broadcast('chat/1', 'said', { text: 'a', by: 'server' })
  await until('the event', () => heard.length === 1)
  const former = client.connectionId
  await sleep(10_001, 100_000)
  await until('another link', () => client.connectionId !== undefined && client.connectionId !== former)
  t.equal(client.transport, 'sse')
})

t.test('an attempt during which the machine slept says nothing of its transport', async (t) => {
  const { sleep, forget } = sleeper(t)
  const app = await start(t)
  let isAsleep = false
  const { client } = dial(t, app, 'ada', {
    transports: ['sse', 'polling'],
    token: app.token('ada', {}, '1d'),
    timeout: 10_000,
    fetch: async (url, init) => isAsleep && String(url).includes('transport=sse')
      ? await new Promise<Response>(() => {})
      : await fetch(url, init)
  })
  await client.join(chat.at({ id: '1' })).joined
  const former = client.connectionId
  isAsleep = true
  forget()
  client.reconnect()
  for (let night = 0; night < 2; night++) await sleep(10_000, 10_000)
  isAsleep = false
  await until('another link', () => client.connectionId !== undefined && client.connectionId !== former)
  t.equal(client.transport, 'sse')
})
