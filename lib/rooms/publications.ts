import type { Publication, Published } from '../adapters/adapter.js'
import { nameOrShow } from '../errors/explain.js'
import { blaming, REALTIME_ERR_EVENT } from '../errors/misuse.js'
import { isNearly, type LimitWarnings } from '../errors/limit-warnings.js'
import { keyOf } from '../protocol/key.js'
import type { Except } from '../protocol/except.js'
import { encodeEvent, type EventHead, type Packet } from '../protocol/packet.js'
import type { Position } from '../protocol/position.js'
import type { Declaration, EventRule } from './declaration.js'
import { jsonOf, outgoing } from './fitting.js'
import type { Change, MessageRun } from './message-run.js'

export interface PublishOptions {
  readonly except?: Except | undefined
  /** What is to have effect once: a key of the application, or the handler of a message, however often it runs. */
  readonly once?: string | MessageRun | undefined
  readonly ack?: string | undefined
  /** User whose message makes the event. */
  readonly owner?: string | undefined
  /** Connection whose message makes it. */
  readonly sender?: string | undefined
  /** Whether another program made it: then its data is checked always. */
  readonly isForeign?: boolean
}

/** Characters of the key of a `latest` value. */
const MAX_KEY = 1_024

/**
 * Makes the result of a publication: its position where the room keeps events, and the number of members on this node
 * that were offered it.
 */
export function shape ({ position, recipients }: Published): {
  position?: Position
  recipients: number
} {
  return position === undefined ? { recipients } : { position, recipients }
}

export interface PublicationsOptions {
  /** Bytes of one event. */
  readonly eventLimit: number
  /** Whether events are checked against their schemas. */
  readonly validateOutput: boolean
  readonly limitWarnings?: LimitWarnings | undefined
}

/** Makes the removal of a value, of this version where there is one. */
export function removalOf ({ type, key, version }: Pick<EventHead, 'type' | 'key' | 'version'>): Publication {
  return { type, data: '{}', delivery: 'latest', timestamp: Date.now(), key, removes: { version } }
}

/** Makes events from what the application publishes: checked against the contract and serialised once. */
export class Publications {
  readonly #options: PublicationsOptions

  constructor (options: PublicationsOptions) {
    this.#options = options
  }

  /** @throws REALTIME_ERR_EVENT for an undeclared event, data that does not fit its schema, or data above the limit */
  prepare (
    declaration: Declaration,
    type: string,
    data: unknown,
    { except, once, ack, owner, sender, isForeign = false }: PublishOptions = {}
  ): Publication {
    const { delivery, key, text, isOwned } = this.#checked(declaration, type, data, isForeign)
    if (isOwned && (owner === undefined || sender === undefined)) {
      throw new REALTIME_ERR_EVENT(
        `a value of "${type}" of "${declaration.pattern.source}" belongs to the user who causes it: broadcast it in the handler of a message that a member has sent`
      )
    }
    return {
      type,
      data: text,
      delivery: ack === undefined ? delivery : 'volatile',
      timestamp: Date.now(),
      key,
      except,
      ...keysOf(once, type, delivery === 'latest' ? { key, data: text } : undefined),
      ack,
      owner,
      user: isOwned ? owner : undefined
    }
  }

