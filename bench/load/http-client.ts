import type { Socket } from 'node:net'
import { age } from '../shared/payload.js'
import type { ClientOptions } from './client.js'
import { dial } from './dial.js'
import { EventScanner } from './event-scanner.js'
import type { LoadClient } from './load-client.js'
import type { Place } from './place.js'
import type { Totals } from './totals.js'

const PATIENCE = 20_000

/** What clients over HTTP have in common: a socket, requests, and events that are found in what arrives. */
export abstract class HttpClient implements LoadClient {
  protected readonly options: ClientOptions
  readonly #totals: Totals
  readonly #socket: Socket
  readonly #scanner = new EventScanner()
  #isReady = false
  #isEnded = false
  readonly place: Place | undefined = undefined
  readonly ready: Promise<void>
  #resolve!: () => void
  #reject!: (error: Error) => void
  onAck: (() => void) | undefined
  onEvent: ((payload: Buffer) => void) | undefined

  constructor (options: ClientOptions, totals: Totals) {
    this.options = options
    this.#totals = totals
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#socket = dial(options, (bytes, size) => {
      totals.bytes += size
      this.read(bytes.subarray(0, size))
    })
    const patience = setTimeout(() => { this.fail('no answer in time') }, PATIENCE)
    this.ready.then(() => { clearTimeout(patience) }, () => { clearTimeout(patience) })
    this.#socket.on('error', (error) => { this.fail(error.message) })
    this.#socket.on('close', () => { this.fail('the server closed the connection') })
  }

  get room (): string { return this.options.rooms[0]! }

  /** Takes what has arrived, in a buffer that is not kept. */
  protected abstract read (bytes: Buffer): void

  protected ask (path: string, headers: readonly string[], body?: string): void {
    const { port, token } = this.options
    this.#socket.write([
      `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      `Authorization: Bearer ${token}`,
      ...headers,
      ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
      '',
      body ?? ''
    ].join('\r\n'))
  }

  protected events (bytes: Buffer): void {
    this.#scanner.scan(bytes, (event) => {
      this.#totals.event()
      if (this.options.isSampled) this.#totals.sample(age(event))
    })
  }

  protected admitted (): void {
    this.#isReady = true
    this.#resolve()
  }

  send (): void { throw new Error('a client over HTTP does not speak here') }

  end (): void {
    this.#isEnded = true
    this.#socket.destroy()
  }

  protected fail (reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    const error = new Error(`a client failed: ${reason}`)
    if (this.#isReady) throw error
    this.#reject(error)
  }
}
