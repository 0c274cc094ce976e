import type {
  Adapter, AdapterHost, HistoryPage, HistoryQuery, PresenceSnapshot, Publication, Published
} from '../adapters/adapter.js'
import { BROADCAST, DELIVER } from '../diagnostics/channels.js'
import { TRACING } from '../diagnostics/tracer.js'
import type { LimitWarnings } from '../errors/limit-warnings.js'
import { REALTIME_ERR_ADAPTER, REALTIME_ERR_PRESENCE_OFF } from '../errors/misuse.js'
import { Refusal } from '../errors/refusal.js'
import { withTraceparent, type EventHead, type Packet } from '../protocol/packet.js'
import { isOffset, type Position } from '../protocol/position.js'
import { Retention } from '../retention/retention.js'
import type { Awaitable } from '../structures/awaitable.js'
import { ShardedMap } from '../structures/sharded-map.js'
import { CALLS, Histogram } from '../structures/histogram.js'
import { Sweeper } from '../structures/sweeper.js'
import { Told } from '../structures/told.js'
import { Turns } from '../structures/turns.js'
import { clearRoom } from './clearing.js'
import type { Declaration } from './declaration.js'
import { Declarations, type ResolvedRoom } from './declarations.js'
import { Joining, type JoinRequest, type PendingJoin, type Rejoined } from './joining.js'
import type { Membership, RoomOfMember } from './membership.js'
import { OwnedValues } from './owned-values.js'
import { PresenceKeeper, type PresenceOptions } from './presence.js'
import { PassedOver } from './passed-over.js'
import { Publications, type PublishOptions } from './publications.js'
import { Room, type Audience } from './room.js'
import { TextStreams } from './text-streams.js'
import { tracedBroadcast, tracedDelivery } from './traced-events.js'
import { UnknownOutcomes } from './unknown-outcomes.js'
import { Walks } from './walks.js'
import { HISTORY_BYTES } from '../retention/bounds.js'

export interface HubOptions {
  readonly presence: PresenceOptions
  /** Users that one presence list holds; above that number it only has counts. */
  readonly presenceList: number
  /** Bytes of one event. */
  readonly eventLimit: number
  /** Bytes of the `latest` values of all rooms with members on this node, and of their texts, default 64 MiB each. */
  readonly latestBytes?: number
  /** Whether events, replies and member data are checked against their schemas. */
  readonly validateOutput: boolean
  /** Whether clients are sent the trace context of what published an event. */
  readonly isTraceShown?: boolean
  readonly limitWarnings?: LimitWarnings | undefined
  readonly onError: (error: unknown, message: string) => void
  /** Logs the failure of a call that its caller does not await. */
  readonly onUnhandled: (error: unknown, what: string, detail: object) => void
  /**
   * Called before an event that asks for acknowledgements is offered to members of this node.
   *
   * @returns the audience that is told which members are offered it
   */
  readonly onOffered?: (event: EventHead) => Audience | undefined
}

/** Counts members by room. */
export interface Occupancy {
  enter (room: string): void
  leave (room: string, isMeant: boolean): void
}

/** Expired `latest` values that one turn of the event loop drops. */
const SLICE = 1_000

/**
 * All rooms of this node, and the path of every event: it is published through the adapter, comes back from it, and is
 * delivered to the members here.
 */
export class Hub {
  readonly declarations = new Declarations()
  /** Makes events from what the application publishes. */
  readonly publications: Publications
  readonly #adapter: Adapter
  readonly #options: HubOptions
  readonly #rooms = new ShardedMap<Room>()
  readonly #presence: PresenceKeeper | undefined
  readonly #joining: Joining
  readonly #latest: Retention
  readonly #texts: Retention
  readonly #sweeper: Sweeper
  readonly #walks = new Walks()
  readonly #passedOver = new PassedOver()
  /** Texts of `append` events. */
  readonly texts: TextStreams
  readonly #owned: OwnedValues
  /** Rooms of the node itself, in which its presence is kept as well. */
  readonly #hidden = new Set<string>()
  /** Is told of the members of rooms whose definition has a hook for the first and the last. */
  occupancy: Occupancy | undefined
  /** Number of events that this node has published. */
  published = 0
  /** Seconds of the adapter's calls that were answered later. */
  readonly calls = {
    publish: new Histogram(CALLS),
    subscribe: new Histogram(CALLS),
    history: new Histogram(CALLS)
  } as const

