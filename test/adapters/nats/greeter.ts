import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Teardown } from '../../helpers/servers.js'

/** A server of NATS that greets and answers pings, and no more; its links break when it is told so. */
export class Greeter {
  /** links that break when the client has answered the greeting */
  broken = 0
  /** milliseconds after which it greets */
  late = 0
  accepted = 0
  /** pings of one link that are answered */
  answered = Infinity
  /** pings without an answer so far */
  owed = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  /** Links that are open. */
  get open (): number { return this.#sockets.size }

  constructor () {
    this.#server = createServer((socket) => { this.#greet(socket) })
  }

  async listen (t: Teardown): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    t.teardown(() => {
      this.cut()
      this.#server.close()
    })
    return `nats://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  #greet (socket: Socket): void {
    this.accepted++
    this.#sockets.add(socket)
    let left = this.answered
    socket.on('error', () => undefined)
    socket.on('close', () => { this.#sockets.delete(socket) })
    socket.on('data', (data) => {
      const text = data.toString()
      if (text.includes('CONNECT ') && this.broken > 0) {
        this.broken--
        socket.resetAndDestroy()
        return
      }
      const pings = text.split('PING\r\n').length - 1
      const now = Math.min(pings, left)
      left -= now
      this.owed += pings - now
      socket.write('PONG\r\n'.repeat(now))
    })
    const info = { server_id: 'greeter', version: '2.9.10', proto: 1, headers: true, max_payload: 1_048_576 }
    setTimeout(() => { socket.write(`INFO ${JSON.stringify(info)}\r\n`) }, this.late).unref()
  }

  /** Answers all pings that are owed, by the links that are open. */
  answer (): void {
    this.answered = Infinity
    for (const socket of this.#sockets) socket.write('PONG\r\n'.repeat(this.owed))
    this.owed = 0
  }

  /** Ends all links without a word. */
  cut (): void { for (const socket of this.#sockets) socket.resetAndDestroy() }
}
