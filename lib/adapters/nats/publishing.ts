import { inPart, isUncertain, Refusal } from '../../errors/refusal.js'
import type { Position } from '../../protocol/position.js'
import { after } from '../../structures/timers.js'
import type { AdapterHost, Publication, Published, RoomSettings } from '../adapter.js'
import type { Awaitable } from '../../structures/awaitable.js'
import type { NatsClock } from './clock.js'
import type { KeyBudget } from './key-budget.js'
import type { NatsLatest } from './latest.js'
import { away, isMissing, type NatsLink } from './link.js'
import type { Life, NatsLives } from './lives.js'
import { messageIdOf, type NatsOnce } from './once.js'
import { NotPutBack } from './removal.js'
import type { NatsStreams } from './streams.js'
import { tokenOf } from './tokens.js'
import type { LogicalVersions } from './versions.js'
import { Handed } from '../broker/handed.js'
import type { Repeats } from '../broker/repeats.js'
import type { FollowedStream } from '../broker/tail.js'
import { decodePayload, encodeClear, encodePayload } from '../broker/payload.js'

/** The parts that need JetStream. */
export interface KeptParts {
  readonly streams: NatsStreams
  readonly lives: NatsLives
  readonly latest: NatsLatest
  readonly clock: NatsClock
}

export interface NatsPublishingOptions {
  readonly link: NatsLink
  readonly kept: KeptParts | undefined
  readonly once: NatsOnce
  /** Orders `latest` values where no stream does. */
  readonly versions: LogicalVersions
  readonly host: Pick<AdapterHost, 'event'>
  readonly prefix: string
  /** Names this adapter among all. */
  readonly tag: string
  /** Milliseconds that one publish may take. */
  readonly timeout: number
  /** Bounds the keys that the server is given. */
  readonly keys: KeyBudget
  /** Keys that this node has used. */
  readonly repeats: Repeats
  readonly tail: (room: string) => FollowedStream | undefined
  readonly isSubscribed: (room: string) => boolean
  /** Called when a `latest` value was delivered here that the broker does not have. */
  readonly onLocal: (room: string) => void
}

interface Own {
  recipients: Awaitable<number> | undefined
  position: Position | undefined
  settle: (() => void) | undefined
}

/** What is to be kept in the stream of a room. */
interface Keeping {
  readonly publication: Pick<Publication, 'idempotencyKey' | 'owner'>
  readonly origin: string
  readonly own: Own
  /** Makes what is sent, from the origin and the epoch that is known when it is sent. */
  readonly payload: (origin: string) => string
}

/** A message that a stream knows by its id. */
interface Repeatable<T> {
  /** Of the stream. */
  readonly name: string
  /** Under which the caller may ask again, where the server knows it. */
  readonly key: string | undefined
  /** Whether it may be sent once more: it has an id, and nobody waits who is served without the broker. */
  readonly mayRepeat: boolean
  readonly life: () => Promise<Life>
  /** The result, where the message has come back by the subscription. */
  readonly arrived: () => Promise<T | undefined>
}

/** One attempt to send it. */
interface Sent extends Pick<Life, 'epoch' | 'shift'> {
  /** Milliseconds to wait for the answer. */
  readonly patience: number
  /** Whether it was sent before, without an answer. */
  readonly isAgain: boolean
}

/** A value that is set; without a version where it is known already. */
interface ValueSet { readonly version?: number }

/** Milliseconds that a live event waits for its own echo before this node delivers it itself. */
const ECHO = 1_000

/** Publishes this node's events, from the call to the result. */
export class NatsPublishing {
  readonly #options: NatsPublishingOptions
  readonly #own = new Map<string, Own>()
  readonly #handed = new Handed()
  #count = 0

  constructor (options: NatsPublishingOptions) {
    this.#options = options
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    const { kept, tag } = this.#options
    const origin = `${tag}-${(++this.#count).toString(36)}`
    // Where this machine's clock is wrong, the event gets the broker's time, because ages count from it.
    const stamped = kept === undefined || kept.clock.ahead === 0
      ? publication
      : { ...publication, timestamp: Math.round(kept.clock.shared(publication.timestamp)) }
    const own: Own = { recipients: undefined, position: undefined, settle: undefined }
    const { delivery, ack } = publication
    this.#own.set(origin, own)
    try {
      if (delivery === 'latest' && ack === undefined) return await this.#set(room, stamped, settings, origin, own)
      if (kept !== undefined && settings.history !== false && delivery === 'reliable' && ack === undefined) {
        const payload = (from: string): string => encodePayload(from, stamped)
        return await this.#keep(kept, room, settings, { publication, origin, own, payload })
      }
      return await this.#tell(room, stamped, settings, origin, own)
    } finally {
      this.#own.delete(origin)
    }
  }

