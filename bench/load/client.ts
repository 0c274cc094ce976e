import type { Socket } from 'node:net'
import { inflateRawSync, constants } from 'node:zlib'
import { age, KEY, SHORTEST_EVENT } from '../shared/payload.js'
import { dial } from './dial.js'
import type { Dialect } from './dialect.js'
import { clientFrame, CLOSE, FrameCounter, PING, PONG, readFrame, TEXT, type Frame } from './frames.js'
import type { LoadClient } from './load-client.js'
import type { Place } from './place.js'
import type { Totals } from './totals.js'

export interface ClientOptions {
  readonly port: number
  /** one of the addresses of this machine, so that ports do not run out */
  readonly from: string | undefined
  readonly token: string
  readonly rooms: readonly string[]
  readonly dialect: Dialect
  readonly isSecure?: boolean
  readonly compression: boolean
  /** its frames are read, for acks and timestamps, not only counted */
  readonly isReading: boolean
  /** its events count for the latency */
  readonly isSampled: boolean
  /** it remembers where it is */
  readonly isTracking?: boolean
  /** where it was before */
  readonly place?: Place | undefined
}

const HANDSHAKE_END = '\r\n\r\n'
const PATIENCE = 20_000
/** bytes by which an ack is known */
const ACK = 16
const DEFLATE_TAIL = Buffer.from([0, 0, 0xff, 0xff])

/** One WebSocket client on a bare TCP or TLS socket. */
export class Client implements LoadClient {
  readonly #options: ClientOptions
  readonly #totals: Totals
  readonly #counter = new FrameCounter()
  readonly #socket: Socket
  #state: 'handshake' | 'opening' | 'ready' = 'handshake'
  /** bytes that are no whole frame yet, of a client that reads */
  #rest: Buffer | undefined
  #isFailed = false
  place: Place | undefined
  readonly ready: Promise<void>
  #resolve!: () => void
  #reject!: (error: Error) => void
  /** an ack arrived */
  onAck: (() => void) | undefined
  /** an event arrived at a client that reads */
  onEvent: ((payload: Buffer) => void) | undefined

  constructor (options: ClientOptions, totals: Totals) {
    this.#options = options
    this.#totals = totals
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.place = options.place
    this.#socket = dial(options, (bytes, size) => { this.#read(bytes, size) })
    const patience = setTimeout(() => { this.#fail('no answer in time') }, PATIENCE)
    this.ready.then(() => { clearTimeout(patience) }, () => { clearTimeout(patience) })
    this.#socket.on('error', (error) => { this.#fail(error.message) })
    this.#socket.on('close', () => { this.#fail('the server closed the connection') })
    this.#socket.write(this.#request())
  }

  get room (): string { return this.#options.rooms[0]! }

  send (text: string): void {
    this.#socket.write(clientFrame(TEXT, text))
  }

  end (): void {
    this.#isFailed = true
    this.#socket.destroy()
  }

  /** FrameObserver: a frame that is only counted. */
  header (opcode: number, size: number): void {
    if (opcode === PING) this.#socket.write(clientFrame(PONG, ''))
    else if (opcode === CLOSE) this.#fail('the server sent a close frame')
    else if (size >= SHORTEST_EVENT) this.#totals.event()
    else if (size === 1) this.send('3') // the ping of Engine.IO, the only text of one character
  }

  #request (): string {
    const { dialect, rooms, token, port, compression } = this.#options
    return [
      `GET ${dialect.path(rooms, this.place)} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
      `Authorization: Bearer ${token}`,
      ...(compression
        ? ['Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover']
        : []),
      HANDSHAKE_END.slice(2)
    ].join('\r\n')
  }

  #read (bytes: Buffer, size: number): void {
    this.#totals.bytes += size
    if (this.#state === 'ready' && !this.#options.isReading) this.#counter.scan(bytes, size, this)
    else this.#readSlowly(bytes.subarray(0, size))
  }

  #readSlowly (chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    let at = this.#state === 'handshake' ? this.#readHandshake(bytes) : 0
    while (this.#state !== 'handshake') {
      if (this.#state === 'ready' && !this.#options.isReading) {
        this.#rest = undefined
        this.#counter.scan(bytes.subarray(at), bytes.length - at, this)
        return
      }
      const frame = readFrame(bytes, at)
      if (frame === undefined) break
      at = frame.end
      this.#frame(frame)
    }
    this.#rest = at === bytes.length ? undefined : Buffer.from(bytes.subarray(at))
  }

  /** @returns where frames begin */
  #readHandshake (bytes: Buffer): number {
    const end = bytes.indexOf(HANDSHAKE_END)
    if (end === -1) return 0
    const head = bytes.toString('latin1', 0, end)
    if (!head.startsWith('HTTP/1.1 101')) {
      this.#fail(
        `refused: ${head.split('\r\n')[0]!} ${bytes.toString('utf8', end + HANDSHAKE_END.length).slice(0, 300)}`
      )
      return bytes.length
    }
    if (this.#options.compression && !/permessage-deflate/i.test(head)) this.#fail('the server does not compress')
    if (this.#options.dialect.isReadyAtOnce) this.#open()
    else this.#state = 'opening'
    return end + HANDSHAKE_END.length
  }

  #open (): void {
    this.#state = 'ready'
    this.#resolve()
  }

  #opening (text: string): void {
    try {
      const answer = this.#options.dialect.opening(text, this.place)
      if (this.#options.isTracking === true) this.#track(text)
      if (answer === true) this.#open()
      else if (answer !== false) this.send(answer)
    } catch (error) {
      this.#fail(`refused: ${(error as Error).message}`)
    }
  }

  #frame (frame: Frame): void {
    // Socket.IO sends what was missed before it says that the client is in.
    if (this.#state === 'opening' && !frame.payload.includes(KEY)) {
      this.#opening(textOf(frame))
      return
    }
    const { opcode, payload } = frame
    const { dialect, isSampled, isTracking } = this.#options
    // The ack of a join names the members, and may be as long as an event.
    const isAck = this.onAck !== undefined && opcode === TEXT && dialect.isAck(bodyOf(frame).toString('latin1', 0, ACK))
    if (isAck) {
      this.onAck!()
      return
    }
    this.header(opcode, payload.length)
    if (opcode !== TEXT || payload.length < SHORTEST_EVENT) return
    this.onEvent?.(bodyOf(frame))
    if (isSampled) this.#totals.sample(age(bodyOf(frame)))
    if (isTracking === true) this.#track(textOf(frame))
  }

  #track (text: string): void {
    this.place = this.#options.dialect.place(text, this.place)
  }

  #fail (reason: string): void {
    if (this.#isFailed) return
    this.#isFailed = true
    const error = new Error(`a client failed: ${reason}`)
    if (this.#state === 'ready') throw error
    this.#reject(error)
  }
}

function bodyOf ({ isCompressed, payload }: Frame): Buffer {
  return isCompressed
    ? inflateRawSync(Buffer.concat([payload, DEFLATE_TAIL]), { finishFlush: constants.Z_SYNC_FLUSH })
    : payload
}

function textOf (frame: Frame): string { return bodyOf(frame).toString('utf8') }
