import type { AddressInfo } from 'node:net'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { hostCluster } from '../../../lib/adapters/cluster/index.js'
import { connect } from '../../../lib/client/index.js'
import { until } from '../../helpers/servers.js'
import { chat, serve } from './worker-app.js'

/** A thread with an app; it says its port beside what its adapter says. */
async function startThread (t: Test): Promise<{ thread: Worker, port: number }> {
  // The flags of a test runner would make a test of the thread.
  const thread = new Worker(new URL('./thread.mjs', import.meta.url), { execArgv: [] })
  t.teardown(async () => { await thread.terminate() })
  thread.on('error', (error) => { t.fail(String(error.stack)) })
  const port = await new Promise<number>((resolve) => {
    thread.on('message', (message) => { if (typeof message === 'number') resolve(message) })
  })
  return { thread, port }
}

type Entered = ReturnType<typeof enterAt>

/** A client in the room, with what it hears. */
function enterAt (t: Test, port: number, token: string) {
  const client = connect(`http://127.0.0.1:${port}/ws`, { token: () => token, WebSocket })
  t.teardown(() => { client.close() })
  const room = client.join(chat.at({ id: '1' }))
  const heard: string[] = []
  room.on('said', ({ data }) => { heard.push(data.text) })
  return { client, room, heard }
}

t.test('a thread and its main thread are one: events, presence and limits cross, and who comes back from a thread that was ended was not away', async (t) => {
  const host = hostCluster()
  t.teardown(() => host.close())
  t.throws(() => hostCluster(), { code: 'REALTIME_ERR_OPTIONS' })
  const { thread, port } = await startThread(t)
  const app = await serve()
  t.teardown(() => app.close())
  const main = (app.server.address() as AddressInfo).port
  const tokenOf = (user: string): string => app.jwt.sign({ sub: user }, { expiresIn: 600 })
  const enter = (user: string, port: number): Entered => enterAt(t, port, tokenOf(user))
  const seen: string[] = []
  const bob = enter('bob', main)
  bob.room.on('presence', ({ joined, left }) => {
    seen.push(...joined.map(({ userId }) => `${userId} comes`), ...left.map(({ userId }) => `${userId} leaves`))
  })
  await bob.room.joined
  const ann = enter('ann', port)
  await ann.room.joined
  await until('bob sees ann', () => seen.includes('ann comes'))
  await ann.room.send('say', { text: 'from a thread' })
  await until('bob hears it', () => bob.heard.includes('from a thread'))
  await bob.room.send('say', { text: 'from the main thread' })
  await until('ann hears it', () => ann.heard.includes('from the main thread'))

  await thread.terminate()
  ann.client.close()
  const back = enter('ann', main)
  await back.room.joined
  await back.room.send('say', { text: 'from where she came back' })
  await until('bob hears it', () => bob.heard.includes('from where she came back'))
  const third = await fetch(`http://127.0.0.1:${main}/ws?transport=polling`, {
    headers: { authorization: `Bearer ${tokenOf('ann')}` }
  })
  t.same([third.status, (await third.json() as { code: string }).code], [429, 'user_limit'], 'of two places one is held yet')
  t.same(seen.filter((each) => each.startsWith('ann')), ['ann comes'])
  t.same(bob.heard, ['from a thread', 'from the main thread', 'from where she came back'])
  t.equal(host.stats().realtime!.nodes, 1)
})
