import type { Peer } from '../admission/peer.js'
import type { JoinResult } from '../dispatch/join-result.js'
import type { Settings } from '../options/resolve.js'
import { Packet } from '../protocol/packet.js'
import { frameText } from '../protocol/websocket-frame.js'

const VERSION = 1

/**
 * Makes the first frame of every connection. Most of it is the same for all connections, and except for the user id the
 * rest has only characters that JSON need not escape.
 */
export class Welcome {
  readonly #settings: Settings
  readonly #limits: string

  constructor (settings: Settings) {
    const { message, rooms, rate } = settings.limits
    this.#settings = settings
    this.#limits = JSON.stringify({ message, rooms, rate })
  }

  packet ({ id, userId, identity: { exp }, transport }: Peer, entered: readonly JoinResult[]): Packet {
    const { heartbeat, sse } = this.#settings
    const expires = exp === undefined ? '' : `,"expires":${Math.floor(exp * 1_000)}`
    let rooms = ''
    for (const result of entered) {
      if ('data' in result) rooms += `${rooms === '' ? '' : ','}"${result.name}":${JSON.stringify(result.data)}`
    }
    // The buffer is from the shared pool, because nothing is queued before this frame and the kernel takes it at once.
    return new Packet(frameText(
      `{"type":"welcome","data":{"connectionId":"${id}","userId":${JSON.stringify(userId)},"version":${VERSION},"heartbeat":${transport === 'sse' ? sse.comment : heartbeat}${expires},"limits":${this.#limits},"rooms":{${rooms}}}}`,
      Buffer.allocUnsafe
    ))
  }
}
