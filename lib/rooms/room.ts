import type { HistoryPage, HistoryQuery, Later, PresenceChange, PresenceEntry, PresenceSnapshot } from '../adapters/adapter.js'
import { encodeFrame, type EventHead, type Packet } from '../protocol/codec.js'
import type { Position } from '../protocol/position.js'
import { Latest, latestTtl } from '../retention/latest.js'
import type { Retention } from '../retention/retention.js'
import type { Declaration } from './declaration.js'
import type { Member } from './member.js'
import { follow, PAGE, type Follower, type Gap } from './resume.js'

/** The data of a join's ack. */
export interface JoinData {
  readonly epoch?: string
  readonly offset?: number
  readonly resumed?: boolean
  readonly members?: PresenceSnapshot
}

export interface JoinPlan {
  /** read on from here; absent: live from the top */
  readonly since: Position | undefined
  /** answer to a `since` that was asked; absent when none was */
  readonly resumed: boolean | undefined
  readonly snapshot: PresenceSnapshot | undefined
  /** the connection that the member was before a break: what left it out then leaves it out now */
  readonly former: string | undefined
  /** `latest` values up to this version are known to the member */
  readonly version: number | undefined
}

/** One member's place in one room. */
export class Membership implements Follower {
  // What each event needs comes first, to be in one line of the processor's cache: there are as many as members in all rooms.
  readonly member: Member
  /** events up to here have been offered */
  floor = 0
  /** `parked`: the member polls, and is between two polls */
  state: 'joining' | 'following' | 'live' | 'parked' | 'left' = 'joining'
  readonly name: string
  readonly room: Room
  former: string | undefined
  position: Position
  turn = 0
  sequence: number
  index = -1
  /** its entry in the room's presence */
  entry: PresenceEntry | undefined
  /** joined by the server: not checked by `authorize` again */
  isByServer = false
  /** what the application sent to the joining member: goes out behind the replay */
  held: Packet[] | undefined
  #known: number | undefined
  /** it polls on: what it reads is delivered, not resumed after a break */
  #isContinued = false
  /** the room's own rate bucket, where it declares one; kept by the dispatcher */
  bucket: unknown

  constructor (room: Room, member: Member, position: Position, { snapshot, former, version }: JoinPlan) {
    this.name = room.name
    this.room = room
    this.member = member
    this.position = position
    this.sequence = snapshot?.sequence ?? 0
    this.former = former
    this.#known = version
  }

  get isReady (): boolean { return this.state === 'live' && this.member.isReady === true }
  get isGone (): boolean { return this.state === 'left' || this.state === 'parked' || !this.member.isOpen }

  isExcepted ({ except }: EventHead): boolean {
    if (except === undefined) return false
    if (except.connection !== this.member.id && except.connection !== this.former) return false
    return except.user === undefined || except.user === this.member.userId
  }

  /** Between two polls: events are not offered, the next poll reads them from where its cursor says. */
  park (): void { if (this.state !== 'left') this.state = 'parked' }

  /** The next poll. */
  unpark (position: Position, version: number | undefined, sequence: number | undefined, isContinued: boolean): void {
    // The server may have taken it out while the poll was being answered for.
    if (this.state === 'left') return
    this.position = position
    this.turn++
    this.floor = 0
    this.#known = version
    this.sequence = sequence ?? this.sequence
    this.state = 'joining'
    this.#isContinued = isContinued
  }

