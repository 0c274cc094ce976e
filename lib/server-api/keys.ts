import { createHash, timingSafeEqual } from 'node:crypto'
import type { LimitWarnings } from '../errors/limit-warnings.js'
import { Refusal } from '../errors/refusal.js'
import { DEFAULTS } from '../options/defaults.js'
import type { Code } from '../protocol/codes.js'
import { TokenBucket } from '../structures/token-bucket.js'
import type { ApiKey, ApiOptions, ApiScope } from '../types/api-options.js'
import { covers, roomPattern, type RoomPattern } from './room-patterns.js'

/** What was counted of one key. */
export interface ApiCounts { readonly published: number, readonly refused: Readonly<Partial<Record<Code, number>>> }

function digest (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** The pattern of every room. */
const EVERY = '*'

/** A key as the node keeps it: without the secret itself. */
export class Caller {
  readonly name: string
  readonly digest: Buffer
  readonly rooms: ReadonlyArray<{ readonly text: string, readonly pattern: RoomPattern }>
  readonly #may: ReadonlySet<ApiScope>
  readonly #bucket: TokenBucket
  readonly #rate: { readonly messages: number, readonly burst: number }
  readonly #limitWarnings: LimitWarnings
  published = 0

  constructor (
    { key, name, rooms, may }: ApiKey,
    rate: { messages: number, burst: number },
    limitWarnings: LimitWarnings
  ) {
    this.#limitWarnings = limitWarnings
    this.name = name
    this.digest = digest(key)
    this.rooms = rooms.map((text) => ({ text, pattern: roomPattern(text) }))
    this.#may = new Set(may)
    this.#rate = rate
    this.#bucket = new TokenBucket(rate, performance.now())
  }

  /** @throws Refusal `forbidden` where the key has none of these scopes */
  checkScope (...scopes: readonly ApiScope[]): void {
    if (scopes.some((scope) => this.#may.has(scope))) return
    throw new Refusal('forbidden', {
      message: `the key may not ${scopes.join(' or ')}`,
      why: { fix: `add '${scopes[0]!}' to may of this key in options.api.keys, or use another key` }
    })
  }

  /** Whether the key is for this room. */
  mayUse (name: string): boolean { return this.rooms.some(({ pattern }) => covers(pattern, name)) }

  /** @throws Refusal `forbidden` for a key that is not for every room */
  checkAll (): void {
    if (this.rooms.some(({ text }) => text === EVERY)) return
    throw new Refusal('forbidden', {
      message: 'the key is not for all rooms: name a room or a user',
      why: { fix: 'name one of both, or use a key with "*" in rooms of options.api.keys' }
    })
  }

  /** @throws Refusal `forbidden` for a room that the key is not for */
  checkRoom (name: string): void {
    if (this.mayUse(name)) return
    throw new Refusal('forbidden', {
      message: 'the key is not for this room',
      room: name,
      why: { fix: 'add the room to rooms of this key in options.api.keys, or use another key' }
    })
  }

  /**
   * Charges a request before its body is read.
   *
   * @throws Refusal `rate_limited`
   */
  begin (): void { this.#spend(1, 0) }

  /**
   * Charges the events of a request, the first of which it has paid for. A list costs the burst at most, or it could
   * never be sent.
   *
   * @throws Refusal `rate_limited`
   */
  spend (events: number): void { this.#spend(Math.min(events, this.#rate.burst) - 1, 1) }

  /** @param begun what the request has paid before, which it pays again when it comes again */
  #spend (cost: number, begun: number): void {
    const wait = this.#bucket.take(performance.now(), cost)
    if (wait > 0) {
      throw new Refusal('rate_limited', {
        message: 'too many requests and events by this key',
        retryAfter: wait + Math.ceil(begun * 1_000 / this.#rate.messages),
        why: { limit: 'api.rate', value: this.#rate }
      })
    }
    this.#limitWarnings.look('api.rate', this.#bucket.used, this.#rate.burst, { apiKey: this.name })
  }
}

/** The keys of the server API, and what is counted by their names. */
export class ApiKeys {
  readonly callers: readonly Caller[]
  /** By the names of the keys; requests without a valid key stand under the empty name. */
  readonly #refused = new Map<string, Map<Code, number>>()

  constructor ({ keys, rate = DEFAULTS.apiRate }: ApiOptions, limitWarnings: LimitWarnings) {
    this.callers = keys.map((key) => new Caller(key, rate, limitWarnings))
  }

  /**
   * Finds the key of a request. Hashes are compared, in constant time, and all of them each time.
   *
   * @throws Refusal `unauthorized`
   */
  find (authorization: string | undefined): Caller {
    const given = digest(/^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1] ?? '')
    let found: Caller | undefined
    for (const caller of this.callers) if (timingSafeEqual(given, caller.digest)) found = caller
    if (found !== undefined) return found
    throw new Refusal('unauthorized', {
      message: 'a key of the server API is needed as bearer',
      why: { fix: 'send Authorization: Bearer <key> with a key of options.api.keys; a token of a user is none' }
    })
  }

  /** Counts a refusal of a request, or of one thing in it. */
  refused (name: string, word: Code): void {
    let own = this.#refused.get(name)
    if (own === undefined) this.#refused.set(name, own = new Map())
    own.set(word, (own.get(word) ?? 0) + 1)
  }

  read (): Record<string, ApiCounts> {
    const counts = new Map<string, ApiCounts>()
    for (const { name, published } of this.callers) counts.set(name, { published, refused: {} })
    for (const [name, refused] of this.#refused) {
      counts.set(name, { published: counts.get(name)?.published ?? 0, refused: Object.fromEntries(refused) })
    }
    return Object.fromEntries(counts)
  }
}
