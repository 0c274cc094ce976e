import { ExpiringMap } from '../../structures/expiring-map.js'
import type { ControlMessage } from '../adapter.js'
import { decodeControl } from './decode.js'
import { MAX_DATE } from './values.js'

/** Milliseconds that a message which must arrive is kept for nodes whose link is broken. */
export const KEPT = 600_000
/** Milliseconds that it is kept however many there are, and that one which is soon of no use is kept at all. */
export const KEPT_SURELY = 60_000
/**
 * Milliseconds without a read after which a node may have missed one for good: less than they are kept, because answers
 * take their time.
 */
export const CUT_OFF = KEPT_SURELY - 10_000

/**
 * Messages that are remembered of each of both kinds, so that none is delivered twice: more than a broker keeps, which
 * may come again when another server takes its place.
 */
const MAX_HEARD = 120_000
/** Milliseconds that one is remembered: clocks of two servers may differ by the rest when one follows the other. */
const REMEMBERED = 6 * KEPT
const REMEMBERED_BRIEFLY = 6 * KEPT_SURELY
/** The others are sent or asked again, or counted as missing, by their sender. */
const MUST_ARRIVE: ReadonlySet<ControlMessage['type']> = new Set([
  'revoke', 'expel', 'close', 'join', 'leave', 'cancel', 'moved', 'owed'
])

/** Whether a message is kept for nodes that cannot hear it now, and handed over there in its order. */
export function mustArrive ({ type }: ControlMessage): boolean { return MUST_ARRIVE.has(type) }

/**
 * Whether it is soon of no use. There may be very many of these, which must not take the place of the others: pollers
 * that move come and go by themselves, and a connection that has moved ends with its grace where it was; what one is to
 * be told is kept for half a minute.
 */
export function isBrief ({ type }: ControlMessage): boolean { return type === 'moved' || type === 'owed' }

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
  readonly #brief = new ExpiringMap<true>(MAX_HEARD)
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
   * @param age milliseconds since it was sent, by the broker's clock: one that is of no use any more is passed over
   * @returns nothing for a message of this node, and for one that must arrive and has been opened before
   * @throws Undecodable
   */
  open (text: string, age = 0): { readonly message: ControlMessage, readonly from: string } | undefined {
    const { id, from, end } = headOf(text)
    if (this.#isOwn(id)) return undefined
    const message = decodeControl(text.slice(end + 1))
    const areBrief = isBrief(message)
    if (areBrief && age >= KEPT_SURELY) return undefined
    // Nodes of an earlier version do not number their messages.
    if (mustArrive(message) && id.length > this.#tag.length && !this.#isNew(id, areBrief)) return undefined
    return { message: shifted(message, -this.#ahead()), from }
  }

  /**
   * Remembers one that is not to be opened, neither now nor when it comes again.
   *
   * @param areBrief whether it is soon of no use, where that is known without reading it
   * @throws Undecodable
   */
  pass (text: string, areBrief?: boolean): void {
    const { id, end } = headOf(text)
    if (!this.#isOwn(id)) this.#isNew(id, areBrief ?? isBrief(decodeControl(text.slice(end + 1))))
  }

  #isOwn (id: string): boolean { return id === this.#tag || id.startsWith(`${this.#tag}-`) }

  #isNew (id: string, areBrief: boolean): boolean {
    const now = performance.now()
    const heard = areBrief ? this.#brief : this.#heard
    if (heard.get(id, now) !== undefined) return false
    heard.set(id, true, now + (areBrief ? REMEMBERED_BRIEFLY : REMEMBERED), now)
    return true
  }
}

function headOf (text: string): { readonly id: string, readonly from: string, readonly end: number } {
  const end = text.indexOf('\n')
  const [id = '', from = ''] = text.slice(0, end).split(' ')
  return { id, from, end }
}

/** The id of a message, which no other has. */
export function idOf (text: string): string { return text.slice(0, text.indexOf(' ')) }

/** A time for ever is the last moment that a date can name already, and what is later or earlier is no date. */
function shifted (message: ControlMessage, by: number): ControlMessage {
  const isTimed = message.type === 'revoke' || message.type === 'expel'
  if (!isTimed || message.until === undefined) return message
  return { ...message, until: Math.min(Math.max(0, message.until + by), MAX_DATE) }
}