  /**
   * Makes the data of a question to clients, and tells what fits as its answer.
   *
   * @throws REALTIME_ERR_EVENT as `prepare` does, and for an event without a reply
   */
  question (
    declaration: Declaration,
    type: string,
    data: unknown
  ): { readonly text: string, readonly reply: NonNullable<EventRule['reply']> } {
    const { reply } = this.#rule(declaration, type)
    if (reply === undefined) {
      throw new REALTIME_ERR_EVENT(
        `event "${type}" of "${declaration.pattern.source}" declares no reply: give it one in defineRoom, { data, reply }`
      )
    }
    return { text: this.#checked(declaration, type, data).text, reply }
  }

  /**
   * Makes the removal of a value.
   *
   * @throws REALTIME_ERR_EVENT for an event that is undeclared or not `latest`, and for a key that no value can have
   */
  removal (declaration: Declaration, type: string, key: unknown, { once, owner }: PublishOptions = {}): Publication {
    const rule = this.#rule(declaration, type)
    if (rule.delivery !== 'latest') {
      throw new REALTIME_ERR_EVENT(
        `event "${type}" of "${declaration.pattern.source}" is not 'latest', so it has no value to remove`
      )
    }
    if (typeof key !== 'string' && typeof key !== 'number') {
      throw new REALTIME_ERR_EVENT(`the key of a value of "${type}" is a string or a number, not ${typeof key}`)
    }
    const removal = removalOf({ type, key: this.#keyOf(declaration, type, key) })
    return { ...removal, ...keysOf(once, type, { key: removal.key }), owner }
  }

  /** Makes an event for one member only, without an offset; it is not retained. */
  direct (declaration: Declaration, room: string, type: string, data: unknown): Packet {
    const { delivery, key, text } = this.#checked(declaration, type, data)
    return encodeEvent({ type, room, delivery, key, timestamp: Date.now() }, text)
  }

  #checked (
    declaration: Declaration,
    type: string,
    data: unknown,
    isForeign = false
  ): Pick<EventRule, 'delivery' | 'key' | 'isOwned'> & { readonly text: string } {
    const rule = this.#rule(declaration, type)
    const room = declaration.pattern.source
    const sent = outgoing(rule.data, data, isForeign || this.#options.validateOutput, rule.name, room)
    const text = jsonOf(sent, `data of event "${type}" of "${room}"`)
    if (text === undefined) throw new REALTIME_ERR_EVENT(`data of event "${type}" of "${room}" is no JSON value`)
    const { eventLimit, limitWarnings } = this.#options
    // A character has three bytes at most: few events have to be counted to know that they are far below the limit.
    const bytes = text.length * 4 > eventLimit ? Buffer.byteLength(text) : text.length
    if (isNearly(bytes, eventLimit)) limitWarnings?.look('limits.event', bytes, eventLimit, { definition: room, event: type })
    if (bytes > eventLimit) {
      throw blaming(
        new REALTIME_ERR_EVENT(
          `event "${type}" of "${room}" is larger than limits.event (${eventLimit} bytes); send a reference to the data instead, or raise the limit`
        ),
        { word: 'message_too_large' }
      )
    }
    const key = rule.key === undefined
      ? undefined
      : this.#keyOf(declaration, type, keyIn(sent, rule.key, rule.name, room))
    return { text, delivery: rule.delivery, key, isOwned: rule.isOwned }
  }

  #rule (declaration: Declaration, type: string): EventRule {
    const rule = declaration.events.get(type)
    if (rule !== undefined) return rule
    if (declaration.texts.has(type)) {
      throw new REALTIME_ERR_EVENT(
        `event "${type}" of "${declaration.pattern.source}" is 'append': write its texts by room.stream or app.rooms.stream`
      )
    }
    const known = [...declaration.events.keys()].map((name) => `"${name}"`).join(', ')
    throw new REALTIME_ERR_EVENT(
      `"${declaration.pattern.source}" declares no event "${nameOrShow(type)}" (declared: ${known === '' ? 'none' : known})`
    )
  }

  #keyOf (declaration: Declaration, type: string, value: unknown): string {
    const key = String(value)
    if (key.length <= MAX_KEY) return key
    throw new REALTIME_ERR_EVENT(
      `the key of a value of "${type}" of "${declaration.pattern.source}" has ${key.length} characters, at most ${MAX_KEY} are allowed; use an id`
    )
  }
}

function keysOf (
  once: PublishOptions['once'], type: string, value: Change | undefined
): Pick<Publication, 'idempotencyKey' | 'message'> {
  if (once === undefined || typeof once === 'string') {
    return { idempotencyKey: once === undefined ? undefined : keyOf(once), message: undefined }
  }
  return once.next(type, value)
}

/** @throws REALTIME_ERR_EVENT for a value that has no such key, where its schema did not show whether it has */
function keyIn (data: unknown, name: string, what: string, room: string): string {
  const key = (data as Readonly<Record<string, unknown>> | null | undefined)?.[name]
  if (typeof key === 'string' || typeof key === 'number') return String(key)
  throw new REALTIME_ERR_EVENT(`${what} of "${room}" has no string or number as "${name}", by which the newest is kept`)
}
