import { randomBytes } from 'node:crypto'
import { handshake, RawPeer, until } from './raw.js'

export const CONTINUATION = 0x0
export const TEXT = 0x1
export const BINARY = 0x2
export const CLOSE = 0x8
export const PING = 0x9
export const PONG = 0xa

export interface FrameOptions {
  /** the last of its message; default true */
  readonly fin?: boolean
  /** RSV1, RSV2 and RSV3 as a number of three bits; default 0 */
  readonly rsv?: number
  /** default true, as RFC 6455 5.3 asks of a client */
  readonly masked?: boolean
  /** four bytes, random by default */
  readonly key?: Buffer
  /** the length that the head claims, where it is not the payload's own */
  readonly claimed?: number | bigint
  /** how the length is written: the shortest form by default */
  readonly form?: 7 | 16 | 64
}

/** One frame of RFC 6455 5.2 with whatever is wrong with it. */
export function rawFrame (opcode: number, payload: string | Uint8Array = '', options: FrameOptions = {}): Buffer {
  const { fin = true, rsv = 0, masked = true, key = randomBytes(4) } = options
  const data = Buffer.from(payload as Uint8Array)
  const claimed = options.claimed ?? data.length
  const form = options.form ?? (claimed < 126 ? 7 : claimed < 65_536 ? 16 : 64)
  const head = Buffer.alloc(form === 7 ? 2 : form === 16 ? 4 : 10)
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const bit = masked ? 0x80 : 0
  if (form === 7) head[1] = bit | Number(claimed)
  else if (form === 16) {
    head[1] = bit | 126
    head.writeUInt16BE(Number(claimed), 2)
  } else {
    head[1] = bit | 127
    head.writeBigUInt64BE(BigInt(claimed), 2)
  }
  if (!masked) return Buffer.concat([head, data])
  const hidden = Buffer.from(data)
  for (let index = 0; index < hidden.length; index++) hidden[index]! ^= key[index % 4]!
  return Buffer.concat([head, key, hidden])
}

/** The payload of a close frame. */
export function closePayload (code: number, reason: string | Uint8Array = ''): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return Buffer.concat([head, Buffer.from(reason as Uint8Array)])
}

export interface ReceivedFrame {
  readonly opcode: number
  readonly fin: boolean
  readonly rsv: number
  readonly payload: Buffer
}

/** A WebSocket client that sends whatever bytes it is given and records every frame that comes. */
export class RawWebSocket {
  readonly peer: RawPeer
  #start = -1

  private constructor (peer: RawPeer) { this.peer = peer }

  static async open (port: number, path: string, headers: Readonly<Record<string, string>>): Promise<RawWebSocket> {
    const opened = new RawWebSocket(await new RawPeer(port).connected())
    opened.peer.send(handshake(path, { headers }))
    const { status, body } = await opened.peer.answered()
    if (status !== 101) throw new Error(`the upgrade was answered ${status} ${body}`)
    opened.#start = opened.peer.received.indexOf('\r\n\r\n') + 4
    await opened.next('the welcome', ({ opcode, payload }) => opcode === TEXT && payload.includes('"type":"welcome"'))
    return opened
  }

  get frames (): ReceivedFrame[] {
    const found: ReceivedFrame[] = []
    const bytes = this.peer.received.subarray(this.#start)
    for (let at = 0; at + 2 <= bytes.length;) {
      const first = bytes[at]!
      const short = bytes[at + 1]! & 0x7f
      const head = short < 126 ? 2 : short === 126 ? 4 : 10
      if (at + head > bytes.length) break
      const length = short < 126
        ? short
        : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
      if (at + head + length > bytes.length) break
      const payload = bytes.subarray(at + head, at + head + length)
      found.push({ opcode: first & 0x0f, fin: first >= 0x80, rsv: (first >> 4) & 7, payload })
      at += head + length
    }
    return found
  }

  /** The frames as short words, for tests that compare and errors that explain. */
  get shown (): string {
    const names: Record<number, string> = {
      [TEXT]: 'text',
      [BINARY]: 'binary',
      [CLOSE]: 'close',
      [PING]: 'ping',
      [PONG]: 'pong'
    }
    return this.frames.map(
      ({ opcode, payload }) => `${names[opcode] ?? opcode} ${payload.subarray(0, 80).toString('latin1')}`
    ).join(' | ')
  }

  get closeCode (): number | undefined {
    const frame = this.frames.find(({ opcode }) => opcode === CLOSE)
    return frame === undefined ? undefined : frame.payload.length < 2 ? 1005 : frame.payload.readUInt16BE(0)
  }

  async next (what: string, matches: (frame: ReceivedFrame) => boolean, ms = 5_000): Promise<ReceivedFrame> {
    return await until(
      what,
      () => this.frames.find(matches),
      ms,
      () => `received ${this.shown}${this.peer.ended ? ', ended' : ''}`
    )
  }

  /** A round trip behind everything that was sent: the connection goes on. */
  async goesOn (): Promise<void> {
    const id = `f-${Math.random().toString(36).slice(2)}`
    this.peer.send(rawFrame(TEXT, JSON.stringify({ type: 'ping', id })))
    await this.next(`the answer to ping ${id}`, ({ opcode, payload }) => opcode === TEXT && payload.includes(id))
  }

  /**
   * The server has closed; resolves with the code of its close frame, or `undefined` when it only ended the connection.
   */
  async ends (ms = 5_000): Promise<number | undefined> {
    await until(
      'the end of the connection',
      () => this.closeCode !== undefined || this.peer.ended || this.peer.closed ? true : undefined,
      ms,
      () => `received ${this.shown}`
    )
    return this.closeCode
  }

  destroy (): void { this.peer.destroy() }
}
