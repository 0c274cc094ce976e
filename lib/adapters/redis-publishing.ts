import { Refusal } from '../errors.js'
import type { Packet } from '../protocol/codec.js'
import { keyOf } from '../protocol/key.js'
import { after } from '../timers.js'
import type { AdapterHost, Publication, Published, RoomSettings } from './adapter.js'
import { Expiring } from './expiring.js'
import type { Keys } from './redis-keys.js'
import { Unreachable, type RedisLink } from './redis-link.js'
import { PUBLISH } from './redis-scripts.js'
import { decodePayload, encodePayload, parsePositions } from './wire.js'
import { newEpoch } from './stream.js'
import type { Tail } from './tail.js'

export interface PublishingOptions {
  readonly link: RedisLink
  readonly keys: Keys
  readonly host: AdapterHost
  /** names this adapter among all that publish */
  readonly tag: string
  /** milliseconds that an idempotency key is remembered */
  readonly idempotency: number
  /** milliseconds that one publish may take */
  readonly timeout: number
  /** the room as this node follows it; absent without members here */
  readonly tail: (room: string) => Tail | undefined
  readonly isSubscribed: (room: string) => boolean
}

/** `r` kept with an offset, `l` value of a key, `v` live only */
type Kind = 'r' | 'l' | 'v'

interface Own {
  readonly origin: string
  readonly payload: string
  /** members here that were offered it, once it was handed over */
  recipients: number | undefined
  /** it came back by the subscription, so the server counted this node among those that it handed it to */
  isEchoed: boolean
  settle: (() => void) | undefined
}

/** Milliseconds that a live event waits for its own echo before this node hands it over by itself. */
const ECHO = 1_000
/** Milliseconds that an echo may still come after that. */
const LATE = 10_000
/** How long `latest` values live in rooms without history, milliseconds. */
const LATEST_TTL = 86_400_000

/** The way of this node's events to the broker and, through it, back to this node's members. */
export class Publishing {
  readonly #options: PublishingOptions
  readonly #own = new Map<string, Own>()
  /** handed over here without their echo, which may still come */
  readonly #handed = new Expiring<true>(10_000)
  #count = 0

  constructor (options: PublishingOptions) {
    this.#options = options
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    const { tag, timeout } = this.#options
    const kind = kindOf(publication, settings)
    const isLocal = settings.history === false || (kind === 'v' && publication.delivery === 'volatile')
    const origin = `${tag}-${(++this.#count).toString(36)}`
    const own: Own = { origin, payload: encodePayload(origin, publication), recipients: undefined, isEchoed: false, settle: undefined }
    this.#own.set(origin, own)
    const until = performance.now() + timeout
    try {
      const reply = await this.#sendThrough(room, own, kind, publication, settings, until)
      return await this.#accepted(room, own, kind, reply, until)
    } catch (error) {
      if (!isLocal || !(error instanceof Refusal)) throw error
      const recipients = this.#handOver(room, own, kind, micros())
      return error instanceof Unreachable && error.isUncertain ? { recipients } : { recipients, nodes: 0 }
    } finally {
      this.#own.delete(origin)
    }
  }