  /**
   * Clears a room's stream: the clear is kept as an event is, in front of those that follow, and what is before it is
   * removed. Resolves when this node has noticed, as far as it follows the room.
   */
  async clear (kept: KeptParts, room: string, settings: RoomSettings): Promise<void> {
    const own: Own = { recipients: undefined, position: undefined, settle: undefined }
    const origin = `${this.#options.tag}-${(++this.#count).toString(36)}`
    const keeping = { publication: {}, origin, own, payload: encodeClear }
    const { position } = await this.#keep(kept, room, settings, keeping)
    const { link } = this.#options
    try {
      await link.insist('change', () => kept.streams.purge(room, settings, position!.offset))
    } catch (error) {
      // Members go by the clear already, and what is before it is still there for who reads page by page.
      throw inPart(error)
    }
  }

  async #keep (
    kept: KeptParts,
    room: string,
    settings: RoomSettings,
    { publication, origin, own, payload }: Keeping
  ): Promise<Published> {
    const { streams, lives } = kept
    const { link, timeout, tail, repeats, keys } = this.#options
    const until = performance.now() + timeout
    const { name } = streams.plan(settings)
    const subject = streams.subject(room, settings)
    const { idempotencyKey } = publication
    // The message has an id, so that the server knows it when it is sent again, by this node or by the caller.
    const key = idempotencyKey ?? origin
    const before = idempotencyKey === undefined ? undefined : repeats.first(room, idempotencyKey)
    // This node knows the key, whatever the broker has forgotten.
    if (before !== undefined) return { ...before, recipients: 0 }
    const isKnown = idempotencyKey === undefined || keys.admits(publication)
    const id = isKnown ? { msgID: messageIdOf(room, key) } : {}
    const done = (position: Position): void => {
      if (idempotencyKey !== undefined) repeats.remember(room, idempotencyKey, { position, recipients: 0 })
    }
    const life = async (): Promise<Life> => await streams.life(settings)
    const arrived = async (): Promise<Published | undefined> => {
      const { position } = own
      if (position === undefined) return undefined
      done(position)
      return { position, recipients: await (own.recipients ?? 0) }
    }
    const message = { name, key: isKnown ? key : undefined, mayRepeat: isKnown, life, arrived }
    return await this.#sendUntilTold<Published>(lives, message, async (sent) => {
      let { epoch } = sent
      const top = lives.top(name)
      const { seq, duplicate } = await link.publish(subject, payload(`${origin}@${epoch}`), {
        ...id,
        timeout: sent.patience
      })
      if (!duplicate && seq > top) lives.saw(name, epoch, seq, origin)
      else if (!duplicate) {
        lives.doubt(name);
        ({ epoch } = await life().catch(() => { throw away('unknown', message.key) }))
      }
      const position = { epoch, offset: seq }
      done(position)
      if (duplicate && !sent.isAgain) return { position, recipients: 0 }
      const follower = tail(room)
      follower?.check(position)
      await follower?.reached(seq, Math.max(0, until - performance.now()))
      return { position, recipients: await (own.recipients ?? 0) }
    })
  }

  /**
   * Sends a message to a stream, and again where its answer is missing: the stream knows it by its id. A link that
   * breaks meanwhile is waited for, as long as the answer would be.
   *
   * @throws Refusal `unavailable`, with the outcome `unknown` and the key where nobody can know
   */
  async #sendUntilTold<T> (
    lives: NatsLives,
    { name, key, mayRepeat, life, arrived }: Repeatable<T>,
    send: (sending: Sent) => Promise<T>
  ): Promise<T> {
    const { link, timeout } = this.#options
    const start = performance.now()
    /** Milliseconds until a time that is counted from the start. */
    const left = (end: number): number => start + end - performance.now()
    let first: string | undefined
    for (let isAgain = false; ; isAgain = true) {
      let epoch: string | undefined
      try {
        const { shift, ...known } = await life();
        ({ epoch } = known)
        // A stream in another life does not know whether it accepted the message in the last one.
        if (first !== undefined && epoch !== first) throw away('unknown', key)
        // NATS keeps no deadline, so a message may be accepted late. Later answers are therefore awaited longer,
        // before the result counts as unknown.
        const patience = !mayRepeat ? timeout : isAgain ? Math.max(1, left(2 * timeout)) : timeout / 2
        return await send({ epoch, shift, patience, isAgain: first !== undefined })
      } catch (error) {
        if (error instanceof NotPutBack) throw error
        // It came back by the subscription, so it was accepted, even if the answer is lost.
        const known = await arrived()
        if (known !== undefined) return known
        if (isMissing(error)) {
          lives.doubt(name)
          // What was sent before without an answer may have been there until the stream went.
          if (isAgain) throw first === undefined ? away() : away('unknown', key)
          continue
        }
        if (first === undefined && !isUncertain(error)) throw error
        // Sent again without an id it might be there twice.
        if (!mayRepeat) throw away('unknown', key)
        const rest = left(isAgain ? 2 * timeout : timeout)
        // Over a link that stands it was asked twice.
        if (rest <= 0 || (isAgain && link.isUp)) throw away('unknown', key)
        await link.back(rest)
        if (!link.isUp) throw away('unknown', key)
        first ??= epoch
      }
    }
  }

  async #set (
    room: string,
    publication: Publication,
    settings: RoomSettings,
    origin: string,
    own: Own
  ): Promise<Published> {
    const { kept, versions, isSubscribed, onLocal } = this.#options
    const isLocal = settings.history === false || kept === undefined
    let payload = encodePayload(origin, publication)
    try {
      let version: number
      if (kept !== undefined) {
        const set = await this.#setKept(kept, room, publication, origin, own, isLocal, (epoch) => {
          payload = encodePayload(`${origin}@${epoch}`, publication)
          return payload
        })
        if (set === undefined) return { recipients: await (own.recipients ?? 0) }
        version = set
      } else {
        if (await this.#isRepeated(room, publication)) return { recipients: 0 }
        version = versions.next()
        this.#send(room, `l ${version}`, payload)
        if (!isSubscribed(room)) await this.#options.link.flush()
      }
      if (isSubscribed(room) && own.recipients === undefined) await this.#echo(own)
      return { recipients: await (own.recipients ?? this.#handOver(room, payload, version)) }
    } catch (error) {
      if (!isLocal || !(error instanceof Refusal)) throw error
      onLocal(room)
      return { recipients: await (own.recipients ?? this.#handOver(room, payload)) }
    }
  }

  /** @returns its version; `undefined` where it was set before, or has come back by the subscription */
  async #setKept (
    { latest, lives }: KeptParts,
    room: string,
    publication: Publication,
    origin: string,
    own: Own,
    isLocal: boolean,
    payload: (epoch: string) => string
  ): Promise<number | undefined> {
    const key = publication.idempotencyKey ?? origin
    const isKnown = publication.idempotencyKey === undefined || this.#options.keys.admits(publication)
    const msgID = isKnown ? messageIdOf(room, key) : undefined
    const life = async (): Promise<Life> => (await lives.open(latest.plan)).life
    const arrived = async (): Promise<ValueSet | undefined> => own.recipients === undefined ? undefined : {}
    const set = async ({ patience, isAgain, ...sent }: Sent): Promise<ValueSet> => {
      const { version, isVain } = await latest.set(room, publication, sent, payload(sent.epoch), { msgID, patience })
      // What was sent again may have been set the first time. A removal without a version has met another value, or
      // none.
      return isVain && (!isAgain || version === 0) ? {} : { version }
    }
    const { name } = latest.plan
    const message = { name, key: isKnown ? key : undefined, mayRepeat: isKnown && !isLocal, life, arrived }
    return (await this.#sendUntilTold(lives, message, set)).version
  }

  /** Sends an event that is not kept to all subscribers. */
  async #tell (
    room: string,
    publication: Publication,
    settings: RoomSettings,
    origin: string,
    own: Own
  ): Promise<Published> {
    const { link, kept, isSubscribed } = this.#options
    const isLocal = publication.delivery === 'volatile' || settings.history === false || kept === undefined
    if (await this.#isRepeated(room, publication)) return { recipients: 0 }
    const payload = encodePayload(origin, publication)
    try {
      this.#send(room, 'v', payload)
      if (!isSubscribed(room)) await link.change(() => link.flush())
      else {
        if (own.recipients === undefined) await this.#echo(own)
        // Other nodes may have what this one is not sent; of a server that stands still nobody knows.
        if (own.recipients === undefined && !isLocal) await link.change(() => link.flush())
      }
    } catch (error) {
      if (!isLocal || !(error instanceof Refusal)) throw error
    }
    if (own.recipients !== undefined) return { recipients: await own.recipients }
    // Who comes from now on hears its echo.
    if (!isSubscribed(room)) return { recipients: 0 }
    this.#handed.add(origin)
    return { recipients: await this.#handOver(room, payload) }
  }

  async #isRepeated (room: string, publication: Publication): Promise<boolean> {
    const { idempotencyKey } = publication
    const { once, keys } = this.#options
    return idempotencyKey !== undefined && !await once.take(room, idempotencyKey, () => keys.admits(publication))
  }

  #send (room: string, head: string, payload: string): void {
    const { link, prefix } = this.#options
    link.send(`${prefix}.room.${tokenOf(room)}`, `${head}\n${payload}`)
  }

  async #echo (own: Own): Promise<void> {
    await new Promise<void>((resolve) => {
      // An event loop that stood still runs its timers before it reads what has arrived meanwhile.
      const timer = after(() => { setImmediate(resolve) }, ECHO)
      own.settle = () => { clearTimeout(timer); resolve() }
    })
  }

  /** @param version absent while the broker is away: then any value that the broker has next replaces this one */
  #handOver (room: string, payload: string, version?: number): Awaitable<number> {
    const { host, isSubscribed } = this.#options
    return isSubscribed(room)
      ? host.event(room, decodePayload(room, payload, version === undefined ? {} : { version }))
      : 0
  }

  /** Whether an event that came by the subscription has been delivered already. */
  isRepeated (origin: string): boolean { return this.#handed.has(origin) }

  /** Tells that an event was delivered; if it is this node's, its publisher is told. */
  delivered (origin: string, recipients: Awaitable<number>, position?: Position): void {
    const own = this.#own.get(origin)
    if (own === undefined) return
    own.recipients = recipients
    own.position = position
    own.settle?.()
  }

  /** Settles everything that waits for an echo. */
  close (): void { for (const { settle } of this.#own.values()) settle?.() }
}
