import { randomBytes } from 'node:crypto'
import type { Subscription } from '@nats-io/transport-node'
import { REALTIME_ERR_ADAPTER, REALTIME_ERR_OPTIONS } from '../../errors/misuse.js'
import type { Packet } from '../../protocol/packet.js'
import type { Position } from '../../protocol/position.js'
import { grouped } from '../../structures/grouped.js'
import { gather, settleInBatches } from '../../structures/slices.js'
import { every } from '../../structures/timers.js'
import type {
  Adapter, AdapterHost, Control, DenialStore, HistoryPage, HistoryQuery, LeaseStore, PresenceChange, Publication,
  Published, RoomSettings
} from '../adapter.js'
import { keptFor } from '../broker/asked-again.js'
import { BoundedClaims } from '../broker/bounded-claims.js'
import { KeyBudget } from './key-budget.js'
import { FollowedRooms, type Followed } from '../broker/followed-rooms.js'
import { NatsClock } from './clock.js'
import { NatsControl } from './control.js'
import { Arrivals } from './arrivals.js'
import { Doubts } from './doubts.js'
import { Drift } from './drift.js'
import { LastingDenials } from './lasting-denials.js'
import { NatsLatest } from './latest.js'
import { NatsLink } from './link.js'
import { NatsLostValues } from './lost-values.js'
import { NatsLives } from './lives.js'
import { beatOf } from './nodes.js'
import { NatsOnce } from './once.js'
import { DEFAULTS, type NatsOptions } from './options.js'
import { NatsPresence } from './presence.js'
import { NatsPublishing, type KeptParts } from './publishing.js'
import { NatsRereading } from './rereading.js'
import { NatsSetup } from './setup.js'
import { NatsState } from './state.js'
import { NatsTexts } from './texts.js'
import { CLAIMS_SPARE, natsClaims, natsDenials, natsLeases } from './stores.js'
import { NatsStreams } from './streams.js'
import { tokenOf } from './tokens.js'
import { VersionClocks } from './version-clocks.js'
import { LogicalVersions } from './versions.js'
import { checkNats } from '../options.js'
import { Nodes } from '../broker/nodes.js'
import { Repeats } from '../broker/repeats.js'
import { isAway } from '../broker/standing.js'
import { pageOf } from '../broker/tail.js'
import { Unread } from '../broker/unread.js'
import { DAY, IDEMPOTENCY } from '../../retention/bounds.js'

export type { NatsOptions } from './options.js'

/** What is kept of a room besides. */
interface Listening {
  readonly subscriptions: Subscription[]
  /** The newest number of its stream when its position was compared last. */
  comparedAt: number
}

type Room = Followed & Listening

/** Milliseconds for which the bucket of denials keeps each, unless it is written anew. */
const DENIAL = 30 * DAY
/** Milliseconds between two measurements of the broker's clock. */
const CLOCK = 30_000
/** Longest time in milliseconds between two checks for what a subscription should have brought. */
const LOOK = 4_000
/** Positions that are compared at a time. */
const BATCH = 64

/** The parts that need JetStream. */
interface Kept extends KeptParts {
  readonly setup: NatsSetup
  readonly drift: Drift
  readonly nodes: Nodes
  readonly states: readonly NatsState[]
  readonly presence: NatsPresence
  readonly texts: NatsTexts
  readonly rereading: NatsRereading
  readonly lost: NatsLostValues
  readonly lasting: LastingDenials
}

