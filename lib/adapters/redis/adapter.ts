import { randomBytes } from 'node:crypto'
import type { Cluster, Redis, RedisOptions as ClientOptions } from 'ioredis'
import { REALTIME_ERR_ADAPTER, REALTIME_ERR_OPTIONS } from '../../errors/misuse.js'
import type { Packet } from '../../protocol/packet.js'
import type {
  Adapter, AdapterHost, DenialStore, HistoryPage, HistoryQuery, LeaseStore, Publication,
  Published, RoomSettings
} from '../adapter.js'
import { keptFor } from '../broker/asked-again.js'
import { BoundedClaims } from '../broker/bounded-claims.js'
import { checkPosition, decodePresenceChange, Undecodable } from '../broker/decode.js'
import { FollowedRooms, type Followed } from '../broker/followed-rooms.js'
import { checkRedis } from '../options.js'
import { BEAT, Nodes, type Beat } from '../broker/nodes.js'
import { RedisControl } from './control.js'
import { Keys, prefixFault } from './keys.js'
import { redisClaims, redisDenials, redisLeases } from './stores.js'
import { KnownStreams } from './known.js'
import { RedisLink } from './link.js'
import { RedisPlaces } from './places.js'
import { RedisPresence } from './presence.js'
import { ShardMarks } from './shard-marks.js'
import { RedisTexts } from './texts.js'
import { Publishing } from './publishing.js'
import { RedisValues } from './values.js'
import { arrivalOf, StreamReader } from './reading.js'
import { RedisRereading, type Reread } from './rereading.js'
import { checkRights } from './rights.js'
import { FORGET, NODE_BEAT, NODE_LEAVE } from './scripts/stores.js'
import { within } from '../broker/patience.js'
import { Repeats } from '../broker/repeats.js'
import { Stamps } from '../broker/stamps.js'
import { decodePayload, originOf } from '../broker/payload.js'
import { keyOfKind } from '../../protocol/key.js'
import type { Position } from '../../protocol/position.js'
import { every } from '../../structures/timers.js'
import { Unread } from '../broker/unread.js'
import { clearOf, pageOf } from '../broker/tail.js'
import { HISTORY_BYTES, IDEMPOTENCY } from '../../retention/bounds.js'

/** Where a server listens. */
export interface RedisHost {
  /** A name or an address. */
  readonly host: string
  /** The port. */
  readonly port: number
}

/** Options of `redis()`. What is unknown or wrong is refused with `REALTIME_ERR_OPTIONS`. */
export interface RedisOptions {
  /** One server, default `redis://127.0.0.1:6379`; `rediss:` for TLS. Redis 7.0 or newer. */
  readonly url?: string
  /**
   * An ioredis client, of a cluster or not. This adapter makes connections of its own with its settings; the client
   * itself is not used and stays yours.
   */
  readonly client?: Redis | Cluster
  /** Some nodes of a Redis Cluster; the others are found. */
  readonly cluster?: readonly RedisHost[]
  /** Sentinels, and the name of the primary that they watch. */
  readonly sentinels?: {
    /** The name of the primary that they watch. */
    readonly name: string
    /** The sentinels that are known; the others are found. */
    readonly nodes: readonly RedisHost[]
  }
  /** More settings of ioredis, such as `username`, `password`, `tls`, `db`. */
  readonly settings?: Partial<ClientOptions>
  /**
   * Prefix of all keys and channels, behind a `keyPrefix` of the client; default `realtime:`. Each application that
   * shares a server needs its own. Printable ASCII without spaces, braces, quotes and wildcards, otherwise
   * REALTIME_ERR_OPTIONS.
   */
  readonly prefix?: string
  /**
   * Milliseconds that one command may take, default 2 000; after that it is refused with `unavailable` and will not run
   * later. What a start asks for has three times as long.
   */
  readonly timeout?: number
  /**
   * Milliseconds between two position checks of a quiet room, default 40 000, varied by 20 %. A room with presence or
   * `latest` values is checked every 48 s at least.
   */
  readonly check?: number
  /**
   * Milliseconds that an idempotency key is remembered, default 120 000; at least 30 s and 2.5 times the `timeout`,
   * because who was told of no result asks again under the same key.
   */
  readonly idempotency?: number
  /** Bytes of retained events that are kept in this process for resumes, default 64 MiB. */
  readonly historyBytes?: number
}

const DEFAULTS = {
  prefix: 'realtime:',
  timeout: 2_000,
  check: 40_000,
  idempotency: IDEMPOTENCY,
  historyBytes: HISTORY_BYTES
}
/** Milliseconds that a node which ends waits until it is off the list of nodes. */
const GOODBYE = 500
type More = Pick<Reread, 'newest' | 'reread'>
type Room = Followed & More

