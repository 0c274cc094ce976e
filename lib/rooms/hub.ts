import type {
  Adapter, AdapterHost, HistoryPage, HistoryQuery, PresenceChange, PresenceEntry, PresenceSnapshot, Publication,
  Published
} from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import { isRoomName } from '../contract/names.js'
import { Refusal } from '../errors/refusal.js'
import {
  REALTIME_ERR_EVENT, REALTIME_ERR_PRESENCE_OFF, REALTIME_ERR_ROOM, REALTIME_ERR_ROOM_UNKNOWN
} from '../errors/misuse.js'
import { encodeEvent, type EventHead, type Except, type Packet } from '../protocol/packet.js'
import { keyOf } from '../protocol/key.js'
import { isOffset, type Position } from '../protocol/position.js'
import type { Violation } from '../protocol/validate.js'
import { Retention } from '../retention/retention.js'
import { ShardedMap } from '../structures/sharded-map.js'
import { Slices } from '../structures/slices.js'
import { every } from '../structures/timers.js'
import { Declarations, type Declaration, type ResolvedRoom } from './declaration.js'
import type { Member } from './member.js'
import { PresenceKeeper, type PresenceOptions } from './presence.js'
import { Room, type Audience, type JoinData, type JoinPlan, type Membership } from './room.js'
import { Walks } from './walks.js'
import { HISTORY_BYTES } from '../retention/bounds.js'

export interface HubOptions {
  readonly presence: PresenceOptions
  /** users in one presence list; above it only counts */
  readonly presenceList: number
  /** bytes of one event */
  readonly eventLimit: number
  /** bytes of the `latest` values of all rooms with members here, default 64 MiB */
  readonly latestBytes?: number
  /** events, replies and member data are checked against their schemas */
  readonly validateOutput: boolean
  readonly onError: (error: unknown, message: string) => void
  /** An event that asks for answers is about to be offered to members here. @returns who is told which */
  readonly onOffered?: (event: EventHead) => Audience | undefined
}

export interface JoinRequest {
  readonly since?: Position | undefined
  readonly last?: number | undefined
  /** id of the connection that the member was before a break */
  readonly former?: string | undefined
  /** version of the `latest` values that the member knows */
  readonly version?: number | undefined
  /** the newest presence that the member knows */
  readonly sequence?: number | undefined
}

export interface PublishOptions {
  readonly except?: Except | undefined
  /**
   * names what is to have effect once: a key of the application's, or the parts of one of ours, which no single text
   * can equal
   */
  readonly once?: string | readonly [string, string, string] | undefined
  readonly ack?: string | undefined
  /** user whose message makes it */
  readonly owner?: string | undefined
}

/** A join between its admission and its ack. Exactly one of `commit` and `cancel` is called. */
export interface PendingJoin {
  readonly room: Room
  readonly resumed: boolean | undefined
  /** Makes the member present; its snapshot goes into the ack. */
  announce (entry: PresenceEntry): Promise<void>
  commit (member: Member): { membership: Membership, data: JoinData, start: () => void }
  cancel (): void
}

/** What keeps the params of a name from being those of its definition; a room that is here has been looked at. */
function misfits ({ declaration, params }: ResolvedRoom): Violation[] | undefined {
  return declaration.params === undefined || declaration.params.check(params)
    ? undefined
    : declaration.params.violations(params)
}

export function describe (violations: readonly Violation[]): string {
  return violations.map(({ path, message }) => `${path === '' ? '/' : path}: ${message}`).join('; ')
}

/** Milliseconds between two looks for `latest` values that have run out. */
const SWEEP = 1_000
/** Values that one turn of the event loop lets go. */
const SLICE = 1_000

/**
 * All rooms of this node, and the way of every event: publish through the adapter, be told by it, deliver to the
 * members here.
 */
export class Hub {
  readonly declarations = new Declarations()
  readonly #adapter: Adapter
  readonly #options: HubOptions
  readonly #rooms = new ShardedMap<Room>()
  readonly #presence: PresenceKeeper | undefined
  readonly #latest: Retention
  readonly #sweep: Slices
  readonly #walks = new Walks()
  #sweeper: NodeJS.Timeout | undefined
  /** events that this node published */
  published = 0
  /** events lost before this node, as far as their number is known */
  gaps = 0

