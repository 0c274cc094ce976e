import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Cluster, Redis, RedisOptions as ClientOptions } from 'ioredis'
import { REALTIME_ERR_ADAPTER, REALTIME_ERR_OPTIONS } from '../errors.js'
import type { Packet } from '../protocol/codec.js'
import type {
  Adapter, AdapterHost, Control, ControlMessage, DenialStore, HistoryPage, HistoryQuery, LeaseStore, Publication, Published, RoomSettings
} from './adapter.js'
import { BoundedClaims } from './bounded-claims.js'
import { checkPosition, decodeControl, decodePresenceChange, Undecodable } from './decode.js'
import { Keys } from './redis-keys.js'
import { redisClaims, redisDenials, redisLeases } from './redis-leases.js'
import { RedisLink, Unreachable } from './redis-link.js'
import { RedisPresence } from './redis-presence.js'
import { Publishing } from './redis-publishing.js'
import { LATEST, POSITION, READ } from './redis-scripts.js'
import { decodePayload, originOf, parsePositions } from './wire.js'
import { newEpoch, Streams } from './stream.js'
import { keyOf } from '../protocol/key.js'
import type { Position } from '../protocol/position.js'
import { every } from '../timers.js'
import { Unread } from './unread.js'
import { pageOf, Tail, type Arrival, type Range } from './tail.js'

export interface RedisOptions {
  /** one server, default `redis://127.0.0.1:6379`; `rediss:` for TLS. Redis 7.0 or newer */
  readonly url?: string
  /** an ioredis client, of a cluster or not: its settings are taken over by connections of this adapter's own; it is not used itself and stays yours */
  readonly client?: Redis | Cluster
  /** some nodes of a Redis Cluster; the others are found */
  readonly cluster?: ReadonlyArray<{ readonly host: string, readonly port: number }>
  /** sentinels, and the name of the primary that they watch */
  readonly sentinels?: { readonly name: string, readonly nodes: ReadonlyArray<{ readonly host: string, readonly port: number }> }
  /** more settings of ioredis, such as `username`, `password`, `tls`, `db` */
  readonly settings?: Partial<ClientOptions>
  /** in front of all keys and channels, default `realtime:`; without braces */
  readonly prefix?: string
  /** milliseconds that one command may take, default 2 000; then it is refused with `unavailable` and will not be run later */
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
  /** when its position is to be checked, by `performance.now()` */
  due: number
}

const DEFAULTS = { prefix: 'realtime:', timeout: 2_000, check: 40_000, idempotency: 120_000, historyBytes: 64 * 1024 * 1024 }
/** Position checks under way at a time. */
const BATCH = 500
/** Rooms that one turn of the event loop looks at. */
const LOOK = 2_000
/** Events in one read while a hole is repaired. */
const PAGE = 500

class RedisAdapter implements Adapter {
  readonly name = 'redis'
  readonly presence: RedisPresence
  readonly leases: LeaseStore
  readonly claims: BoundedClaims
  readonly denials: DenialStore
  readonly control: Control
  readonly #options: RedisOptions & typeof DEFAULTS
  readonly #keys: Keys
  readonly #link: RedisLink
  readonly #streams: Streams
  readonly #tag = randomBytes(6).toString('base64url')
  readonly #rooms = new Map<string, Followed>()
  readonly #reading = new Map<string, Promise<Range>>()
  readonly #unread = new Unread({ warn: (object, message) => { this.#host?.log.warn(object, message) } })
  #publishing: Publishing | undefined
  #host: AdapterHost | undefined
  #checker: NodeJS.Timeout | undefined
  #isChecking = false
  /** a check of all rooms was broken off */
  #areAllDue = false
  #received = 0
  #repairs = 0