class RedisAdapter implements Adapter {
  readonly name = 'redis'
  readonly removal = true
  readonly presence: RedisPresence
  readonly leases: LeaseStore
  readonly claims: BoundedClaims
  readonly denials: DenialStore
  readonly texts: RedisTexts
  readonly control: RedisControl
  readonly #options: RedisOptions & typeof DEFAULTS
  readonly #keys: Keys
  readonly #link: RedisLink
  readonly #tag = randomBytes(6).toString('base64url')
  readonly #rooms: FollowedRooms<More>
  readonly #values: RedisValues
  readonly #rereading: RedisRereading
  readonly #unread = new Unread({ warn: (object, message) => { this.#host?.log.warn(object, message) } })
  readonly #known: KnownStreams
  readonly #places: RedisPlaces
  readonly #reader: StreamReader
  readonly #idempotency: number
  readonly #repeats: Repeats
  readonly #nodes: Nodes
  readonly #slots = new Stamps()
  readonly #marks: ShardMarks
  /** Run id of the server at which this node holds its leases and entries. */
  #heldAt: string | undefined
  #publishing: Publishing | undefined
  #host: AdapterHost | undefined
  #checker: NodeJS.Timeout | undefined
  #received = 0

  constructor (options: RedisOptions) {
    checkRedis(options)
    this.#options = { ...DEFAULTS, ...options }
    const { url, client, cluster, sentinels, prefix, settings = {}, timeout, check, historyBytes } = this.#options
    if ([url, client, cluster, sentinels].filter((option) => option !== undefined).length > 1) {
      throw new REALTIME_ERR_OPTIONS('redis() takes one of url, client, cluster and sentinels; leave the others out')
    }
    const fault = prefixFault(prefix)
    if (fault !== undefined) throw new REALTIME_ERR_OPTIONS(`redis({ prefix }) ${fault}`)
    // The client would put it in front of keys, but not of channels.
    const outer = client?.options.keyPrefix ?? settings.keyPrefix ?? ''
    if (outer !== '' && prefixFault(outer) !== undefined) {
      throw new REALTIME_ERR_OPTIONS(`the keyPrefix of the ioredis client ${prefixFault(outer)!}`)
    }
    this.#keys = new Keys(outer + prefix)
    this.#idempotency = keptFor(this.#options.idempotency, timeout)
    this.#repeats = new Repeats(this.#idempotency)
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
      onDown: () => { this.#down() },
      onReplaced: () => {
        this.#check(true)
        this.#nodes.holdAnew()
      }
    })
    this.#link = link
    this.#nodes = new Nodes({
      node: this.#tag,
      beat: (name, away) => this.#beat(name, away),
      onLost: () => { this.#lost() },
      hold: async () => { await this.#host!.state(true, true) }
    })
    this.#rooms = new FollowedRooms({
      check,
      historyBytes,
      repeats: this.#repeats,
      unread: this.#unread,
      isUp: () => link.isUp,
      deliver: (room, _settings, packet, origin) => {
        this.#publishing!.delivered(origin, this.#host!.event(room, packet), packet.position)
      },
      read: (room, settings, hole) => this.#reader.readHole(room, settings, hole),
      compare: (due, done) => this.#compare(due, done),
      isHeld: (room) => this.presence.isHeld(room) || this.#values.newest(room) > 0
    })
    const rooms = this.#rooms
    this.#known = new KnownStreams({
      get size () { return rooms.size },
      has: (room) => rooms.has(room),
      position: (room) => rooms.get(room)?.tail?.position
    })
    this.#reader = new StreamReader({
      link,
      keys: this.#keys,
      known: this.#known,
      unread: this.#unread,
      isFollowed: (room) => rooms.has(room)
    })
    this.#values = new RedisValues({
      link,
      keys: this.#keys,
      tag: this.#tag,
      unread: this.#unread,
      followed: (room) => rooms.get(room),
      seen: (room) => this.#known.seen(room),
      host: () => this.#host!
    })
    this.presence = new RedisPresence(link, this.#keys, this.#unread, this.#nodes)
    const again = [period(check) / 2, check] as const
    this.#places = new RedisPlaces({
      link,
      keys: this.#keys,
      known: this.#known,
      values: this.#values,
      presence: this.presence,
      nodes: this.#nodes,
      unread: this.#unread,
      followed: (room) => rooms.get(room),
      host: () => this.#host!,
      check,
      again
    })
    this.texts = new RedisTexts(link, this.#keys, this.#unread)
    this.#rereading = new RedisRereading({
      link,
      rooms,
      values: this.#values,
      texts: this.texts,
      presence: this.presence,
      host: () => this.#host!,
      again
    })
    this.leases = redisLeases(link, this.#keys, this.#nodes, this.#slots)
    this.claims = new BoundedClaims(redisClaims(link, this.#keys), (name) => link.script(FORGET, [name], []))
    this.denials = redisDenials(link, this.#keys)
    this.control = new RedisControl({
      link,
      keys: this.#keys,
      tag: this.#tag,
      unread: this.#unread,
      deliver: (message, from) => { this.#host!.control(message, from) },
      onForgotten: () => { this.#forgotten() },
      onMissed: () => { this.#host!.missed() }
    })
    this.#marks = new ShardMarks(link, this.#keys, () => { this.#forgotten() })
  }

  async start (host: AdapterHost): Promise<void> {
    if (this.#host !== undefined) {
      throw new REALTIME_ERR_ADAPTER('this redis adapter is already in use; make one for each server')
    }
    this.#host = host
    this.claims.start(host)
    const { timeout, check } = this.#options
    const idempotency = this.#idempotency
    this.#publishing = new Publishing({
      link: this.#link,
      keys: this.#keys,
      host,
      tag: this.#tag,
      idempotency,
      repeats: this.#repeats,
      onKey: (room, key, owner) => {
        const whose = owner === undefined ? keyOfKind('room', room) : keyOfKind('user', owner)
        this.claims.published(this.#keys.once(room, key), whose, idempotency)
      },
      timeout,
      mark: () => this.control.mark,
      seen: (room) => this.#known.seen(room),
      newest: (room) => this.#values.newest(room),
      onAccepted: (room, position, at) => { this.#known.learn(room, position, at) },
      tail: (room) => this.#rooms.get(room)?.tail,
      isSubscribed: (room) => this.#rooms.has(room)
    })
    await this.#link.open()
    try {
      await checkRights(this.#link, this.#keys, timeout)
      await this.control.start(host.nodeId)
      await this.#nodes.start()
    } catch (error) {
      // Who is given no adapter can close none.
      this.claims.stop()
      this.control.close()
      this.#nodes.stop()
      this.#link.close()
      throw error
    }
    this.#link.started()
    this.#rooms.start(host)
    this.#checker = every(() => {
      this.#check(false)
      this.#places.look()
      void this.#marks.look()
    }, period(check)).unref()
  }

  async close (): Promise<void> {
    clearInterval(this.#checker)
    this.claims.stop()
    this.control.close()
    this.#nodes.stop()
    this.#reader.close()
    await this.#sayGoodbye()
    this.#link.close()
    this.#publishing?.close()
    await this.#rooms.close()
  }

  /** A node that is known to have been here costs the others a look for what it held, for an hour. */
  async #sayGoodbye (): Promise<void> {
    const { onlyName } = this.#nodes
    if (onlyName === undefined || !this.#link.canSend) return
    const isEmpty = (): boolean => this.presence.isEmpty && this.#slots.isEmpty
    // What is being given back has been once the server has answered a later question.
    if (!isEmpty()) await within(this.#link.call('EXISTS', this.#keys.nodes), GOODBYE).catch(() => {})
    if (!isEmpty()) return
    await this.#link.script(NODE_LEAVE, [this.#keys.nodes], [onlyName], undefined, GOODBYE).catch(() => {})
  }

  async subscribe (room: string, settings: RoomSettings): Promise<Position | undefined> {
    const channel = this.#keys.events(room)
    const followed = this.#rooms.add(room, settings, { newest: 0, reread: this.#rereading.round })
    try {
      await this.#link.subscribe(channel)
      if (followed.tail === undefined) return undefined
      // The position is read after the subscription stands, so that no event falls between the two.
      followed.tail.open(await this.#places.position(room))
      return followed.tail.position
    } catch (error) {
      if (this.#rooms.remove(followed)) this.#link.unsubscribe(channel)
      throw error
    }
  }

  unsubscribe (room: string): void {
    const followed = this.#rooms.get(room)
    if (followed === undefined) return
    this.#known.leave(room)
    this.#rooms.remove(followed)
    this.presence.forget(room)
    this.#link.unsubscribe(this.#keys.events(room))
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    return await this.#publishing!.publish(room, publication, settings)
  }

  async history (room: string, query: HistoryQuery, settings: RoomSettings): Promise<HistoryPage> {
    const tail = this.#rooms.get(room)?.tail
    const known = tail?.read(query)
    if (known !== undefined) return known
    const page = pageOf(await this.#reader.read(room, settings, query), query, () => { this.#unread.note('history', 0) })
    if (settings.latest && page.resumed && tail?.isBehind(query.since) === true) await tail.meet(query.since, page.top)
    return page
  }

  async latest (room: string, settings: RoomSettings): Promise<readonly Packet[]> {
    return await this.#values.read(room, settings)
  }

  async clear (room: string, settings: RoomSettings): Promise<void> {
    if (settings.append !== undefined) await this.texts.clear(room, settings)
    if (settings.history !== false) await this.#publishing!.clear(room)
  }

  async secret (proposed: string): Promise<string> {
    const known = await this.#link.call('SET', this.#keys.secret, proposed, 'NX', 'GET')
    return typeof known === 'string' ? known : proposed
  }

  stats (): Record<string, number | boolean | string> {
    return {
      isUp: this.#link.isUp,
      ...this.#rooms.stats(),
      rememberedBytes: this.claims.bytes,
      forgotten: this.claims.forgotten,
      received: this.#received,
      undecodable: this.#unread.count
    }
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
      this.control.heard(message)
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
      if (followed === undefined) return
      const change = decodePresenceChange(rest)
      this.presence.heard(room, change.sequence)
      this.#host!.presence(room, change)
    } else if (message[0] === 'c') {
      const [, text, number] = message.split(' ')
      followed?.tail?.accept(clearOf(checkPosition(text, Number(number))), true)
    } else if (message[0] === 'a') {
      if (followed !== undefined) void this.#host!.event(room, RedisTexts.decode(room, message.slice(0, end), rest))
    } else {
      if (message[0] !== 'v' && message[0] !== 'l') throw new Undecodable('a message of an unknown kind')
      const origin = originOf(rest)
      const publishing = this.#publishing!
      if (publishing.isRepeated(origin)) return
      const version = message[0] === 'l' ? Number(message.slice(2, end)) : undefined
      const packet = decodePayload(room, rest, version === undefined ? {} : { version })
      if (version !== undefined) this.#values.saw(room, version)
      const isHeard = followed !== undefined || packet.event!.ack !== undefined
      publishing.delivered(origin, isHeard ? this.#host!.event(room, packet) : 0)
    }
  }

  async #beat (name: string, away: number): Promise<Beat> {
    const [now, before, ...others] = await this.#link.script(
      NODE_BEAT,
      [this.#keys.nodes],
      [name, Math.ceil(away), 3 * BEAT]
    ) as string[]
    const heard = others.flatMap((node, index) => index % 2 === 0 ? { node, at: Number(others[index + 1]) } : [])
    return { now: Number(now), before: before === '' ? undefined : Number(before), others: heard }
  }

  /** Called when this node was silent for so long that others have what it held. */
  #lost (): void {
    this.#host!.log.warn({}, 'this node was cut off from Redis for longer than its leases: what it held is held anew')
  }

  #up (): void {
    this.#nodes.beat().catch(() => {})
    this.#keys.use(this.#link.database)
    this.presence.up()
    this.#check(true)
    this.#places.report()
    void this.control.catchUp()
    void this.#host!.state(true)
    const { run } = this.#link
    // A server that has restarted, or has replaced another, may have older data.
    if (this.#heldAt !== undefined && this.#heldAt !== run) this.#nodes.holdAnew()
    this.#heldAt = run
  }

  /**
   * Called when the broker answers with other data than before: everything that this node holds there is taken again.
   */
  #forgotten (): void {
    this.#host!.log.warn({}, 'Redis has lost its data, or other data has taken its place')
    this.#check(true)
    this.#nodes.holdAnew()
  }

  #down (): void {
    this.presence.down()
    void this.#host!.state(false)
  }

  /**
   * Compares positions with the broker's: of all rooms after it came back, otherwise of those that have been quiet for
   * the period.
   */
  #check (isAll: boolean): void {
    if (!this.#link.isUp) return
    if (isAll) {
      this.#rooms.checkAll()
      this.#rereading.all()
    } else {
      this.#rooms.check()
      this.#rereading.look()
    }
  }

  async #compare (due: readonly Room[], done: (followed: Room) => void): Promise<void> {
    await this.#places.readAll(due, (read, found) => {
      for (const [room, position] of found) this.#rooms.get(room)?.tail?.check(position)
      for (const followed of read) done(followed)
    })
  }
}

/**
 * An adapter that makes nodes with one Redis act as one: broadcasts reach members on all of them, a client resumes on
 * any of them, limits and presence hold across them. It needs the package `ioredis` and Redis 7.0 or newer: one server,
 * Sentinel or Cluster. It uses two connections per process.
 *
 * @throws REALTIME_ERR_OPTIONS for options that exclude each other; `start` throws REALTIME_ERR_ADAPTER when Redis
 *   cannot be reached
 */
export function redis (options: RedisOptions = {}): Adapter {
  return new RedisAdapter(options)
}

/** Milliseconds between two looks at which rooms are due. */
function period (check: number): number { return Math.min(4_000, check / 10) }
