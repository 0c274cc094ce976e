import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { generate } from 'selfsigned'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { dial, until } from '../helpers/client.js'
import { chat, declareChat, start, statsOf, TRANSPORTS, type Running, type StartOptions } from '../helpers/net.js'

const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], { keySize: 2048 })
// The certificate is the test's own.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

async function startTls (t: Test, options: StartOptions = {}): Promise<Running> {
  const app = await start(t, {
    ...options,
    fastify: { https: { key, cert }, forceCloseConnections: true } as NonNullable<StartOptions['fastify']>
  })
  return { ...app, url: app.url.replace('http', 'https') }
}

for (const transport of TRANSPORTS) {
  t.test(`over TLS ${transport} carries messages, replies and events in order, and the reason of an end`, async (t) => {
    const app = await startTls(t)
    const watched = dial(t, app, 'ada', { transports: [transport] })
    const room = watched.client.join(chat.at({ id: '1' }))
    const heard: string[] = []
    room.on('said', ({ data }) => { heard.push(data.text) })
    await room.joined
    const texts = Array.from({ length: 20 }, (_, i) => String(i))
    const replies = await Promise.all(texts.map(async (text) => await room.send('say', { text })))
    t.equal(new Set(replies.map(({ id }) => id)).size, 20)
    await until('all events', () => heard.length === 20)
    t.same(heard, texts)
    await app.app.rooms.revoke({ user: 'ada' })
    await until('the end', () => watched.client.state === 'closed')
    t.match(watched.errors.at(-1), { code: 'revoked' })
    t.same(app.loud, [])
  })
}

/** Sizes on both sides of the 16 KiB of a TLS record and of the lengths of WebSocket frames. */
const SIZES = [0, 1, 100, 125, 126, 700, 4_000, 16_383, 16_384, 16_385, 65_535, 65_536, 70_000]
const text = (i: number): string => `${i} ${'Größe \u{1F680} '.repeat(7_000)}`.slice(0, SIZES[i % SIZES.length]! + 8)

for (const compression of [false, true]) {
  t.test(
    `over TLS mixed frames arrive byte for byte, also where they are read slowly, ${compression ? 'compressed' : 'plain'}`,
    async (t) => {
      const count = 3_000
      const app = await startTls(t, {
        limits: { outbox: 2 ** 30 },
        ...(compression ? { compression: {} } : {}),
        declare: (app) => { declareChat(app, { history: false }) }
      })
      const readers = await Promise.all([0, 100].map(async (pauses) => {
        const ws = new WebSocket(`wss://localhost:${app.port}/ws/chat/1`, {
          headers: { authorization: `Bearer ${app.token('ada')}` },
          perMessageDeflate: compression
        })
        t.teardown(() => { ws.terminate() })
        const got: string[] = []
        ws.on('message', (data) => {
          const { type, data: { text } } = JSON.parse(String(data)) as { type: string, data: { text: string } }
          if (type !== 'said') return
          got.push(text)
          if (pauses === 0 || got.length % pauses !== 0) return
          ws.pause()
          setTimeout(() => { ws.resume() }, 10)
        })
        await once(ws, 'message')
        return { got, isCompressed: ws.extensions !== '' }
      }))
      for (let i = 0; i < count; i++) {
        void app.app.rooms.broadcast('chat/1', 'said', { text: text(i), by: 'x' })
        if (i % 37 === 0) await turn()
      }
      await until('all frames', () => readers.every(({ got }) => got.length >= count), 20_000)
      for (const { got, isCompressed } of readers) {
        t.equal(isCompressed, compression)
        t.equal(got.findIndex((one, i) => one !== text(i)), -1)
      }
      t.equal((await statsOf(app.app)).outbox.bytes, 0)
    }
  )
}

t.test('closing ends connections whose clients said nothing, before and after the TLS handshake', async (t) => {
  const { app, port } = await startTls(t)
  const silent: Socket[] = [
    connectTcp(port, '127.0.0.1'),
    connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
  ]
  await Promise.all([once(silent[0]!, 'connect'), once(silent[1]!, 'secureConnect')])
  await until(
    'the server has both',
    async () => await new Promise((resolve) => { app.server.getConnections((_, count) => { resolve(count === 2) }) })
  )
  const ends = silent.map(async (socket) => await once(socket.on('error', () => {}).resume(), 'close'))
  await app.close()
  await Promise.all(ends)
})