  /**
   * Sends again what was under way when its connection broke, as long as the deadline allows: the script looks whether it has run.
   * A live event is not worth that.
   */
  async #sendThrough (room: string, own: Own, kind: Kind, publication: Publication, settings: RoomSettings, until: number): Promise<unknown[]> {
    for (let isAgain = false; ; isAgain = true) {
      try {
        return await this.#send(room, own, kind, publication, settings, until - performance.now(), isAgain)
      } catch (error) {
        if (!(error instanceof Unreachable) || !error.isUncertain || kind === 'v') throw error
        await this.#options.link.back(until - performance.now())
      }
    }
  }

  async #send (room: string, own: Own, kind: Kind, publication: Publication, settings: RoomSettings, patience: number, isAgain: boolean): Promise<unknown[]> {
    const { link, keys, idempotency } = this.#options
    const { history } = settings
    const { idempotencyKey, key = '', type } = publication
    if (patience <= 0) throw new Unreachable(false)
    return await link.script(PUBLISH, [
      keys.meta(room), keys.stream(room), keys.events(room), keys.once(room, idempotencyKey ?? ''), keys.latest(room), keys.order(room)
    ], [
      link.run,
      newEpoch(),
      link.deadline(patience),
      kind,
      history === false ? 0 : history.size,
      Math.ceil(history === false ? LATEST_TTL : history.ttl),
      own.payload,
      idempotencyKey === undefined ? '' : Math.ceil(idempotency),
      isAgain ? own.origin : '',
      kind === 'l' ? keyOf(type, key) : ''
    ]) as unknown[]
  }

  async #accepted (room: string, own: Own, kind: Kind, reply: unknown[], until: number): Promise<Published> {
    const { link, keys, tail, isSubscribed } = this.#options
    if (reply[0] === 'once') {
      const first = String(reply[1])
      return { ...(first === '-' ? {} : { position: parsePositions(first)[0] }), recipients: 0 }
    }
    if (kind === 'r') {
      const position = { epoch: String(reply[0]), offset: Number(reply[1]) }
      const follower = tail(room)
      if (follower !== undefined) {
        const { origin, payload } = own
        const packet = (): Packet => decodePayload(room, payload, { position })
        // The offset proves the order: next in line is handed over now and its echo dropped, anything else waits for what is before it.
        follower.accept({ ...position, previous: position.offset - 1, origin, packet }, false)
        await follower.reached(position.offset, Math.max(0, until - performance.now()))
      }
      return { position, recipients: own.recipients ?? 0 }
    }
    const [version, receivers] = kind === 'l' ? [Number(reply[0]), Number(reply[1])] : [0, Number(reply[0])]
    if (own.recipients === undefined && receivers > 0 && link.mayHear(keys.events(room))) await this.#echo(own)
    if (own.recipients === undefined && isSubscribed(room)) this.#handOver(room, own, kind, version)
    return { recipients: own.recipients ?? 0, nodes: receivers - (own.isEchoed ? 1 : 0) }
  }

  async #echo (own: Own): Promise<void> {
    await new Promise<void>((resolve) => {
      // A loop that stood still runs its timers before it reads what has come meanwhile.
      const timer = after(() => { setImmediate(resolve) }, ECHO)
      own.settle = () => { clearTimeout(timer); resolve() }
    })
  }

  #handOver (room: string, own: Own, kind: Kind, version: number): number {
    if (own.recipients !== undefined) return own.recipients
    const now = performance.now()
    this.#handed.set(own.origin, true, now + LATE, now)
    own.recipients = this.#options.isSubscribed(room)
      ? this.#options.host.event(room, decodePayload(room, own.payload, kind === 'l' ? { version } : {}))
      : 0
    return own.recipients
  }

  /** Whether an event that came by the subscription has already been handed over. */
  isRepeated (origin: string): boolean {
    return this.#handed.size > 0 && this.#handed.get(origin, performance.now()) !== undefined
  }

  /** An event was handed over: if it is one of this node's, its publisher is told. */
  delivered (origin: string, recipients: number): void {
    const own = this.#own.get(origin)
    if (own === undefined) return
    own.recipients = recipients
    own.isEchoed = true
    own.settle?.()
  }

  /** Settles everything that waits for an echo. */
  close (): void { for (const { settle } of this.#own.values()) settle?.() }
}

function kindOf ({ delivery, ack }: Publication, { history }: RoomSettings): Kind {
  if (delivery === 'latest') return 'l'
  return delivery === 'volatile' || ack !== undefined || history === false ? 'v' : 'r'
}

/** Above any version that the server gave before it went away, if clocks agree. */
function micros (): number { return Date.now() * 1_000 }
