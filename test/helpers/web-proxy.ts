import { once } from 'node:events'
import http, { type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'

/** A reverse proxy that knows HTTP, and stands in the way of it as some do. */
export class WebProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #target: number
  /** answers upgrades with 403 */
  blocksUpgrades = false
  /** gives the body of an event stream to its reader when it has ended, not before */
  holdsStreams = false
  /** nobody gets through */
  isDown = false
  upgrades = 0
  streams = 0
  polls = 0

  constructor (target: number) {
    this.#target = target
    this.#server = http.createServer((request, response) => { this.#pass(request, response) })
    this.#server.on('upgrade', (request, socket, head) => { this.#upgrade(request, socket as Socket, head) })
    this.#server.on('connection', (socket) => {
      if (this.isDown) socket.destroy()
      else this.#follow(socket)
    })
  }

  async listen (): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  #follow (socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => { this.#sockets.delete(socket) })
  }

  #pass (request: IncomingMessage, response: ServerResponse): void {
    const { method, url, headers } = request
    const up = http.request({
      host: '127.0.0.1',
      port: this.#target,
      method,
      path: url,
      headers,
      agent: false
    }, (answer) => {
      const isStream = answer.headers['content-type']?.startsWith('text/event-stream') === true
      if (isStream) this.streams++
      if (url?.includes('transport=polling') === true) this.polls++
      if (isStream && this.holdsStreams) {
        const held: Buffer[] = []
        response.writeHead(answer.statusCode!, answer.headers).flushHeaders()
        answer.on('data', (chunk: Buffer) => held.push(chunk))
        answer.on('end', () => response.end(Buffer.concat(held)))
        answer.on('error', () => response.destroy())
        return
      }
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
      answer.on('error', () => response.destroy())
    })
    up.on('error', () => {
      if (response.headersSent) response.destroy()
      else response.writeHead(502).end('bad gateway')
    })
    request.pipe(up)
    response.on('close', () => up.destroy())
  }

  #upgrade ({ url, headers }: IncomingMessage, down: Socket, head: Buffer): void {
    if (this.blocksUpgrades) {
      down.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
      return
    }
    this.upgrades++
    const up = connect(this.#target, '127.0.0.1')
    this.#follow(up)
    up.write(
      `GET ${url} HTTP/1.1\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}`).join('\r\n')}\r\n\r\n`
    )
    up.write(head)
    down.pipe(up).pipe(down)
    down.on('close', () => up.destroy())
    up.on('close', () => down.destroy())
  }

  cut (): void { for (const socket of this.#sockets) socket.resetAndDestroy() }

  async close (): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }
}
