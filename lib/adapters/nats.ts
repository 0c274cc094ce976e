import { createHash, randomBytes } from 'node:crypto'
import type { Msg, NatsConnection, NodeConnectionOptions, Subscription } from '@nats-io/transport-node'
import { REALTIME_ERR_ADAPTER, REALTIME_ERR_OPTIONS, Refusal } from '../errors.js'
import type { Packet } from '../protocol/codec.js'
import { keyOf } from '../protocol/key.js'
import type { Position } from '../protocol/position.js'
import { after, every } from '../timers.js'
import type {
  Adapter, AdapterHost, ClaimStore, Control, ControlMessage, DenialStore, HistoryPage, HistoryQuery, LeaseStore, PresenceChange, Publication, Published, RoomSettings
} from './adapter.js'
import { decodeControl, decodePresenceChange, Undecodable } from './decode.js'
import { away, isMissing, NatsLink } from './nats-link.js'
import { NatsPresence } from './nats-presence.js'
import { natsClaims, natsDenials, natsLeases, NatsState } from './nats-state.js'
import { arrivalOf, NatsStreams } from './nats-streams.js'
import { tokenOf } from './nats-tokens.js'
import { decodePayload, encodePayload, originOf } from './wire.js'
import { Streams } from './stream.js'
import { Unread } from './unread.js'
import { pageOf, Tail } from './tail.js'

export interface NatsOptions {
  /** default `nats://127.0.0.1:4222` */
  readonly url?: string | readonly string[]
  /** a connection of `@nats-io/transport-node` to use instead; it stays yours and is not closed */
  readonly connection?: NatsConnection
  /** more settings of the client, such as `user`, `pass`, `token`, `tls` */
  readonly settings?: Partial<NodeConnectionOptions>
  /** in front of all subjects, streams and buckets, default `realtime`; letters, digits, `_` and `-` */
  readonly prefix?: string
  /** default true. Without JetStream events are live only: no history, resume, latest values, presence, limits, claims and denials */
  readonly jetstream?: boolean
  /** copies of streams and buckets in a NATS cluster, default 1 */
  readonly replicas?: number
  /** default `file` */
  readonly storage?: 'file' | 'memory'
  /** milliseconds that one request may take, default 2 000 */
  readonly timeout?: number
  /** milliseconds between two position checks of a quiet room, default 40 000, varied by 20 % */
  readonly check?: number
  /** milliseconds that an idempotency key is remembered, default 120 000 */
  readonly idempotency?: number
  /** bytes of retained events that are kept in this process for resumes, default 64 MiB */
  readonly historyBytes?: number
}

interface Followed {
  readonly room: string
  readonly settings: RoomSettings
  readonly tail: Tail | undefined
  subscription: Subscription | undefined
  epoch: string
  due: number
}

interface Own { recipients: number | undefined, settle: (() => void) | undefined }

const DEFAULTS = {
  url: 'nats://127.0.0.1:4222' as string | readonly string[],
  prefix: 'realtime',
  jetstream: true,
  replicas: 1,
  storage: 'file' as const,
  timeout: 2_000,
  check: 40_000,
  idempotency: 120_000,
  historyBytes: 64 * 1024 * 1024
}
const DAY = 86_400_000
const MAX_DENIAL = 30 * DAY
const MAX_LATEST = 1_000
/** Milliseconds that a live event waits for its own echo. */
const ECHO = 1_000
const PAGE = 500

class NatsAdapter implements Adapter {
  readonly name = 'nats'
  readonly presence?: NatsPresence
  readonly leases?: LeaseStore
  readonly claims?: ClaimStore
  readonly denials?: DenialStore
  readonly control: Control
  readonly history?: (room: string, query: HistoryQuery, settings: RoomSettings) => Promise<HistoryPage>
  readonly latest?: (room: string, settings: RoomSettings) => Promise<readonly Packet[]>
  readonly #options: NatsOptions & typeof DEFAULTS
  readonly #link: NatsLink
  readonly #kept: NatsStreams | undefined
  readonly #values: NatsState
  readonly #denied: NatsState
  readonly #streams: Streams
  readonly #tag = randomBytes(6).toString('base64url')
  readonly #rooms = new Map<string, Followed>()
  readonly #own = new Map<string, Own>()
  readonly #unread = new Unread({ warn: (object, message) => { this.#host?.log.warn(object, message) } })
  #count = 0
  #host: AdapterHost | undefined
  #controls: Subscription | undefined
  #checker: NodeJS.Timeout | undefined
  #received = 0
  #repairs = 0

