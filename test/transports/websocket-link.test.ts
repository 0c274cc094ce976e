import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Flusher } from '../../lib/connection/flusher.js'
import { LINK_BUFFER, type Link } from '../../lib/connection/link.js'
import { frameText } from '../../lib/protocol/websocket-frame.js'
import { WebSocketTransport } from '../../lib/transports/websocket.js'
import { handshake, until, within } from '../helpers/raw.js'

interface Pair {
  readonly link: Link
  readonly peer: Socket
  readonly server: Socket
  readonly said: string[]
  readonly closed: Promise<number>
}

/** A link on a real socket whose peer reads only when it is told to. */
async function pair (t: Test): Promise<Pair> {
  const flusher = new Flusher()
  const transport = new WebSocketTransport({
    maxPayload: 1_000,
    closeTimeout: 2_000,
    compression: false,
    flusher,
    selectProtocol: () => false
  })
  const http = createServer().listen(0, '127.0.0.1')
  await once(http, 'listening')
  const peer = connect({ port: (http.address() as AddressInfo).port, host: '127.0.0.1' })
  peer.on('error', () => undefined)
  t.teardown(() => {
    peer.destroy()
    flusher.close()
    transport.close()
    http.close()
  })
  peer.pause()
  peer.write(handshake('/'))
  const [raw, server, head] = await once(http, 'upgrade') as [IncomingMessage, Socket, Buffer]
  const link = transport.accept({ raw, socket: server, head })!
  const said: string[] = []
  const closed = new Promise<number>((resolve) => {
    link.attach({
      text: () => undefined,
      violation: () => undefined,
      alive: () => undefined,
      control: () => true,
      reply: () => undefined,
      pong: () => undefined,
      drained: () => { said.push('drained') },
      closed: resolve
    })
  })
  return { link, peer, server, said, closed }
}

/** Reads all up to some last bytes. */
async function readTo (peer: Socket, last: Buffer): Promise<Buffer> {
  const parts: Buffer[] = []
  peer.on('data', (part) => { parts.push(part as Buffer) })
  peer.resume()
  await until('the last bytes', () => parts.at(-1)?.subarray(-last.length).equals(last) === true ? true : undefined)
  return Buffer.concat(parts)
}

t.test(
  'what is written while the kernel takes no more comes in order, behind the answer to the handshake and before the close frame',
  async (t) => {
    const { link, peer, server, said } = await pair(t)
    const written = [frameText('{"type":"welcome"}')]
    t.equal(link.write(written[0]!), true)
    await turn()
    await turn()
    let isRoom = true
    for (let n = 0; isRoom; n++) {
      written.push(frameText(`${n} ${'x'.repeat(LINK_BUFFER * 4)}`))
      isRoom = link.write(written.at(-1)!)
      await turn()
    }
    for (let n = 0; n < 3; n++) {
      written.push(frameText(`behind ${n}`))
      t.equal(link.write(written.at(-1)!), false, 'taken, and still too much')
    }
    t.same(said, [])
    link.close(4_001, 'enough')
    t.equal(link.write(frameText('too late')), false)
    const close = Buffer.concat([Buffer.from([0x88, 8, 4_001 >> 8, 4_001 & 0xff]), Buffer.from('enough')])
    const bytes = await readTo(peer, close)
    const start = bytes.indexOf('\r\n\r\n') + 4
    t.match(bytes.subarray(0, start).toString(), /^HTTP\/1\.1 101 /)
    t.ok(bytes.subarray(start).equals(Buffer.concat([...written, close])), 'byte for byte')
    t.equal(server.bytesWritten, bytes.length)
  }
)

t.test('it says that there is room when the kernel has taken all, whichever way the last bytes went', async (t) => {
  for (const behind of [0, 1, 3]) {
    const { link, peer, said } = await pair(t)
    await turn()
    while (link.write(frameText('x'.repeat(LINK_BUFFER * 4)))) await turn()
    for (let n = 0; n < behind; n++) t.equal(link.write(frameText('y'.repeat(LINK_BUFFER))), false)
    t.same(said, [])
    peer.resume()
    await until('drained', () => said.length > 0 ? true : undefined)
    t.equal(link.write(frameText('z')), true)
    t.same(said, ['drained'])
  }
})

t.test('a peer that resets while a write is under way ends the link with 1006', async (t) => {
  const { link, peer, closed } = await pair(t)
  await turn()
  while (link.write(frameText('x'.repeat(LINK_BUFFER * 4)))) await turn()
  peer.resetAndDestroy()
  t.equal(await within('closed', 2_000, closed), 1_006)
  t.equal(link.write(frameText('nobody')), false)
})
