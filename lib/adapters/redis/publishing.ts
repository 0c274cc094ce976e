import { Refusal } from '../../errors/refusal.js'
import type { Packet } from '../../protocol/packet.js'
import { keyOf } from '../../protocol/key.js'
import type { Position } from '../../protocol/position.js'
import { after } from '../../structures/timers.js'
import type { AdapterHost, Publication, Published, RoomSettings } from '../adapter.js'
import type { Awaitable } from '../../structures/awaitable.js'
import { Handed } from '../broker/handed.js'
import { LEARN, leastKept } from '../broker/asked-again.js'
import { Deadline } from '../broker/deadline.js'
import { within } from '../broker/patience.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
import { Unreachable } from './unreachable.js'
import { CLEAR, PUBLISH } from './scripts/stream.js'
import type { Repeats } from '../broker/repeats.js'
import { decodePayload, encodePayload, identityOf, parsePositions } from '../broker/payload.js'
import { newEpoch } from '../history/stream.js'
import { clearOf, type FollowedStream } from '../broker/tail.js'
import { latestTtl } from '../../retention/latest.js'

export interface PublishingOptions {
  readonly link: RedisLink
  readonly keys: Keys
  readonly host: AdapterHost
  /** Names this adapter among all that publish. */
  readonly tag: string
  /** Milliseconds that an idempotency key is remembered. */
  readonly idempotency: number
  /** Called when the broker keeps an idempotency key of this owner. */
  readonly onKey: (room: string, key: string, owner: string | undefined) => void
  /** Keys that this node has used. */
  readonly repeats: Repeats
  /** Milliseconds that one publish may take. */
  readonly timeout: number
  /** Tells the broker's data from other data, as it was read last. */
  readonly mark: () => string | undefined
  /** The room as this node follows it; absent without members here. */
  readonly tail: (room: string) => FollowedStream | undefined
  readonly isSubscribed: (room: string) => boolean
  /** What this node has seen of the room's stream, for the broker to compare; '' for nothing. */
  readonly seen: (room: string) => string
  /** The newest version of a `latest` value that this node has seen of the room; 0 where nothing is known. */
  readonly newest: (room: string) => number
  /** Called with the position of an event of this node, and the beginning of the epoch by the broker's clock. */
  readonly onAccepted: (room: string, position: Position, at: number) => void
}

/** `r` is kept with an offset, `l` is the value of a key, `v` is only sent live. */
type Kind = 'r' | 'l' | 'v'

interface Own {
  readonly origin: string
  readonly payload: string
  /** Position with which it came back by the subscription. */
  position: Position | undefined
  /** Number of members here that were offered it, once it was delivered. */
  recipients: Awaitable<number> | undefined
  /** Whether it came back by the subscription: then the server counted this node among the receivers. */
  isEchoed: boolean
  settle: (() => void) | undefined
}

/** Milliseconds that a live event waits for its own echo before this node delivers it itself. */
const ECHO = 1_000
/** Milliseconds between two requests for the result of a publication. */
const AGAIN = 20
/** A server that may take away a key of which it has no room for. */
const EVICTS = /^maxmemory:[1-9][^]*^maxmemory_policy:(?!noeviction)/m

/** Sends this node's events to the broker and, through it, back to this node's members. */
export class Publishing {
  readonly #options: PublishingOptions
  readonly #own = new Map<string, Own>()
  readonly #handed = new Handed()
  #count = 0

  constructor (options: PublishingOptions) {
    this.#options = options
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    const { tag, timeout, repeats } = this.#options
    const kind = kindOf(publication, settings)
    const { idempotencyKey } = publication
    const first = idempotencyKey === undefined ? undefined : repeats.first(room, idempotencyKey)
    // This node knows the key, whatever the broker has forgotten.
    if (first !== undefined) return { ...first, recipients: 0 }
    const isLocal = settings.history === false || (kind === 'v' && publication.delivery === 'volatile')
    const origin = `${tag}-${(++this.#count).toString(36)}`
    const own: Own = {
      origin,
      payload: encodePayload(origin, publication),
      position: undefined,
      recipients: undefined,
      isEchoed: false,
      settle: undefined
    }
    this.#own.set(origin, own)
    const deadline = new Deadline(performance.now() + timeout)
    try {
      const reply = await this.#sendThrough(room, own, kind, publication, settings, deadline)
      const published = await this.#accepted(room, own, kind, reply, deadline.at)
      if (idempotencyKey !== undefined) {
        repeats.remember(room, idempotencyKey, published)
        this.#options.onKey(room, idempotencyKey, publication.owner)
      }
      return published
    } catch (error) {
      if (!isLocal || !(error instanceof Refusal)) throw error
      // The same may have been handed over while this one waited for the broker.
      const before = idempotencyKey === undefined ? undefined : repeats.first(room, idempotencyKey)
      if (before !== undefined) return { ...before, recipients: 0 }
      // A value is asked for again until the broker has it.
      if (idempotencyKey !== undefined && kind === 'v') repeats.remember(room, idempotencyKey, { recipients: 0 })
      const recipients = await this.#handOver(room, own, kind, undefined)
      return error instanceof Unreachable && error.isUncertain ? { recipients } : { recipients, nodes: 0 }
    } finally {
      this.#own.delete(origin)
    }
  }