  constructor (options: NatsOptions) {
    this.#options = { ...DEFAULTS, ...options } as NatsOptions & typeof DEFAULTS
    const { url, connection, settings = {}, prefix, jetstream, replicas, storage, timeout, idempotency, historyBytes } = this.#options
    if (!/^[A-Za-z0-9_-]+$/.test(prefix)) throw new REALTIME_ERR_OPTIONS('nats({ prefix }) takes letters, digits, _ and -')
    this.#streams = new Streams(historyBytes, Number.POSITIVE_INFINITY)
    const link = new NatsLink({
      url,
      connection,
      settings,
      jetstream,
      timeout,
      log: { warn: (object, message) => { this.#host?.log.warn(object, message) } },
      unread: this.#unread,
      onUp: () => { this.#up() },
      onDown: () => { this.#host?.state(false) }
    })
    this.#link = link
    const bucket = (name: string, ttl: number) => async () => await link.bucket(`${prefix}_${name}`, { ttl, replicas, storage })
    this.#values = new NatsState(link, bucket('state', DAY))
    this.#denied = new NatsState(link, bucket('denials', MAX_DENIAL))
    this.control = { send: (message) => this.#send(message) }
    if (!jetstream) return
    this.#kept = new NatsStreams({ link, prefix, replicas, storage, idempotency })
    this.presence = new NatsPresence(this.#values, (room, change) => { this.#announce(room, change) })
    this.leases = natsLeases(this.#values)
    this.claims = natsClaims(this.#values)
    this.denials = natsDenials(this.#denied)
    this.history = (room, query, settings) => this.#history(room, query, settings)
    this.latest = (room, settings) => this.#latest(room, settings)
  }

  async start (host: AdapterHost): Promise<void> {
    if (this.#host !== undefined) throw new REALTIME_ERR_ADAPTER('this nats adapter is already in use; make one for each server')
    this.#host = host
    await this.#link.open()
    if (this.#kept === undefined) {
      host.log.info({ absent: ['history', 'latest', 'presence', 'leases', 'claims', 'denials'] }, 'NATS without JetStream: events are live only, and nothing is shared between nodes but events and control messages')
    }
    this.#controls = this.#link.listen(`${this.#options.prefix}.control`, (message) => { this.#controlled(message) })
    await this.#link.flush()
    this.#streams.start()
    this.#checker = every(() => { this.#check(false) }, Math.min(4_000, this.#options.check / 10)).unref()
    host.state(true)
  }

  async close (): Promise<void> {
    clearInterval(this.#checker)
    this.#streams.stop()
    this.#controls?.unsubscribe()
    for (const { subscription, tail } of this.#rooms.values()) {
      subscription?.unsubscribe()
      tail?.close()
    }
    this.#rooms.clear()
    for (const { settle } of this.#own.values()) settle?.()
    await this.#link.close()
  }

  async subscribe (room: string, settings: RoomSettings): Promise<Position | undefined> {
    const tail = this.#follow(room, settings)
    const followed: Followed = { room, settings, tail, subscription: undefined, epoch: '', due: this.#nextCheck() }
    this.#rooms.set(room, followed)
    try {
      if (tail !== undefined) followed.epoch = (await this.#kept!.open(settings)).epoch
      // Left again meanwhile: nobody would end a subscription of it.
      if (this.#rooms.get(room) !== followed) return undefined
      followed.subscription = this.#link.listen(`${this.#options.prefix}.room.${tokenOf(room)}`, (message) => { this.#message(followed, message) })
      await this.#link.flush()
      if (tail === undefined) return undefined
      tail.open(await this.#kept!.top(settings))
      return tail.position
    } catch (error) {
      followed.subscription?.unsubscribe()
      tail?.close()
      if (this.#rooms.get(room) === followed) this.#rooms.delete(room)
      throw this.#refused(error)
    }
  }

  unsubscribe (room: string): void {
    const followed = this.#rooms.get(room)
    if (followed === undefined) return
    this.#rooms.delete(room)
    followed.subscription?.unsubscribe()
    followed.tail?.close()
    this.presence?.forget(room)
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    const origin = `${this.#tag}-${(++this.#count).toString(36)}`
    const payload = encodePayload(origin, publication)
    const own: Own = { recipients: undefined, settle: undefined }
    const { delivery, ack } = publication
    const isKept = this.#kept !== undefined && settings.history !== false && delivery === 'reliable' && ack === undefined
    this.#own.set(origin, own)
    try {
      if (isKept) return await this.#keep(room, publication, settings, origin, payload, own)
      return await this.#tell(room, publication, settings, payload, own)
    } finally {
      this.#own.delete(origin)
    }
  }

  async #keep (room: string, { idempotencyKey }: Publication, settings: RoomSettings, origin: string, payload: string, own: Own): Promise<Published> {
    const kept = this.#kept!
    const { timeout } = this.#options
    const until = performance.now() + timeout
    const subject = kept.subject(room, settings)
    const msgID = idempotencyKey === undefined ? origin : createHash('sha1').update(keyOf(room, idempotencyKey)).digest('base64url')
    for (let isAgain = false; ; isAgain = true) {
      const { epoch } = await kept.open(settings)
      try {
        // Named, so that the server knows it when it has to be sent again.
        const patience = Math.ceil((until - performance.now()) / (isAgain ? 1 : 2))
        const { seq, duplicate } = await this.#link.attempt(() => this.#link.js.publish(subject, payload, { msgID, timeout: patience, retries: 0 } as never))
        const position = { epoch, offset: seq }
        if (duplicate && !isAgain) return { position, recipients: 0 }
        const tail = this.#rooms.get(room)?.tail
        tail?.check(position)
        await tail?.reached(seq, Math.max(0, until - performance.now()))
        return { position, recipients: own.recipients ?? 0 }
      } catch (error) {
        const refused = this.#refused(error)
        if (isAgain) throw refused
        if (refused === error && (!this.#link.isUp || performance.now() >= until)) throw error
      }
    }
  }

  /** Events that are not kept: sent to whoever listens. */
  async #tell (room: string, publication: Publication, settings: RoomSettings, payload: string, own: Own): Promise<Published> {
    const isLocal = publication.delivery === 'volatile' || settings.history === false || this.#kept === undefined
    const isSubscribed = this.#rooms.has(room)
    let at: { version?: number } = {}
    try {
      let head = 'v'
      if (publication.delivery === 'latest') {
        at = { version: this.#kept === undefined ? Date.now() : await this.#set(room, publication, payload) }
        head = `l ${at.version}`
      }
      this.#link.send(`${this.#options.prefix}.room.${tokenOf(room)}`, `${head}\n${payload}`)
      if (!isSubscribed) await this.#link.flush()
      else if (own.recipients === undefined) {
        await new Promise<void>((resolve) => {
          const timer = after(resolve, ECHO)
          own.settle = () => { clearTimeout(timer); resolve() }
        })
      }
      return { recipients: own.recipients ?? 0 }
    } catch (error) {
      if (!isLocal || !(error instanceof Refusal)) throw error
      if (publication.delivery === 'latest') at = { version: at.version ?? Date.now() }
      return { recipients: isSubscribed ? this.#host!.event(room, decodePayload(room, payload, at)) : 0 }
    }
  }

  /** @returns the version: the revision that the bucket gave */
  async #set (room: string, { type, key = '' }: Publication, payload: string): Promise<number> {
    return await this.#values.write(`latest.${tokenOf(room)}.${tokenOf(keyOf(type, key))}`, payload)
  }

  async #latest (room: string, { history }: RoomSettings): Promise<readonly Packet[]> {
    const bucket = await this.#values.bucket()
    const oldest = Date.now() - (history === false ? DAY : history.ttl)
    const found = await this.#link.attempt(async () => {
      const entries: Array<{ revision: number, text: string }> = []
      for await (const entry of await bucket.history({ key: `latest.${tokenOf(room)}.*` })) {
        if (entry.operation === 'PUT' && entry.created.getTime() > oldest) entries.push({ revision: entry.revision, text: entry.string() })
      }
      return entries
    })
    return found.sort((a, b) => a.revision - b.revision).slice(-MAX_LATEST).flatMap(({ revision, text }) => {
      try {
        return decodePayload(room, text, { version: revision })
      } catch (error) {
        this.#unread.failed(error, 'latest', text.length)
        return []
      }
    })
  }

  async #history (room: string, query: HistoryQuery, settings: RoomSettings): Promise<HistoryPage> {
    const known = this.#rooms.get(room)?.tail?.read(query)
    if (known !== undefined) return known
    try {
      const { range, last } = await this.#kept!.read(room, settings, query)
      return pageOf({ ...range, top: last }, query, () => { this.#unread.note('history', 0) })
    } catch (error) {
      throw this.#refused(error)
    }
  }

  /** A stream or bucket that is gone is made anew at the next use. */
  #refused (error: unknown): unknown {
    if (!isMissing(error)) return error
    this.#kept?.forget()
    return away()
  }

  #follow (room: string, settings: RoomSettings): Tail | undefined {
    const { history } = settings
    if (history === false || this.#kept === undefined) return undefined
    const host = this.#host!
    return new Tail({
      room,
      limits: history,
      streams: this.#streams,
      host,
      deliver: (name, packet, origin) => { this.#delivered(origin, host.event(name, packet)) },
      read: async (offset) => {
        const { range } = await this.#kept!.read(room, settings, { since: { epoch: '', offset }, limit: PAGE })
        const followed = this.#rooms.get(room)
        if (followed !== undefined) followed.epoch = range.epoch
        return range
      },
      onRepair: () => { this.#repairs++ },
      onUndecodable: () => { this.#unread.note('history', 0) }
    })
  }

  #delivered (origin: string, recipients: number): void {
    const own = this.#own.get(origin)
    if (own === undefined) return
    own.recipients = recipients
    own.settle?.()
  }

  #message (followed: Followed, message: Msg): void {
    const { room, tail, epoch } = followed
    if (this.#rooms.get(room) !== followed) return
    this.#received++
    const text = message.string()
    const sequence = message.headers?.get('Nats-Sequence')
    if (sequence !== undefined && sequence !== '') {
      tail?.accept(arrivalOf(room, epoch, Number(sequence), Number(message.headers!.get('Nats-Last-Sequence') || 0), text), true)
      return
    }
    const end = text.indexOf('\n')
    const rest = text.slice(end + 1)
    if (text[0] === 'p') this.#host!.presence(room, decodePresenceChange(rest))
    else if (text[0] !== 'v' && text[0] !== 'l') throw new Undecodable('a message of an unknown kind')
    else this.#delivered(originOf(rest), this.#host!.event(room, decodePayload(room, rest, text[0] === 'l' ? { version: Number(text.slice(2, end)) } : {})))
  }

  /** A change that cannot be announced leaves a hole in the sequence, which peers see. */
  #announce (room: string, change: PresenceChange): void {
    if (this.#link.isUp) this.#link.send(`${this.#options.prefix}.room.${tokenOf(room)}`, `p\n${JSON.stringify(change)}`)
  }

  async #send (message: ControlMessage): Promise<void> {
    this.#link.send(`${this.#options.prefix}.control`, `${this.#tag} ${this.#host!.nodeId}\n${JSON.stringify(message)}`)
    await this.#link.flush()
  }

  #controlled (message: Msg): void {
    const text = message.string()
    const end = text.indexOf('\n')
    const space = text.indexOf(' ')
    if (text.slice(0, space) === this.#tag) return
    this.#host!.control(decodeControl(text.slice(end + 1)), text.slice(space + 1, end))
  }

  stats (): Record<string, number | boolean | string> {
    return { isUp: this.#link.isUp, jetstream: this.#kept !== undefined, rooms: this.#rooms.size, historyBytes: this.#streams.bytes, received: this.#received, repairs: this.#repairs, undecodable: this.#unread.count }
  }

  #up (): void {
    this.#kept?.forget()
    this.#values.forget()
    this.#denied.forget()
    this.#check(true)
    this.#host!.state(true)
  }

  #nextCheck (): number { return performance.now() + this.#options.check * (0.8 + Math.random() * 0.4) }

  #check (isAll: boolean): void {
    if (!this.#link.isUp) return
    const now = performance.now()
    const due: Followed[] = []
    for (const followed of this.#rooms.values()) {
      const { tail } = followed
      if (tail === undefined || (!isAll && followed.due > now)) continue
      if (isAll || now - tail.heard >= this.#options.check * 0.8) due.push(followed)
      followed.due = this.#nextCheck()
    }
    // The link is away again, and everything is checked when it comes back; or one request failed, and its room is due again soon.
    for (const followed of due) this.#checkOne(followed).catch(() => { followed.due = performance.now() + 1_000 })
  }

  async #checkOne ({ room, settings, tail }: Followed): Promise<void> {
    tail!.check(await this.#kept!.position(room, settings))
  }
}

/**
 * Nodes that share a NATS are one. With JetStream (2.9 or newer; on by default) history, resume, presence, limits and claims hold across
 * nodes; without it only live events and control messages do. Needs `@nats-io/transport-node`, and for JetStream `@nats-io/jetstream` and `@nats-io/kv`.
 *
 * @throws REALTIME_ERR_OPTIONS for a prefix that NATS would read otherwise; `start` throws REALTIME_ERR_ADAPTER when the server cannot be reached
 */
export function nats (options: NatsOptions = {}): Adapter {
  return new NatsAdapter(options)
}