  readonly #unknown = new UnknownOutcomes()
  /** Number of gaps that rooms here were told of, whatever is known of their length. */
  gapsTold = 0
  /** Number of events lost before they reached this node, as far as it is known. */
  gaps = 0

  constructor (adapter: Adapter, options: HubOptions) {
    this.#adapter = adapter
    this.#options = options
    this.#latest = new Retention(options.latestBytes ?? HISTORY_BYTES)
    this.#texts = new Retention(options.latestBytes ?? HISTORY_BYTES)
    this.#sweeper = new Sweeper(() => {
      const isMore = this.#latest.sweep(performance.now(), SLICE)
      return this.#texts.sweep(performance.now(), SLICE) || isMore
    })
    if (adapter.presence !== undefined) {
      const rooms = (): Iterable<string> => this.#hidden.size === 0 ? this.#rooms.keys() : this.#present()
      this.#presence = new PresenceKeeper(adapter.presence, options.presence, rooms, (error) => {
        options.onError(error, 'presence')
      }, (room, user, former) => {
        adapter.control?.send({ type: 'resumed', user, room, former }).catch((error: unknown) => {
          options.onError(error, 'control')
        })
      })
    }
    this.#owned = new OwnedValues({
      adapter,
      isHeld: (room, userId, connection) => this.#presence?.isHeld(room, userId, connection) === true,
      send: (room, declaration, publication) => this.send(room, declaration, publication),
      find: (room) => this.#rooms.get(room),
      onError: (error) => { options.onError(error, 'values of users who have left') }
    })
    this.publications = new Publications(options)
    this.texts = new TextStreams({
      ...options,
      adapter,
      locate: (name) => this.locate(name),
      room: (name) => this.#rooms.get(name)
    })
    this.#joining = new Joining({
      adapter,
      presence: this.#presence,
      presenceList: options.presenceList,
      passedOver: this.#passedOver,
      onEntered: ({ declaration, name }) => { if (declaration.isWatched) this.occupancy?.enter(name) }
    })
  }

  * #present (): Generator<string> {
    yield * this.#rooms.keys()
    yield * this.#hidden
  }

  /**
   * Number of `latest` values and texts that rooms here have lost before their time, for want of bytes; who joins lacks
   * these values, also where the adapter has them, and is brought the texts from there.
   */
  get evicted (): number { return this.#latest.evicted + this.#texts.evicted }

  /** Keeps the entries of this node alive; absent where the adapter keeps no presence. */
  get presence (): PresenceKeeper | undefined { return this.#presence }

  /** Logs a failure of the application's call where nobody awaits it. */
  told<T> (work: Promise<T>, what: string, detail: object): Promise<T> {
    return Told.of(work, (error) => { this.#options.onUnhandled(error, what, detail) })
  }

  /** Adds rooms of the node itself. */
  hide (rooms: readonly string[]): void { for (const room of rooms) this.#hidden.add(room) }

  start (): void {
    this.#presence?.start()
    this.texts.start()
    this.#owned.start()
    this.#sweeper.start()
  }

  stop (): void {
    this.#presence?.stop()
    this.texts.stop()
    this.#owned.stop()
    this.#sweeper.stop()
    this.#walks.stop()
  }

  /** Restores what this node holds at the adapter's server, after that has lost its data. */
  async restore (): Promise<void> { await this.#presence?.restore() }

  /** The part of the adapter's host that concerns rooms; the node adds the rest. */
  get host (): Pick<AdapterHost, 'event' | 'gap' | 'presence' | 'values'> {
    return {
      event: (name, packet) => {
        const audience = packet.event?.ack === undefined ? undefined : this.#options.onOffered?.(packet.event)
        const room = this.#rooms.get(name)
        if (room !== undefined) return this.#offer(room, packet, audience)
        audience?.end()
        return 0
      },
      gap: (name, gap, shared) => {
        this.gapsTold++
        this.gaps += gap.from === undefined ? 0 : gap.to - gap.from
        this.#rooms.get(name)?.gap(gap, shared)
      },
      presence: (name, change) => {
        const room = this.#rooms.get(name)
        if (room === undefined) return
        this.#presence?.changed(room.members, change)
        room.presence(change)
        if (room.declaration.settings.owned !== true || change.left.length === 0) return
        const left = (): void => { this.#owned.left(room, change.left.map(({ userId }) => userId)) }
        // What a room shows that is being opened may have been chosen before they left.
        if (room.isOpened) left()
        else room.ready?.then(left, () => {})
      },
      values: (name) => this.#rooms.get(name)?.values.aged ?? []
    }
  }

  #offer (room: Room, packet: Packet, audience: Audience | undefined): Awaitable<number> {
    const shown = this.#options.isTraceShown === true && packet.event?.traceparent !== undefined
      ? withTraceparent(packet)
      : packet
    return (TRACING.tracer === undefined || shown.event?.traceparent === undefined) && !DELIVER.hasSubscribers
      ? room.event(shown, audience)
      : tracedDelivery(room, shown, () => room.event(shown, audience))
  }

  get active (): Pick<ShardedMap<Room>, 'size' | 'values'> { return this.#rooms }

  /** Whether an event is being offered to a room's members in parts. */
  get isWalking (): boolean { return !this.#walks.isEmpty }

  get (name: string): Room | undefined { return this.#rooms.get(name) }

  /** @throws Refusal `room_invalid` or `room_unknown` */
  resolve (name: string): ResolvedRoom { return this.#rooms.get(name) ?? this.declarations.resolve(name) }

  /** Does the same as `resolve` for the application, whose error lists the rooms that it could have meant. */
  locate (name: string): ResolvedRoom { return this.#rooms.get(name) ?? this.declarations.locate(name) }

  /**
   * Validates, serialises once and publishes. It rejects with `unavailable` when the adapter's server is away.
   *
   * @throws REALTIME_ERR_EVENT for an undeclared event, data that does not fit its schema, or data above the limit
   */
  publish (name: string, type: string, data: unknown, options: PublishOptions = {}): Awaitable<Published> {
    const { declaration } = this.locate(name)
    const publication = this.publications.prepare(declaration, type, data, options)
    return publication.user === undefined
      ? this.send(name, declaration, publication)
      : this.#owned.publish(name, declaration, publication, options.sender!)
  }

  /**
   * Removes the value of a key.
   *
   * @throws REALTIME_ERR_EVENT for what is no `latest` event or no key; REALTIME_ERR_ADAPTER where the adapter cannot
   */
  remove (name: string, type: string, key: unknown, options: PublishOptions = {}): Awaitable<Published> {
    const { declaration } = this.locate(name)
    return this.send(name, declaration, this.removal(declaration, type, key, options))
  }

  /**
   * Makes what removes the value of a key.
   *
   * @throws as `remove`
   */
  removal (declaration: Declaration, type: string, key: unknown, options: PublishOptions = {}): Publication {
    const removal = this.publications.removal(declaration, type, key, options)
    if (this.#adapter.removal === true) return removal
    throw new REALTIME_ERR_ADAPTER(`the ${this.#adapter.name} adapter cannot remove values`)
  }

  /**
   * Takes away what is kept of a room.
   *
   * @throws REALTIME_ERR_ADAPTER where the adapter cannot
   */
  async clear (name: string): Promise<void> {
    const { declaration } = this.locate(name)
    await clearRoom(this.#adapter, name, declaration, (removal) => this.send(name, declaration, removal))
  }

  /**
   * Reads the current values by event and key, in turns, because a room may keep a thousand of them, each as large as
   * an event may be.
   *
   * @param most bytes of all values
   * @throws REALTIME_ERR_ADAPTER where the adapter keeps none; Refusal `message_too_large` beyond `most`
   */
  async state (
    name: string,
    turns = new Turns(),
    most = Number.POSITIVE_INFINITY
  ): Promise<Map<string, Map<string, unknown>>> {
    const { terms: { latest } } = this.locate(name).declaration
    const state = new Map(Object.keys(latest?.keys ?? {}).map((type) => [type, new Map<string, unknown>()]))
    let bytes = 0
    for (const { event, payload } of await this.values(name)) {
      const rest = turns.step()
      if (rest instanceof Promise) await rest
      bytes += payload.length
      if (bytes > most) {
        throw new Refusal('message_too_large', {
          message: `the values of the room have more than ${most} bytes; join it to get them one by one`
        })
      }
      const { type, key = '' } = event!
      state.get(type)?.set(key, (JSON.parse(String(payload)) as { data: unknown }).data)
    }
    return state
  }

  /**
   * Reads the current values as events.
   *
   * @throws REALTIME_ERR_ADAPTER where the adapter keeps none
   */
  async values (name: string): Promise<Packet[]> {
    const { declaration } = this.locate(name)
    const { settings, terms: { latest } } = declaration
    if (latest === undefined) return []
    if (this.#adapter.latest === undefined) {
      throw new REALTIME_ERR_ADAPTER(
        `the ${this.#adapter.name} adapter keeps no values that could be read; use redis(), or nats() with JetStream`
      )
    }
    const kept = await this.#adapter.latest(name, settings)
    const shown = settings.owned === true ? await this.#owned.present(name, declaration, kept) : kept
    return shown.filter(({ event }) => event!.isRemoval !== true)
  }

  /** Publishes what `prepare` has made. */
  send (name: string, declaration: Declaration, publication: Publication): Awaitable<Published> {
    this.published++
    const rule = declaration.events.get(publication.type)
    if (rule !== undefined) rule.counted.published++
    return TRACING.tracer === undefined && !BROADCAST.hasSubscribers
      ? this.#publish(name, declaration, publication)
      : tracedBroadcast({ name, declaration }, publication, (traced) => this.#publish(name, declaration, traced))
  }

  #publish (name: string, { settings }: Declaration, publication: Publication): Awaitable<Published> {
    const { publish } = this.calls
    const answer = this.#adapter.publish(name, publication, settings)
    if (!(answer instanceof Promise)) return answer
    const told = this.#unknown.watch(name, publication, answer)
    return publish.isNext() ? timed(publish, told, publication.traceparent) : told
  }

  /** Decides where a join begins, and holds the room open for it. */
  join (name: string, found: ResolvedRoom, request: JoinRequest, userId: string): Awaitable<PendingJoin> {
    const room = this.#hold(name, found)
    if (room.isOpened && request.since === undefined && request.last === undefined) {
      return this.#joining.pending(room, {}, request, this.#release)
    }
    return this.#joinLater(room, request, userId)
  }

  async #joinLater (room: Room, request: JoinRequest, userId: string): Promise<PendingJoin> {
    try {
      await room.ready
      return this.#joining.pending(room, await this.#joining.plan(room, request, userId), request, this.#release)
    } catch (error) {
      this.#release(room)
      throw error
    }
  }

  /**
   * Continues with a parked member at the position that its next poll names.
   *
   * @param isContinued whether it polls without a break: what it reads then counts as delivered and not as resumed
   */
  rejoin (membership: Membership, request: JoinRequest, isContinued = true): Awaitable<Rejoined> {
    return this.#joining.rejoin(membership, request, isContinued)
  }

  /** @param isMeant whether the peer said that it leaves: its presence then ends without grace */
  leave (membership: Membership, isMeant: boolean): boolean {
    const { room, entry } = membership
    if (!room.remove(membership)) return false
    if (entry !== undefined) this.#presence?.leave(room.name, entry, isMeant)
    if (room.declaration.isWatched) this.occupancy?.leave(room.name, isMeant)
    this.#release(room)
    return true
  }

  /**
   * The client of a member has named the connections that it had before, which are no longer shown.
   *
   * @param former ids, joined by commas
   */
  succeed ({ room, entry }: Membership, former: string | undefined): void {
    if (entry !== undefined && former !== undefined) this.#presence?.succeed(room.name, entry, former)
  }

  /** A client has come back to another node, where that has ended the entries of its former connections. */
  resumed (room: string, userId: string, former: readonly string[]): void {
    this.#presence?.release(room, userId, former)
  }

  /**
   * Gives the member's presence to another node, on which the same connection is in the room by now, so that what
   * happens here no longer ends it.
   */
  handOver (membership: Membership): void {
    const { room, entry } = membership
    if (entry === undefined) return
    this.#presence?.handOver(room.name, entry)
    membership.entry = undefined
  }

  /**
   * Shows a user in a room with other data from now on.
   *
   * @param data that fits the contract, of a room that allows the change
   * @returns whether the user is in the room, by any node
   */
  update (name: string, userId: string, data: unknown): Awaitable<boolean> {
    return this.#adapter.presence?.update?.(name, { userId, data }) ?? false
  }

  #hold (name: string, found: ResolvedRoom): Room {
    const room = this.#rooms.get(name) ?? this.#make(name, found)
    room.holds++
    return room
  }

  #make (name: string, { declaration, params }: ResolvedRoom): Room {
    const { settings } = declaration
    const isKept = settings.history !== false && this.#adapter.history !== undefined
    const source = {
      ...(isKept
        ? { history: (query: HistoryQuery) => timed(this.calls.history, this.#adapter.history!(name, query, settings)) }
        : {}),
      ...(settings.append === undefined ? {} : { texts: this.#adapter.texts! })
    }
    const room = new Room(name, declaration, params, {
      retention: this.#latest,
      textRetention: this.#texts,
      walks: this.#walks,
      source,
      passedOver: this.#passedOver,
      onGrowing: this.texts.grows
    })
    this.#rooms.set(name, room)
    declaration.active.rooms++
    let isSubscribed = false
    room.ready = this.#open(room, () => { isSubscribed = true })
    room.ready.catch(() => {
      if (this.#rooms.get(name) === room) {
        this.#forget(room)
        if (isSubscribed) this.#unsubscribe(name)
      }
      room.close()
    })
    return room
  }

  async #open (room: Room, onSubscribed: () => void): Promise<void> {
    const { settings } = room.declaration
    const subscribed = timed(this.calls.subscribe, this.#adapter.subscribe(room.name, settings))
    const position = subscribed instanceof Promise ? await subscribed : subscribed
    onSubscribed()
    if (position !== undefined) room.stands(position)
    const latest = settings.latest ? this.#adapter.latest?.(room.name, settings) ?? [] : []
    const read = settings.append === undefined ? [] : this.#adapter.texts!.read(room.name, settings)
    // Both are awaited at once: where the broker goes away, each of them fails.
    const [kept, texts] = latest instanceof Promise || read instanceof Promise
      ? await Promise.all([latest, read])
      : [latest, read]
    if (settings.owned === true) this.#owned.watch(room.name)
    const shown = settings.owned === true ? await this.#owned.present(room.name, room.declaration, kept) : kept
    room.opened(shown, texts)
  }

  #forget (room: Room): void {
    this.#rooms.delete(room.name)
    if (room.declaration.settings.owned === true) this.#owned.unwatch(room.name)
    room.declaration.active.rooms--
  }

  readonly #release = (held: RoomOfMember): void => {
    const room = this.#rooms.get(held.name)
    // A room that could not be opened has been forgotten already, with everything that held it.
    if (room === undefined || room !== held || --room.holds > 0) return
    this.#forget(room)
    room.close()
    this.#unsubscribe(room.name)
  }

  #unsubscribe (room: string): void {
    const left = this.#adapter.unsubscribe(room)
    if (left instanceof Promise) left.catch((error: unknown) => { this.#options.onError(error, 'unsubscribe') })
  }

  /**
   * Reads retained events for the application or for a member that asks.
   *
   * @param bytes after which the page ends, for a member
   */
  async history (
    name: string,
    since: Position | undefined,
    limit: number | undefined,
    bytes?: number
  ): Promise<HistoryPage> {
    const { declaration: { settings } } = this.locate(name)
    if (settings.history === false || this.#adapter.history === undefined) {
      return { resumed: false, events: [], top: { epoch: '', offset: 0 }, floor: { epoch: '', offset: 0 } }
    }
    const most = Math.min(isOffset(limit) ? limit : settings.history.size, settings.history.size)
    if (since === undefined) return await this.#adapter.history(name, { last: most, limit: most, bytes }, settings)
    return endsWithLast(await this.#adapter.history(name, { since, limit: most, bytes }, settings), since, most)
  }

  /** Whether `members` can tell who is in rooms of this definition: they have presence, and the adapter keeps it. */
  listsMembers ({ hasPresence }: Declaration): boolean { return hasPresence && this.#adapter.presence !== undefined }

  /** @throws REALTIME_ERR_PRESENCE_OFF where `listsMembers` is false */
  async members (name: string, limit: number): Promise<PresenceSnapshot> {
    const { declaration } = this.locate(name)
    const store = this.#adapter.presence
    if (!declaration.hasPresence) {
      throw new REALTIME_ERR_PRESENCE_OFF(
        `"${declaration.pattern.source}" has no presence; declare the room with presence: true, or presence: ({ user }) => data`
      )
    }
    if (store === undefined) throw new REALTIME_ERR_PRESENCE_OFF(`the ${this.#adapter.name} adapter keeps no presence`)
    return await store.snapshot(name, limit)
  }
}

/** A page that has as many events as were asked for ends with the last of them: the next page begins there. */
function endsWithLast (page: HistoryPage, since: Position, most: number): HistoryPage {
  if (!page.resumed || page.events.length < most) return page
  const last = page.events.at(-1)
  if (last === undefined) return { ...page, top: since }
  return last.position!.offset < page.top.offset ? { ...page, isPart: true } : page
}

/** Measures a call that is answered later; its promise is returned as it is. */
function timed<T> (histogram: Histogram, answer: Awaitable<T>, traceparent?: string): Awaitable<T> {
  if (answer instanceof Promise) {
    const from = performance.now()
    const over = (): void => { histogram.observe((performance.now() - from) / 1_000, traceparent) }
    answer.then(over, over)
  }
  return answer
}