class NatsAdapter implements Adapter {
  readonly name = 'nats'
  readonly removal = true
  readonly presence?: NatsPresence
  readonly leases?: LeaseStore
  readonly claims?: BoundedClaims
  readonly denials?: DenialStore
  readonly control: Control
  readonly secret?: (proposed: string) => Promise<string>
  readonly history?: (room: string, query: HistoryQuery, settings: RoomSettings) => Promise<HistoryPage>
  readonly latest?: (room: string, settings: RoomSettings) => Promise<readonly Packet[]>
  readonly clear?: (room: string, settings: RoomSettings) => Promise<void>
  readonly texts?: NatsTexts
  readonly #options: NatsOptions & typeof DEFAULTS
  readonly #link: NatsLink
  readonly #kept: Kept | undefined
  readonly #versions = new LogicalVersions()
  readonly #idempotency: number
  readonly #repeats: Repeats
  readonly #unread = new Unread({ warn: (object, message) => { this.#host?.log.warn(object, message) } })
  readonly #tag = randomBytes(6).toString('base64url')
  readonly #rooms: FollowedRooms<Listening>
  readonly #doubts = new Doubts((stream) => { this.#compareStream(stream) })
  readonly #clocks: VersionClocks | undefined
  readonly #keys: KeyBudget
  readonly #arrivals = new Arrivals({
    versions: this.#versions,
    isFollowed: (followed) => this.#rooms.get(followed.room) === followed,
    parts: () => this.#kept,
    publishing: () => this.#publishing!,
    host: () => this.#host!,
    doubt: (stream) => { this.#doubt(stream) }
  })

  #publishing: NatsPublishing | undefined
  #controls: NatsControl | undefined
  #host: AdapterHost | undefined
  #checker: NodeJS.Timeout | undefined
  #timer: NodeJS.Timeout | undefined

  constructor (options: NatsOptions) {
    checkNats(options)
    this.#options = { ...DEFAULTS, ...options } as NatsOptions & typeof DEFAULTS
    const { url, connection, settings = {}, prefix, jetstream, replicas, storage, timeout, check, idempotency } =
      this.#options
    if (typeof prefix !== 'string' || !/^[A-Za-z0-9_-]{1,128}$/.test(prefix)) {
      throw new REALTIME_ERR_OPTIONS('nats({ prefix }) is 1 to 128 letters, digits, _ and -')
    }
    const kept = this.#idempotency = keptFor(idempotency, timeout)
    this.#repeats = new Repeats(kept)
    this.#keys = new KeyBudget(kept)
    const log = { warn: (object: object, message: string) => { this.#host?.log.warn(object, message) } }
    const link = new NatsLink({
      url,
      connection,
      settings,
      prefix,
      jetstream,
      timeout,
      log,
      unread: this.#unread,
      onUp: (isOther) => { this.#up(isOther) },
      onDown: () => { this.#down() },
      onParted: () => { this.#kept?.rereading.parted() }
    })
    this.#link = link
    this.#rooms = new FollowedRooms({
      check,
      historyBytes: this.#options.historyBytes,
      repeats: this.#repeats,
      unread: this.#unread,
      isUp: () => link.isUp,
      deliver: (room, settings, packet, origin) => {
        const { lives, streams } = this.#kept!
        const { epoch, offset } = packet.position!
        lives.saw(streams.plan(settings).name, epoch, offset, origin)
        this.#publishing!.delivered(origin, this.#host!.event(room, packet), packet.position)
      },
      read: jetstream
        ? async (room, settings, hole) => (await this.#kept!.streams.read(room, settings, hole, true)).range
        : undefined,
      compare: (due, done) => this.#compare(due, done)
    })
    this.control = { send: (message) => this.#controls!.send(message) }
    if (!jetstream) {
      this.#clocks = new VersionClocks(link, this.#versions, prefix)
      return
    }
    const drift = new Drift({ link, replicas, storage, log })
    const setup = new NatsSetup({ link, drift, replicas, storage })
    const bucket = (name: string, ttl: number): NatsState => new NatsState(
      link,
      `${prefix}_${name}`,
      { ttl, replicas, storage },
      () => { this.#kept?.nodes.holdAnew() },
      (stream) => { drift.look(stream) }
    )
    const [values, denied, known] = [bucket('state', DAY), bucket('denials', DENIAL), bucket('lives', 0)]
    // Each message leaves a key there, so it keeps them no longer than it has to.
    const claimed = bucket('claims', Math.min(idempotency, IDEMPOTENCY) + CLAIMS_SPARE)
    const clock = new NatsClock(() => values.stamp(`clock.${this.#tag}`))
    const lives = new NatsLives({
      link,
      setup,
      state: known,
      clock,
      log,
      unread: this.#unread,
      onDoubt: (name) => { this.#doubt(name) }
    })
    const nodes = new Nodes({
      node: this.#tag,
      beat: (name, away) => beatOf(values, { clock, node: name, away, unread: this.#unread }),
      hold: async () => { await this.#host!.state(true, true) }
    })
    const presence = new NatsPresence({
      state: values,
      clock,
      nodes,
      unread: this.#unread,
      announce: (room, change) => { this.#announce(room, change) },
      deliver: (room, change) => { if (this.#rooms.has(room)) this.#host!.presence(room, change) }
    })
    const latest = new NatsLatest({ link, lives, clock, prefix, idempotency: kept, unread: this.#unread })
    const host = (): AdapterHost => this.#host!
    const lost = new NatsLostValues({
      link,
      lives,
      plan: latest.plan,
      prefix,
      tag: this.#tag,
      unread: this.#unread,
      host,
      log
    })
    this.texts = new NatsTexts({
      link,
      lives,
      clock,
      state: values,
      prefix,
      tag: this.#tag,
      idempotency: kept,
      unread: this.#unread
    })
    const lasting = new LastingDenials({ link, clock, denied, kept: DENIAL, known, unread: this.#unread })
    this.#kept = {
      setup,
      drift,
      lives,
      clock,
      nodes,
      presence,
      texts: this.texts,
      states: [values, denied, known, claimed],
      streams: new NatsStreams({ link, lives, clock, prefix, idempotency: kept }),
      latest,
      lost,
      lasting,
      rereading: new NatsRereading({
        latest,
        lost,
        texts: this.texts,
        rooms: this.#rooms,
        unread: this.#unread,
        host,
        isClustered: () => link.isClustered,
        onMissed: () => {
          void this.#controls?.catchUp()
          presence.up().catch(() => {})
          this.#rooms.checkAll()
        }
      })
    }
    this.presence = presence
    this.leases = natsLeases(values, clock, nodes, this.#unread)
    this.claims = new BoundedClaims(natsClaims(claimed, clock, this.#unread))
    this.denials = natsDenials(denied, clock, this.#unread, lasting)
    this.secret = (proposed) => known.change(
      'shared.secret',
      (value) => value === undefined ? { value: proposed, result: proposed } : { result: value }
    )
    this.history = (room, query, settings) => this.#history(room, query, settings)
    this.latest = (room, settings) => this.#kept!.latest.read(room, settings)
    this.clear = async (room, settings) => {
      if (settings.append !== undefined) await this.texts!.clear(room, settings)
      if (settings.history !== false) await this.#publishing!.clear(this.#kept!, room, settings)
    }
  }

  async start (host: AdapterHost): Promise<void> {
    if (this.#host !== undefined) {
      throw new REALTIME_ERR_ADAPTER('this nats adapter is already in use; make one for each server')
    }
    this.#host = host
    this.claims?.start(host)
    this.#keys.start(host)
    const { prefix, timeout, check } = this.#options
    await this.#link.open()
    const kept = this.#kept
    if (kept === undefined) {
      host.log.info(
        { absent: ['history', 'latest', 'presence', 'leases', 'claims', 'denials'] },
        'NATS without JetStream: events are live only, and nothing is shared between nodes but events and control messages'
      )
    }
    this.#publishing = new NatsPublishing({
      link: this.#link,
      kept,
      once: new NatsOnce({ link: this.#link, setup: kept?.setup, prefix, idempotency: this.#idempotency }),
      versions: this.#versions,
      host,
      prefix,
      tag: this.#tag,
      timeout,
      keys: this.#keys,
      repeats: this.#repeats,
      tail: (room) => this.#rooms.get(room)?.tail,
      isSubscribed: (room) => this.#rooms.has(room),
      onLocal: (room) => { if (this.#rooms.has(room)) kept?.rereading.shows(room) }
    })
    await kept?.clock.measure()
    await kept?.nodes.start()
    this.#controls = new NatsControl({
      link: this.#link,
      kept,
      prefix,
      tag: this.#tag,
      nodeId: host.nodeId,
      unread: this.#unread,
      deliver: (message, from) => { host.control(message, from) },
      onMissed: () => { host.missed() }
    })
    await this.#controls.start()
    await kept?.latest.look()
    await kept?.lost.start()
    this.#clocks?.start()
    await this.#link.flush()
    this.#rooms.start(host)
    this.#clocks?.tell('?')
    this.#checker = every(() => { this.#look() }, Math.min(LOOK, check / 10)).unref()
    this.#timer = every(() => { kept?.clock.measure().catch(() => {}) }, CLOCK).unref()
    this.#link.started()
    host.state(true)
    kept?.drift.start()
    kept?.lasting.start()
    if (kept !== undefined) void this.#link.tryRights(`${prefix}_control`)
  }

  async close (): Promise<void> {
    clearInterval(this.#checker)
    clearInterval(this.#timer)
    this.claims?.stop()
    this.#keys.stop()
    this.#kept?.nodes.stop()
    this.#kept?.lasting.stop()
    this.#doubts.close()
    this.#kept?.lives.close()
    this.#controls?.close()
    this.#clocks?.close()
    this.#publishing?.close()
    await this.#rooms.close(end)
    await this.#link.close()
  }

  async subscribe (room: string, settings: RoomSettings): Promise<Position | undefined> {
    const followed = this.#rooms.add(room, settings, { subscriptions: [], comparedAt: -1 })
    const { tail } = followed
    try {
      if (tail !== undefined) await this.#kept!.streams.life(settings)
      // The room was left meanwhile, and a subscription of it would never be ended.
      if (this.#rooms.get(room) !== followed) return undefined
      const { prefix } = this.#options
      const token = tokenOf(room)
      followed.subscriptions.push(this.#link.listen(`${prefix}.room.${token}`, (message) => {
        this.#arrivals.message(followed, message)
      }))
      if (this.#kept !== undefined && settings.latest) {
        followed.subscriptions.push(this.#link.listen(`${prefix}.value.${token}.*`, (message) => {
          this.#arrivals.value(followed, message)
        }))
      }
      if (this.texts !== undefined && settings.append !== undefined) {
        // The life of the stream is known before its first message comes.
        await this.#kept!.lives.open(this.texts.plan)
        followed.subscriptions.push(this.#link.listen(`${prefix}.stretch.${token}.*`, (message) => {
          this.#arrivals.stretch(followed, message)
        }))
      }
      await this.#link.flush()
      if (tail === undefined) return undefined
      const top = await this.#kept!.streams.top(settings)
      tail.open(top)
      followed.comparedAt = top.offset
      return tail.position
    } catch (error) {
      end(followed)
      this.#rooms.remove(followed)
      throw error
    }
  }

  unsubscribe (room: string): void {
    const followed = this.#rooms.get(room)
    if (followed === undefined) return
    this.#rooms.remove(followed)
    this.#kept?.rereading.left(room)
    end(followed)
    this.presence?.forget(room)
  }

  async publish (room: string, publication: Publication, settings: RoomSettings): Promise<Published> {
    return await this.#publishing!.publish(room, publication, settings)
  }

  async #history (room: string, query: HistoryQuery, settings: RoomSettings): Promise<HistoryPage> {
    const tail = this.#rooms.get(room)?.tail
    const known = tail?.read(query)
    if (known !== undefined) return known
    const { streams } = this.#kept!
    const { range, last } = await streams.read(room, settings, query)
    const page = pageOf({ ...range, top: last }, query, () => { this.#unread.note('history', 0) })
    if (settings.latest && page.resumed && tail?.isBehind(query.since) === true) {
      // The end of the page is that of the stream, in which other rooms are as well.
      await tail.meet(query.since, await streams.position(room, settings))
    }
    return page
  }

  /** Announces a change to all nodes. A change that cannot be announced is found when each node next reads the room. */
  #announce (room: string, change: PresenceChange): void {
    if (this.#link.isUp) {
      this.#link.send(`${this.#options.prefix}.room.${tokenOf(room)}`, `p\n${JSON.stringify(change)}`)
    }
  }

  stats (): Record<string, number | boolean | string> {
    return {
      isUp: this.#link.isUp,
      jetstream: this.#kept !== undefined,
      ...this.#rooms.stats(),
      rememberedBytes: (this.claims?.bytes ?? 0) + this.#keys.bytes,
      forgotten: (this.claims?.forgotten ?? 0) + this.#keys.forgotten,
      received: this.#arrivals.count,
      undecodable: this.#unread.count
    }
  }

  #down (): void {
    this.#kept?.lives.lost()
    this.#kept?.latest.lost()
    this.#controls?.lost()
    this.#host?.state(false)
  }

  /** @param isOther whether the server is one that this node has not met, and may have older data */
  #up (isOther: boolean): void {
    const kept = this.#kept
    // A revocation may be among what was missed, so it is asked for before all else.
    void this.#controls?.catchUp()
    if (kept !== undefined) {
      for (const state of kept.states) state.forget(isOther)
      kept.lives.forget()
      kept.lives.up()
      kept.nodes.beat().catch(() => {})
      kept.presence.up().catch(() => {})
      kept.rereading.up()
    }
    this.#clocks?.tell('?')
    this.#rooms.checkAll()
    this.#host!.state(true)
    // Under another name, so that what only older data still shows of this node ends.
    if (isOther) kept?.nodes.holdAnew()
  }

  /** Runs every few seconds, because a subscription may lose messages although its link stands. */
  #look (): void {
    if (!this.#link.isUp) return
    this.#rooms.check()
    this.#clocks?.tell('')
    void this.#controls?.catchUp()
    this.#kept?.rereading.look()
  }

  /** Handles a sign that a stream is not as it is known here. */
  #doubt (stream: string): void { if (this.#host !== undefined) this.#doubts.note(stream) }

  /** Compares all rooms in a stream with it. */
  #compareStream (stream: string): void {
    const { lives, latest, streams, rereading } = this.#kept!
    lives.forget(stream)
    if (stream === latest.plan.name || stream === this.texts!.plan.name) rereading.all()
    else void this.#rooms.doubt(({ tail, settings }) => tail !== undefined && streams.plan(settings).name === stream)
  }

  /** Compares positions with the broker's, each stream on its own. */
  async #compare (due: readonly Room[], done: (followed: Room) => void): Promise<void> {
    const byDefinition = grouped(due, ({ settings }) => settings.definition)
    await Promise.allSettled([...byDefinition.values()].map((list) => this.#compareAll(list, done)))
  }

  async #compareAll (list: readonly Room[], done: (followed: Room) => void): Promise<void> {
    const { streams } = this.#kept!
    const { settings } = list[0]!
    const top = await streams.verify(settings)
    const moved = await gather(list, (followed) => {
      const { comparedAt, tail } = followed
      tail!.check({ epoch: top.epoch, offset: 0 })
      if (comparedAt !== top.offset || tail!.position?.epoch !== top.epoch) return true
      // Where nothing was added to the stream since then, no room of it has anything new.
      done(followed)
      return false
    })
    const failed = await settleInBatches(moved, BATCH, async (followed) => {
      followed.tail!.check(await streams.position(followed.room, followed.settings))
      done(followed)
    }, isAway)
    if (failed.size === moved.length) return
    // A server that leads no more may have told an older position.
    const isSure = (await streams.top(settings)).leader === top.leader
    for (const followed of moved) if (!failed.has(followed)) followed.comparedAt = isSure ? top.offset : -1
  }
}

function end ({ subscriptions }: Listening): void {
  for (const subscription of subscriptions) subscription.unsubscribe()
}

/**
 * An adapter that makes nodes with one NATS act as one. With JetStream (2.9 or newer; on by default) history, resume,
 * presence, limits and claims hold across nodes; without it only live events and control messages do. It needs
 * `@nats-io/transport-node`, and for JetStream `@nats-io/jetstream` and `@nats-io/kv`.
 *
 * @throws REALTIME_ERR_OPTIONS for a prefix that NATS would read otherwise; `start` throws REALTIME_ERR_ADAPTER when
 *   the server cannot be reached
 */
export function nats (options: NatsOptions = {}): Adapter {
  return new NatsAdapter(options)
}
