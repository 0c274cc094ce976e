import { ExpiringMap } from '../../structures/expiring-map.js'
import type { ControlMessage } from '../adapter.js'
import { decodeControl } from './decode.js'

/** Milliseconds that a message which must arrive is kept for nodes whose link is broken. */
export const KEPT = 600_000

/** Messages that are remembered, so that none is delivered twice. */
const MAX_HEARD = 20_000
/** The others are sent again, or counted as missing, by their sender. */
const MUST_ARRIVE: ReadonlySet<ControlMessage['type']> = new Set([
  'revoke', 'expel', 'close', 'join', 'leave', 'cancel', 'moved'
])

/** Whether a message is kept for nodes that cannot hear it now, and handed over there in its order. */
export function mustArrive ({ type }: ControlMessage): boolean { return MUST_ARRIVE.has(type) }

/**
 * Messages between nodes as brokers carry them: two lines, of which the first says which message it is and from which
 * node.
 *
 *     <tag>-<number> <node>
 *     {"type":"revoke","user":"ann"}
 */
export class Envelopes {
  readonly #tag: string
  readonly #ahead: () => number
  readonly #heard = new ExpiringMap<true>(MAX_HEARD)
  #count = 0

  /**
   * @param tag names this adapter among all
   * @param ahead milliseconds by which the broker's clock is ahead of this machine's: times travel by the broker's
   */
  constructor (tag: string, ahead: () => number) {
    this.#tag = tag
    this.#ahead = ahead
  }

  seal (message: ControlMessage, nodeId: string): { readonly id: string, readonly text: string } {
    const id = `${this.#tag}-${(++this.#count).toString(36)}`
    return { id, text: `${id} ${nodeId}\n${JSON.stringify(shifted(message, this.#ahead()))}` }
  }

  /**
   * @returns nothing for a message of this node, and for one that must arrive and has been opened before
   * @throws Undecodable
   */
  open (text: string): { readonly message: ControlMessage, readonly from: string } | undefined {
    const end = text.indexOf('\n')
    const [id = '', from = ''] = text.slice(0, end).split(' ')
    if (id === this.#tag || id.startsWith(`${this.#tag}-`)) return undefined
    const message = decodeControl(text.slice(end + 1))
    // Nodes of an earlier version do not number their messages.
    if (mustArrive(message) && id.length > this.#tag.length) {
      const now = performance.now()
      if (this.#heard.get(id, now) !== undefined) return undefined
      this.#heard.set(id, true, now + KEPT, now)
    }
    return { message: shifted(message, -this.#ahead()), from }
  }
}

function shifted (message: ControlMessage, by: number): ControlMessage {
  const isTimed = message.type === 'revoke' || message.type === 'expel'
  return isTimed && message.until !== undefined ? { ...message, until: message.until + by } : message
}