  constructor (adapter: Adapter, options: HubOptions) {
    this.#adapter = adapter
    this.#options = options
    this.#latest = new Retention(options.latestBytes ?? HISTORY_BYTES)
    this.#sweep = new Slices(() => this.#latest.sweep(performance.now(), SLICE))
    if (adapter.presence !== undefined) {
      this.#presence = new PresenceKeeper(adapter.presence, options.presence, () => this.#rooms.keys(), (error) => {
        options.onError(error, 'presence')
      })
    }
  }

  start (): void {
    this.#presence?.start()
    this.#sweeper = every(() => { this.#sweep.run() }, SWEEP).unref()
  }

  stop (): void {
    this.#presence?.stop()
    clearInterval(this.#sweeper)
    this.#sweep.stop()
    this.#walks.stop()
  }

  /** The adapter's server has lost its data: what this node holds there is held anew. */
  async restore (): Promise<void> { await this.#presence?.renew() }

  /** What the adapter calls; the rest of its host is the node's. */
  get host (): Pick<AdapterHost, 'event' | 'gap' | 'presence'> {
    return {
      event: (name, packet) => {
        const audience = packet.event?.ack === undefined ? undefined : this.#options.onOffered?.(packet.event)
        const room = this.#rooms.get(name)
        if (room !== undefined) return room.event(packet, audience)
        audience?.end()
        return 0
      },
      gap: (name, gap) => {
        this.gaps += gap.from === undefined ? 0 : gap.to - gap.from
        this.#rooms.get(name)?.gap(gap)
      },
      presence: (name, change) => { this.#rooms.get(name)?.presence(change) }
    }
  }

  get active (): Pick<ShardedMap<Room>, 'size' | 'values'> { return this.#rooms }

  /** Something is being offered to a room's members in parts. */
  get isWalking (): boolean { return !this.#walks.isEmpty }

  get (name: string): Room | undefined { return this.#rooms.get(name) }

  /** @throws Refusal `room_invalid` or `room_unknown` */
  resolve (name: string): ResolvedRoom {
    const active = this.#rooms.get(name)
    if (active !== undefined) return active
    if (!isRoomName(name)) throw new Refusal('room_invalid')
    const found = this.declarations.find(name)
    if (found === undefined) {
      throw new Refusal('room_unknown', { room: name, why: { declared: this.declarations.patterns.slice(0, 20) } })
    }
    const details = misfits(found)
    if (details !== undefined) {
      throw new Refusal('room_invalid', { message: `params do not fit: ${describe(details)}`, details })
    }
    return found
  }

  /** The same for the application: its error says what it could have meant. */
  locate (name: string): ResolvedRoom {
    const active = this.#rooms.get(name)
    if (active !== undefined) return active
    const found = isRoomName(name) ? this.declarations.find(name) : undefined
    if (found !== undefined) {
      const details = misfits(found)
      if (details !== undefined) {
        throw new REALTIME_ERR_ROOM(`"${name}": params do not fit their schema: ${describe(details)}`)
      }
      return found
    }
    const patterns = this.declarations.patterns
    const known = patterns.length === 0
      ? 'none yet: call app.room(definition) before the app is ready'
      : patterns.map((pattern) => `"${pattern}"`).join(', ')
    throw new REALTIME_ERR_ROOM_UNKNOWN(`no room "${name}" is declared (declared: ${known})`)
  }

  /**
   * Validates, serialises once, and publishes. Without the adapter's server: `unavailable`.
   *
   * @throws REALTIME_ERR_EVENT for an undeclared event, data that does not fit its schema, or data over the limit
   */
  publish (name: string, type: string, data: unknown, options: PublishOptions = {}): Awaitable<Published> {
    const { declaration } = this.locate(name)
    return this.send(name, declaration, this.prepare(declaration, type, data, options))
  }

  /** What `prepare` made, published. */
  send (name: string, { settings }: Declaration, publication: Publication): Awaitable<Published> {
    this.published++
    return this.#adapter.publish(name, publication, settings)
  }

  prepare (
    declaration: Declaration,
    type: string,
    data: unknown,
    { except, once, ack, owner }: PublishOptions = {}
  ): Publication {
    const { delivery, key, text } = this.#checked(declaration, type, data)
    const idempotencyKey = once === undefined ? undefined : typeof once === 'string' ? keyOf(once) : keyOf(...once)
    return {
      type,
      data: text,
      delivery: ack === undefined ? delivery : 'volatile',
      timestamp: Date.now(),
      key,
      except,
      idempotencyKey,
      ack,
      owner
    }
  }

  /** An event for one member alone: no offset, not kept. */
  direct (declaration: Declaration, room: string, type: string, data: unknown): Packet {
    const { delivery, key, text } = this.#checked(declaration, type, data)
    return encodeEvent({ type, room, delivery, key, timestamp: Date.now() }, text)
  }

  #checked (
    declaration: Declaration,
    type: string,
    data: unknown
  ): { text: string, delivery: Publication['delivery'], key: string | undefined } {
    const rule = declaration.events.get(type)
    const room = declaration.pattern.source
    if (rule === undefined) {
      const known = [...declaration.events.keys()].map((name) => `"${name}"`).join(', ')
      throw new REALTIME_ERR_EVENT(
        `"${room}" declares no event "${String(type)}" (declared: ${known === '' ? 'none' : known})`
      )
    }
    if (this.#options.validateOutput && !rule.data.check(data)) {
      throw new REALTIME_ERR_EVENT(
        `data of event "${type}" of "${room}" does not fit its schema: ${describe(rule.data.violations(data))}`
      )
    }
    const text = textOf(data, type, room)
    if (text === undefined) throw new REALTIME_ERR_EVENT(`data of event "${type}" of "${room}" is no JSON value`)
    const { eventLimit } = this.#options
    if (text.length > eventLimit || (text.length * 3 > eventLimit && Buffer.byteLength(text) > eventLimit)) {
      throw new REALTIME_ERR_EVENT(
        `event "${type}" of "${room}" is larger than limits.event (${eventLimit} bytes); send a reference to the data instead, or raise the limit`
      )
    }
    const key = rule.key === undefined ? undefined : String((data as Record<string, unknown>)[rule.key])
    return { text, delivery: rule.delivery, key }
  }

  /** Decides where a join begins, and holds the room open for it. */
  join (name: string, found: ResolvedRoom, request: JoinRequest): Awaitable<PendingJoin> {
    const room = this.#hold(name, found)
    if (room.isOpened && request.since === undefined && request.last === undefined) {
      return this.#joining(room, undefined, undefined, request)
    }
    return this.#joinLater(room, request)
  }

  async #joinLater (room: Room, request: JoinRequest): Promise<PendingJoin> {
    try {
      await room.ready
      const { since, resumed } = await this.#plan(room, request)
      return this.#joining(room, since, resumed, request)
    } catch (error) {
      this.#release(room)
      throw error
    }
  }

  async #plan (
    room: Room,
    { since, last }: JoinRequest
  ): Promise<{ since?: Position | undefined, resumed?: boolean | undefined }> {
    if (!room.hasHistory || this.#adapter.history === undefined) return since === undefined ? {} : { resumed: false }
    const { settings } = room.declaration
    if (since !== undefined) {
      const page = await this.#adapter.history(room.name, { since, limit: 1 }, settings)
      if (page.resumed) return { since, resumed: true }
    }
    const resumed = since === undefined ? undefined : false
    if (last === undefined || last === 0) return { resumed }
    const { size } = settings.history as { size: number }
    const { events, top } = await this.#adapter.history(
      room.name,
      { last: Math.min(last, size), limit: size, bytes: 1 },
      settings
    )
    const first = events[0]?.position
    return { since: first === undefined ? top : { epoch: top.epoch, offset: first.offset - 1 }, resumed }
  }

  #joining (room: Room, since: Position | undefined, resumed: boolean | undefined, request: JoinRequest): PendingJoin {
    let snapshot: PresenceSnapshot | undefined
    let entry: PresenceEntry | undefined
    let changes: PresenceChange[] = []
    let stop: (() => void) | undefined
    return {
      room,
      resumed,
      announce: async (present) => {
        if (this.#presence === undefined) return
        entry = present;
        ({ changes, stop } = room.listen())
        await this.#presence.join(room.name, present)
        const taken = this.#adapter.presence!.snapshot(room.name, this.#options.presenceList)
        snapshot = taken instanceof Promise ? await taken : taken
      },
      commit: (member) => {
        stop?.()
        const plan: JoinPlan = { since, resumed, former: request.former, version: request.version, snapshot }
        const { membership, data } = room.add(member, plan)
        membership.entry = entry
        const { members, ...rest } = data
        return {
          membership,
          data: members === undefined || members.sequence === request.sequence ? rest : data,
          start: () => { room.start(membership, changes) }
        }
      },
      cancel: () => {
        stop?.()
        if (entry !== undefined) this.#presence?.leave(room.name, entry, false)
        this.#release(room)
      }
    }
  }

  /**
   * Goes on with a parked member from where its next poll says it stands.
   *
   * @param isContinued it polls on: what it reads is delivered, not resumed after a break
   */
  async rejoin (
    membership: Membership,
    request: JoinRequest,
    isContinued = true
  ): Promise<{ data: JoinData, start: () => void }> {
    const { room } = membership
    const { since, resumed } = await this.#plan(room, request)
    const store = room.declaration.hasPresence ? this.#adapter.presence : undefined
    const snapshot = await store?.snapshot(room.name, this.#options.presenceList)
    const position = since ?? room.position
    membership.unpark(position, request.version, snapshot?.sequence, isContinued)
    return {
      data: {
        ...(room.hasHistory ? position : {}),
        ...(resumed === undefined ? {} : { resumed }),
        ...(snapshot === undefined || snapshot.sequence === request.sequence ? {} : { members: snapshot })
      },
      start: () => { room.start(membership, []) }
    }
  }

  /** @param isMeant the peer said that it leaves, so that its presence ends without grace */
  leave (membership: Membership, isMeant: boolean): boolean {
    const { room, entry } = membership
    if (!room.remove(membership)) return false
    if (entry !== undefined) this.#presence?.leave(room.name, entry, isMeant)
    this.#release(room)
    return true
  }

  /**
   * The same connection is in the room on another node by now: its presence goes on there, whatever becomes of it here.
   */
  handOver (membership: Membership): void {
    const { room, entry } = membership
    if (entry === undefined) return
    this.#presence?.handOver(room.name, entry)
    membership.entry = undefined
  }

  #hold (name: string, found: ResolvedRoom): Room {
    const room = this.#rooms.get(name) ?? this.#make(name, found)
    room.holds++
    return room
  }

  #make (name: string, { declaration, params }: ResolvedRoom): Room {
    const { settings } = declaration
    const isKept = settings.history !== false && this.#adapter.history !== undefined
    const source = isKept ? { history: (query: HistoryQuery) => this.#adapter.history!(name, query, settings) } : {}
    const room = new Room(name, declaration, params, { retention: this.#latest, walks: this.#walks, source })
    this.#rooms.set(name, room)
    declaration.active.rooms++
    room.ready = this.#open(room)
    room.ready.catch(() => {
      if (this.#rooms.get(name) === room) this.#forget(room)
      room.close()
    })
    return room
  }

  async #open (room: Room): Promise<void> {
    const { settings } = room.declaration
    const subscribed = this.#adapter.subscribe(room.name, settings)
    const position = subscribed instanceof Promise ? await subscribed : subscribed
    const latest = settings.latest ? this.#adapter.latest?.(room.name, settings) ?? [] : []
    room.opened(position, latest instanceof Promise ? await latest : latest)
  }

  #forget (room: Room): void {
    this.#rooms.delete(room.name)
    room.declaration.active.rooms--
  }

  #release (room: Room): void {
    if (--room.holds > 0 || this.#rooms.get(room.name) !== room) return
    this.#forget(room)
    room.close()
    const left = this.#adapter.unsubscribe(room.name)
    if (left instanceof Promise) left.catch((error: unknown) => { this.#options.onError(error, 'unsubscribe') })
  }

  /**
   * Retained events for the application or a member that asks.
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
    return await this.#adapter.history(
      name,
      since === undefined ? { last: most, limit: most, bytes } : { since, limit: most, bytes },
      settings
    )
  }

  /** @throws REALTIME_ERR_PRESENCE_OFF for a room without presence */
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

/** @throws REALTIME_ERR_EVENT for what JSON cannot say: a `bigint`, a circle, a `toJSON` that throws */
function textOf (data: unknown, type: string, room: string): string | undefined {
  try {
    return JSON.stringify(data)
  } catch (error) {
    throw new REALTIME_ERR_EVENT(
      `data of event "${type}" of "${room}" is no JSON value: ${error instanceof Error ? error.message : String(error)}`
    )
  }
}
