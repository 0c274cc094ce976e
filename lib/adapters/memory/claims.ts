import type { Position } from '../../protocol/position.js'
import type { Remembered } from '../../retention/remembered.js'
import { textBytes } from '../../structures/text-bytes.js'
import type { Claim, ClaimStore, Publication, Published } from '../adapter.js'

/** What is remembered of one message: that it is being handled, or its outcome, and what its handler has published. */
export interface Message {
  /** Of its content; empty while nobody handles it and it has no outcome. */
  hash: string
  outcome: string | undefined
  /** Who handles it. */
  holder: string | undefined
  /** Time at which the claim, or the outcome, ends. */
  until: number
  /** Time up to which all of this is kept. */
  kept: number
  /** The room of its publications. */
  room: string | undefined
  /** Its first publication, which is mostly the only one; absent where there was none. */
  first: string | undefined
  /** The position of that; `null` where it has none. */
  position: Position | null
  /** Positions of the others. */
  more: Map<string, Position | null> | undefined
}

type Of = NonNullable<Publication['message']>

/** Bytes of a publication beyond the first one of its message. */
const PUBLISHED = 150

/** Messages that are handled, their outcomes and their publications, and values that are taken once. */
export class MemoryClaims implements ClaimStore {
  readonly isLocal = true
  readonly #messages: Remembered<Message>
  readonly #values: Remembered<string>
  readonly #idempotency: number
  readonly #now: () => number

  /**
   * @param idempotency milliseconds for which publications are remembered
   * @param now the monotonic clock, in milliseconds
   */
  constructor (messages: Remembered<Message>, values: Remembered<string>, idempotency: number, now: () => number) {
    this.#messages = messages
    this.#values = values
    this.#idempotency = idempotency
    this.#now = now
  }

  claim (key: string, hash: string, lease: number, owner = '', holder?: string): Claim {
    const at = this.#now()
    const known = this.#messages.get(key, at)
    if (known !== undefined && isTaken(known, at)) {
      if (known.hash !== hash) return { state: 'conflict' }
      if (known.outcome !== undefined) return { state: 'settled', outcome: known.outcome }
      if (holder === undefined || known.holder !== holder) return { state: 'running', retryAfter: known.until - at }
    }
    const message = known ?? fresh()
    message.hash = hash
    message.outcome = undefined
    message.holder = holder
    message.until = at + lease
    this.#keep(owner, key, message, message.until + this.#idempotency, at)
    return CLAIMED
  }

  settle (key: string, hash: string, outcome: string | undefined, ttl: number, owner = '', holder?: string): void {
    const at = this.#now()
    const known = this.#messages.get(key, at)
    const claimed = known !== undefined && isTaken(known, at) ? known : undefined
    if (claimed !== undefined && claimed.hash !== hash) return
    const isPublished = known?.first !== undefined
    if (outcome === undefined) {
      if (claimed === undefined || (holder !== undefined && claimed.holder !== holder)) return
      if (!isPublished) return this.#messages.delete(key, at)
    }
    const message = known ?? fresh()
    message.hash = outcome === undefined ? '' : hash
    message.outcome = outcome
    message.holder = undefined
    message.until = outcome === undefined ? at : at + ttl
    this.#keep(owner, key, message, isPublished ? Math.max(message.until, at + this.#idempotency) : message.until, at)
  }

  /** What came of a publication before, where this is its second time. */
  before ({ claim, part }: Of, room: string): Published | undefined {
    const message = this.#messages.get(claim, this.#now())
    if (message?.room !== room) return undefined
    const position = part === message.first ? message.position : message.more?.get(part)
    return position === undefined ? undefined : { position: position ?? undefined, recipients: 0 }
  }

  /** @returns whether the publication is remembered with its message, which may be unknown, or of another room */
  published ({ claim, part }: Of, room: string, position: Position | undefined, owner: string): boolean {
    const at = this.#now()
    const message = this.#messages.get(claim, at)
    if (message === undefined || (message.room !== undefined && message.room !== room)) return false
    message.room = room
    const isFirst = message.first === undefined || message.first === part
    if (isFirst) {
      message.first = part
      message.position = position ?? null
    } else (message.more ??= new Map()).set(part, position ?? null)
    const until = at + this.#idempotency
    if (!isFirst || until > message.kept) this.#keep(owner, claim, message, Math.max(until, message.kept), at)
    return true
  }

  #keep (owner: string, key: string, message: Message, until: number, now: number): void {
    const { hash, outcome = '', more } = message
    message.kept = until
    const bytes = textBytes(hash) + textBytes(outcome) + (more === undefined ? 0 : more.size * PUBLISHED)
    this.#messages.set(owner, key, message, bytes, until, now)
  }

  put (key: string, value: string, ttl: number): void {
    const at = this.#now()
    this.#values.set('', key, value, textBytes(value), at + ttl, at)
  }

  take (key: string): string | undefined {
    const at = this.#now()
    const value = this.#values.get(key, at)
    this.#values.delete(key, at)
    return value
  }
}

const CLAIMED: Claim = { state: 'claimed' }

/** Whether somebody handles the message, or its outcome is known. */
function isTaken ({ hash, until }: Message, now: number): boolean { return hash !== '' && until > now }

function fresh (): Message {
  return {
    hash: '',
    outcome: undefined,
    holder: undefined,
    until: 0,
    kept: 0,
    room: undefined,
    first: undefined,
    position: null,
    more: undefined
  }
}
