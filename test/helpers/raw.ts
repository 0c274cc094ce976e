import { once } from 'node:events'
import { connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'

export interface RequestOptions {
  readonly method?: string
  readonly version?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The text of a WebSocket handshake. */
export function handshake (
  path: string,
  { method = 'GET', version = 'HTTP/1.1', headers = {} }: RequestOptions = {}
): string {
  const all = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers
  }
  return plain(path, { method, version, headers: all })
}

/** The text of a request without a body. */
export function plain (
  path: string,
  { method = 'GET', version = 'HTTP/1.1', headers = { Host: 'localhost' } }: RequestOptions = {}
): string {
  return [
    `${method} ${path} ${version}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    ''
  ].join('\r\n')
}

/** A masked text frame of at most 125 bytes, as a client sends it. */
export function textFrame (text: string): Buffer {
  const data = Buffer.from(text)
  return Buffer.concat([Buffer.from([0x81, 0x80 | data.length, 0, 0, 0, 0]), data])
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/**
 * Resolves with what `ready` returns once that is not `undefined`; rejects at the deadline and says what was there
 * instead.
 */
export async function until<T> (
  what: string,
  ready: () => T | undefined | false | Promise<T | undefined | false>,
  ms = 10_000,
  shown: () => unknown = () => ''
): Promise<T> {
  const end = performance.now() + ms
  for (;;) {
    const value = await ready()
    if (value !== undefined && value !== false) return value
    if (performance.now() > end) throw new Error(`${what}: not within ${ms} ms, ${String(shown())}`)
    await delay(5)
  }
}

/** Rejects when the promise has not settled at the deadline. */
export async function within<T> (what: string, ms: number, promise: PromiseLike<T>): Promise<T> {
  const stop = new AbortController()
  const late = delay(ms, undefined, {
    signal: stop.signal
  }).then(() => { throw new Error(`${what}: not within ${ms} ms`) })
  late.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    stop.abort()
  }
}

/** A bare TCP peer that records everything and keeps its own side open until told otherwise. */
export class RawPeer {
  readonly socket: Socket
  received = Buffer.alloc(0)
  /** the other side has sent its FIN */
  ended = false
  closed = false

  constructor (port: number, host = '127.0.0.1', localAddress?: string) {
    this.socket = connect({ port, host, allowHalfOpen: true, ...(localAddress === undefined ? {} : { localAddress }) })
    this.socket.on('data', (chunk: Buffer) => { this.received = Buffer.concat([this.received, chunk]) })
    this.socket.on('end', () => { this.ended = true })
    this.socket.on('close', () => { this.closed = true })
    this.socket.on('error', () => {})
  }

  get text (): string { return this.received.toString('latin1') }

  get answer (): Answer | undefined { return parse(this.text) }

  async connected (): Promise<this> {
    if (this.socket.connecting) await once(this.socket, 'connect')
    return this
  }

  send (data: string | Buffer): this {
    this.socket.write(data)
    return this
  }

  /** The first answer, whole. */
  async answered (ms?: number): Promise<Answer> {
    return await until(
      'an answer',
      () => this.answer,
      ms,
      () => `received ${JSON.stringify(this.text)}${this.ended ? ', ended' : ''}${this.closed ? ', closed' : ''}`
    )
  }

  /** The other side has ended or cut the connection. */
  async left (ms?: number): Promise<void> {
    await until(
      'the end of a connection',
      () => this.ended || this.closed ? true : undefined,
      ms,
      () => `received ${JSON.stringify(this.text)}`
    )
  }

  /** Ends our side, reads on. */
  fin (): void { this.socket.end() }

  reset (): void { this.socket.resetAndDestroy() }

  destroy (): void { this.socket.destroy() }
}

function parse (text: string): Answer | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return undefined
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  const rest = text.slice(end + 4)
  const length = Number(headers['content-length'] ?? 0)
  if (rest.length < length) return undefined
  return { status: Number(first.split(' ')[1]), headers, body: rest.slice(0, length) }
}

export function portOf (server: Server): number {
  return (server.address() as AddressInfo).port
}

export async function connections (server: Server): Promise<number> {
  return await new Promise((resolve, reject) => {
    server.getConnections((error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
}

/** Resolves when the server holds exactly this many connections. */
export async function holds (server: Server, wanted: number, ms = 3_000): Promise<void> {
  let count = -1
  await until(`${wanted} server connections`, async () => {
    count = await connections(server)
    return count === wanted ? true : undefined
  }, ms, () => `there are ${count}`)
}
