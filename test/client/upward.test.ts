import t from 'tap'
import { WebSocket } from 'ws'
import { connectionSource } from '../../lib/views/sources.js'
import { behind, dial, isOpen, until } from '../helpers/client.js'
import { chat, start } from '../helpers/net.js'

/** Timers this long are the retries upward: they are kept, to be fired by hand. */
const LONG = 200_000

t.test(
  'on a lesser transport it tries upward after 5 minutes, then after 10, and stays where it succeeds',
  async (t) => {
    const { setTimeout } = globalThis
    const now = performance.now.bind(performance)
    const waits: Array<{ wait: number, fire: () => void }> = []
    let shift = 0
    t.intercept(performance, 'now', { value: () => now() + shift })
    t.intercept(globalThis, 'setTimeout', {
      value: Object.assign((callback: () => void, wait: number, ...rest: unknown[]) => {
        const timer = setTimeout(callback, wait, ...rest as [])
        const fire = (): void => {
          clearTimeout(timer)
          callback()
        }
        if (wait > LONG && wait < 2 ** 30) waits.push({ wait, fire })
        return timer
      }, setTimeout)
    })
    let isBlocked = true
    let tries = 0
    class Socket extends WebSocket {
      constructor (url: string, protocols: string[]) {
        tries++
        super(isBlocked ? url.replace('/ws', '/nowhere') : url, protocols)
      }
    }
    const app = await start(t)
    const watched = dial(t, await behind(t, app), 'ada', { WebSocket: Socket, token: app.token('ada', {}, '1d') })
    const room = watched.client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    room.on('said', ({ data }) => { heard.push(data.text) })
    await room.joined
    t.equal(tries, 2, 'one failure may be a server that was about to start')

    const { read, watch } = connectionSource(watched.client)
    const shown: string[] = []
    t.teardown(watch(() => { shown.push(read().transport) }))
    t.equal(read().transport, 'sse')

    const upward = async (minutes: number): Promise<void> => {
      await until('a time for the next try', () => waits.length > 0)
      const { wait, fire } = waits.pop()!
      waits.length = 0
      t.ok(Math.abs(wait - minutes * 60_000) < 5_000, `${wait} ms are ${minutes} minutes`)
      shift += wait
      fire()
    }
    await upward(5)
    await until('the third try', () => tries === 3)
    await isOpen(watched)
    await room.send('say', { text: 'still by a stream' })
    await until('the event', () => heard.length === 1)
    await upward(10)
    await until('the fourth try', () => tries === 4)
    isBlocked = false
    await upward(20)
    await until('the fifth try', () => tries === 5)
    await room.send('say', { text: 'by a WebSocket' })
    await until('both events', () => heard.length === 2)
    t.same(heard, ['still by a stream', 'by a WebSocket'])
    t.equal(shown.at(-1), 'websocket', 'a page that shows the transport is told')
    t.same(waits, [])
    t.same(watched.gaps, [])
  }
)