  /** Clears a room's stream. Resolves when this node has noticed, as far as it follows the room. */
  async clear (room: string): Promise<void> {
    const { link, keys, seen, onAccepted, tail, timeout } = this.#options
    const names = [keys.meta(room), keys.stream(room), keys.events(room)]
    const [epoch, offset, at] = await link.script(CLEAR, names, [link.run, newEpoch(), seen(room)]) as string[]
    const position = { epoch: epoch!, offset: Number(offset) }
    onAccepted(room, position, Number(at))
    const follower = tail(room)
    follower?.accept(clearOf(position), false)
    await follower?.reached(position.offset, timeout)
  }

  /**
   * Sends a publication, and asks again when its answer is missing: the broker looks for its key, and executes it only
   * before the deadline, which stays the same. For a live event it does not ask again, and where the broker answers
   * that it has failed on the way once: the key tells what was done.
   *
   * @returns the broker's reply; `undefined` when the event came back by the subscription instead
   */
  async #sendThrough (
    room: string,
    own: Own,
    kind: Kind,
    publication: Publication,
    settings: RoomSettings,
    deadline: Deadline
  ): Promise<unknown[] | undefined> {
    const { link, timeout } = this.#options
    const end = deadline.at + timeout * (LEARN - 1)
    const key = publication.idempotencyKey ?? nameOf(own)
    let isUncertain = false
    let hasFailed = false
    /** The one that all were sent to; absent where it is not known, or where there were several. */
    let place: string | undefined
    for (;;) {
      const sentTo = this.#place()
      try {
        return await this.#send(room, own, kind, publication, settings, deadline, end)
      } catch (error) {
        if (!(error instanceof Unreachable) || kind === 'v') throw error
        // Everything sent before has the same deadline. Another server than the one of then, a shard, or one that has
        // lost its data since, may have lost the key.
        if (error.isExpired) {
          if (!isUncertain || (!hasFailed && await this.#isStillAt(place, end))) throw new Unreachable(false)
          throw unknown(key)
        }
        if (error.isUncertain) place = isUncertain && place !== sentTo ? undefined : sentTo
        isUncertain ||= error.isUncertain
        if (!isUncertain) throw error
        if (own.recipients !== undefined) return undefined
        const left = end - performance.now()
        const isFailed = error.isUncertain && error.isDeclined
        if (left <= 0 || link.isClosed || (isFailed && hasFailed)) throw unknown(key)
        hasFailed ||= isFailed
        await link.back(left)
        // A server that refuses at once is not asked without a pause.
        await new Promise<void>((resolve) => { after(resolve, Math.min(AGAIN, left)) })
      }
    }
  }

  /** The run of the server, and its data; `undefined` where a key may be lost without either telling. */
  #place (mark: unknown = this.#options.mark()): string | undefined {
    const { run } = this.#options.link
    return run === '' || typeof mark !== 'string' ? undefined : keyOf(run, mark)
  }

  /** Whether a key that was written there would still be. */
  async #isStillAt (place: string | undefined, end: number): Promise<boolean> {
    if (place === undefined) return false
    const { link, keys } = this.#options
    try {
      const asked = Promise.all([link.call('GET', keys.mark), link.call('INFO', 'memory')])
      const [mark, memory] = await within(asked, Math.max(1, end - performance.now()))
      return place === this.#place(mark) && !EVICTS.test(String(memory))
    } catch {
      return false
    }
  }

  async #send (
    room: string,
    own: Own,
    kind: Kind,
    publication: Publication,
    settings: RoomSettings,
    deadline: Deadline,
    end: number
  ): Promise<unknown[]> {
    const { link, keys, idempotency, timeout, seen, newest } = this.#options
    const { history } = settings
    const { idempotencyKey, key = '', type, removes } = publication
    const name = idempotencyKey ?? nameOf(own)
    return await link.script(PUBLISH, [
      keys.meta(room), keys.stream(room), keys.events(room), keys.once(room, name), keys.latest(room), keys.order(room)
    ], [
      link.run,
      newEpoch(),
      removes === undefined ? kind : 'x',
      removes !== undefined ? removes.version ?? '' : history === false ? 0 : history.size,
      Math.ceil(latestTtl(settings)),
      own.payload,
      idempotencyKey !== undefined ? idempotency : kind === 'v' ? '' : leastKept(timeout),
      own.origin,
      kind === 'l' ? keyOf(type, key) : '',
      seen(room),
      newest(room)
    ], deadline, Math.min(timeout, Math.max(0, end - performance.now()))) as unknown[]
  }

  async #accepted (
    room: string,
    own: Own,
    kind: Kind,
    reply: unknown[] | undefined,
    until: number
  ): Promise<Published> {
    const { link, keys, tail, isSubscribed, onAccepted } = this.#options
    if (reply === undefined) {
      return {
        ...(own.position === undefined ? {} : { position: own.position }),
        recipients: await (own.recipients ?? 0)
      }
    }
    let position: Position | undefined
    if (reply[0] === 'once') {
      const first = String(reply[1])
      const end = first.indexOf('\n')
      position = parsePositions(first.slice(end + 1))[0]
      // The key is that of this publication, whose answer was lost.
      if (first.slice(0, end) !== own.origin) return { ...(position === undefined ? {} : { position }), recipients: 0 }
    } else if (kind === 'r') {
      position = { epoch: String(reply[0]), offset: Number(reply[1]) }
      onAccepted(room, position, Number(reply[3]))
    }
    if (position !== undefined) {
      const follower = tail(room)
      if (follower !== undefined) {
        const { origin, payload } = own
        const at = position
        const packet = (): Packet => decodePayload(room, payload, { position: at })
        // The offset proves the order: the next event in line is delivered now and its echo dropped, any other waits
        // for the events before it.
        follower.accept(
          {
            ...position,
            previous: position.offset - 1,
            origin,
            identity: identityOf(payload),
            size: payload.length,
            packet
          },
          false
        )
        await follower.reached(position.offset, Math.max(0, until - performance.now()))
      }
      return { position, recipients: await (own.recipients ?? 0) }
    }
    if (reply[0] === 'once') return { recipients: await (own.recipients ?? 0) }
    // The value that was to be removed has been replaced.
    if (reply[0] === 'kept') return { recipients: 0 }
    const [version, receivers] = kind === 'l' ? [Number(reply[0]), Number(reply[1])] : [undefined, Number(reply[0])]
    if (own.recipients === undefined && receivers > 0 && link.mayHear(keys.events(room))) await this.#echo(own)
    if (own.recipients === undefined && isSubscribed(room)) void this.#handOver(room, own, kind, version)
    const nodes = receivers - (own.isEchoed ? 1 : 0)
    return { recipients: await (own.recipients ?? 0), nodes }
  }

  async #echo (own: Own): Promise<void> {
    await new Promise<void>((resolve) => {
      // An event loop that stood still runs its timers before it reads what has arrived meanwhile.
      const timer = after(() => { setImmediate(resolve) }, ECHO)
      own.settle = () => { clearTimeout(timer); resolve() }
    })
  }

  /**
   * @param version of a `latest` value; absent where the broker gave none, and then any that it gives later is newer
   */
  #handOver (room: string, own: Own, kind: Kind, version: number | undefined): Awaitable<number> {
    if (own.recipients !== undefined) return own.recipients
    const { host, isSubscribed } = this.#options
    // Who comes from now on hears its echo.
    if (!isSubscribed(room)) return (own.recipients = 0)
    this.#handed.add(own.origin)
    const at = kind === 'l' && version !== undefined ? { version } : {}
    own.recipients = host.event(room, decodePayload(room, own.payload, at))
    return own.recipients
  }

  /** Whether an event that came by the subscription has been delivered already. */
  isRepeated (origin: string): boolean { return this.#handed.has(origin) }

  /** Tells that an event was delivered; if it is this node's, its publisher is told. */
  delivered (origin: string, recipients: Awaitable<number>, position?: Position): void {
    const own = this.#own.get(origin)
    if (own === undefined) return
    own.position = position
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

/** Name of a publication without a key, by which it is found again: its origin. */
function nameOf ({ origin }: Own): string { return `~${origin}` }

/** Makes the refusal for a publication whose result is not known, because the answer of the broker is missing. */
function unknown (idempotencyKey: string): Refusal {
  return new Refusal('unavailable', {
    retryAfter: 1_000,
    message:
      'whether the event was published is not known: the broker did not answer; publish it again with the same idempotencyKey',
    outcome: 'unknown',
    idempotencyKey
  })
}