  constructor (options: RedisOptions) {
    this.#options = { ...DEFAULTS, ...options }
    const { url, client, cluster, sentinels, prefix, settings = {}, timeout, historyBytes } = this.#options
    if ([url, client, cluster, sentinels].filter((option) => option !== undefined).length > 1) {
      throw new REALTIME_ERR_OPTIONS('redis() takes one of url, client, cluster and sentinels; leave the others out')
    }
    if (/[{}]/.test(prefix)) throw new REALTIME_ERR_OPTIONS('redis({ prefix }) must not contain braces: they would change which shard a key belongs to')
    this.#keys = new Keys(prefix)
    this.#streams = new Streams(historyBytes, Number.POSITIVE_INFINITY)
    const link = new RedisLink({
      url,
      client,
      cluster,
      sentinels,
      settings,
      timeout,
      log: { warn: (object, message) => { this.#host?.log.warn(object, message) } },
      onMessage: (channel, message) => { this.#heard(channel, message) },
      onUp: () => { this.#up() },
      onDown: () => { this.#down() }
    })
    this.#link = link
    this.presence = new RedisPresence(link, this.#keys, this.#unread)
    this.leases = redisLeases(link, this.#keys)
    this.claims = new BoundedClaims(redisClaims(link, this.#keys))
    this.denials = redisDenials(link, this.#keys)
    this.control = { send: (message) => this.#send(message) }
  }

  async start (host: AdapterHost): Promise<void> {
    if (this.#host !== undefined) throw new REALTIME_ERR_ADAPTER('this redis adapter is already in use; make one for each server')
    this.#host = host
    this.claims.start(host)
    const { idempotency, timeout, check } = this.#options
    this.#publishing = new Publishing({
      link: this.#link,
      keys: this.#keys,
      host,
      tag: this.#tag,
      idempotency,
      timeout,
      tail: (room) => this.#rooms.get(room)?.tail,
      isSubscribed: (room) => this.#rooms.has(room)
    })
    await this.#link.open()
    await this.#link.subscribe(this.#keys.control)
    this.#streams.start()
    this.#checker = every(() => { this.#check(false) }, Math.min(4_000, check / 10)).unref()
  }

  async close (): Promise<void> {
    clearInterval(this.#checker)
    this.#streams.stop()
    this.#link.close()
    this.#publishing?.close()
    for (const { tail } of this.#rooms.values()) tail?.close()
    this.#rooms.clear()
  }

  async subscribe (room: string, settings: RoomSettings): Promise<Position | undefined> {
    const channel = this.#keys.events(room)
    const followed: Followed = { room, settings, tail: this.#follow(room, settings), due: this.#nextCheck() }
    this.#rooms.set(room, followed)
    try {
      await this.#link.subscribe(channel)
      if (followed.tail === undefined) return undefined
      // Read after the subscription stands, so that no event is between the two.
      followed.tail.open(await this.#position(room))
      return followed.tail.position
    } catch (error) {
      followed.tail?.close()
      if (this.#rooms.get(room) === followed) {
        this.#rooms.delete(room)
        this.#link.unsubscribe(channel)
      }
      throw error
    }
  }

  unsubscribe (room: string): void {
    const followed = this.#rooms.get(room)
    if (followed === undefined) return
    this.#rooms.delete(room)
    followed.tail?.close()
    this.presence.forget(room)
    this.#link.unsubscribe(this.#keys.events(room))
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    return await this.#publishing!.publish(room, publication, settings)
  }

  async history (room: string, query: HistoryQuery, settings: RoomSettings): Promise<HistoryPage> {
    const known = this.#rooms.get(room)?.tail?.read(query)
    if (known !== undefined) return known
    return pageOf(await this.#read(room, settings, query), query, () => { this.#unread.note('history', 0) })
  }

  async latest (room: string): Promise<readonly Packet[]> {
    const values = await this.#link.script(LATEST, [this.#keys.latest(room), this.#keys.order(room)], []) as string[]
    return values.flatMap((value) => {
      const end = value.indexOf('\n')
      try {
        return decodePayload(room, value.slice(end + 1), { version: Number(value.slice(0, value.indexOf(' '))) })
      } catch (error) {
        this.#unread.failed(error, 'latest', value.length)
        return []
      }
    })
  }

  stats (): Record<string, number | boolean | string> {
    return { isUp: this.#link.isUp, rooms: this.#rooms.size, historyBytes: this.#streams.bytes, historyEvicted: this.#streams.evicted, rememberedBytes: this.claims.bytes, forgotten: this.claims.forgotten, received: this.#received, repairs: this.#repairs, undecodable: this.#unread.count }
  }

  #follow (room: string, settings: RoomSettings): Tail | undefined {
    const { history } = settings
    if (history === false) return undefined
    const host = this.#host!
    return new Tail({
      room,
      limits: history,
      streams: this.#streams,
      host,
      deliver: (name, packet, origin) => { this.#publishing!.delivered(origin, host.event(name, packet)) },
      read: (offset) => this.#read(room, settings, { since: { epoch: '', offset }, limit: PAGE }),
      onRepair: () => { this.#repairs++ },
      onUndecodable: () => { this.#unread.note('history', 0) }
    })
  }

  async #position (room: string): Promise<Position> {
    const [epoch, offset] = await this.#link.script(POSITION, [this.#keys.meta(room), this.#keys.stream(room)], [this.#link.run, newEpoch(), Math.ceil(this.#options.check)]) as [string, string]
    return this.#known(epoch, Number(offset))
  }

  /** @throws Refusal `unavailable` for a place that is none: what is kept of the room is not what this version keeps */
  #known (epoch: string, offset: number): Position {
    try {
      return checkPosition(epoch, offset)
    } catch (error) {
      this.#unread.failed(error, 'position', 0)
      throw new Unreachable(false)
    }
  }

  /** One read for all who wait for the same part of a room. */
  async #read (room: string, { history }: RoomSettings, { since, last, limit }: HistoryQuery): Promise<Range> {
    const count = since === undefined ? Math.min(last ?? limit, limit) : limit
    const name = keyOf(room, String(since?.offset ?? ''), String(count))
    const underWay = this.#reading.get(name)
    // A read that began before now may miss what was accepted meanwhile, which comes by the subscription or the next page.
    if (underWay !== undefined && since?.epoch !== '') return await underWay
    const ttl = history === false ? 0 : history.ttl
    const reading = this.#readRange(room, since?.offset, count, ttl)
    this.#reading.set(name, reading)
    try {
      return await reading
    } finally {
      if (this.#reading.get(name) === reading) this.#reading.delete(name)
    }
  }

  async #readRange (room: string, after: number | undefined, count: number, ttl: number): Promise<Range> {
    const reply = await this.#link.script(READ, [this.#keys.meta(room), this.#keys.stream(room)], [
      this.#link.run, newEpoch(), after ?? '', Math.max(count, 0), Math.ceil(ttl), this.#rooms.has(room) ? '1' : ''
    ]) as string[]
    const [epoch = '', top, before = '', floor, ...entries] = reply
    const events: Arrival[] = []
    for (let index = 0; index + 1 < entries.length; index += 2) {
      const offset = Number.parseInt(entries[index]!, 10)
      const payload = entries[index + 1]!
      events.push(arrivalOf(room, epoch, offset, payload))
    }
    if (after === undefined) events.reverse()
    this.#known(epoch, Number(top))
    return { epoch, top: Number(top), floor: Number(floor), before: parsePositions(before), events }
  }

  #heard (channel: string, message: string): void {
    this.#received++
    try {
      this.#message(channel, message)
    } catch (error) {
      this.#unread.failed(error, channel === this.#keys.control ? 'control' : 'events', message.length)
    }
  }

  /** @throws Undecodable */
  #message (channel: string, message: string): void {
    if (channel === this.#keys.control) {
      this.#controlled(message)
      return
    }
    const room = this.#keys.room(channel)
    const followed = this.#rooms.get(room)
    const end = message.indexOf('\n')
    const rest = message.slice(end + 1)
    if (message[0] === 'r') {
      const [, text, number] = message.slice(0, end).split(' ')
      const { epoch, offset } = checkPosition(text, Number(number))
      followed?.tail?.accept(arrivalOf(room, epoch, offset, rest), true)
    } else if (message[0] === 'p') {
      if (followed !== undefined) this.#host!.presence(room, decodePresenceChange(rest))
    } else {
      if (message[0] !== 'v' && message[0] !== 'l') throw new Undecodable('a message of an unknown kind')
      const origin = originOf(rest)
      const publishing = this.#publishing!
      if (publishing.isRepeated(origin)) return
      const packet = decodePayload(room, rest, message[0] === 'l' ? { version: Number(message.slice(2, end)) } : {})
      const isHeard = followed !== undefined || packet.event!.ack !== undefined
      publishing.delivered(origin, isHeard ? this.#host!.event(room, packet) : 0)
    }
  }

  async #send (message: ControlMessage): Promise<void> {
    await this.#link.call('SPUBLISH', this.#keys.control, `${this.#tag} ${this.#host!.nodeId}\n${JSON.stringify(message)}`)
  }

  #controlled (text: string): void {
    const end = text.indexOf('\n')
    const space = text.indexOf(' ')
    if (text.slice(0, space) === this.#tag) return
    this.#host!.control(decodeControl(text.slice(end + 1)), text.slice(space + 1, end))
  }

  #up (): void {
    this.presence.up()
    this.#check(true)
    this.#host!.state(true)
  }

  #down (): void {
    this.presence.down()
    this.#host!.state(false)
  }

  #nextCheck (): number { return performance.now() + this.#options.check * (0.8 + Math.random() * 0.4) }

  /** Compares positions with the broker's: of all rooms after it came back, else of those that have been quiet for the period. */
  #check (isAll: boolean): void {
    if (!this.#link.isUp || (this.#isChecking && !isAll)) return
    this.#isChecking = true
    const areAllDue = isAll || this.#areAllDue
    this.#areAllDue = false
    this.#checkAll(areAllDue).catch(() => {
      // The link is away again, and everything is checked when it comes back; or one command failed, and its rooms are due again soon.
      this.#areAllDue ||= areAllDue
    }).finally(() => { this.#isChecking = false })
  }

  async #checkAll (isAll: boolean): Promise<void> {
    const now = performance.now()
    let due: Followed[] = []
    let looked = 0
    for (const followed of this.#rooms.values()) {
      if (++looked % LOOK === 0) await setImmediate()
      const { tail } = followed
      if (tail === undefined || (!isAll && followed.due > now)) continue
      followed.due = this.#nextCheck()
      if (isAll || now - tail.heard >= this.#options.check * 0.8) due.push(followed)
      if (due.length < BATCH) continue
      await this.#checkSome(due)
      due = []
    }
    await this.#checkSome(due)
  }

  async #checkSome (due: readonly Followed[]): Promise<void> {
    try {
      await Promise.all(due.map(async ({ room, tail }) => { tail!.check(await this.#position(room)) }))
    } catch (error) {
      for (const followed of due) followed.due = performance.now()
      throw error
    }
  }
}

function arrivalOf (room: string, epoch: string, offset: number, payload: string): Arrival {
  return {
    epoch,
    offset,
    // The script numbers a room's events without holes.
    previous: offset - 1,
    origin: originOf(payload),
    packet: () => decodePayload(room, payload, { position: { epoch, offset } })
  }
}

/**
 * Nodes that share a Redis are one: broadcasts reach members on all of them, a client resumes on any, limits and presence hold across.
 * Needs the package `ioredis` and Redis 7.0 or newer: one server, Sentinel or Cluster. Two connections per process.
 *
 * @throws REALTIME_ERR_OPTIONS for options that exclude each other; `start` throws REALTIME_ERR_ADAPTER when Redis cannot be reached
 */
export function redis (options: RedisOptions = {}): Adapter {
  return new RedisAdapter(options)
}