  replay (packet: Packet): boolean {
    return this.isExcepted(packet.event!) || this.member.send(this.#isContinued ? packet : packet.replay)
  }

  drained (callback: () => void): void { this.member.drained(callback) }

  gap (gap: Gap): void {
    this.member.send(encodeFrame({ type: 'gap', room: this.name, data: gap }, { epoch: gap.epoch, offset: gap.to }))
  }

  live (): void {
    this.state = 'live'
    this.floor = this.position.offset
    for (const packet of this.room.latest) {
      const { version } = packet.event!
      if ((this.#known === undefined || version === undefined || version > this.#known) && !this.isExcepted(packet.event!)) this.member.send(packet)
    }
    const { held } = this
    this.held = undefined
    if (held !== undefined) for (const packet of held) this.member.send(packet)
  }
}

/** How a room reads what its adapter keeps. */
export interface RoomSource {
  /** absent: nothing is kept, by the declaration or for want of an adapter that does */
  history? (query: HistoryQuery): Later<HistoryPage>
}

/** One room on this node: its members here, where its stream stands, and the current `latest` values. */
export class Room {
  readonly name: string
  readonly declaration: Declaration
  readonly params: Readonly<Record<string, string>>
  readonly #source: RoomSource
  #members: Membership[] = []
  /** loops over the members under way: a send may cut a member, which then leaves in the middle of the loop */
  #walks = 0
  /** by `performance.now()` */
  #walkedAt = Number.NEGATIVE_INFINITY
  /** of the members looked at last, those that could be sent to at once: of a look without a result the compiler would leave little */
  reachable = 0
  readonly #joining = new Set<PresenceChange[]>()
  readonly #retention: Retention
  /** there since the first `latest` value */
  #latest: Latest | undefined
  #epoch = ''
  #top = 0
  /** members, joins under way and readers that keep the subscription */
  holds = 0
  ready: Promise<void> | undefined
  /** the subscription stands */
  isOpened = false
  #isClosed = false

  constructor (name: string, declaration: Declaration, params: Readonly<Record<string, string>>, retention: Retention, source: RoomSource) {
    this.name = name
    this.declaration = declaration
    this.params = params
    this.#retention = retention
    this.#source = source
  }

  get size (): number { return this.#members.length }
  get members (): readonly Membership[] { return this.#members }
  get hasHistory (): boolean { return this.#source.history !== undefined }
  get position (): Position { return { epoch: this.#epoch, offset: this.#top } }
  get top (): number { return this.#top }
  get latest (): Iterable<Packet> { return this.#latest?.packets(Date.now()) ?? [] }
  get version (): number | undefined { return this.#latest?.version }

  /** The subscription stands: `position` is the newest, every event after it will be told. */
  opened (position: Position | undefined, latest: readonly Packet[]): void {
    if (position !== undefined && position.offset >= this.#top) {
      this.#epoch = position.epoch
      this.#top = position.offset
    }
    for (const packet of latest) this.#keep(packet)
    this.isOpened = true
  }

  read (since: Position): Later<HistoryPage> {
    return this.#source.history!({ since, limit: PAGE })
  }

  /** Makes `member` one of the room's; `start` must follow in the same turn, after the ack. */
  add (member: Member, plan: JoinPlan): { membership: Membership, data: JoinData } {
    const position = plan.since ?? this.position
    const membership = new Membership(this, member, position, plan)
    membership.index = this.#writable().push(membership) - 1
    this.declaration.active.members++
    return {
      membership,
      data: {
        ...(this.hasHistory ? position : {}),
        ...(plan.resumed === undefined ? {} : { resumed: plan.resumed }),
        ...(plan.snapshot === undefined ? {} : { members: plan.snapshot })
      }
    }
  }

  start (membership: Membership, changes: readonly PresenceChange[]): void {
    if (membership.state === 'left') return
    for (const change of changes) this.#tell(membership, change, encodePresence(this.name, change))
    const { epoch, offset } = membership.position
    // Of another epoch: begun while this node learned of a new one, or before it has. Reading tells which.
    if (!this.hasHistory || (epoch === this.#epoch && offset >= this.#top)) membership.live()
    else {
      membership.state = 'following'
      follow(membership, this)
    }
  }

  remove (membership: Membership): boolean {
    if (membership.state === 'left') return false
    membership.state = 'left'
    this.declaration.active.members--
    const members = this.#writable()
    const last = members.pop()!
    if (last !== membership) {
      members[membership.index] = last
      last.index = membership.index
    }
    return true
  }

  /** The list to change: a copy while somebody walks over it, so that nobody is passed over or met twice. */
  #writable (): Membership[] {
    if (this.#walks > 0) this.#members = this.#members.slice()
    return this.#members
  }

  /**
   * One event, in offset order. Members that follow the stream read it there instead.
   * @returns members here that are offered it
   */
  event (packet: Packet): number {
    const { position } = packet
    const event = packet.event!
    if (position !== undefined) {
      this.#epoch = position.epoch
      this.#top = position.offset
    } else if (event.delivery === 'latest' && !this.#keep(packet)) return 0
    const offset = position?.offset ?? Number.POSITIVE_INFINITY
    const { flush } = this.declaration
    let recipients = 0
    this.#walks++
    const members = this.#members
    const now = performance.now()
    // What was walked a moment ago, in a burst, is still in the cache.
    const isCold = now - this.#walkedAt > WARM
    this.#walkedAt = now
    for (let i = 0; i < members.length; i++) {
      if (isCold && i % AHEAD === 0) this.reachable = lookAhead(members, i)
      const membership = members[i]!
      if (offset <= membership.floor) continue
      if (event.except !== undefined && membership.isExcepted(event)) continue
      if (membership.state === 'live') {
        if (position !== undefined) membership.floor = offset
        membership.member.send(packet, flush)
        recipients++
      } else if (position !== undefined && membership.state === 'following') recipients++
    }
    this.#walks--
    return recipients
  }

  /** @returns false when a newer value of the key is known */
  #keep (packet: Packet): boolean {
    this.#latest ??= new Latest(latestTtl(this.declaration.settings.history))
    const isNew = this.#latest.set(packet)
    if (isNew && !this.#isClosed) this.#retention.changed(this.#latest, Date.now())
    return isNew
  }

  /** Nobody is here any more: its values are read anew for the next. */
  close (): void {
    this.#isClosed = true
    if (this.#latest !== undefined) this.#retention.remove(this.#latest)
  }

  gap (gap: Gap): void {
    this.#epoch = gap.epoch
    this.#top = gap.to
    const position = { epoch: gap.epoch, offset: gap.to }
    const packet = encodeFrame({ type: 'gap', room: this.name, data: gap }, position)
    this.#walks++
    for (const membership of this.#members) {
      // Who still follows finds it out by reading.
      if (membership.state !== 'live') continue
      // Who joined from what the broker held, before this node knew of the gap, is past it.
      if (membership.position.epoch === gap.epoch && membership.floor >= gap.to) continue
      membership.floor = gap.to
      membership.position = position
      membership.member.send(packet)
    }
    this.#walks--
  }

  presence (change: PresenceChange): void {
    const packet = encodePresence(this.name, change)
    this.#walks++
    for (const membership of this.#members) this.#tell(membership, change, packet)
    this.#walks--
    for (const changes of this.#joining) changes.push(change)
  }

  #tell (membership: Membership, { sequence }: PresenceChange, packet: Packet): void {
    if (sequence <= membership.sequence || membership.state === 'left' || membership.state === 'parked') return
    membership.sequence = sequence
    membership.member.send(packet)
  }

  /** Presence changes from now on, for a join that takes its snapshot before it is a member. */
  listen (): { changes: PresenceChange[], stop: () => void } {
    const changes: PresenceChange[] = []
    this.#joining.add(changes)
    return { changes, stop: () => { this.#joining.delete(changes) } }
  }
}

/** Milliseconds in which members that were walked stay in the cache. */
const WARM = 1
/** Members that are looked at together. */
const AHEAD = 32

/**
 * A look at the next members before each is sent to: as the flusher does it with outboxes, and for the same reason. Of a connection in
 * many rooms nothing is in a cache of the processor but what other rooms have just used.
 */
function lookAhead (members: readonly Membership[], from: number): number {
  const end = Math.min(from + AHEAD, members.length)
  let reachable = 0
  for (let i = from; i < end; i++) if (members[i]!.isReady) reachable++
  return reachable
}

function encodePresence (room: string, change: PresenceChange): Packet {
  return encodeFrame({ type: 'presence', room, data: change })
}
