import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { Refusal } from '../errors/refusal.js'
import type { Code } from '../protocol/codes.js'
import { Seldom } from '../structures/seldom.js'
import type { RealtimeOptions } from '../types/options.js'

/** The refused caller, as far as it is known. */
export interface Refused {
  readonly address: string
  readonly userId?: string | undefined
  /** The name of the key, of a program that uses the server API. */
  readonly apiKey?: string | undefined
  /** Absent for frames, whose request was released after the handshake, and for upgrades that no route has seen. */
  readonly request?: FastifyRequest | undefined
}

const LIMIT = 'a limit of the options was reached: raise it, or find out who takes so much'

/**
 * Refusals of this package that the app's developer or operator can mend, and how. The others are caused by the peer
 * alone, are errors of the application, or say themselves what helps (`forbidden`, by what has refused).
 */
const MENDABLE: Partial<Readonly<Record<Code, string>>> = {
  unauthorized:
    'compare the secret of the verification with the one that signs, and auth.carriers with where the client puts its token',
  origin_refused: 'name the origin in options.origins',
  room_unknown: 'declare the room with app.room, on every node, or correct the name that the client uses',
  server_full: LIMIT,
  room_full: LIMIT,
  user_limit: LIMIT,
  address_limit:
    `${LIMIT}; behind a proxy set trustProxy in the options of Fastify, else all its clients are one address`,
  room_limit: LIMIT,
  rate_limited: LIMIT,
  message_too_large: LIMIT,
  unavailable: 'something that the answer depends on is away: the adapter\'s server, or what authenticates'
}

/** Codes with their fixes of which each has a line a minute; what comes beyond them has one for each code. */
const KINDS = 100

/** Lines at info level in one second: log lines that any peer can cause must not fill a disk. */
const LINES = 20

/**
 * Tells the log and the app who was refused and why. What can be mended is logged as a warning once a minute for each
 * code, limit and fix, the rest at info level.
 */
export class Refusals {
  readonly #log: FastifyBaseLogger
  readonly #onRefused: RealtimeOptions['onRefused']
  readonly #now: () => number
  readonly #warned = new Seldom()
  readonly #kinds = new Set<string>()
  #second = 0
  #lines = 0
  #unlogged = 0

  /** @param now milliseconds of a monotonic clock */
  constructor (
    log: FastifyBaseLogger,
    onRefused: RealtimeOptions['onRefused'],
    now: () => number = () => performance.now()
  ) {
    this.#log = log
    this.#onRefused = onRefused
    this.#now = now
  }

  note (refusal: Refusal, { address, userId = refusal.userId, apiKey, request }: Refused): void {
    const log = request?.log ?? this.#log
    const { word, code, message, room, why, cause } = refusal
    const known = {
      code,
      ...(userId === undefined ? {} : { userId: brief(userId) }),
      ...(apiKey === undefined ? {} : { apiKey }),
      address,
      ...(room === undefined ? {} : { room: brief(room) })
    }
    const closedBy = why?.closedBy
    const fix = why?.fix ?? (refusal.isOfApp || closedBy !== undefined ? undefined : MENDABLE[word])
    const limit = typeof why?.limit === 'string' ? why.limit : word
    const suppressed = fix === undefined ? undefined : this.#warned.due(this.#kindOf(limit, String(fix)), this.#now())
    if (suppressed !== undefined) {
      log.warn(
        { ...known, ...why, ...(suppressed === 0 ? {} : { suppressed }) },
        `refused with ${code}: ${message}; ${fix}`
      )
    } else if (this.#mayLog()) {
      const unlogged = this.#unlogged
      this.#unlogged = 0
      const by = closedBy === undefined ? '' : `; the app has closed it, by ${closedBy}`
      log.info({ ...known, ...why, ...(unlogged === 0 ? {} : { unlogged }) }, `refused with ${code}: ${message}${by}`)
    }
    // An internal failure (an `unavailable`) is an error of its own, which is logged where it is caught.
    if (cause !== undefined && word !== 'unavailable') {
      log.debug({ code, err: cause }, 'what the verifier said of the credential')
    }
    this.#tell({ ...known, message, ...(request === undefined ? {} : { request }) }, userId)
  }

  noteRequest (refusal: Refusal, request: FastifyRequest): void {
    this.note(refusal, { address: request.ip ?? '', request })
  }

  /** One code may stand for several limits and causes, and what the operator has to do is in the fix. */
  #kindOf (limit: string, fix: string): string {
    const kind = `${limit}: ${fix}`
    if (this.#kinds.size < KINDS) this.#kinds.add(kind)
    return this.#kinds.has(kind) ? kind : limit
  }

  #mayLog (): boolean {
    const second = Math.floor(this.#now() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#lines = 0
    }
    if (this.#lines++ < LINES) return true
    this.#unlogged++
    return false
  }

  #tell (refused: Parameters<NonNullable<RealtimeOptions['onRefused']>>[0], userId: string | undefined): void {
    if (this.#onRefused === undefined) return
    const failed = (error: unknown): void => { this.#log.error({ err: error }, 'onRefused failed') }
    const tell = this.#onRefused
    // It is awaited in any case: a query of some libraries is no promise, and begins once somebody waits for it.
    const run = async (): Promise<void> => { await tell(userId === undefined ? refused : { ...refused, userId }) }
    run().catch(failed)
  }
}

/** Shortens a text that a peer chooses, because it stands in every line. */
function brief (text: string): string {
  return text.length > 255 ? `${text.slice(0, 255)}...` : text
}
