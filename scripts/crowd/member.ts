import type { Socket } from 'node:net'
import { dial } from '../../bench/load/dial.js'
import { CLOSE, clientFrame, FrameCounter, PING, PONG, TEXT } from '../../bench/load/frames.js'

export interface MemberOptions {
  readonly port: number
  /** One of the addresses of this machine, so that ports do not run out. */
  readonly from: string | undefined
  readonly token: string
  readonly rooms: readonly string[]
}

const HEAD_END = '\r\n\r\n'

/** One WebSocket on a bare TCP socket: it answers pings, and reads of all else the headers only. */
export class Member {
  readonly #options: MemberOptions
  readonly #counter = new FrameCounter()
  readonly #socket: Socket
  #head: string | undefined = ''
  events = 0
  isOpen = false
  /** Resolves with the first frame, which is its welcome. */
  readonly ready: Promise<void>
  #resolve!: () => void
  #reject!: (error: Error) => void

  constructor (options: MemberOptions) {
    this.#options = options
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#socket = dial(options, (bytes, size) => { this.#read(bytes, size) })
    this.#socket.on('error', (error) => { this.#reject(error) })
    this.#socket.on('close', () => {
      this.isOpen = false
      this.#reject(new Error(`it was closed: ${this.#head ?? ''}`))
    })
    this.#socket.write(this.#request())
  }

  send (message: object): void { this.#socket.write(clientFrame(TEXT, JSON.stringify(message))) }

  /** FrameObserver: one frame has come. */
  header (opcode: number): void {
    if (opcode === PING) this.#socket.write(clientFrame(PONG, ''))
    else if (opcode === CLOSE) this.#socket.end(clientFrame(CLOSE, ''))
    else if (this.isOpen) this.events++
    else {
      this.isOpen = true
      this.#resolve()
    }
  }

  #request (): string {
    const { rooms, token, port } = this.#options
    return [
      `GET /ws?${rooms.map((room) => `room=${encodeURIComponent(room)}`).join('&')} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
      `Authorization: Bearer ${token}${HEAD_END}`
    ].join('\r\n')
  }

  #read (bytes: Buffer, size: number): void {
    if (this.#head === undefined) return this.#counter.scan(bytes, size, this)
    this.#head += bytes.toString('latin1', 0, size)
    const end = this.#head.indexOf(HEAD_END)
    if (end === -1) return
    if (!this.#head.startsWith('HTTP/1.1 101')) {
      this.#socket.destroy()
      return
    }
    const rest = Buffer.from(this.#head.slice(end + HEAD_END.length), 'latin1')
    this.#head = undefined
    this.#counter.scan(rest, rest.length, this)
  }
}
